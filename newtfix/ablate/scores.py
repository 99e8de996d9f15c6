"""From the metrics of a run to its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from newtfix.ablate.study import read_lines

Curve = list[tuple[int, float]]


def metrics_file(folder: Path) -> Path | None:
    """The metrics below a run's folder; those of earlier tries, in backups, don't count."""
    found = [path for path in folder.glob("out/**/metrics.jsonl") if not any("backup-" in part for part in path.parts)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows that a run has logged so far; a last line that was cut off is left out."""
    path = metrics_file(folder)
    return read_lines(path)[0] if path else []


def curve(rows: Sequence[Mapping[str, Any]], category: str) -> Curve:
    """(environment step, mean return) of each row of one category that has a return."""
    points = [(row.get("step"), row.get("episode_reward")) for row in rows if row.get("category") == category]
    return [(int(x), float(y)) for x, y in points if x is not None and y is not None and math.isfinite(y)]


def scores(training: Curve, evaluations: Curve, steps: int, complete: bool) -> dict[str, float | None]:
    """Every outcome of one run.

    A run that ended early keeps what it had: the rest of its training curve counts as its first point, the return of an
    agent that has learnt nothing, and its evaluations as far as they go.
    """
    later = [value for step, value in evaluations if step > 0]
    return {
        "training": _area(training, steps, complete),
        "evaluation": sum(later) / len(later) if later else None,
        "final": later[-1] if later else None,
    }


def _area(training: Curve, steps: int, complete: bool) -> float | None:
    """Mean of the curve over the steps: a point is the mean of what came since the one before it."""
    if not training:
        return None
    area, last = 0.0, 0
    for step, value in training:
        area += value * (min(step, steps) - last)
        last = min(step, steps)
    if complete or last >= steps:
        return area / last if last else None
    return (area + training[0][1] * (steps - last)) / steps
