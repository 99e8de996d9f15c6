"""What is known about a tree: settings, tasks, code and states; and what a number of a report consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from newtfix.model import State
from newtfix.scan.behaviour import AgentCode, Expression, TrainerCode
from newtfix.scan.evaluate import ClassCode, Evaluator, Unknown
from newtfix.scan.settings import Settings
from newtfix.scan.tasks import Tasks

Value = float | bool | tuple[float, ...] | None


@dataclass(frozen=True)
class Facts:
    """What is known about a tree: settings, tasks, code, and the state of every patch."""

    settings: Settings
    tasks: Tasks
    trainer: TrainerCode
    agent: AgentCode
    states: Mapping[str, State]

    def state(self, patch: str) -> State:
        return self.states.get(patch, State.ABSENT)

    def number(self, name: str) -> float | None:
        """A setting that is a finite number."""
        value = self.settings.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return value


@dataclass(frozen=True)
class Quantity:
    """One number of the tree and of the reference; `how` says what it was made from.

    None: not known. The formulas stand in for values that are not known; `example` says what they give for values that
    it states.
    """

    key: str
    label: str
    here: Value
    reference: Value
    how: str = ""
    here_formula: str = ""
    reference_formula: str = ""
    example: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the reference's number this one is."""
        pair = (self.here, self.reference)
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in pair):
            return None
        return self.here / self.reference if self.reference else None  # type: ignore[operator]


@dataclass(frozen=True)
class Measured:
    """The value of an expression, the settings it was made from, and what is missing where there is none."""

    value: float | None
    used: Mapping[str, Any]
    missing: str = ""


def show(value: Value, otherwise: str = "-") -> str:
    """A value for people: 25,000, 0.344, yes, or a list."""
    if value is None:
        return otherwise
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(show(part) for part in value)
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"


def measure(facts: Facts, code: ClassCode, expression: Expression, **assumed: Any) -> Measured:
    """The value of an expression of the tree with its settings, some of them assumed."""
    values = {**facts.settings.values, **assumed}
    evaluator = Evaluator(values, code)
    try:
        value = evaluator.number(expression.node, expression.function)
    except Unknown as missing:
        return Measured(None, evaluator.used, str(missing))
    return Measured(value, evaluator.used)
