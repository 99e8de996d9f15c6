"""Functions that several versions of a file have in common: one node for each, so that what is found in it is kept.

The key to a function is its text with all that stands around it up to its neighbours, the layout of the module, and
what its names are spelled out as.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import libcst as cst

from newtfix.syntax import parse

_KEPT = 8192
Change = Callable[[str, cst.FunctionDef], cst.FunctionDef]


@dataclass(frozen=True)
class _Function:
    """A function as it stands in the file, and as patterns see it."""

    plain: cst.FunctionDef
    seen: cst.FunctionDef


_FUNCTIONS: OrderedDict[Hashable, _Function] = OrderedDict()
_BY_NODE: dict[int, _Function] = {}


def remembered(key: Hashable, plain: cst.FunctionDef, see: Callable[[], cst.FunctionDef]) -> cst.FunctionDef:
    """The one node for functions with this key, as patterns see it; `see` makes it where it is the first."""
    known = _FUNCTIONS.get(key)
    if known is None:
        known = _FUNCTIONS[key] = _Function(plain, see())
        _BY_NODE[id(known.seen)] = known
        if len(_FUNCTIONS) > _KEPT:
            _, oldest = _FUNCTIONS.popitem(last=False)
            del _BY_NODE[id(oldest.seen)]
    return known.seen


def plain(node: cst.FunctionDef) -> cst.FunctionDef | None:
    """How a function that patterns saw stands in the file; None: it is another one by now."""
    known = _BY_NODE.get(id(node))
    return known.plain if known is not None else None


def with_functions(module: cst.Module, change: Change) -> cst.Module:
    """The module with every outermost function changed; `change` gets its class's name, or "", and the function."""
    body = [_with_functions(statement, change) for statement in module.body]
    return module.with_changes(body=body)


def _with_functions(
    statement: cst.SimpleStatementLine | cst.BaseCompoundStatement, change: Change
) -> cst.SimpleStatementLine | cst.BaseCompoundStatement:
    if isinstance(statement, cst.FunctionDef):
        return change("", statement)
    if isinstance(statement, cst.ClassDef) and isinstance(statement.body, cst.IndentedBlock):
        name = statement.name.value
        parts = [change(name, part) if isinstance(part, cst.FunctionDef) else part for part in statement.body.body]
        return statement.with_changes(body=statement.body.with_changes(body=parts))
    return statement


def surroundings(text: str) -> list[tuple[str, str, bool]]:
    """Every outermost function of a module, in order: its class or "", its text from neighbour to neighbour, and
    whether it is the last in its block."""
    return list(_surroundings(parse(text).body, text.split("\n"), 0, None, ""))


def _surroundings(
    body: list[ast.stmt], lines: list[str], start: int, end: int | None, cls: str
) -> Iterator[tuple[str, str, bool]]:
    starts = [*map(_first_line, body[1:]), None]
    for node, following in zip(body, starts, strict=True):
        after = end if following is None else following - 1
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield cls, "\n".join(lines[start:after]), following is None
        elif isinstance(node, ast.ClassDef) and not cls:
            yield from _surroundings(node.body, lines, start, after, node.name)
        start = node.end_lineno or node.lineno


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
