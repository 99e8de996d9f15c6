"""Functions that several versions of a file have in common: one node for each, so that what is found in it is kept.

The key to a function is its text with all that stands around it up to its neighbours, the layout of the module, and
what its names are spelled out as.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import libcst as cst

from newtfix.code.syntax import parse

_KEPT = 8192
Change = Callable[[str, cst.FunctionDef], Any]
Key = tuple[Hashable, Hashable, str, str]  # the function, its names, and the indentation and newline of the module


@dataclass
class _Written:
    """What stands for a function where code is generated, so that it is generated once for an indentation."""

    node: cst.FunctionDef
    tokens: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def _codegen(self, state: Any) -> None:
        indentation, start = tuple(state.indent_tokens), len(state.tokens)
        if indentation in self.tokens:
            state.tokens += self.tokens[indentation]
        else:
            self.node._codegen(state)
            self.tokens[indentation] = state.tokens[start:]


@dataclass(frozen=True)
class _Function:
    """A function as it stands in the file, and as patterns see it."""

    plain: _Written
    seen: _Written


_FUNCTIONS: OrderedDict[Key, _Function] = OrderedDict()
_BY_NODE: dict[cst.FunctionDef, _Function] = {}
_IN_SOME_LAYOUT: set[tuple[Hashable, Hashable]] = set()


def is_known(key: Key) -> bool:
    return key in _FUNCTIONS


def may_be_known(function: Hashable, names: Hashable) -> bool:
    """Whether there is a node for a function in some layout."""
    return (function, names) in _IN_SOME_LAYOUT


def remembered(key: Key, plain: cst.FunctionDef, see: Callable[[], cst.FunctionDef]) -> cst.FunctionDef:
    """The one node for functions with this key, as patterns see it; `see` makes it where it is the first."""
    known = _FUNCTIONS.get(key)
    if known is None:
        seen = see()
        own = _Written(plain)
        known = _FUNCTIONS[key] = _Function(own, own if seen is plain else _Written(seen))
        _BY_NODE[seen] = known
        _IN_SOME_LAYOUT.add(key[:2])
        if len(_FUNCTIONS) > _KEPT:
            former, oldest = _FUNCTIONS.popitem(last=False)
            del _BY_NODE[oldest.seen.node]
            _IN_SOME_LAYOUT.discard(former[:2])
    return known.seen.node


def code(module: cst.Module, changed: Change | None = None) -> str:
    """The code of a module that patterns saw; with `changed`, as it stands in the file.

    Args:
        changed: makes of a function that is another one by now how it shall stand in the file.
    """

    def written(cls: str, function: cst.FunctionDef) -> Any:
        known = _BY_NODE.get(function)
        if known is None:
            return function if changed is None else changed(cls, function)
        return known.seen if changed is None else known.plain

    return with_functions(module, written).code


def with_functions(module: cst.Module, change: Change) -> cst.Module:
    """The module with every outermost function changed; `change` gets its class's name, or "", and the function."""
    body = [_with_functions(statement, change) for statement in module.body]
    return module.with_changes(body=body)


def _with_functions(statement: cst.SimpleStatementLine | cst.BaseCompoundStatement, change: Change) -> Any:
    if isinstance(statement, cst.FunctionDef):
        return change("", statement)
    if isinstance(statement, cst.ClassDef) and isinstance(statement.body, cst.IndentedBlock):
        name = statement.name.value
        parts = [change(name, part) if isinstance(part, cst.FunctionDef) else part for part in statement.body.body]
        return statement.with_changes(body=statement.body.with_changes(body=parts))
    return statement


class Surrounding(NamedTuple):
    """An outermost function of a module: its class or "", its text from neighbour to neighbour, and whether it is the
    last in its block. Its name, and the lines of its body if it has lines of its own, differ between versions."""

    cls: str
    text: str
    is_last: bool
    name: str = ""
    body: slice | None = None

    @property
    def key(self) -> Hashable:
        return self[:3]


def surroundings(text: str) -> list[Surrounding]:
    """Every outermost function of a module, in order."""
    return list(_surroundings(parse(text).body, text.split("\n"), 0, None, ""))


def _surroundings(
    body: list[ast.stmt], lines: list[str], start: int, end: int | None, cls: str
) -> Iterator[Surrounding]:
    starts = [*map(_first_line, body[1:]), None][: len(body)]
    for node, following in zip(body, starts, strict=True):
        after = end if following is None else following - 1
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own = lines[_first_line(node.body[0]) - 1]
            its_lines = slice(_first_line(node.body[0]) - 1, node.end_lineno)
            apart = len(own) - len(own.lstrip(" \t")) == node.body[0].col_offset
            around = "\n".join(lines[start:after])
            yield Surrounding(cls, around, following is None, node.name, its_lines if apart else None)
        elif isinstance(node, ast.ClassDef) and not cls:
            yield from _surroundings(node.body, lines, start, after, node.name)
        start = node.end_lineno or node.lineno


def abridged(text: str, functions: Iterable[Surrounding]) -> str:
    """The text without the bodies of these functions: parsed, it has the same layout and the same other nodes."""
    lines = text.split("\n")
    for function in reversed(list(functions)):
        if function.body is None or lines[function.body.start - 1].rstrip("\r").endswith("\\"):
            continue
        first, last = lines[function.body.start], lines[function.body.stop - 1]
        indent, end = first[: len(first) - len(first.lstrip(" \t"))], "\r" if last.endswith("\r") else ""
        lines[function.body] = [f"{indent}pass{end}"]
    return "\n".join(lines)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
