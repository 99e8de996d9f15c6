"""What a place is: a start gives a value names, an end is an expression that should have that value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from newtfix.code.effects import computes
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Method


@dataclass(frozen=True, eq=False)
class Start:
    """A statement of a method that gives a value to names; None where they are parameters."""

    method: Method
    statement: ast.stmt | ast.NamedExpr | None
    names: tuple[str, ...]
    call: ast.expr | None = None  # that makes the value
    as_made: bool = True  # and nothing is computed of it at once


@dataclass(frozen=True, eq=False)
class End:
    """An expression of a method that should have the value."""

    method: Method
    expression: ast.expr


def assignments(method: Method) -> Sequence[tuple[ast.stmt, list[ast.expr], ast.expr]]:
    """The assignments of a method: the statement, its targets, and the value."""
    return _assignments(method.node)


@lru_cache(maxsize=2048)
def _assignments(function: ast.AST) -> tuple[tuple[ast.stmt, list[ast.expr], ast.expr], ...]:
    return tuple(_assigned(function))


def _assigned(function: ast.AST) -> Iterator[tuple[ast.stmt, list[ast.expr], ast.expr]]:
    for node in walk(function):
        if isinstance(node, ast.Assign):
            yield node, node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node, [node.target], node.value


def same_as(node: ast.expr) -> ast.expr | None:
    """The expression that another one equals where it counts: what is multiplied by a mask."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            for one, other in ((left, right), (right, left)):
                if any("mask" in name for name in names_in(other)):
                    return one
    return None


def call_of(value: ast.expr, *names: str) -> ast.Call | None:
    """An expression, if it calls one of these."""
    return value if isinstance(value, ast.Call) and dotted(value.func) in names else None


def is_computed(value: ast.expr, call: ast.expr) -> bool:
    """Whether something else is computed of what a call returns."""
    around = path_to(value, call)[:-1]
    return bool(around) and (
        any(isinstance(one, (ast.BinOp, ast.UnaryOp)) for one in around)
        or any(isinstance(one, ast.Call) and computes(one) for one in around)
    )
