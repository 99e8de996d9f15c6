"""Statistics of scores and paired differences, in numpy and scipy alone: aggregates, intervals, tests, e-processes.

Scores are arrays [R runs, T tasks]. The aggregates and their intervals are those of Agarwal et al. 2021 ("Deep
Reinforcement Learning at the Edge of the Statistical Precipice", arXiv:2108.13264).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
AGGREGATES = ("median", "iqm", "mean", "optimality_gap")
_BETS = np.array([0.5, 1.0, 2.0, 4.0])
_CHUNK = 2_000  # resamples at once


def iqm(scores: ArrayLike) -> Array:
    """Interquartile mean over the last two axes: the mean without floor(n/4) scores at either end."""
    flat = np.asarray(scores, float)
    flat = np.sort(flat.reshape(*flat.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(-1))


def aggregates(scores: ArrayLike) -> Array:
    """Median and mean of the tasks' means, IQM and optimality gap of [..., R, T] scores: [..., 4] as AGGREGATES."""
    data = np.asarray(scores, float)
    tasks = data.mean(-2)
    gap = 1.0 - np.minimum(data, 1.0).mean((-2, -1))
    return np.stack([np.median(tasks, axis=-1), iqm(data), tasks.mean(-1), gap], axis=-1)


def improvement(scores: ArrayLike, baseline: ArrayLike) -> Array:
    """Probability that a run of `scores` [..., R, T] beats one of `baseline` [..., S, T]; ties count half."""
    ours, theirs = np.asarray(scores, float)[..., :, None, :], np.asarray(baseline, float)[..., None, :, :]
    won = (ours > theirs) + 0.5 * (ours == theirs)
    return np.asarray(won.mean((-3, -2)).mean(-1))[..., None]


def profile(scores: ArrayLike, tau: ArrayLike) -> Array:
    """Performance profile of [..., R, T] scores: the share of runs above each threshold of `tau`: [..., len(tau)]."""
    data, levels = np.asarray(scores, float), np.asarray(tau, float)
    return np.stack([(data > level).mean((-2, -1)) for level in levels], axis=-1)


def average_profile(scores: ArrayLike, tau: ArrayLike) -> Array:
    """The share of tasks whose mean over the runs is above each threshold of `tau`."""
    return profile(np.asarray(scores, float).mean(-2, keepdims=True), tau)


def interval(
    statistic: Callable[..., Array],
    *groups: ArrayLike,
    resamples: int = 20_000,
    level: float = 0.95,
    seed: int = 0,
    over_tasks: bool = False,
) -> Array:
    """Percentile interval [2, ...] of the stratified bootstrap: each task's runs are drawn anew by themselves.

    Args:
        statistic: of one [..., R, T] array per group. over_tasks: draw tasks anew too.
    """
    draw, arrays = np.random.default_rng(seed), [np.asarray(group, float) for group in groups]
    found = []
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        found.append(statistic(*(_resampled(array, count, draw, over_tasks) for array in arrays)))
    tail = 100 * (1 - level) / 2
    return np.percentile(np.concatenate(found), [tail, 100 - tail], axis=0)


def _resampled(array: Array, count: int, draw: np.random.Generator, over_tasks: bool) -> Array:
    """[count, R, T, ...] from [R, T, ...]."""
    runs, tasks = array.shape[:2]
    rows = draw.integers(runs, size=(count, runs, tasks))
    columns = draw.integers(tasks, size=(count, 1, tasks)) if over_tasks else np.arange(tasks)[None, None, :]
    return array[rows, np.broadcast_to(columns, rows.shape)]


# --- tests ------------------------------------------------------------------------------------------------------------


def holm(p_values: ArrayLike) -> Array:
    """Holm's adjusted p-values along the last axis, in the order given."""
    raw = np.asarray(p_values, float)
    order = np.argsort(raw, axis=-1, kind="stable")
    factors = np.arange(raw.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(raw, order, -1) * factors, axis=-1)
    adjusted = np.empty_like(raw)
    np.put_along_axis(adjusted, order, np.minimum(1.0, stepped), -1)
    return adjusted


def sign_flip(differences: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of paired differences [n] by flipping signs: exact up to 14 pairs, else drawn."""
    data = np.asarray(differences, float)
    count = len(data)
    if count == 0:
        return 1.0
    if count <= 14:
        signs = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float((np.abs(signs @ data) >= abs(data.sum()) - 1e-12 * np.abs(data).sum()).mean())
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, count))
    return float((1 + (np.abs(drawn @ data) >= abs(data.sum()) - 1e-12).sum()) / (resamples + 1))


def e_process(differences: ArrayLike) -> Array:
    """Evidence [..., n] against differences [..., n] that are symmetric about 0, after each of them.

    Under the null every sign is a fair coin whatever the sizes, so a bet on the sign that depends on sizes and on
    earlier signs only is fair: 1 + sign tanh(c |d| / scale), `scale` the root mean square so far. The evidence is the
    mean of the wealth of bets on either sign with several c. By Ville's inequality it exceeds 1/a with probability at
    most a however often one looks (Ramdas et al. 2020, arXiv:2009.03167).
    """
    data = np.asarray(differences, float)
    if data.shape[-1] == 0:
        return data.copy()
    scale = np.sqrt(np.cumsum(data**2, -1) / np.arange(1, data.shape[-1] + 1))
    size = np.divide(np.abs(data), scale, out=np.zeros_like(data), where=scale > 0)
    steps = np.sign(data)[..., None] * np.tanh(size[..., None] * _BETS)
    up, down = np.cumprod(1 + steps, axis=-2), np.cumprod(1 - steps, axis=-2)
    return np.asarray((up.mean(-1) + down.mean(-1)) / 2)


def equivalence(effect: ArrayLike, error: ArrayLike, freedom: float, delta: float) -> Array:
    """p-values of two one-sided t-tests: small where the effect is shown to lie within -delta ... delta."""
    from scipy import stats

    size, spread = np.abs(np.asarray(effect, float)), np.asarray(error, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(stats.t.sf((delta - size) / spread, freedom))


def two_sided(effect: ArrayLike, error: ArrayLike, freedom: float) -> Array:
    """p-values of t-tests that effects are 0."""
    from scipy import stats

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.asarray(effect, float)) / np.asarray(error, float)
    found: Any = 2 * stats.t.sf(np.nan_to_num(ratio, nan=0.0, posinf=np.inf), freedom)
    return np.asarray(found)


def t_quantile(level: float, freedom: float) -> float:
    """The half-width of a two-sided interval of that level, in standard errors."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, freedom))
