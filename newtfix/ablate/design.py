"""Designs of experiments: which patches are on in which run. Pure combinatorics; seeds decide all that is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]
_PRIMES = (11, 19, 23, 31, 43, 47, 59, 67, 71, 79, 83, 103, 107, 127)  # those that are 3 modulo 4: Paley's


@dataclass(frozen=True, order=True)
class Cell:
    """One run to make: a seed, and the factors that are on."""

    seed: int
    on: tuple[str, ...]


def plackett_burman(factors: int) -> Signs:
    """A Plackett-Burman plan [N, N - 1] of +1 and -1 for up to N - 1 factors: columns are orthogonal and balanced.

    Source: Plackett and Burman 1946, by Paley's construction from the quadratic residues of a prime.
    """
    prime = next((prime for prime in _PRIMES if prime >= factors), None)
    if prime is None:
        raise ValueError(f"{factors} factors; there are plans for up to {_PRIMES[-1]}")
    residues = {square * square % prime for square in range(1, prime)}
    first = np.array([1 if number in residues or number == 0 else -1 for number in range(prime)], np.int8)
    rows = [np.roll(first, shift) for shift in range(prime)]
    return np.stack([*rows, -np.ones(prime, np.int8)])


def block_size(factors: int) -> int:
    """The runs of one block of a screen: a plan and its mirror image."""
    return 2 * len(plackett_burman(factors))


def screen_signs(factors: int, block: int, seed: int = 0) -> Signs:
    """One block [runs, factors] of a screen: each row is followed by its mirror image.

    Factors are dealt to columns anew in each block, so that effects of three factors together, which mix into those
    of single ones, do so differently every time.
    """
    plan = plackett_burman(factors)
    columns = np.random.default_rng([seed, block]).permutation(plan.shape[1])[:factors]
    dealt = plan[:, columns]
    return np.stack([dealt, -dealt], axis=1).reshape(-1, factors)


def screen(factors: Sequence[str], seeds: Iterable[int], seed: int = 0) -> list[Cell]:
    """The cells of a screen, a block for each of `seeds`."""
    return [
        Cell(run, tuple(name for name, sign in zip(factors, row, strict=True) if sign > 0))
        for block, run in enumerate(seeds)
        for row in screen_signs(len(factors), block, seed)
    ]


def subsets(factors: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets, smaller ones first."""
    return list(chain.from_iterable(combinations(factors, size) for size in range(len(factors) + 1)))


def one_at_a_time(factors: Sequence[str]) -> list[tuple[str, ...]]:
    """None, each alone, and all."""
    return list(dict.fromkeys([(), *((name,) for name in factors), tuple(factors)]))


def alone_and_left_out(factors: Sequence[str], candidates: Sequence[str]) -> list[tuple[str, ...]]:
    """What confirms a few candidates: none, all, each alone and left out; of two or three all subsets."""
    few = subsets(candidates) if len(candidates) <= 3 else [(), *((name,) for name in candidates)]
    without = [tuple(name for name in factors if name != one) for one in candidates]
    return list(dict.fromkeys([*few, tuple(factors), *without]))
