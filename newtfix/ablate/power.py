"""What a design can find: the smallest difference that it shows with a given power, in standard deviations of a run."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt

import numpy as np

from newtfix.ablate.statistics import e_process

ALPHA, POWER = 0.05, 0.8


def screen_error(runs: int) -> float:
    """The standard error of an effect (on less off) in a balanced plan of `runs` runs, for a deviation of 1."""
    return 2 / sqrt(runs)


def paired_error(pairs: int) -> float:
    """The standard error of a difference of `pairs` pairs of independent runs, for a deviation of 1."""
    return sqrt(2 / pairs)


def detectable(error: float, freedom: int, tests: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The difference that a two-sided t-test with Holm's correction finds with that power.

    Args:
        error: standard error of the estimate. freedom: degrees of freedom of its deviation. tests: how many are
            made; the correction is at its strictest, as for a single effect among them.
    """
    if freedom < 1:
        return float("inf")
    from scipy import optimize, stats

    threshold = float(stats.t.ppf(1 - alpha / (2 * tests), freedom))

    def short(difference: float) -> float:
        return float(stats.nct.sf(threshold, freedom, difference)) - power

    upper = threshold + 4.0
    while short(upper) < 0:
        upper *= 2
    return float(optimize.brentq(short, 0.0, upper)) * error


def runs_needed(size: float, deviation: float, block: int, tests: int, error: Callable[[int], float]) -> int | None:
    """How many runs, in whole blocks, find a difference of `size`; None: more than 10,000."""
    if size <= 0 or deviation <= 0:
        return None
    for blocks in range(1, ceil(10_000 / block) + 1):
        runs = blocks * block
        freedom = max(1, runs - blocks - tests)
        if detectable(error(runs), freedom, tests) * deviation <= size:
            return runs
    return None


def pairs_detectable(pairs: int, contrasts: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The same for an e-process over pairs that stops at contrasts / alpha, by simulation with a fixed seed."""
    drawn = np.random.default_rng(0).normal(0, sqrt(2), (2_000, pairs))

    def found(difference: float) -> bool:
        return bool((e_process(drawn + difference).max(-1) >= contrasts / alpha).mean() >= power)

    sizes = np.arange(0.1, 8.0, 0.1)
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if found(float(sizes[middle])) else (middle + 1, high)
    return float(sizes[low]) if low < len(sizes) else float("inf")
