"""The way to a place in a function: what it lies in, what decides whether it is reached, what leaves before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from newtfix.code.syntax import dotted, parts, walk


def path_to(root: ast.AST, node: ast.AST) -> list[ast.AST]:
    """The nodes around a node, from `root` inwards, itself included."""
    pending: list[list[ast.AST]] = [[root]]
    while pending:
        path = pending.pop()
        if path[-1] is node:
            return path
        pending += [[*path, part] for part in parts(path[-1])]
    return []


def conditions(path: Sequence[ast.AST]) -> Iterator[tuple[ast.expr, bool]]:
    """The tests that decide whether the end of a path is reached, and what they must say."""
    for around, inner in pairwise(path):
        if isinstance(around, ast.If) and inner is not around.test:
            yield around.test, any(inner is one for one in around.body)
        elif isinstance(around, ast.While) and inner is not around.test:
            yield around.test, True


def skipped_by(path: Sequence[ast.AST], loop: ast.AST) -> Iterator[tuple[ast.expr, ast.stmt]]:
    """What leaves an iteration of a loop before the end of a path is reached: tests, and the statement that does."""
    inside = list(path[path.index(loop) :])
    for around, inner in pairwise(inside):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(around, name, None)
            if isinstance(block, list) and any(inner is one for one in block):
                before = block[: next(number for number, one in enumerate(block) if one is inner)]
                for statement in before:
                    yield from _leaving(statement)


def _leaving(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.stmt]]:
    if isinstance(statement, ast.If):
        for node in walk(statement):
            if isinstance(node, (ast.Continue, ast.Break, ast.Return)):
                yield statement.test, statement
                return


def names_in(node: ast.AST) -> set[str]:
    """The names and attributes of `self` that an expression reads."""
    found = {dotted(one) for one in walk(node) if isinstance(one, (ast.Name, ast.Attribute))}
    return {name for name in found if name} - {"self"}


def targets_of(node: ast.AST) -> list[ast.expr]:
    """What an assignment gives a value to; nothing for anything else."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign)) else []
