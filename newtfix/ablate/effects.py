"""What scores of runs say about single patches: effects by least squares, with errors and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from newtfix.ablate.statistics import Array, holm, two_sided

_ENOUGH = 10  # degrees of freedom from which the odd part alone says how much runs scatter


@dataclass(frozen=True)
class Fit:
    """Effects (on less off) [..., F], the standard error [...] that all of them have, and its degrees of freedom."""

    effects: Array
    error: Array
    freedom: int

    @property
    def p_values(self) -> Array:
        return two_sided(self.effects, self.error[..., None], self.freedom)

    @property
    def adjusted(self) -> Array:
        return holm(self.p_values)


def of_screen(signs: ArrayLike, blocks: ArrayLike, scores: ArrayLike) -> Fit:
    """Effects from screens with mirror images.

    Half the difference of a run and its mirror image holds no effects of two patches together and none of the seed,
    so that these neither bias effects nor count as scatter. Where too few pairs are there, all runs are fitted.

    Args:
        signs: [R, F] of +1 and -1, every row followed by its mirror image; a row whose mirror image is missing, or
            that has no score, is left out. blocks: [R] seeds. scores: [..., R].
    """
    x, y, block = np.asarray(signs, float), np.asarray(scores, float), np.asarray(blocks)
    known = np.isfinite(y).reshape(-1, y.shape[-1]).all(0)
    mirrored = [row for row in range(len(x) - 1) if _are_mirrored(x, block, row) and known[row] and known[row + 1]]
    odd = x[mirrored], (y[..., mirrored] - y[..., [row + 1 for row in mirrored]]) / 2
    if len(mirrored) - x.shape[1] >= _ENOUGH:
        return _least_squares(odd[0], odd[1], x.shape[1])
    seeds = np.unique(block[known])
    dummies = (block[known][:, None] == seeds[None, :]).astype(float)
    return _least_squares(np.hstack([x[known], dummies]), y[..., known], x.shape[1])


def of_arms(arms: ArrayLike, seeds: ArrayLike, scores: ArrayLike, count: int) -> Fit:
    """Effects of arms 1 ... `count` against arm 0, with the same seeds in all.

    Args:
        arms: [R] number of each run's arm. seeds: [R]. scores: [..., R].
    """
    arm, seed, y = np.asarray(arms), np.asarray(seeds), np.asarray(scores, float)
    known = np.isfinite(y).reshape(-1, y.shape[-1]).all(0)
    arm, seed = arm[known], seed[known]
    x = (arm[:, None] == np.arange(1, count + 1)[None, :]).astype(float)
    dummies = (seed[:, None] == np.unique(seed)[None, :]).astype(float)
    fit = _least_squares(np.hstack([x, dummies]), y[..., known], count)
    return Fit(fit.effects / 2, fit.error / 2, fit.freedom)


def _are_mirrored(x: Array, block: NDArray[np.generic], row: int) -> bool:
    return bool(row % 2 == 0 and block[row] == block[row + 1] and (x[row] == -x[row + 1]).all())


def _least_squares(x: Array, y: Array, count: int) -> Fit:
    """Twice the first `count` coefficients (+1 less -1), and the largest of their errors."""
    inverse = np.linalg.pinv(x)
    beta = y @ inverse.T
    rank = int(np.linalg.matrix_rank(x)) if len(x) else 0
    freedom = len(x) - rank
    residual = y - beta @ x.T
    variance = (residual**2).sum(-1) / freedom if freedom > 0 else np.full(y.shape[:-1], np.nan)
    spread = float(np.sqrt((inverse[:count] ** 2).sum(1)).max()) if len(x) else np.nan
    return Fit(2 * beta[..., :count], 2 * spread * np.sqrt(variance), freedom)


@dataclass(frozen=True)
class Share:
    """A part of a gap, in parts of 1, with its interval."""

    size: float
    low: float
    high: float


def shares(fit: Fit, width: float) -> Sequence[Share]:
    """Each effect's share of their sum, with intervals of `width` standard errors.

    Effects of an orthogonal plan are independent, so a share e/s of k effects with error v has, to first order, the
    variance v^2 (1 - 2 e/s + k (e/s)^2) / s^2.
    """
    total, count, error = float(fit.effects.sum()), len(fit.effects), float(fit.error)
    found = []
    for effect in fit.effects:
        part = float(effect) / total
        spread = error * float(np.sqrt(max(0.0, 1 - 2 * part + count * part**2))) / abs(total)
        found.append(Share(part, part - width * spread, part + width * spread))
    return found


def sum_error(fit: Fit) -> float:
    """The standard error of the sum of the effects of an orthogonal plan."""
    return float(fit.error) * float(np.sqrt(len(fit.effects)))
