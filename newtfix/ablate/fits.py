"""The effects of the factors, however a design tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from newtfix.ablate import power, stages
from newtfix.ablate.comparisons import LEVEL
from newtfix.ablate.design import subsets
from newtfix.ablate.effects import Fit, of_arms, of_screen
from newtfix.ablate.scores import Curve
from newtfix.ablate.statistics import t_quantile
from newtfix.ablate.study import Plan, Run


def fit_factors(plan: Plan, runs: Sequence[Run], scores: stages.Scores) -> Fit | None:
    """The factors' effects, however the design tells them."""
    if plan.blocks:
        return stages.fit_screen(plan, scores)
    if plan.design == "one-at-a-time":
        return _fit_arms(plan, scores)
    return _fit_full(plan, scores) if plan.design == "full" else None


def _fit_arms(plan: Plan, scores: stages.Scores) -> Fit | None:
    arms = [plan.gated, *(tuple(sorted({*plan.gated, name})) for name in plan.factors)]
    cells = [
        (number, seed, scores.get(Run(seed, arm).id))
        for number, arm in enumerate(arms)
        for seed in stages.pair_seeds(plan)
    ]
    known = [cell for cell in cells if cell[2] is not None]
    if len(known) < len(arms) + 2 or {number for number, _, _ in known} != set(range(len(arms))):
        return None
    number, seed, value = (np.array(column) for column in zip(*known, strict=True))
    return of_arms(number, seed, value.astype(float), len(plan.factors))


def _fit_full(plan: Plan, scores: stages.Scores) -> Fit | None:
    """Every set is followed by its mirror image."""
    half = [some for some in subsets(plan.factors) if plan.factors and plan.factors[0] not in some]
    rows = [(seed, some) for seed in stages.pair_seeds(plan) for one in half for some in (one, _rest(plan, one))]
    values = [scores.get(Run(seed, tuple(sorted({*plan.gated, *some}))).id) for seed, some in rows]
    numbers = np.array([np.nan if value is None else value for value in values])
    if np.isfinite(numbers).sum() < len(plan.factors) + 2:
        return None
    signs = [[1 if name in some else -1 for name in plan.factors] for _, some in rows]
    return of_screen(signs, [seed for seed, _ in rows], numbers)


def _rest(plan: Plan, some: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in plan.factors if name not in some)


@dataclass(frozen=True)
class Moment:
    """The effects of the factors on the return at one step, by patch; `half` of the 95% interval that all have."""

    step: int
    effects: Mapping[str, float]
    half: float


def along(plan: Plan, runs: Sequence[Run], curves: Mapping[str, Curve], most: int = 5) -> list[Moment]:
    """The factors' effects at up to `most` steps of a run: they tell when a patch matters, and decide nothing."""
    known = {name: curve for name, curve in curves.items() if curve}
    steps = [step for step, _ in max(known.values(), key=len, default=[])]
    chosen = [steps[(number + 1) * len(steps) // most - 1] for number in range(most)] if len(steps) > most else steps
    found = []
    for step in chosen:
        fit = fit_factors(plan, runs, {name: _at(step, curve) for name, curve in known.items()})
        if fit is not None and fit.freedom > 0:
            effects = dict(zip(plan.factors, map(float, fit.effects), strict=True))
            found.append(Moment(step, effects, t_quantile(LEVEL, fit.freedom) * float(fit.error)))
    return found


def _at(step: int, curve: Curve) -> float:
    """The return at a step; a run that ended before keeps its last."""
    return float(np.interp(step, [one for one, _ in curve], [value for _, value in curve]))


def deviation(fit: Fit | None, plan: Plan, scores: stages.Scores) -> float | None:
    """The standard deviation of a run, as the fit sees it."""
    if fit is None or fit.freedom < 1:
        return None
    if plan.design == "one-at-a-time":
        return float(fit.error) / power.paired_error(max(1, plan.pairs))
    count = sum(run.id in scores for run in stages.screen_runs(plan)) if plan.blocks else len(scores)
    return float(fit.error) / power.screen_error(max(1, count))
