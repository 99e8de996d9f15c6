"""Timing of contestants in turn, so that a machine that slows down slows all of them down.

A contestant is a call. One that returns a float says itself how many seconds of it count.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]
FEWEST = 3  # rounds, however long they take


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds wanted, seconds of one contestant's turn at least, seconds per comparison at most.

    `clock` is what turns are timed with: wall-clock time, or the CPU time of this process.
    """

    rounds: int = 7
    turn: float = 0.2
    limit: float = 30.0
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of what the rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        values = list(values)
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Times:
    """Seconds per call, one entry per round."""

    seconds: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        return Spread.of(self.seconds)

    def rate(self, units: float = 1.0) -> Spread:
        """Units per second, where one call does `units` of them."""
        return Spread.of(units / each for each in self.seconds)

    def faster_than(self, other: Times) -> Spread:
        """How many times as fast as `other`, compared round by round."""
        return Spread.of(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def alternate(contestants: Mapping[str, Call], effort: Effort) -> dict[str, Times]:
    """Seconds per call of each contestant, measured in turns. Each starts as many rounds as any other.

    All are called once unmeasured and once more to learn how many calls make a turn.
    """
    calls = {name: _calls_per_turn(call, effort) for name, call in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order, started = list(contestants), time.perf_counter()
    for done in range(effort.rounds):
        if done >= FEWEST and time.perf_counter() - started > effort.limit:
            break
        for name in order:
            seconds[name].append(_turn(contestants[name], calls[name], effort.clock))
        order = order[1:] + order[:1]
    return {name: Times(tuple(each)) for name, each in seconds.items()}


def _calls_per_turn(call: Call, effort: Effort) -> int:
    call()
    return max(1, round(effort.turn / _turn(call, 1, effort.clock)))


def _turn(call: Call, calls: int, clock: Callable[[], float]) -> float:
    enabled = gc.isenabled()
    gc.disable()
    try:
        told = 0.0
        started = clock()
        for _ in range(calls):
            took = call()
            if isinstance(took, float):
                told += took
        return (told or clock() - started) / calls
    finally:
        if enabled:
            gc.enable()
