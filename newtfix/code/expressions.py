"""What expressions have of the value that is followed, and what they change, or may change, of it."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from newtfix.code import effects
from newtfix.code.effects import Gives
from newtfix.code.names import bindings, own_attributes_changed
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import (
    ALL_OTHERS,
    BY_ANY_NAME,
    Change,
    Function,
    Kind,
    Ref,
    State,
    Value,
    as_definition,
    bound,
    decided,
    defaults,
    either,
    first_line,
    flat,
    given_back,
    has_kind,
    holding,
    joined,
    merged,
    part_of,
    positional,
    reason,
    translated,
    whole_of,
    without,
)

_DEPTH = 4  # calls of calls that are looked into


@dataclass(eq=False)
class Expressions(ABC):
    """The expressions of one function, through which one value is followed."""

    function: Function
    helper: Callable[[ast.Call], Function | None]  # the function of the tree that a call means
    keys: frozenset[str] | None = None  # where given, other entries may change
    same_as: Callable[[ast.expr], ast.expr | None] = lambda _: None  # the expression that another one counts as
    depth: int = 0
    returned: list[Value] = field(default_factory=list, init=False)
    ends: list[State] = field(default_factory=list, init=False)  # what holds where it returns
    mutated: dict[ast.AST, Change] = field(default_factory=dict, init=False)
    met: dict[ast.AST, Kind] = field(default_factory=dict, init=False)
    _changes: list[frozenset[ast.AST]] = field(default_factory=list, init=False)  # the objects that were changed
    _uses: dict[ast.AST, Change | None] = field(default_factory=dict, init=False)
    _wanted: frozenset[ast.AST] = field(default=frozenset(), init=False)
    _same_entries: set[object] = field(default_factory=set, init=False)  # that hold an entry that counts
    _closures: dict[str, Function] = field(default_factory=dict, init=False)
    _inlined: list[str] = field(default_factory=list, init=False)

    def parameter(self, name: str) -> State | None:
        """Follow what is handed over as a parameter: `mutated` and `returned` tell what becomes of it, too."""
        end = self._block(self.function.body, State({name: Ref(Kind.SAME, frozenset({self.function.args}))}))
        return joined((end, *self.ends))

    @abstractmethod
    def _block(self, statements: Sequence[ast.stmt], state: State | None) -> State | None:
        """What holds behind some statements."""

    # --- targets ------------------------------------------------------------------------------------------------------

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
                    if flat(given) is not None:
                        self._same_entries.add(getattr(index, "value", None))
                    if owner is not None or flat(given) is None:
                        return
                if self._is_key(index) and owner is not None:
                    self._changed(whole_of(owner), node, state)
                elif has_kind(owner, Kind.HOLDER) or (owner is None and flat(given) is not None):
                    state.hold(dotted(value), given)
                else:
                    self._changed(owner, node, state)
            case ast.Attribute(value=value) if not dotted(target):
                self._changed(self._read(value, state), node, state)
            case _:
                name = dotted(target)
                owner = state.names.get(name.rpartition(".")[0])
                if owner is not None:
                    self._changed(owner, node, state)
                state.bind(name, given, node)

    def _written(self, target: ast.expr, node: ast.AST, state: State) -> None:
        """A target that is changed in place."""
        key: ast.expr | None = None
        while isinstance(target, (ast.Subscript, ast.Attribute)) and dotted(target) not in state.names:
            if isinstance(target, ast.Subscript):
                key = target.slice
                self._read(key, state)
                if self._is_other_key(key):
                    return
            target = target.value
        owner = self._read(target, state)
        is_held = key is not None and has_kind(owner, Kind.HOLDER) and not self._is_named_otherwise(key, owner, state)
        self._changed(part_of(owner) if is_held else owner, node, state)

    def _is_named_otherwise(self, key: ast.expr, holder: Value, state: State) -> bool:
        """Whether a text, by which something is held, is no name of what is followed."""
        ref = flat(holder)
        sharing = [name for name, one in state.names.items() if ref is not None and one.objects & ref.objects]
        text = key.value if isinstance(key, ast.Constant) else None
        return isinstance(text, str) and text not in {name.rpartition(".")[2] for name in sharing}

    def _is_other_key(self, index: ast.expr) -> bool:
        if isinstance(index, ast.Name) and self.keys is not None:
            named = _named_by_loops(self.function).get(index.id)
            return named is not None and named.isdisjoint(self.keys)
        return isinstance(index, ast.Constant) and isinstance(index.value, str) and not self._is_key(index, True)

    def _is_key(self, index: ast.expr, without_keys: bool = False) -> bool:
        """Whether it names an entry that counts."""
        key = index.value if isinstance(index, ast.Constant) else None
        return key in self.keys | self._same_entries if self.keys is not None else without_keys

    def _changed(self, value: Value, node: ast.AST, state: State, is_certain: bool = True) -> None:
        """Something is changed in place: whatever shares its memory is not what it was."""
        ref = flat(value)
        if ref is None or ref.kind is Kind.HOLDER:
            return
        change = Change(getattr(node, "lineno", 0), first_line(node), is_certain)
        self._changes.append(ref.objects)
        for one in ref.objects:
            self.mutated.setdefault(one, change)
        sharing = [n for n, one in state.names.items() if one.objects & ref.objects]
        state.lose(sharing, change)

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

    def _read_all(self, nodes: Sequence[ast.expr], state: State) -> list[Value]:
        """What expressions have, of which a later one may change what an earlier one has."""
        before = len(self._changes)
        values = [self._read(node, state) for node in nodes]
        changed = frozenset[ast.AST]().union(*self._changes[before:])
        return [without(value, changed) for value in values]

    def _evaluate(self, node: ast.expr, state: State) -> Value:
        if (inner := self.same_as(node)) is not None:
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
                yes, no = decided(test, state)
                one, two = self._read(body, state), self._read(orelse, state)
                return one if no is None else two if yes is None else either(one, two)
            case ast.BoolOp(values=values):
                return either(*[self._read(value, state) for value in values])
            case ast.Tuple(elts=elements):
                return tuple(self._read_all(elements, state))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, state)
            case ast.Call():
                return self._call(node, state)
        parts = self._read_all([part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)], state)
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
        state.lose_as(inner, {name for one in getattr(node, "generators", ()) for name in _named(one.target)})
        return holding(given)

    def _each(self, elt: ast.expr, target: ast.expr, elements: Sequence[ast.expr], state: State) -> Value:
        """What is made of each of some values, one by one."""
        given = []
        for element in elements:
            value, inner = self._read(element, state), state.copy()
            self._assign(target, value, element, inner)
            given.append(self._read(elt, inner))
            state.lose_as(inner, _named(target))
        return tuple(given)

    def _call(self, call: ast.Call, state: State, is_discarded: bool = False) -> Value:
        effect = effects.of_call(call)
        owner = self._read(call.func.value, state) if isinstance(call.func, ast.Attribute) else None
        given = self._given(call, state)
        self._called_back(call, [owner, *(value for _, value in given)], state)
        if isinstance(call.func, ast.Attribute) and effects.holds(call) and self.helper(call) is None:
            state.hold(dotted(call.func.value), holding(value for _, value in given))
        if owner is not None:
            return self._method(call, effect, owner, state)
        match call:
            case ast.Call(ast.Name("setattr"), [holder, ast.Constant(str(name)), _]):
                target = ast.copy_location(ast.Attribute(holder, name, ast.Store()), call)
                self._assign(target, given[2][1], call, state)
            case ast.Call(ast.Name("getattr"), [holder, ast.Constant(str(name)), *_]):
                return self._attribute(ast.copy_location(ast.Attribute(holder, name, ast.Load()), call), state)
        function = self._within(call.func)
        if function is not None and function.name not in self._inlined:
            return self._inline(function, call, given, state)
        known = state.names.get(dotted(call.func)) if dotted(call.func) else self._read(call.func, state)
        if known is not None:  # a method of it by another name, or a function that has it already
            self._changed(part_of(known), call, state, is_certain=False)
        for number, (keyword, value) in enumerate(given):
            if keyword in effect.changes or (number in effect.changes and keyword != "out"):
                self._changed(whole_of(value), call, state)
        helper = self.helper(call)
        if helper is not None:
            return self._through(helper, call, given, state)
        if is_discarded and not effect.only_reads and not effect.changes and not effect.only_takes:
            for _, value in given:
                self._changed(value, call, state, is_certain=False)
        return given_back(effect, [value for _, value in given], call)

    def _given(self, call: ast.Call, state: State) -> list[tuple[str | None, Value]]:
        """What a call is given, by position and by name."""
        values = self._read_all([*call.args, *(one.value for one in call.keywords)], state)
        given: list[tuple[str | None, Value]] = []
        for one, value in zip(call.args, values, strict=False):
            by = ALL_OTHERS if isinstance(one, ast.Starred) or (given and given[-1][0] == ALL_OTHERS) else None
            given.append((by, part_of(value) if by else value))
        for keyword, value in zip(call.keywords, values[len(call.args) :], strict=True):
            given.append((keyword.arg, value) if keyword.arg is not None else (BY_ANY_NAME, part_of(value)))
        return given

    def _within(self, func: ast.expr) -> Function | None:
        """The function of this function that is called, or handed over."""
        if isinstance(func, ast.Lambda):
            return as_definition(func)
        return self._closures.get(func.id) if isinstance(func, ast.Name) else None

    def _called_back(self, call: ast.Call, given: Sequence[Value], state: State) -> None:
        """Functions among what a call is given may be called with the rest of it."""
        rest = part_of(holding(given))
        for one in (*call.args, *(keyword.value for keyword in call.keywords)):
            if not isinstance(one, (ast.Lambda, ast.Name, ast.Attribute)):
                continue
            function = self._within(one)
            others = [other for other in call.args if other is not one]
            again = ast.copy_location(ast.Call(one, others, [k for k in call.keywords if k.value is not one]), call)
            if function is not None and function.name not in self._inlined:
                self._inline(function, again, [(None, rest) for _ in positional(function)], state)
            elif function is None and rest is not None and (helper := self.helper(again)) is not None:
                self._through(helper, again, [(None, rest) for _ in positional(helper)], state)

    def _method(self, call: ast.Call, effect: effects.Effect, owner: Value, state: State) -> Value:
        """A call of a method of what is followed, or of what holds it."""
        ref = flat(owner)
        if effect.changes_owner:
            if any(self._is_other_key(one) for one in call.args[:1] if isinstance(one, ast.Constant)):
                return owner
            self._changed(whole_of(owner) if effects.changes_in_place(call) else owner, call, state)
            return ref if has_kind(ref, Kind.HOLDER) and effect.gives is not Gives.VIEW else part_of(owner)
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
        for name, default in defaults(closure):
            known.setdefault(name, self._read(default, state))
        for name, value in known.items():
            inner.bind(name, value, call)
        end = joined((self._block(closure.body, inner.copy()), inner))
        self._inlined.pop()
        mine, self.returned = self.returned, returned
        own = {node.id for node in walk(closure) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own -= {name for node in walk(closure) if isinstance(node, (ast.Nonlocal, ast.Global)) for name in node.names}
        state.lose_as(end or inner, own | {one.arg for one in closure.args.args})
        for name, ref in (end or inner).names.items():
            if "." in name and state.names.get(name) != ref:
                state.bind(name, ref, call)
        for one, change in self.mutated.items():
            state.lose([name for name, ref in state.names.items() if one in ref.objects], change)
        return either(*mine) if mine else None

    def _through(
        self, helper: Function, call: ast.Call, given: Sequence[tuple[str | None, Value]], state: State
    ) -> Value:
        """What a function of the tree does to what it is given, and gives back of it."""
        if isinstance(call.func, ast.Attribute):
            here = Change(call.lineno, first_line(call))
            for name in own_attributes_changed(helper) & state.names.keys():
                self._changed(whole_of(state.names[name]), call, state)
            state.lose(effects.own_attributes_set(helper) & state.names.keys(), here)
        result: Value = None
        changed: frozenset[ast.AST] = frozenset()
        for parameter, value in bound(helper, given):
            ref = flat(value)
            if ref is None:
                continue
            if self.depth >= _DEPTH:
                self._changed(whole_of(value), call, state, is_certain=False)
                continue
            inner = type(self)(helper, self.helper, self.keys, self.same_as, self.depth + 1)
            end = inner.parameter(parameter)
            if (change := inner.mutated.get(helper.args)) is not None:
                changed |= ref.objects
                self._changed(whole_of(value), call, state, change.is_certain)
            back = either(*inner.returned) if inner.returned else None
            result = merged(result, translated(back, helper.args, ref, call))
            owner = dotted(call.func).rpartition(".")[0]
            for name, kept in end.names.items() if end is not None and owner else ():
                if name.startswith("self.") and kept.kind is not Kind.HOLDER:
                    state.bind(owner + name.removeprefix("self"), translated(kept, helper.args, ref, call), call)
        return without(result, changed)


def _named(target: ast.expr) -> set[str]:
    """The variables of a target."""
    return {node.id for node in walk(target) if isinstance(node, ast.Name)}


@lru_cache(maxsize=4096)
def _named_by_loops(function: Function) -> dict[str, frozenset[str]]:
    """The variables of loops over texts that are written there, less some of them perhaps: which texts."""
    found: dict[str, frozenset[str]] = {}
    loops: set[ast.AST] = set()
    for node in walk(function):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            most = (
                node.iter.left if isinstance(node.iter, ast.BinOp) and isinstance(node.iter.op, ast.Sub) else node.iter
            )
            texts = most.elts if isinstance(most, (ast.Set, ast.Tuple, ast.List)) else [most]
            known = [one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if len(known) == len(texts):
                found[node.target.id] = found.get(node.target.id, frozenset()) | frozenset(known)
                loops.add(node)
    others = (node for node in walk(function) if node not in loops)
    bound_otherwise = {dotted(target) for node in others for target, *_ in bindings(node)}
    return {name: texts for name, texts in found.items() if name not in bound_otherwise}
