"""Which of several policy losses a tree's settings choose."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from newtfix.verify.subject import Subject

_STEP = "update_pi"


def choices(subject: Subject) -> list[Mapping[str, Any]]:
    """Settings for each loss that the policy's step can go down, the tree's own choice first; one, {}, without any."""
    tests = dict(_tests(subject))
    if not tests:
        return [{}]
    cfg = subject.default_config()
    found: list[Mapping[str, Any]] = []
    for name, compared in tests.items():
        own = getattr(cfg, name, None)
        values = [own, *(value for value in compared if value != own)]
        found += [{name: value} for value in values]
    return found


def named(choice: Mapping[str, Any]) -> str:
    """A choice as an addition to what is observed."""
    return "".join(f", {name}={value}" for name, value in choice.items())


def _tests(subject: Subject) -> Iterator[tuple[str, list[Any]]]:
    """Settings that decide in the policy's step which loss is computed, with values that decide differently."""
    for step in ast.walk(ast.parse(subject.text("agent").removeprefix("\ufeff"))):
        if isinstance(step, ast.FunctionDef) and step.name == _STEP:
            chosen = [node.test for node in ast.walk(step) if isinstance(node, ast.If) and _computes_loss(node)]
            values: dict[str, list[Any]] = {}
            for test in chosen:
                for name, found in _compared(test):
                    values.setdefault(name, []).extend(found)
            yield from ((name, _told_apart(found)) for name, found in values.items())


def _computes_loss(node: ast.If) -> bool:
    """Whether one of its branches calls a loss of the policy."""
    calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
    return any(isinstance(call.func, ast.Attribute) and "pi_loss" in call.func.attr for call in calls)


def _compared(test: ast.expr) -> Iterator[tuple[str, list[Any]]]:
    """`self.cfg.name`, alone or compared with constants."""
    for part in ast.walk(test):
        if isinstance(part, ast.Compare):
            sides = [part.left, *part.comparators]
            constants = [side.value for side in sides if isinstance(side, ast.Constant)]
            yield from ((name, constants) for side in sides if (name := _setting(side)))
    name = _setting(test.operand if isinstance(test, ast.UnaryOp) else test)
    if name:
        yield name, [True, False]


def _setting(node: ast.expr) -> str:
    is_setting = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "cfg"
    return node.attr if is_setting and isinstance(node, ast.Attribute) else ""


def _told_apart(compared: list[Any]) -> list[Any]:
    """Each value once, and one that none of the numbers equals."""
    numbers = [value for value in compared if isinstance(value, int) and not isinstance(value, bool)]
    other = [next(n for n in range(len(numbers) + 1) if n not in numbers)] if numbers else []
    return list(dict.fromkeys([*compared, *other]))
