"""Variables that patched code may read before they have a value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from newtfix.syntax import parse

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def unassigned(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Function and name of variables of new code that may be read before they are set, as in the old code none was."""
    old = dict(_functions(parse(before)))
    for name, function in _functions(parse(after)):
        was = old.get(name)
        if was is not None and ast.dump(was) == ast.dump(function):
            continue
        arguments = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
        for variable in sorted(_stored(function) - arguments):
            early = _Way(variable).reads_too_early(function.body)
            if early and not (was is not None and _Way(variable).reads_too_early(was.body)):
                yield name, variable


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{node.name}.")


def _stored(function: ast.FunctionDef) -> frozenset[str]:
    nodes = ast.walk(function)
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


class _Way:
    """Follows one variable through the statements of a function."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.early = False

    def reads_too_early(self, body: Sequence[ast.stmt]) -> bool:
        self._block(body, False)
        return self.early

    def _block(self, body: Sequence[ast.stmt], is_set: bool) -> bool | None:
        """Whether the variable is set behind the block; None: nothing goes on behind it."""
        for statement in body:
            result = self._statement(statement, is_set)
            if result is None:
                return None
            is_set = result
        return is_set

    def _statement(self, statement: ast.stmt, is_set: bool) -> bool | None:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            return is_set
        self._read(statement, is_set)
        if isinstance(statement, _LEAVES):
            return None
        if isinstance(statement, ast.If):
            return _both(self._block(statement.body, is_set), self._block(statement.orelse, is_set))
        if isinstance(statement, (ast.While, ast.For)):
            own = isinstance(statement, ast.For) and self._sets(statement.target)
            self._block(statement.body, is_set or own)
            return is_set
        if isinstance(statement, ast.With):
            return self._block(statement.body, is_set)
        if isinstance(statement, ast.Try):
            ends = [self._block([*statement.body, *statement.orelse], is_set)]
            ends += [self._block(handler.body, is_set) for handler in statement.handlers]
            behind: bool | None = None
            for end in ends:
                behind = _both(behind, end)
            return behind if behind is None else bool(self._block(statement.finalbody, behind))
        return is_set or self._sets(statement)

    def _read(self, statement: ast.stmt, is_set: bool) -> None:
        """Look at what a statement itself reads, not at its blocks."""
        inner = {
            id(part) for field in ("body", "orelse", "finalbody", "handlers") for part in getattr(statement, field, ())
        }
        pending: list[ast.AST] = [statement] if isinstance(statement, ast.AugAssign) else []
        pending += [child for child in ast.iter_child_nodes(statement) if id(child) not in inner]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.AugAssign) and self._sets(node.target):
                self.early |= not is_set
            if isinstance(node, ast.Name) and node.id == self.variable and isinstance(node.ctx, ast.Load):
                self.early |= not is_set
            if not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
                pending += ast.iter_child_nodes(node)

    def _sets(self, node: ast.AST) -> bool:
        names = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        return any(name.id == self.variable for name in names)


def _both(one: bool | None, other: bool | None) -> bool | None:
    """What holds behind two ways, of which those that end don't count."""
    if one is None or other is None:
        return other if one is None else one
    return one and other
