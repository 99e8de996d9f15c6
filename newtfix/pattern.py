"""Patterns: Python source with holes, matched against LibCST nodes.

White space, comments, parentheses, quotes and trailing commas don't matter for a match.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import libcst as cst

from newtfix.errors import PatchError
from newtfix.holes import HOLE, KINDS, dedented, encoded, kind_of
from newtfix.matching import SEQUENCES, Bindings, fields_of, is_node, is_statement, many, matched, matched_prefix

Step = tuple[str, int | None]
Path = tuple[Step, ...]

NOWHERE: Path = ()
BODY: Path = (("body", None),)
# Strings and comments, with the letters before and the braces in them.
_STRINGS = re.compile(r"\w*(\"\"\"(?:.|\n)*?\"\"\"|'''(?:.|\\n)*?'''|\"[^\"\n]*\"|'[^'\n]*')|#[^\n]*")
_NAME = re.compile(r"(?<![\w.])\d[\w.]*|([^\W\d]\w*)")
_PAIR = re.compile(r"(?<!\w)([^\W\d]\w*)(?=\s*\.\s*([^\W\d]\w*))")
_KEYWORDS = frozenset(keyword.kwlist) - {"True", "False", "None"} | {"", "match", "case"}


@dataclass(frozen=True)
class Match:
    """Where a pattern matched: a path to an expression, or to a block and the run of its statements [start, stop)."""

    path: Path
    bindings: Mapping[str, Any]
    start: int = -1
    stop: int = -1

    @property
    def is_run(self) -> bool:
        return self.start >= 0


@dataclass(frozen=True, eq=False)
class Pattern:
    """A parsed pattern: one expression, or a run of statements."""

    source: str
    expression: cst.BaseExpression | None
    statements: tuple[cst.BaseStatement, ...]


@cache
def parse_pattern(source: str, statements: bool = False) -> Pattern:
    """Parse a pattern; one that is a single expression matches anywhere, unless `statements` is asked for."""
    text = encoded(dedented(source))
    if not statements and kind_of(source) in (None, ast.Expr):
        try:
            return Pattern(source, cst.parse_expression(text), ())
        except cst.ParserSyntaxError:
            pass
    try:
        module = cst.parse_module(text + "\n")
        statements_in = list(module.body)
        if statements_in and any(line.comment for line in module.header):
            statements_in[0] = statements_in[0].with_changes(leading_lines=module.header)
        return Pattern(source, None, tuple(statements_in))
    except cst.ParserSyntaxError as problem:
        line = text.splitlines()[min(problem.raw_line, text.count("\n") + 1) - 1] if text else ""
        raise PatchError(
            "a pattern of a patch is no Python with holes",
            where=f"line {problem.raw_line}, {line.strip()!r} of:\n{dedented(source)}",
            hint="docs/patches.md tells how a pattern is written",
        ) from problem


def is_expression(source: str) -> bool:
    """Whether the text of a pattern is a single expression."""
    return kind_of(source) in (None, ast.Expr) and parse_pattern(source).expression is not None


# --- matching ---------------------------------------------------------------------------------------------------------


Spot = tuple[cst.CSTNode, Any, Step]  # a node, the spot that it is a part of, and the step from there


@cache
def _child_fields(kind: type) -> tuple[str, ...]:
    return tuple(n for n in fields_of(kind) if n not in ("value",) or kind not in (cst.Name, cst.Integer, cst.Float))


@cache
def _last_first(kind: type) -> tuple[str, ...]:
    return _child_fields(kind)[::-1]


def spots(root: cst.CSTNode) -> Iterator[Spot]:
    """Every node below `root`, itself included, in source order, with what leads to it."""
    stack: list[Spot] = [(root, None, ("", None))]
    while stack:
        spot = stack.pop()
        yield spot
        node = spot[0]
        for name in _last_first(type(node)):
            child = getattr(node, name)
            if type(child) in SEQUENCES:
                for index in range(len(child) - 1, -1, -1):
                    if is_node(type(child[index])):
                        stack.append((child[index], spot, (name, index)))
            elif is_node(type(child)):
                stack.append((child, spot, (name, None)))


def walk(root: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Every node below `root`, itself included, in source order."""
    return (spot[0] for spot in spots(root))


def _path(spot: Spot) -> Path:
    steps = []
    while spot[1] is not None:
        steps.append(spot[2])
        spot = spot[1]
    return tuple(reversed(steps))


@lru_cache(maxsize=8192)
def _by_type(unit: cst.CSTNode) -> dict[type, list[Spot]]:
    """The nodes of a unit by their type."""
    nodes: dict[type, list[Spot]] = {}
    for spot in spots(unit):
        nodes.setdefault(type(spot[0]), []).append(spot)
    return nodes


_Block = tuple[Path, cst.CSTNode]
_Unit = tuple[Path, cst.CSTNode, frozenset[str]]


@lru_cache(maxsize=2048)
def _units(root: cst.CSTNode) -> tuple[tuple[_Block, ...], tuple[_Unit, ...]]:
    """What `root` consists of: the blocks of modules and classes, and the statements in them with their names.

    Nodes are immutable and shared between the versions of a tree, so what is known of a statement stays known.
    """
    body: Sequence[cst.CSTNode]
    blocks: list[tuple[Path, cst.CSTNode]]
    if isinstance(root, cst.Module):
        body, inside, blocks = root.body, NOWHERE, [(NOWHERE, root)]
    elif isinstance(root, cst.ClassDef) and isinstance(root.body, cst.IndentedBlock):
        body, inside, blocks = root.body.body, BODY, [(BODY, root.body)]
    else:
        return (), ((NOWHERE, root, _names_in(root)),)
    units: list[_Unit] = []
    for index, statement in enumerate(body):
        here = (*inside, ("body", index))
        below, parts = _units(statement)
        blocks += [((*here, *path), node) for path, node in below]
        units += [((*here, *path), node, names) for path, node, names in parts]
    return tuple(blocks), tuple(units)


def search(
    source: str, root: cst.CSTNode, bound: Bindings | None = None, path: Path = (), statements: bool = False
) -> list[Match]:
    """`find` for the text of a pattern, which is not even parsed where a name in it does not occur."""
    return find(parse_pattern(source, statements), root, bound, path) if is_mentioned(source, root) else []


def is_mentioned(source: str, root: cst.CSTNode) -> bool:
    """Whether all names in the text of a pattern occur below `root`: those of a single statement, in one place."""
    wanted = _mentioned(source)
    if not wanted <= _names_below(root):
        return False
    apart = kind_of(source) in (None, ast.Module, ast.ClassDef)
    return apart or any(wanted <= names for _, _, names in _units(root)[1])


@cache
def _mentioned(source: str) -> frozenset[str]:
    """Names, and names with an attribute, that code must have for a pattern to match it, as far as its text tells."""
    code = _STRINGS.sub(" ", HOLE.sub(" ", source))
    pairs = (f"{owner}.{name}" for owner, name in _PAIR.findall(code) if owner not in _KEYWORDS)
    return frozenset(_NAME.findall(code)).union(pairs) - _KEYWORDS


def find(pattern: Pattern, root: cst.CSTNode, bound: Bindings | None = None, path: Path = ()) -> list[Match]:
    """All places below `root` where the pattern matches, none inside another. `path` leads to `root`.

    The bases and decorators of classes are not looked at.
    """
    required = _required(pattern)
    if not required <= _names_below(root):
        return []
    blocks, units = _units(root)
    matches = [match for here, block in blocks for match in _find_runs(pattern.statements, here, block, bound or {})]
    for here, unit, names in units:
        if not required <= names:
            continue
        found = _find_in(pattern, unit, bound) if bound else _find_anew(pattern, unit)
        matches += [replace(match, path=(*here, *match.path)) for match in found]
    return _outermost([*_whole(pattern, root, bound, path), *(replace(m, path=(*path, *m.path)) for m in matches)])


def _whole(pattern: Pattern, root: cst.CSTNode, bound: Bindings | None, path: Path) -> list[Match]:
    """The match of a pattern that is one function with the function `root` itself, a statement of its surroundings."""
    if not (path and isinstance(root, cst.FunctionDef) and len(pattern.statements) == 1):
        return []
    found = matched(pattern.statements[0], root, bound or {})
    index = path[-1][1]
    return [] if found is None or index is None else [Match(path[:-1], found, index, index + 1)]


@cache
def _required(pattern: Pattern) -> frozenset[str]:
    """The names, and names with an attribute, that code must have for the pattern to match it."""
    roots = pattern.statements if pattern.expression is None else (pattern.expression,)
    return frozenset().union(*map(_needed, roots))


@cache
def _needed(code: cst.CSTNode) -> frozenset[str]:
    """The same for a part of a pattern."""
    return frozenset(name for name in _names_in(code) if not _is_hole(name))


def _is_hole(name: str) -> bool:
    return any(kind in name for kind in KINDS.values())


@lru_cache(maxsize=65536)
def _names_in(unit: cst.CSTNode) -> frozenset[str]:
    """The names in a piece of code, and those with an attribute as `a.b`; those of each statement are remembered."""
    names: set[str] = set()
    pending: list[Any] = [unit]
    while pending:
        node = pending.pop()
        if type(node) is cst.Name:
            names.add(node.value)
            continue
        kind: Any = type(node)
        if kind is cst.Attribute:
            owner = node.value.attr if type(node.value) is cst.Attribute else node.value
            if type(owner) is cst.Name:
                names.add(f"{owner.value}.{node.attr.value}")
        for field in _child_fields(kind):
            child = getattr(node, field)
            for part in child if type(child) in SEQUENCES else (child,):
                kind = type(part)
                if is_statement(kind):
                    names |= _names_in(part)
                elif is_node(kind):
                    pending.append(part)
    return frozenset(names)


@lru_cache(maxsize=2048)
def _names_below(root: cst.CSTNode) -> frozenset[str]:
    """The names in a module, class or function: of its units, whose names are remembered, and of the classes."""
    blocks, units = _units(root)
    return frozenset().union(*(names for _, _, names in units)) if blocks else _names_in(root)


_LABELS = (("attr", None), ("keyword", None))


def _find_in(pattern: Pattern, unit: cst.CSTNode, bound: Bindings) -> tuple[Match, ...]:
    nodes = _by_type(unit)
    if pattern.expression is None:
        blocks = [spot for spot in nodes.get(cst.IndentedBlock, ()) if _required(pattern) <= _names_in(spot[0])]
        return tuple(m for spot in blocks for m in _find_runs(pattern.statements, _path(spot), spot[0], bound))
    kind = type(pattern.expression)
    candidates = [*nodes.get(kind, ()), *(nodes.get(cst.UnaryOperation, ()) if kind is cst.Comparison else ())]
    if type(pattern.expression) is cst.Name and _is_hole(pattern.expression.value):
        # a value, not what an attribute or an argument is called
        candidates = [spot for spot in candidates if spot[2] not in _LABELS]
    bindings = ((spot, matched(pattern.expression, spot[0], bound)) for spot in candidates)
    return tuple(Match(_path(spot), caught) for spot, caught in bindings if caught is not None)


@lru_cache(maxsize=65536)
def _find_anew(pattern: Pattern, unit: cst.CSTNode) -> tuple[Match, ...]:
    """The same without bindings from elsewhere, remembered."""
    return _find_in(pattern, unit, {})


def _find_runs(pattern: tuple[cst.BaseStatement, ...], path: Path, block: Any, bound: Bindings) -> list[Match]:
    runs: list[Match] = []
    start = 0 if pattern else len(block.body)
    kind = type(pattern[0]) if pattern and many(pattern[0]) is None else None
    while start < len(block.body):
        if kind is not None and (
            type(block.body[start]) is not kind or not _needed(pattern[0]) <= _names_in(block.body[start])
        ):
            start += 1
            continue
        found = matched_prefix(pattern, block.body[start:], bound, whole=False)
        if found is None or found[1] == 0:
            start += 1
            continue
        runs.append(Match(path, found[0], start, start + found[1]))
        start += found[1]
    return runs


def _outermost(matches: list[Match]) -> list[Match]:
    kept: list[Match] = []
    for match in matches:
        if not any(within(match, other) for other in kept):
            kept.append(match)
    return kept


def within(inner: Match, outer: Match) -> bool:
    """Whether one match lies in the place of another."""
    if inner.path[: len(outer.path)] != outer.path:
        return False
    if not outer.is_run:
        return True
    index = inner.path[len(outer.path)][1] if len(inner.path) > len(outer.path) else inner.start
    return index is not None and outer.start <= index < outer.stop
