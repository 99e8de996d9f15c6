"""Patterns: Python source with holes, matched against LibCST nodes.

White space, comments, parentheses, quotes and trailing commas don't matter for a match.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import libcst as cst

from newtfix.errors import PatchError
from newtfix.match.holes import dedented, encoded, kind_of
from newtfix.match.matching import SEQUENCES, Bindings, fields_of, is_node, is_statement, many, matched, matched_prefix
from newtfix.match.traits import NONE, Traits, asked, asked_by_all, is_hole, shown

Step = tuple[str, int | None]
Path = tuple[Step, ...]

NOWHERE: Path = ()
BODY: Path = (("body", None),)


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


def path_to(root: cst.CSTNode, node: cst.CSTNode) -> Path | None:
    """The path to a node below `root`; None: it is not there."""
    return next((_path(spot) for spot in spots(root) if spot[0] is node), None)


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
    """What `root` consists of: the blocks of modules and classes, and the statements in them with their traits.

    Nodes are immutable and shared between the versions of a tree, so what is known of a statement stays known.
    """
    body: Sequence[cst.CSTNode]
    blocks: list[tuple[Path, cst.CSTNode]]
    if isinstance(root, cst.Module):
        body, inside, blocks = root.body, NOWHERE, [(NOWHERE, root)]
    elif isinstance(root, cst.ClassDef) and isinstance(root.body, cst.IndentedBlock):
        body, inside, blocks = root.body.body, BODY, [(BODY, root.body)]
    else:
        return (), ((NOWHERE, root, _traits_of(root)),)
    units: list[_Unit] = []
    for index, statement in enumerate(body):
        here = (*inside, ("body", index))
        below, parts = _units(statement)
        blocks += [((*here, *path), node) for path, node in below]
        units += [((*here, *path), node, traits) for path, node, traits in parts]
    return tuple(blocks), tuple(units)


def search(
    source: str, root: cst.CSTNode, bound: Bindings | None = None, path: Path = (), statements: bool = False
) -> list[Match]:
    """`find` for the text of a pattern, which is not even parsed where a trait of it does not occur."""
    return find(parse_pattern(source, statements), root, bound, path) if is_mentioned(source, root) else []


def is_mentioned(source: str, root: cst.CSTNode) -> bool:
    """Whether all that the text of a pattern asks for is below `root`: what a single statement does, in one place."""
    wanted = asked_by_all(source)
    if not wanted <= _traits_below(root):
        return False
    apart = kind_of(source) in (None, ast.Module, ast.ClassDef)
    return apart or any(wanted <= traits for _, _, traits in _units(root)[1])


def find(pattern: Pattern, root: cst.CSTNode, bound: Bindings | None = None, path: Path = ()) -> list[Match]:
    """All places below `root` where the pattern matches, none inside another. `path` leads to `root`.

    The bases and decorators of classes are not looked at.
    """
    wanted = asked_by_all(pattern.source)
    if not wanted <= _traits_below(root):
        return []
    blocks, units = _units(root)
    matches = [match for here, block in blocks for match in _find_runs(pattern, here, block, bound or {})]
    for here, unit, traits in units:
        if not wanted <= traits:
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


@lru_cache(maxsize=65536)
def _traits_of(unit: cst.CSTNode) -> Traits:
    """The traits of a piece of code; those of each statement are remembered."""
    traits: set[str] = set()
    pending: list[Any] = [unit]
    while pending:
        node = pending.pop()
        kind: Any = type(node)
        if kind is cst.Name:
            traits.add(node.value)
            continue
        traits.update(shown(node))
        for field in _child_fields(kind):
            child = getattr(node, field)
            for part in child if type(child) in SEQUENCES else (child,):
                kind = type(part)
                if is_statement(kind):
                    traits |= _traits_of(part)
                elif is_node(kind):
                    pending.append(part)
    return frozenset(traits)


@lru_cache(maxsize=2048)
def _traits_below(root: cst.CSTNode) -> Traits:
    """The traits of a module, class or function: of its units, which are remembered, and of the classes."""
    blocks, units = _units(root)
    return NONE.union(*(traits for _, _, traits in units)) if blocks else _traits_of(root)


_LABELS = (("attr", None), ("keyword", None))


def _find_in(pattern: Pattern, unit: cst.CSTNode, bound: Bindings) -> tuple[Match, ...]:
    nodes = _by_type(unit)
    if pattern.expression is None:
        required = asked_by_all(pattern.source)
        blocks = [spot for spot in nodes.get(cst.IndentedBlock, ()) if required <= _traits_of(spot[0])]
        return tuple(m for spot in blocks for m in _find_runs(pattern, _path(spot), spot[0], bound))
    kind = type(pattern.expression)
    candidates = [*nodes.get(kind, ()), *(nodes.get(cst.UnaryOperation, ()) if kind is cst.Comparison else ())]
    if type(pattern.expression) is cst.Name and is_hole(pattern.expression.value):
        # a value, not what an attribute or an argument is called
        candidates = [spot for spot in candidates if spot[2] not in _LABELS]
    bindings = ((spot, matched(pattern.expression, spot[0], bound)) for spot in candidates)
    return tuple(Match(_path(spot), caught) for spot, caught in bindings if caught is not None)


@lru_cache(maxsize=65536)
def _find_anew(pattern: Pattern, unit: cst.CSTNode) -> tuple[Match, ...]:
    """The same without bindings from elsewhere, remembered."""
    return _find_in(pattern, unit, {})


def _find_runs(pattern: Pattern, path: Path, block: Any, bound: Bindings) -> list[Match]:
    runs: list[Match] = []
    statements = pattern.statements
    start = 0 if statements else len(block.body)
    kind = type(statements[0]) if statements and many(statements[0]) is None else None
    required = _of_first(pattern) if kind is not None else NONE
    while start < len(block.body):
        if kind is not None and (type(block.body[start]) is not kind or not required <= _traits_of(block.body[start])):
            start += 1
            continue
        found = matched_prefix(statements, block.body[start:], bound, whole=False)
        if found is None or found[1] == 0:
            start += 1
            continue
        runs.append(Match(path, found[0], start, start + found[1]))
        start += found[1]
    return runs


def _of_first(pattern: Pattern) -> Traits:
    """What the first statement of a pattern asks of code."""
    each = asked(pattern.source)
    return each[0] if len(each) == len(pattern.statements) else NONE


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
