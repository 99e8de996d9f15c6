"""How observations of a tree are read, and what they say of a patch together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from newtfix.model import AS_PATCHED, DISCREPANCY, NOT_OBSERVED, OTHER, Observation

NO_PROBE = "there is no probe for this patch"
# Of several observations of one patch, the first of these that occurs is the patch's verdict.
VERDICTS = (DISCREPANCY, OTHER, NOT_OBSERVED, AS_PATCHED)


def read(data: Mapping[str, Any]) -> Observation:
    """An observation from its `as_dict`. Raises ValueError for a verdict that there is not."""
    found = Observation(**{name: str(data[name]) for name in ("what", "expected", "observed", "verdict", "patch")})
    if found.verdict not in VERDICTS:
        raise ValueError(f"no verdict: {found.verdict}")
    return found


def verdict_of(observations: Iterable[Observation]) -> str:
    """The verdict on a patch; one without any observation was not observed."""
    found = {one.verdict for one in observations}
    return next((verdict for verdict in VERDICTS if verdict in found), NOT_OBSERVED)


def verdicts(observations: Collection[Observation], patches: Iterable[str]) -> dict[str, str]:
    """The verdict on each of these patches."""
    return {name: verdict_of(one for one in observations if one.patch == name) for name in patches}
