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
        elif isinstance(around, ast.IfExp) and inner is not around.test:
            yield around.test, inner is around.body
        elif isinstance(around, ast.BoolOp):
            before = around.values[: next(number for number, one in enumerate(around.values) if one is inner)]
            yield from ((one, isinstance(around.op, ast.And)) for one in before)
        elif isinstance(around, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            yield from ((test, True) for one in around.generators if one is not inner for test in one.ifs)
        elif isinstance(around, ast.Match) and isinstance(inner, ast.match_case):
            yield around.subject, True
            yield from [(inner.guard, True)] if inner.guard is not None else []
        elif isinstance(around, (ast.Try, ast.TryStar)) and isinstance(inner, ast.ExceptHandler):
            yield inner.type or ast.copy_location(ast.Name("BaseException", ast.Load()), inner), True


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
    """The tests of a statement by which it leaves the loop around it, or the function."""
    for node in walk(statement):
        if isinstance(node, (ast.Continue, ast.Break, ast.Return)):
            path = path_to(statement, node)
            around = any(isinstance(one, (ast.For, ast.AsyncFor, ast.While)) for one in path)
            within = any(isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) for one in path)
            if not within and (isinstance(node, ast.Return) or not around):
                yield from ((test, statement) for test, _ in conditions(path))


def names_in(node: ast.AST) -> set[str]:
    """The names and attributes of `self` that an expression reads."""
    found = {dotted(one) for one in walk(node) if isinstance(one, (ast.Name, ast.Attribute))}
    return {name for name in found if name} - {"self"}


def trunk(node: ast.expr) -> ast.expr:
    """What a part is taken of: `x` of `x[0][1]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node
