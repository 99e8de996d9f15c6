"""The syntax trees of a tree's files, each parsed once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeGuard

_WORD = re.compile(r"[^\W\d]\w*")
# Fields of nodes that hold no nodes to look at.
_PLAIN = frozenset("ctx op id attr arg kind type_comment lineno asname module level simple conversion is_async".split())
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: ()}


@lru_cache(maxsize=512)
def parse(text: str) -> ast.Module:
    """The syntax tree of a module, which may begin with a byte order mark. Raises SyntaxError or ValueError."""
    return ast.parse(text.lstrip("\ufeff"))


def parsed(text: str) -> ast.Module:
    """The same; an empty module for a file that doesn't parse and so plays no role."""
    try:
        return parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


@lru_cache(maxsize=512)
def nodes(text: str) -> tuple[ast.AST, ...]:
    """All nodes of the syntax tree of a module."""
    return tuple(walk(parsed(text)))


@lru_cache(maxsize=512)
def statements(text: str) -> tuple[ast.AST, ...]:
    """All statements of a module, wherever in it, outer ones first."""
    return (parsed(text), *(node for block in blocks(text) for node in block))


@lru_cache(maxsize=512)
def blocks(text: str) -> tuple[list[ast.AST], ...]:
    """All blocks of a module, each a list of statements, outer ones first."""
    found: list[list[ast.AST]] = [list(parsed(text).body)]
    for block in found:
        parts = (getattr(node, name, None) for node in block for name in _BLOCKS)
        found += [part for part in parts if isinstance(part, list)]
    return tuple(found)


def walk(root: ast.AST) -> list[ast.AST]:
    """All nodes below `root`, itself included, in the order of `ast.walk`, in a third of its time; without contexts.

    Those of functions, classes and modules are remembered: the list is not to be changed.
    """
    return _remembered(root) if isinstance(root, (ast.FunctionDef, ast.ClassDef, ast.Module)) else _walked(root)


@lru_cache(maxsize=4096)
def _remembered(root: ast.AST) -> list[ast.AST]:
    return _walked(root)


def _walked(root: ast.AST) -> list[ast.AST]:
    found = [root]
    for node in found:
        _add_parts(node, found)
    return found


def parts(node: ast.AST) -> list[ast.AST]:
    """What a node directly consists of, without contexts and single operators."""
    found: list[ast.AST] = []
    _add_parts(node, found)
    return found


def _add_parts(node: ast.AST, found: list[ast.AST]) -> None:
    kind = type(node)
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(name for name in node._fields if name not in _PLAIN)
    for name in _FIELDS[kind]:
        part = getattr(node, name, None)
        if type(part) is list:
            for one in part:
                if isinstance(one, ast.AST):
                    found.append(one)
        elif isinstance(part, ast.AST) and part._fields:
            found.append(part)


def last_name(func: ast.expr) -> str:
    """The last name of what is called: `update` of `self.agents[0].update`."""
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def dotted(node: ast.expr) -> str:
    """A name with its attributes, as `a.b.c`; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    owner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{owner}.{node.attr}" if isinstance(node, ast.Attribute) and owner else ""


def is_call(node: ast.AST | None, *names: str) -> TypeGuard[ast.Call]:
    """Whether it calls something that has a name, and one of these is its last."""
    return isinstance(node, ast.Call) and last_name(node.func) in names


def handed(call: ast.Call) -> list[ast.expr]:
    """What a call is given, by position and by name."""
    return [*call.args, *(one.value for one in call.keywords)]


def reads_any(node: ast.AST, *attributes: str) -> bool:
    """Whether one of these attributes, of whatever owner, is a part of it."""
    return any(isinstance(part, ast.Attribute) and part.attr in attributes for part in walk(node))


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@lru_cache(maxsize=512)
def words(text: str) -> frozenset[str]:
    """All that could be a name in it, also what stands in comments and strings."""
    return frozenset(_WORD.findall(text))


@dataclass(frozen=True)
class Function:
    """A function of a module, or a method (then `cls` is its class), and its lines."""

    cls: str
    lines: tuple[str, ...]
    node: ast.FunctionDef


@lru_cache(maxsize=512)
def functions(text: str) -> dict[str, Function]:
    """The functions of a module, and its methods as Class.method."""
    lines = text.splitlines()
    return {
        f"{cls}.{node.name}" if cls else node.name: Function(cls, tuple(lines[node.lineno - 1 : node.end_lineno]), node)
        for cls, node in _defined(parsed(text))
    }


def _defined(tree: ast.AST, cls: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield cls, node
        elif isinstance(node, ast.ClassDef) and not cls:
            yield from _defined(node, node.name)


def matches_all(cases: Sequence[ast.match_case]) -> bool:
    """Whether one of the cases is always taken: the last one asks for nothing."""
    last = cases[-1]
    return last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
