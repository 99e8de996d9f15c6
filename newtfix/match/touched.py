"""What statements that a hole caught do to a variable that another hole caught."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import libcst as cst

from newtfix.match import pattern as pat
from newtfix.match.matching import same

# A variable may go to another device on its way: it is the same afterwards.
_MOVES = re.compile(r"\.(to|cuda|contiguous|clone|pin_memory)\(")


def breaks(match: pat.Match, untouched: Sequence[str]) -> cst.CSTNode | None:
    """The first statement of a match that changes, uses or returns what it must not."""
    for rule in untouched:
        hole, _, variable = rule.partition(":")
        for statement in match.bindings.get(hole, ()):
            if variable.startswith("uses "):
                broken = bool(pat.search(variable.removeprefix("uses "), statement))
            elif variable == "return":
                broken = any(isinstance(node, cst.Return) for node in pat.walk(statement))
            else:
                broken = _changes(statement, match.bindings[variable])
            if broken:
                found: cst.CSTNode = statement
                return found
    return None


def _changes(statement: Any, variable: Any) -> bool:
    for node in pat.walk(statement):
        if isinstance(node, (cst.Assign, cst.AugAssign, cst.AnnAssign)):
            if any(_is_part(target, variable) for target in _targets(node)) and not _moves(node):
                return True
        elif isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            in_place = node.func.attr.value.endswith("_") and not node.func.attr.value.startswith("_")
            if in_place and same(node.func.value, variable):
                return True
    return False


def _targets(node: Any) -> list[Any]:
    targets = [target.target for target in node.targets] if isinstance(node, cst.Assign) else [node.target]
    return [
        part.value if isinstance(part, cst.BaseElement) else part
        for target in targets
        for part in (target.elements if isinstance(target, cst.Tuple) else [target])
    ]


def _is_part(target: Any, variable: Any) -> bool:
    while isinstance(target, cst.Subscript):
        target = target.value
    return same(target, variable)


def _moves(node: Any) -> bool:
    code = cst.Module([]).code_for_node(node)
    return _MOVES.search(code) is not None and "[" not in code
