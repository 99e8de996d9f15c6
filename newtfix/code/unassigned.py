"""Variables that patched code may read before they have a value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import reduce

from newtfix.code.syntax import functions, matches_all, parts, walk

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Names = frozenset[str]


def unassigned(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Function and name of variables of new code that may be read before they are set, as in the old code none was."""
    old = functions(before)
    for name, function in functions(after).items():
        was = old.get(name)
        if was is None or was.lines != function.lines:
            early = _read_too_early(function.node) - (_read_too_early(was.node) if was else frozenset())
            for variable in sorted(early):
                yield name, variable


def _read_too_early(function: ast.FunctionDef) -> Names:
    """The local variables of a function that are read on a way on which they may have no value yet."""
    names = [node for node in walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    arguments = {argument.arg for argument in walk(function.args) if isinstance(argument, ast.arg)}
    way = _Way({name.id for name in names} - arguments)
    way.block(function.body, frozenset())
    return frozenset(way.early)


class _Way:
    """Follows variables through the statements of a function; `early` are those that are read too early."""

    def __init__(self, variables: set[str]) -> None:
        self.variables = variables
        self.early: set[str] = set()

    def block(self, body: Sequence[ast.stmt], given: Names) -> Names | None:
        """What is set behind the block when `given` is set before it; None: nothing goes on behind it."""
        for statement in body:
            result = self._statement(statement, given)
            if result is None:
                return None
            given = result
        return given

    def _statement(self, statement: ast.stmt, given: Names) -> Names | None:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            return given
        stored = self._read(statement, given)
        if isinstance(statement, _LEAVES):
            return None
        if isinstance(statement, ast.If) and isinstance(statement.test, ast.Constant) and statement.test.value:
            return self.block(statement.body, given)
        if isinstance(statement, ast.If):
            return _both(self.block(statement.body, given), self.block(statement.orelse, given))
        if isinstance(statement, (ast.While, ast.For)):
            self.block(statement.body, given | stored)
            return given
        if isinstance(statement, ast.With):
            return self.block(statement.body, given | stored)
        if isinstance(statement, ast.Try):
            behind = self.block([*statement.body, *statement.orelse], given)
            for handler in statement.handlers:
                behind = _both(behind, self.block(handler.body, given))
            return behind if behind is None else self.block(statement.finalbody, behind)
        if isinstance(statement, ast.Match):
            return self._match(statement.cases, given)
        return given | stored

    def _match(self, cases: Sequence[ast.match_case], given: Names) -> Names | None:
        ends: list[Names | None] = []
        for case in cases:
            captured = {str(getattr(one, "name", getattr(one, "rest", ""))) for one in walk(case.pattern)}
            here = given | (captured & self.variables)
            self._read(ast.Expr(case.guard), here) if case.guard is not None else None
            ends.append(self.block(case.body, here))
        return reduce(_both, ends if matches_all(cases) else [*ends, given])

    def _read(self, statement: ast.stmt, given: Names) -> Names:
        """Look at what a statement itself reads, not at its blocks. Returns what it sets."""
        stored: set[str] = set()
        pending = [part for part in parts(statement) if not _is_block(part)]
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            self._reads(statement.target.id, given)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self._reads(node.id, given)
            elif isinstance(node, ast.Name):
                stored.add(node.id)
            elif not isinstance(node, _INNER):
                pending += parts(node)
        return frozenset(stored & self.variables)

    def _reads(self, name: str, given: Names) -> None:
        if name in self.variables and name not in given:
            self.early.add(name)


def _is_block(node: ast.AST) -> bool:
    return isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case))


def _both(one: Names | None, other: Names | None) -> Names | None:
    """What holds behind two ways, of which those that end don't count."""
    if one is None or other is None:
        return other if one is None else one
    return one & other
