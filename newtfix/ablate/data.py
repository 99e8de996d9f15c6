"""The findings as plain data, for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from newtfix.ablate.findings import Findings
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.words import detectable


def as_data(found: Findings) -> dict[str, Any]:
    """One object, in types that JSON has: an end of an interval that is not known is null."""
    return {
        "answer": answer(found),
        "verdicts": [_plain(asdict(one)) for one in found.verdicts],
        "gap": _plain(asdict(found.gap)) if found.gap else None,
        "along": [_plain(asdict(one)) for one in found.along],
        "pairs": [{**_plain(asdict(one)), "decided": one.decided} for one in found.pairs],
        "arms": [_plain(asdict(one)) for one in found.arms],
        "smallest_that_matters": found.delta,
        "deviation_of_a_run": _plain(found.deviation),
        "detectable_in_deviations": _plain(detectable(found.plan)),
        "notes": notes(found),
        "waits_for": found.waits,
        "stopped": list(found.stopped),
        "failed": _plain(list(found.failed)),
        "runs": _plain(list(found.runs)),
        "plan": _plain(asdict(found.plan)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value
