"""What was observed of a tree, and how it is judged: by what the patched behaviour would be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

AS_PATCHED = "as the patch should make it"
DISCREPANCY = "the discrepancy"
NOT_OBSERVED = "not observed"
NO_PROBE = "there is no probe for this patch"
OTHER = "something else"
# Of several observations of one patch, the first of these that occurs is the patch's verdict.
VERDICTS = (DISCREPANCY, OTHER, NOT_OBSERVED, AS_PATCHED)


@dataclass(frozen=True)
class Observation:
    """One thing that a tree does: what `patch` should make of it, in words or numbers, and what was seen.

    `observed` says why, where the verdict is "not observed".
    """

    patch: str
    what: str
    expected: str
    observed: str
    verdict: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def read(data: Mapping[str, Any]) -> Observation:
    """An observation from its `as_dict`. Raises ValueError for a verdict that there is not."""
    found = Observation(**{name: str(data[name]) for name in ("patch", "what", "expected", "observed", "verdict")})
    if found.verdict not in VERDICTS:
        raise ValueError(f"no verdict: {found.verdict}")
    return found


def judged(patch: str, what: str, expected: str, observed: str, *discrepancies: str) -> Observation:
    """Compare words: `discrepancies` are what unpatched trees would show."""
    if observed == expected:
        return Observation(patch, what, expected, observed, AS_PATCHED)
    return Observation(patch, what, expected, observed, DISCREPANCY if observed in discrepancies else OTHER)


def decided(patch: str, what: str, expected: str, observed: str, good: bool, bad: bool) -> Observation:
    """An observation that was compared elsewhere: `good` as patched, `bad` as unpatched, neither something else."""
    return Observation(patch, what, expected, observed, AS_PATCHED if good else DISCREPANCY if bad else OTHER)


def unseen(patch: str, reason: str, what: str = "all of it", expected: str = "") -> Observation:
    return Observation(patch, what, expected, reason, NOT_OBSERVED)


def verdict_of(observations: Iterable[Observation]) -> str:
    """The verdict on a patch; one without any observation was not observed."""
    found = {one.verdict for one in observations}
    return next((verdict for verdict in VERDICTS if verdict in found), NOT_OBSERVED)


def verdicts(observations: Collection[Observation], patches: Iterable[str]) -> dict[str, str]:
    """The verdict on each of these patches."""
    return {name: verdict_of(one for one in observations if one.patch == name) for name in patches}
