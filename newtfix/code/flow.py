"""What becomes of a value within a function: whether it is still what it was where it is used.

One value is followed from the statement that makes it, along every path, through other names for it, its views and
what holds it, to the places that use it. A use gets the very value, or the first statement that changed it, or took its
name. What may happen in between is whatever reads: a call that could change what it is given, and that is not known,
counts as a change that cannot be told. `beniget` finds uses of definitions, but knows neither attributes nor changes in
place, which is what matters for tensors.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from newtfix.code.expressions import Expressions
from newtfix.code.syntax import dotted, matches_all, walk
from newtfix.code.values import (
    Change,
    Kind,
    Ref,
    State,
    as_definition,
    copied,
    decided,
    holding,
    is_constant,
    joined,
    part_of,
)


@dataclass
class _Loop:
    breaks: list[State | None] = field(default_factory=list)
    continues: list[State | None] = field(default_factory=list)


@dataclass(eq=False)
class Flow(Expressions):
    """Follows one value through one function."""

    _start: ast.AST | None = field(default=None, init=False)
    _names: Sequence[str] = field(default=(), init=False)
    _others: frozenset[ast.AST] = field(default=frozenset(), init=False)
    _loops: list[_Loop] = field(default_factory=list, init=False)
    _raised: list[list[State | None]] = field(default_factory=list, init=False)

    def uses(
        self,
        start: ast.stmt | ast.NamedExpr | None,
        names: Sequence[str],
        uses: Iterable[ast.expr],
        others: Iterable[ast.stmt] = (),
    ) -> dict[ast.AST, Change | None]:
        """Each of `uses` that the value reaches: None where it is what `start` gave to `names`, else what changed it.

        Args:
            start: None where the function begins with the value.
            others: statements that give the names another value of the same standing: from there on it is not followed.
        """
        self._start, self._names, self._wanted = start, names, frozenset(uses)
        self._others = frozenset(others)
        origin = Ref(Kind.SAME, frozenset({self.function.args}))
        self._block(self.function.body, State(dict.fromkeys(names, origin)) if start is None else None)
        return self._uses

    def _block(self, statements: Sequence[ast.stmt], state: State | None) -> State | None:
        for statement in statements:
            state = self._statement(statement, state)
            for states in self._raised:
                states.append(state.copy() if state is not None else None)
        return state

    def _statement(self, statement: ast.stmt, state: State | None) -> State | None:
        state = self._run(statement, state)
        if statement is self._start or (_is_simple(statement) and self._begins(statement)):
            return self._begun()
        return None if statement in self._others else state

    def _begins(self, node: ast.AST) -> bool:
        """Whether the value is made within: `(x := make())`."""
        return isinstance(self._start, ast.NamedExpr) and self._start in walk(node)

    def _begun(self) -> State:
        """What holds where the value has just been made."""
        made = frozenset({self._start} if self._start is not None else ())
        return State(dict.fromkeys(self._names, Ref(Kind.SAME, made)))

    def _run(self, statement: ast.stmt, state: State | None) -> State | None:
        match statement:
            case ast.Return() | ast.Raise():
                self._leave(statement, state)
                return None
            case ast.If():
                return self._if(statement, state)
            case ast.For() | ast.AsyncFor() | ast.While():
                return self._loop(statement, state)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                return self._with(items, body, state)
            case ast.Try() | ast.TryStar():
                return self._try(statement, state)
            case ast.Match(subject=subject, cases=cases):
                return self._match(subject, cases, state)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._closures[statement.name] = statement
                return state
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                self._closures[name] = as_definition(function)
            case ast.Break() | ast.Continue() if self._loops:
                loop = self._loops[-1]
                (loop.breaks if isinstance(statement, ast.Break) else loop.continues).append(state)
                return None
        if state is not None:
            self._simple(statement, state)
        return state

    def _leave(self, statement: ast.Return | ast.Raise, state: State | None) -> None:
        if isinstance(statement, ast.Raise):
            for part in (statement.exc, statement.cause):
                self._read(part, state)
        else:
            given = self._read(statement.value, state)
            if state is not None:
                self.returned.append(given)
                self.ends.append(state)

    def _if(self, statement: ast.If, state: State | None) -> State | None:
        self._read(statement.test, state)
        if self._begins(statement.test):
            state = self._begun()
        yes, no = decided(statement.test, state)
        return joined((self._block(statement.body, yes), self._block(statement.orelse, no)))

    def _simple(self, statement: ast.stmt, state: State) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                given = self._read(value, state)
                for target in targets:
                    self._assign(target, given, statement, state)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._read(value, state), statement, state)
            case ast.AugAssign(target=target, value=value):
                self._read(value, state)
                self._written(target, statement, state)
            case ast.Delete(targets=targets):
                self._delete(targets, statement, state)
            case ast.Expr(value=ast.Call() as call):
                self._call(call, state, is_discarded=True)
            case _:
                for part in ast.iter_child_nodes(statement):
                    if isinstance(part, ast.expr):
                        self._read(part, state)

    def _delete(self, targets: Iterable[ast.expr], statement: ast.stmt, state: State) -> None:
        for target in targets:
            if dotted(target) in state.names:
                state.bind(dotted(target), None, statement)
            else:
                self._written(target, statement, state)

    def _loop(self, statement: ast.For | ast.AsyncFor | ast.While, state: State | None) -> State | None:
        goes_round = not any(node is self._start for node in walk(statement))
        head = state
        while True:
            loop = _Loop()
            self._loops.append(loop)
            begun = copied(head)
            if isinstance(statement, ast.While):
                self._read(statement.test, begun)
            else:
                given = self._read(statement.iter, begun)
                if begun is not None:
                    self._assign(statement.target, part_of(given), statement, begun)
            end = self._block(statement.body, copied(begun))
            self._loops.pop()
            again = joined((head, end, *loop.continues)) if goes_round else head
            if again == head or not goes_round:
                break
            head = again
        forever = isinstance(statement, ast.While) and is_constant(statement.test, True)
        out = [None if forever else begun, *([] if goes_round else [end, *loop.continues])]
        return joined((self._block(statement.orelse, joined(out)), *loop.breaks))

    def _with(self, items: Sequence[ast.withitem], body: Sequence[ast.stmt], state: State | None) -> State | None:
        for item in items:
            given = self._read(item.context_expr, state)
            if isinstance(item.context_expr, ast.Call):  # what it gives may be what it was given
                given = holding([given, *(self._read(one, state) for one in item.context_expr.args)])
            if item.optional_vars is not None and state is not None:
                self._assign(item.optional_vars, part_of(given), item.optional_vars, state)
        if not any("suppress" in ast.unparse(item.context_expr) for item in items):
            return self._block(body, state)
        return joined(self._with_exceptions(body, state))

    def _with_exceptions(self, body: Sequence[ast.stmt], state: State | None) -> list[State | None]:
        """The state behind a block, and all that it may be left in."""
        self._raised.append([copied(state)])
        end = self._block(body, copied(state))
        return [end, *self._raised.pop()]

    def _try(self, statement: ast.Try | ast.TryStar, state: State | None) -> State | None:
        end, *raised = self._with_exceptions(statement.body, state)
        caught = joined(raised)
        ends = [self._block(statement.orelse, end)]
        ends += [self._block(handler.body, copied(caught)) for handler in statement.handlers]
        return self._block(statement.finalbody, joined(ends))

    def _match(self, subject: ast.expr, cases: Sequence[ast.match_case], state: State | None) -> State | None:
        given = part_of(self._read(subject, state))
        ends: list[State | None] = []
        for case in cases:
            here = copied(state)
            if here is not None:
                for node in walk(case.pattern):
                    for name in filter(None, (getattr(node, "name", None), getattr(node, "rest", None))):
                        here.bind(name, given, case.pattern)
                self._read(case.guard, here)
            ends.append(self._block(case.body, here))
        return joined(ends if matches_all(cases) else [*ends, state])


def _is_simple(statement: ast.stmt) -> bool:
    return not any(isinstance(one, ast.stmt) for one in ast.iter_child_nodes(statement))
