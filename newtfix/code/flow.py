"""What becomes of a value within a function: whether it is still what it was where it is used.

One value is followed from the statement that makes it, along every path, through other names for it, its views and
what holds it, to the places that use it. A use gets the very value, or the first statement that changed it, or took its
name. What may happen in between is whatever reads: a call that could change what it is given, and that is not known,
counts as a change that cannot be told. `beniget` finds uses of definitions, but knows neither attributes nor changes in
place, which is what matters for tensors.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from newtfix.code import effects
from newtfix.code.effects import Gives
from newtfix.code.names import own_attributes_changed
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import (
    Change,
    Function,
    Kind,
    Ref,
    State,
    Value,
    bound,
    copied,
    either,
    first_line,
    flat,
    given_back,
    has_kind,
    holding,
    is_constant,
    joined,
    merged,
    part_of,
    reason,
    translated,
    whole_of,
)

_DEPTH = 4  # calls of calls that are looked into


@dataclass
class _Loop:
    breaks: list[State | None] = field(default_factory=list)
    continues: list[State | None] = field(default_factory=list)


class Flow:
    """Follows one value through one function."""

    def __init__(
        self,
        function: Function,
        helper: Callable[[ast.Call], Function | None],
        keys: frozenset[str] | None = None,
        same_as: Callable[[ast.expr], ast.expr | None] = lambda _: None,
        depth: int = 0,
    ) -> None:
        """Begin with a function.

        Args:
            helper: the function of the tree that a call means. keys: where given, other entries may change.
            same_as: the expression that another one counts as.
        """
        self._function, self._helper, self._keys, self._depth = function, helper, keys, depth
        self._same_as = same_as
        self._start: ast.AST | None = None
        self._names: Sequence[str] = ()
        self._others: frozenset[ast.AST] = frozenset()
        self._uses: dict[ast.AST, Change | None] = {}
        self._wanted: frozenset[ast.AST] = frozenset()
        self._loops: list[_Loop] = []
        self._raised: list[list[State | None]] = []
        self._closures: dict[str, Function] = {}
        self._inlined: list[str] = []
        self.returned: list[Value] = []
        self.mutated: dict[ast.AST, Change] = {}
        self.met: dict[ast.AST, Kind] = {}

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
        origin = Ref(Kind.SAME, frozenset({self._function.args}))
        self._block(self._function.body, State(dict.fromkeys(names, origin)) if start is None else None)
        return self._uses

    def parameter(self, name: str) -> None:
        """Follow what is handed over as a parameter: `mutated` and `returned` tell what becomes of it."""
        self._block(self._function.body, State({name: Ref(Kind.SAME, frozenset({self._function.args}))}))

    # --- statements ---------------------------------------------------------------------------------------------------

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
            case ast.Return(value=value):
                given = self._read(value, state)
                self.returned += [given] if state is not None else []
                return None
            case ast.Raise(exc=exc, cause=cause):
                for part in (exc, cause):
                    self._read(part, state)
                return None
            case ast.Break() | ast.Continue() if self._loops:
                loop = self._loops[-1]
                (loop.breaks if isinstance(statement, ast.Break) else loop.continues).append(state)
                return None
        if state is not None:
            self._simple(statement, state)
        return state

    def _if(self, statement: ast.If, state: State | None) -> State | None:
        self._read(statement.test, state)
        if self._begins(statement.test):
            state = self._begun()
        yes, no = self._decided(statement.test, state)
        return joined((self._block(statement.body, yes), self._block(statement.orelse, no)))

    def _decided(self, test: ast.expr, state: State | None) -> tuple[State | None, State | None]:
        """What holds where a test says yes, and where it says no; what is followed is never None."""
        yes, no = copied(state), copied(state)
        match test:
            case ast.Compare(
                left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[ast.Constant(value=None)]
            ):
                if state is not None and has_kind(state.names.get(dotted(left)), Kind.SAME):
                    return (None, no) if isinstance(operator, ast.Is) else (yes, None)
        return yes, no

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
                self._bind(dotted(target), None, statement, state)
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
                        self._bind(name, given, case.pattern, here)
                self._read(case.guard, here)
            ends.append(self._block(case.body, here))
        last = cases[-1] if cases else None
        whole = (
            last is not None
            and last.guard is None
            and isinstance(last.pattern, ast.MatchAs)
            and not last.pattern.pattern
        )
        return joined(ends if whole else [*ends, state])

    # --- names --------------------------------------------------------------------------------------------------------

    def _assign(self, target: ast.expr, given: Value, node: ast.AST, state: State) -> None:
        match target:
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                parts = given if isinstance(given, tuple) and len(given) == len(elements) else None
                for number, element in enumerate(elements):
                    self._assign(element, parts[number] if parts else part_of(given), node, state)
            case ast.Starred(value=value):
                self._assign(value, part_of(given), node, state)
            case ast.Subscript(value=value, slice=index):
                self._read(index, state)
                owner = self._read(value, state)
                if self._is_other_key(index):
                    return
                if self._is_key(index) and owner is not None:
                    self._changed(whole_of(owner), node, state)
                elif has_kind(owner, Kind.HOLDER) or (owner is None and flat(given) is not None):
                    self._hold(value, given, state)
                else:
                    self._changed(owner, node, state)
            case ast.Attribute(value=value) if not dotted(target):
                self._changed(self._read(value, state), node, state)
            case _:
                name = dotted(target)
                owner = state.names.get(name.rpartition(".")[0])
                if owner is not None:
                    self._changed(owner, node, state)
                self._bind(name, given, node, state)

    def _hold(self, container: ast.expr, given: Value, state: State) -> None:
        """What is put into a container is in its hands; what it held before stays what it is."""
        name, held = dotted(container), flat(given)
        if name and held is not None:
            before = state.names.get(name)
            objects = held.objects | (before.objects if before is not None else frozenset())
            state.names[name] = Ref(Kind.HOLDER, objects)

    def _bind(self, name: str, given: Value, node: ast.AST, state: State) -> None:
        ref = given if isinstance(given, Ref) else flat(given)
        had = state.names.pop(name, None)
        for inner in [one for one in state.names if one.startswith(f"{name}.")]:
            del state.names[inner]
        if ref is not None:
            state.names[name] = ref
            state.lost.pop(name, None)
        elif had is not None and had.kind is Kind.SAME:
            self._lose([name], Change(getattr(node, "lineno", 0), first_line(node)), state)

    def _written(self, target: ast.expr, node: ast.AST, state: State) -> None:
        """A target that is changed in place."""
        while isinstance(target, (ast.Subscript, ast.Attribute)) and dotted(target) not in state.names:
            if isinstance(target, ast.Subscript):
                self._read(target.slice, state)
                if self._is_other_key(target.slice):
                    return
            target = target.value
        self._changed(self._read(target, state), node, state)

    def _is_other_key(self, index: ast.expr) -> bool:
        return isinstance(index, ast.Constant) and isinstance(index.value, str) and not self._is_key(index, True)

    def _is_key(self, index: ast.expr, without_keys: bool = False) -> bool:
        """Whether it names an entry that counts."""
        key = index.value if isinstance(index, ast.Constant) else None
        return key in self._keys if self._keys is not None else without_keys

    def _changed(self, value: Value, node: ast.AST, state: State, is_certain: bool = True) -> None:
        """Something is changed in place: whatever shares its memory is not what it was."""
        ref = flat(value)
        if ref is None or ref.kind is Kind.HOLDER:
            return
        change = Change(getattr(node, "lineno", 0), first_line(node), is_certain)
        for one in ref.objects:
            self.mutated.setdefault(one, change)
        sharing = [n for n, one in state.names.items() if one.objects & ref.objects]
        self._lose(sharing, change, state)

    def _lose(self, names: Iterable[str], change: Change, state: State) -> None:
        for name in names:
            state.names.pop(name, None)
            state.lost.setdefault(name, change)

    # --- expressions --------------------------------------------------------------------------------------------------

    def _read(self, node: ast.expr | None, state: State | None) -> Value:
        """What an expression has of the value; what it changes on the way is noted."""
        if node is None or state is None:
            return None
        value = self._evaluate(node, state)
        if node in self._wanted:
            if isinstance(value, Ref):
                self.met[node] = value.kind
            change = None if has_kind(value, Kind.SAME) else reason(node, state)
            self._uses[node] = self._uses.get(node) or change
        return value

    def _evaluate(self, node: ast.expr, state: State) -> Value:
        if (inner := self._same_as(node)) is not None:
            return self._read(inner, state)
        match node:
            case ast.Name(id=name):
                return state.names.get(name)
            case ast.Attribute():
                return self._attribute(node, state)
            case ast.Subscript(value=value, slice=index):
                self._read(index, state)
                part = part_of(self._read(value, state))
                return None if self._is_other_key(index) else part
            case ast.Starred(value=value) | ast.Await(value=value):
                return self._read(value, state)
            case ast.NamedExpr(target=target, value=value):
                given = self._read(value, state)
                self._assign(target, given, node, state)
                return given
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._read(test, state)
                yes, no = self._decided(test, state)
                one, two = self._read(body, state), self._read(orelse, state)
                return one if no is None else two if yes is None else either(one, two)
            case ast.BoolOp(values=values):
                return either(*[self._read(value, state) for value in values])
            case ast.Tuple(elts=elements):
                return tuple(self._read(element, state) for element in elements)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, state)
            case ast.Call():
                return self._call(node, state)
        parts = [self._read(part, state) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        return holding(parts) if isinstance(node, (ast.List, ast.Set, ast.Dict)) else None

    def _attribute(self, node: ast.Attribute, state: State) -> Value:
        if (known := state.names.get(dotted(node))) is not None:
            return known
        owner = self._read(node.value, state)
        if node.attr in effects.SAME_ATTRIBUTES:
            return owner
        return None if node.attr in effects.ABOUT else part_of(owner)

    def _comprehension(self, node: ast.expr, state: State) -> Value:
        inner = state.copy()
        match node:
            case ast.ListComp(elt=elt, generators=[one]) | ast.GeneratorExp(elt=elt, generators=[one]):
                if isinstance(one.iter, (ast.Tuple, ast.List)) and not one.ifs:
                    return self._each(elt, one.target, one.iter.elts, state)
        for generator in getattr(node, "generators", ()):
            self._assign(generator.target, part_of(self._read(generator.iter, inner)), node, inner)
            for test in generator.ifs:
                self._read(test, inner)
        parts = [getattr(node, name) for name in ("elt", "key", "value") if hasattr(node, name)]
        given = [self._read(part, inner) for part in parts]
        self._take_losses(
            inner, state, {name for one in getattr(node, "generators", ()) for name in _named(one.target)}
        )
        return holding(given)

    def _each(self, elt: ast.expr, target: ast.expr, elements: Sequence[ast.expr], state: State) -> Value:
        """What is made of each of some values, one by one."""
        given = []
        for element in elements:
            value, inner = self._read(element, state), state.copy()
            self._assign(target, value, element, inner)
            given.append(self._read(elt, inner))
            self._take_losses(inner, state, _named(target))
        return tuple(given)

    def _take_losses(self, inner: State, state: State, but: Iterable[str]) -> None:
        """What was lost in an inner scope is lost here as well; names of that scope alone are not."""
        for name, change in inner.lost.items():
            if name in state.names and name not in but:
                self._lose([name], change, state)

    def _call(self, call: ast.Call, state: State, is_discarded: bool = False) -> Value:
        effect = effects.of_call(call)
        owner = self._read(call.func.value, state) if isinstance(call.func, ast.Attribute) else None
        given: list[tuple[str | None, Value]] = [(None, self._read(argument, state)) for argument in call.args]
        given += [(keyword.arg, self._read(keyword.value, state)) for keyword in call.keywords]
        if owner is not None:
            return self._method(call, effect, owner, state)
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name in self._closures and name not in self._inlined:
            return self._inline(self._closures[name], call, given, state)
        for number, (keyword, value) in enumerate(given):
            if keyword in effect.changes or (number in effect.changes and keyword != "out"):
                self._changed(whole_of(value), call, state)
        helper = self._helper(call)
        if helper is not None:
            return self._through(helper, call, given, state)
        if is_discarded and not effect.only_reads and not effect.changes:
            for _, value in given:
                self._changed(value, call, state, is_certain=False)
        return given_back(effect, [value for _, value in given], call)

    def _method(self, call: ast.Call, effect: effects.Effect, owner: Value, state: State) -> Value:
        """A call of a method of what is followed, or of what holds it."""
        keys = [one for one in call.args[:1] if isinstance(one, ast.Constant)]
        if effect.changes_owner and not any(map(self._is_other_key, keys)):
            self._changed(whole_of(owner) if effects.changes_in_place(call) else owner, call, state)
            return owner
        ref = flat(owner)
        if ref is not None and ref.kind is Kind.HOLDER and effect.gives is not Gives.VIEW:
            return ref
        return given_back(effect, [owner], call)

    def _inline(
        self, closure: Function, call: ast.Call, given: Sequence[tuple[str | None, Value]], state: State
    ) -> Value:
        """A function within the function sees, and may change, what this one knows."""
        self._inlined.append(closure.name)
        returned, self.returned = self.returned, []
        inner = state.copy()
        known = dict(bound(closure, given))
        for name, default in _defaults(closure):
            known.setdefault(name, self._read(default, state))
        for name, value in known.items():
            self._bind(name, value, call, inner)
        end = joined((self._block(closure.body, inner.copy()), inner))
        self._inlined.pop()
        mine, self.returned = self.returned, returned
        own = {node.id for node in walk(closure) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own -= {name for node in walk(closure) if isinstance(node, (ast.Nonlocal, ast.Global)) for name in node.names}
        self._take_losses(end or inner, state, own | {one.arg for one in closure.args.args})
        for one, change in self.mutated.items():
            self._lose([name for name, ref in state.names.items() if one in ref.objects], change, state)
        return either(*mine) if mine else None

    def _through(
        self, helper: Function, call: ast.Call, given: Sequence[tuple[str | None, Value]], state: State
    ) -> Value:
        """What a function of the tree does to what it is given, and gives back of it."""
        if isinstance(call.func, ast.Attribute):
            here = Change(call.lineno, first_line(call))
            for name in own_attributes_changed(helper) & state.names.keys():
                self._changed(whole_of(state.names[name]), call, state)
            self._lose(effects.own_attributes_set(helper) & state.names.keys(), here, state)
        result: Value = None
        for parameter, value in bound(helper, given):
            ref = flat(value)
            if ref is None:
                continue
            if self._depth >= _DEPTH:
                self._changed(whole_of(value), call, state, is_certain=False)
                continue
            inner = Flow(helper, self._helper, self._keys, self._same_as, self._depth + 1)
            inner.parameter(parameter)
            if (change := inner.mutated.get(helper.args)) is not None:
                self._changed(whole_of(value), call, state, change.is_certain)
            back = either(*inner.returned) if inner.returned else None
            result = merged(result, translated(back, helper.args, ref, call))
        return result


def _is_simple(statement: ast.stmt) -> bool:
    return not any(isinstance(one, ast.stmt) for one in ast.iter_child_nodes(statement))


def _defaults(function: Function) -> Iterable[tuple[str, ast.expr]]:
    """The parameters that need not be given, and what they then are."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    count = len(function.args.defaults)
    yield from zip(names[len(names) - count :], function.args.defaults, strict=True)
    for one, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def _named(target: ast.expr) -> set[str]:
    """The variables of a target."""
    return {node.id for node in walk(target) if isinstance(node, ast.Name)}
