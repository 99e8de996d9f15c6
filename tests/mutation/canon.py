"""A normal form of programs: what people write in several ways, and what mutators add for show, looks the same in it.

Every step keeps the behaviour, so two texts with one normal form behave alike. That is what the oracle rests on; texts
with different normal forms may still behave alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from mutant import MARK
from normal import Effects, Expressions, Statements, commute, reads_and_writes, signatures
from scopes import Function, functions, local_names, occurrences, parameters


def canonical(module: ast.Module) -> dict[str, str]:
    """The normal forms of a module's functions by qualified name, and of the rest by ""; the module is used up."""
    tree: Any = _Strip().visit(module)
    for _ in range(2):
        tree = Statements().visit(tree)
        tree = Expressions(signatures(tree)).visit(tree)
    _Order().visit(tree)
    forms: dict[str, str] = {}
    for name, fn in functions(tree).items():
        _number_locals(fn)
        forms[name] = ast.dump(fn)
        fn.body, fn.args, fn.decorator_list = [], ast.arguments([], [], None, [], [], None, []), []
    return {**forms, "": ast.dump(tree)}


# --- what is there for show -------------------------------------------------------------------------------------------


def _marked(node: ast.AST) -> bool:
    return any(
        MARK in value
        for part in ast.walk(node)
        for value in (getattr(part, f, None) for f in ("id", "attr", "arg", "name", "asname", "value"))
        if isinstance(value, str)
    )


class _Strip(ast.NodeTransformer):
    """Takes out docstrings, `pass`, `assert True` and what carries the mark."""

    def visit_body(self, body: list[Any]) -> list[Any]:
        return [new for new in (self.visit(s) for s in body if not self._idle(s)) if new is not None]

    def _idle(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant) or _marked(node)
        if isinstance(node, ast.Assert):
            return isinstance(node.test, ast.Constant) and bool(node.test.value)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return MARK in node.name
        if isinstance(node, ast.If):
            return _marked(node.test)
        simple = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom)
        return isinstance(node, ast.Pass) or (isinstance(node, simple) and _marked(node))

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, field, None), list):
                setattr(node, field, self.visit_body(getattr(node, field)))
        for handler in getattr(node, "handlers", []):
            self.generic_visit(handler)
        if hasattr(node, "decorator_list"):
            node.decorator_list = [d for d in node.decorator_list if not _marked(d)]
        return node


# --- order and names --------------------------------------------------------------------------------------------------


class _Order(ast.NodeTransformer):
    """Independent neighbours in a fixed order; methods by name."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.ClassDef):
            names = [s.name for s in node.body if isinstance(s, ast.FunctionDef)]
            if len(names) == len(set(names)):
                node.body.sort(key=lambda s: s.name if isinstance(s, ast.FunctionDef) else "")
            return node
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, _least(block))
        return node


def _least(block: list[ast.stmt]) -> list[ast.stmt]:
    """Of all orders that the swaps of independent neighbours lead to, the least."""
    out: list[ast.stmt] = []
    run: list[tuple[ast.stmt, Effects]] = []
    for node in block:
        effects = reads_and_writes(node)
        if effects is None:
            out += [*_least_run(run), node]
            run = []
        else:
            run.append((node, effects))
    return [*out, *_least_run(run)]


def _least_run(run: list[tuple[ast.stmt, Effects]]) -> list[ast.stmt]:
    left, out = [(ast.dump(node), node, effects) for node, effects in run] if len(run) > 1 else [], []
    while left:
        free = [s for i, s in enumerate(left) if all(commute(s[2], earlier[2]) for earlier in left[:i])]
        first = min(free, key=lambda s: s[0])
        left = [s for s in left if s is not first]
        out.append(first[1])
    return out or [node for node, _ in run]


def _number_locals(fn: Function) -> None:
    """Locals by the order in which they come first, so that their names do not matter."""
    mine = local_names(fn) - {p.arg for p in parameters(fn)}
    order = list(dict.fromkeys(n.id for n in _in_order(fn) if isinstance(n, ast.Name) and n.id in mine))
    places = [occurrences(fn, name) for name in order]
    for number, nodes in enumerate(places):
        for node in nodes:
            if isinstance(node, ast.Name):
                node.id = f"local{number}"


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)
