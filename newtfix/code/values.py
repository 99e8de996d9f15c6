"""What is known of a value that is followed: which names have it, its views and what holds it, and what took it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from newtfix.code import effects
from newtfix.code.effects import Gives
from newtfix.code.syntax import dotted, last_name, walk

T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Change:
    """The statement that changes a value, or that may: then it `is_certain` no more.

    It `is_other` where nothing was changed: the expression is simply not that value.
    """

    line: int
    code: str
    is_certain: bool = True
    is_other: bool = False


class Kind(Enum):
    """What a name has of the value that is followed: it, a view of it, or something in which it lies."""

    SAME, PART, HOLDER = range(3)


@dataclass(frozen=True)
class Ref:
    """What an expression has of the value, and the objects in memory that it shares; copies are their own."""

    kind: Kind
    objects: frozenset[ast.AST]


Value = Ref | tuple["Value", ...] | None


@dataclass
class State:
    """The names that have something of the value, and what took it from those that have it no more."""

    names: dict[str, Ref] = field(default_factory=dict)
    lost: dict[str, Change] = field(default_factory=dict)

    def copy(self) -> State:
        return State(dict(self.names), dict(self.lost))

    def bind(self, name: str, given: Value, node: ast.AST) -> None:
        """A name gets another value."""
        ref = flat(given)
        had = self.names.pop(name, None)
        for inner in [one for one in self.names if one.startswith(f"{name}.")]:
            del self.names[inner]
        if ref is not None:
            self.names[name] = ref
            self.lost.pop(name, None)
        elif had is not None and had.kind is Kind.SAME:
            self.lose([name], Change(getattr(node, "lineno", 0), first_line(node)))

    def hold(self, name: str, given: Value) -> None:
        """What is put into a container is in its hands; what it held before stays what it is."""
        held = flat(given)
        if name and held is not None:
            before = self.names.get(name)
            objects = held.objects | (before.objects if before is not None else frozenset())
            self.names[name] = Ref(Kind.HOLDER, objects)

    def lose(self, names: Iterable[str], change: Change) -> None:
        """Names have the value no more."""
        for name in names:
            self.names.pop(name, None)
            self.lost.setdefault(name, change)

    def lose_as(self, inner: State, but: Iterable[str]) -> None:
        """What was lost in an inner scope is lost here as well; names of that scope alone are not."""
        for name, change in inner.lost.items():
            if name in self.names and name not in but and inner.names.get(name) != self.names[name]:
                self.lose([name], change)
                self.names |= {name: inner.names[name]} if name in inner.names else {}


def joined(states: Iterable[State | None]) -> State | None:
    """What holds whichever path was taken; paths on which the value was not made do not count."""
    known = [state for state in states if state is not None]
    if not known:
        return None
    first, *others = known
    result = first.copy()
    for other in others:
        result.lost = {**other.lost, **result.lost}
        for name in {*result.names, *other.names}:
            result.names[name] = _met(result.names.get(name), other.names.get(name))
    return result


def _met(one: Ref | None, two: Ref | None) -> Ref:
    """What a name has of the value where it is one of two things: it may share memory with either."""
    known = [ref for ref in (one, two) if ref is not None]
    objects = frozenset[ast.AST]().union(*(ref.objects for ref in known))
    kinds = {ref.kind for ref in known}
    if kinds == {Kind.SAME} and len(known) == 2:
        return Ref(Kind.SAME, objects)
    return Ref(Kind.HOLDER if kinds == {Kind.HOLDER} else Kind.PART, objects)


def copied(state: State | None) -> State | None:
    return state.copy() if state is not None else None


def decided(test: ast.expr, state: State | None) -> tuple[State | None, State | None]:
    """What holds where a test says yes, and where it says no; what is followed is never None."""
    yes, no = copied(state), copied(state)
    match test:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[ast.Constant(value=None)]):
            if state is not None and has_kind(state.names.get(dotted(left)), Kind.SAME):
                return (None, no) if isinstance(operator, ast.Is) else (yes, None)
    return yes, no


def has_kind(value: Value, kind: Kind) -> bool:
    return isinstance(value, Ref) and value.kind is kind


def flat(value: Value) -> Ref | None:
    """A tuple as one thing that holds its elements."""
    if not isinstance(value, tuple):
        return value
    held = [ref for ref in map(flat, value) if ref is not None]
    return Ref(Kind.HOLDER, frozenset().union(*(ref.objects for ref in held))) if held else None


def part_of(value: Value) -> Ref | None:
    ref = flat(value)
    return Ref(Kind.PART, ref.objects) if ref is not None else None


def whole_of(value: Value) -> Ref | None:
    """What is changed with something: also what it holds."""
    return part_of(value)


def without(value: Value, changed: frozenset[ast.AST]) -> Value:
    """What is left of something when some objects are changed."""
    if isinstance(value, tuple):
        return tuple(without(one, changed) for one in value)
    return part_of(value) if has_kind(value, Kind.SAME) and value is not None and value.objects & changed else value


def holding(values: Iterable[Value]) -> Ref | None:
    return flat(tuple(values))


def either(*values: Value) -> Value:
    """What is known of one of several values, whichever it is."""
    first, *others = values
    if all(other == first for other in others):
        return first
    tuples = [value for value in values if isinstance(value, tuple)]
    if len(tuples) == len(values) and len({len(value) for value in tuples}) == 1:
        return tuple(either(*parts) for parts in zip(*tuples, strict=True))
    refs = [flat(value) for value in values]
    known = [ref for ref in refs if ref is not None]
    if not known:
        return None
    objects = frozenset().union(*(ref.objects for ref in known))
    same = len(known) == len(refs) and all(ref.kind is Kind.SAME for ref in known)
    return Ref(Kind.SAME if same else Kind.PART, objects)


def merged(one: Value, two: Value) -> Value:
    """What is known of a result by way of one argument and of another."""
    if isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
        return tuple(merged(a, b) for a, b in zip(one, two, strict=True))
    return one if one is not None else two


def translated(back: Value, origin: ast.AST, ref: Ref, call: ast.Call) -> Value:
    """What a function gives back, in terms of what it was given."""
    if isinstance(back, tuple):
        return tuple(translated(part, origin, ref, call) for part in back)
    if back is None:
        return None
    objects = (ref.objects if origin in back.objects else frozenset()) | (
        frozenset({call}) if back.objects - {origin} else frozenset()
    )
    if back.kind is Kind.SAME or ref.kind is Kind.HOLDER:
        return Ref(ref.kind, objects)
    return Ref(back.kind, objects)


def given_back(effect: effects.Effect, values: Sequence[Value], call: ast.Call) -> Value:
    """What a call gives back of the values that it was given."""
    if effect.gives is Gives.NEW or not values:
        return None
    if effect.gives is Gives.CONTAINER:
        return holding(values)
    first = flat(values[0])
    if effect.gives is Gives.VIEW:
        # Of what other arguments of a method are, sizes for instance, nothing is given back.
        any_of_them = isinstance(call.func, ast.Name) or last_name(call.func) in ("get", "setdefault", "pop")
        return part_of(holding(values)) if any_of_them or first is not None else None
    return Ref(first.kind, frozenset({call})) if first is not None and effect.gives is Gives.COPY else first


def positional(function: Function) -> list[str]:
    """The parameters that a function may be given by position, but for `self`."""
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args) if one.arg != "self"]


ALL_OTHERS, BY_ANY_NAME = "*", "**"  # how `f(*args)` and `f(**kwargs)` are given


def bound(function: Function, given: Sequence[tuple[str | None, T]]) -> Iterable[tuple[str, T]]:
    """The parameters that get something of the value, and what."""
    names = positional(function)
    others = [one.arg for one in (function.args.vararg, *function.args.kwonlyargs, function.args.kwarg) if one]
    rest = function.args.vararg.arg if function.args.vararg is not None else None
    for number, (keyword, value) in enumerate(given):
        if keyword in (ALL_OTHERS, BY_ANY_NAME):
            yield from ((name, value) for name in (*names[number if keyword == ALL_OTHERS else 0 :], *others))
            continue
        name = keyword if keyword is not None else names[number] if number < len(names) else rest
        if name is not None:
            yield name, value


def defaults(function: Function) -> Iterable[tuple[str, ast.expr]]:
    """The parameters that need not be given, and what they then are."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    count = len(function.args.defaults)
    yield from zip(names[len(names) - count :], function.args.defaults, strict=True)
    for one, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if default is not None:
            yield one.arg, default


def as_definition(function: ast.Lambda) -> ast.FunctionDef:
    """A lambda as the definition that it abbreviates."""
    made = ast.parse("def _(): pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.name, made.args = f"<lambda {function.lineno}:{function.col_offset}>", function.args
    made.body = [ast.copy_location(ast.Return(function.body), function)]
    return made


def reason(node: ast.expr, state: State) -> Change:
    """What became of the value that an expression should have had."""
    names = [dotted(part) for part in walk(node) if isinstance(part, (ast.Name, ast.Attribute))]
    lost = [state.lost[name] for name in names if name in state.lost]
    return lost[0] if lost else Change(node.lineno, first_line(node), is_other=True)


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0] if isinstance(node, (ast.stmt, ast.expr)) else ""


def is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
