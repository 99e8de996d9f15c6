"""Sets of patches as they are: pairs of them over the same seeds, and the scores and curves of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from newtfix.ablate import stages
from newtfix.ablate.runs import Folder
from newtfix.ablate.scores import Curve, curve, read_metrics
from newtfix.ablate.statistics import aggregates, e_process, improvement, interval, iqm, sign_flip, t_quantile
from newtfix.ablate.study import Plan, Run, label

LEVEL = 0.95
MINIMUM = 6  # seeds that a comparison of arms takes: with 5, even 5 equal signs have p = 0.06


@dataclass(frozen=True)
class Pair:
    """A difference of two sets of patches over the same seeds. `evidence`: its e-value; `level`: what decides."""

    name: str
    seeds: int
    difference: float
    low: float
    high: float
    p: float
    evidence: float
    level: float

    @property
    def decided(self) -> bool:
        return self.evidence >= self.level and self.seeds >= MINIMUM


@dataclass(frozen=True)
class Arm:
    """The runs of one set of patches."""

    label: str
    patches: tuple[str, ...]
    scores: tuple[float, ...]
    mean: float
    iqm: float
    low: float | None
    high: float | None
    beats_base: float | None
    curves: tuple[Curve, ...]
    evaluations: tuple[Curve, ...]


def find_pairs(plan: Plan, scores: stages.Scores) -> list[Pair]:
    if plan.design in ("one-at-a-time", "full"):
        contrast = stages.Contrast("all", plan.all, tuple(sorted(plan.on)))
        return [found for found in [_pair(contrast, stages.pair_seeds(plan), scores, 1 / plan.alpha)] if found]
    found = []
    for stage in stages.sequences(plan, scores):
        seeds = stage.seeds or (tuple(range(plan.first_seed, plan.first_seed + max(plan.blocks, plan.pairs))))
        level = len(stage.contrasts) / plan.alpha
        found += [pair for one in stage.contrasts if (pair := _pair(one, seeds, scores, level))]
    return found


def _pair(contrast: stages.Contrast, seeds: Sequence[int], scores: stages.Scores, level: float) -> Pair | None:
    differences = stages.differences(contrast, seeds, scores)
    count = len(differences)
    if count == 0:
        return None
    mean = float(differences.mean())
    half = t_quantile(LEVEL, count - 1) * float(differences.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
    evidence = float(np.max(e_process(differences)))
    return Pair(contrast.name, count, mean, mean - half, mean + half, sign_flip(differences), evidence, level)


def find_arms(study: Path, plan: Plan, runs: Sequence[Run], scores: stages.Scores) -> list[Arm]:
    """The sets of patches that are compared."""
    sets: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        if scores.get(run.id) is not None:
            sets.setdefault(run.patches, []).append(run)
    base = tuple(sorted(plan.on))
    found = [sets[one] for one in _shown(plan, scores) if one in sets]
    return [_arm(study, plan, group, scores, _column(sets.get(base, []), scores)) for group in found]


def _shown(plan: Plan, scores: stages.Scores) -> list[tuple[str, ...]]:
    """The sets that are there to be compared, base and all first; those of a screen are not."""
    first = [tuple(sorted(plan.on)), plan.all, plan.gated]
    if plan.design in ("one-at-a-time", "full"):
        return list(dict.fromkeys([*first, *stages.fixed_arms(plan)]))
    return list(dict.fromkeys([*first, *(arm for one in stages.sequences(plan, scores) for arm in one.arms)]))


def _arm(study: Path, plan: Plan, group: Sequence[Run], scores: stages.Scores, base: Any) -> Arm:
    column = _column(group, scores)
    enough = len(group) > 1
    ends = interval(aggregates, column, resamples=5_000)[:, 1] if enough else (None, None)
    rows = [read_metrics(Folder(study, run).path) for run in group]
    return Arm(
        label=label(plan, group[0].patches),
        patches=group[0].patches,
        scores=tuple(map(float, column[:, 0])),
        mean=float(column.mean()),
        iqm=float(iqm(column)),
        low=None if ends[0] is None else float(ends[0]),
        high=None if ends[1] is None else float(ends[1]),
        beats_base=float(improvement(column, base)[0]) if len(base) > 1 and enough else None,
        curves=tuple(curve(one, "train") for one in rows),
        evaluations=tuple(curve(one, "eval") for one in rows),
    )


def _column(group: Sequence[Run], scores: stages.Scores) -> Any:
    return np.array([[scores[run.id]] for run in group], float).reshape(-1, 1)
