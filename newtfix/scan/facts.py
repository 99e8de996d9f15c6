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
class Measured:
    """The value of an expression, the settings it was made from, and what is missing where there is none."""

    value: float | None
    used: Mapping[str, Any]
    missing: str = ""


def measure(facts: Facts, code: ClassCode, expression: Expression, **assumed: Any) -> Measured:
    """The value of an expression of the tree with its settings, some of them assumed."""
    values = {**facts.settings.values, **assumed}
    evaluator = Evaluator(values, code)
    try:
        value = evaluator.number(expression.node, expression.function)
    except Unknown as missing:
        return Measured(None, evaluator.used, str(missing))
    return Measured(value, evaluator.used)
