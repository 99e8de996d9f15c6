"""One measured figure, as it is printed and written to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .timing import Spread

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """A figure with its spread over the rounds.

    `ratio` compares it with `ratio_to`, where the two were measured in turns: how many times as fast for rates, how
    many times as long for seconds. `gflop` is what one call needs in matrix products; `roofline` the fraction of the
    machine's rate of products that was reached.
    """

    group: str
    name: str
    unit: str
    value: Spread
    rounds: int
    ratio: Spread | None = None
    ratio_to: str | None = None
    gflop: float | None = None
    roofline: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def document(machine: Mapping[str, Any], options: Mapping[str, Any], figures: list[Figure], notes: list[str]) -> dict:
    """The JSON of a run."""
    return {
        "schema": SCHEMA,
        "machine": dict(machine),
        "options": dict(options),
        "figures": [asdict(figure) for figure in figures],
        "notes": notes,
    }
