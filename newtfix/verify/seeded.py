"""Runs that begin with seeding, and the steps at which they should learn."""

from __future__ import annotations

import math

from newtfix.verify.runs import Run, run
from newtfix.verify.subject import Subject

# 20 environments with the episodes of the discrepancy's own example: nothing has finished when seeding ends.
MANY = [250] * 20
# 7 environments: 1,001 steps are no multiple of anything, and some episodes have finished by then, others not.
FEW = [40] * 7
# Two environments of different lengths: what counts is the longest.
MIXED = [300, 20]
_ROUND = sum(FEW)
END = 7 * _ROUND
RESUMED_LATE = 18 * _ROUND
RESUMED_EARLY = 2 * _ROUND
UTD = 0.5
MOST_TOKENS = 4  # updates that 7 steps at 0.5 each, and a carried-over half, can pay for


def reference(lengths: list[int]) -> int:
    """The threshold by the reference's rule."""
    return max(1000, 5 * max(lengths))


def first_at(threshold: int, lengths: list[int]) -> int:
    """The first step at or past a threshold, which grows by the number of environments."""
    return math.ceil(threshold / len(lengths)) * len(lengths)


def newts(subject: Subject, lengths: list[int]) -> int:
    """The threshold by newt's own rule, at the tree's own seeding_coef."""
    return int(getattr(subject.default_config(), "seeding_coef", 5)) * len(lengths) * max(lengths)


def many(subject: Subject) -> Run:
    return run(subject, MANY, steps=2 * newts(subject, MANY), until_update=True, settings={"utd": 1.0})


def few(subject: Subject) -> Run:
    return run(subject, FEW, steps=END - 1, settings={"utd": UTD})


def resumed(subject: Subject, start: int, rounds: int) -> Run:
    return run(subject, FEW, steps=start + rounds * _ROUND - 1, start=start, settings={"eval_freq": start, "utd": UTD})


def named(lengths: list[int]) -> str:
    steps = " and ".join(str(length) for length in dict.fromkeys(lengths))
    return f"{len(lengths)} environments, {steps} steps an episode"


def shown(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"
