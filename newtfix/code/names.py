"""What code writes, reads and calls, whatever it calls it: other names, parts and views, `getattr`, `setattr`.

A name counts as another's wherever it may be that in some run; the order of statements is not looked at.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from newtfix.code import effects
from newtfix.code.effects import Gives
from newtfix.code.syntax import dotted, last_name, walk

_WRAPS = frozenset("compile partial script jit wraps cache lru_cache no_grad MethodType vmap disable wrap".split())
_NUMBERS = frozenset("int float bool str len complex".split())
_SETS = frozenset("setattr __setattr__ delattr __delattr__ register_buffer register_parameter add_module".split())
_LONG, _MANY, _ROUNDS = 7, 40, 4
_BINDING = frozenset(
    (
        *(ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension, ast.withitem, ast.Match),
        *(ast.ExceptHandler, ast.Call),
    )
)
_WRITING = _BINDING | {ast.AugAssign, ast.Delete}


@dataclass(frozen=True, eq=False)
class Write:
    """A place in code that gives `target` another value (`is_bound`), or changes what it has."""

    node: ast.AST
    target: ast.expr
    value: ast.expr | None
    is_bound: bool


def bindings(node: ast.AST) -> Sequence[tuple[ast.expr, ast.expr | None, bool]]:
    """What a node gives values to: the target, the value, and whether it is all of the value or a part of it."""
    return _bindings(node) if type(node) in _BINDING else ()


@lru_cache(maxsize=16384)
def _bindings(node: ast.AST) -> tuple[tuple[ast.expr, ast.expr | None, bool], ...]:
    return tuple(_bound(node))


def _bound(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value, True)
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield target, value, True
        case ast.For(target=target, iter=each) | ast.AsyncFor(target=target, iter=each):
            yield from _each(target, each)
        case ast.comprehension(target=target, iter=each):
            yield from _each(target, each)
        case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
            yield from _pairs(target, value, False)
        case ast.Match(subject=subject, cases=cases):
            for part in (part for case in cases for part in walk(case.pattern)):
                for name in filter(None, (getattr(part, "name", None), getattr(part, "rest", None))):
                    yield ast.copy_location(ast.Name(name, ast.Store()), part), subject, False
        case ast.ExceptHandler(name=str(name)):
            yield ast.copy_location(ast.Name(name, ast.Store()), node), None, False
        case ast.Call():
            yield from _set_by_name(node)


def _set_by_name(node: ast.Call) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    """What `setattr` and its like give a value to."""
    func, args = node.func, node.args
    if last_name(func) not in _SETS:
        return
    own = isinstance(func, ast.Attribute) and dotted(func.value) not in ("object", "super")
    owner = func.value if isinstance(func, ast.Attribute) and own else args[0] if args else None
    match args if own else args[1:]:
        case [ast.Constant(value=str(name)), *values] if owner is not None:
            target = ast.copy_location(ast.Attribute(owner, name, ast.Store()), node)
            yield target, values[0] if values else None, True


def _pairs(target: ast.expr, value: ast.expr | None, whole: bool) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            given = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
            alike = len(given) == len(elements) and not any(isinstance(one, ast.Starred) for one in (*given, *elements))
            for number, element in enumerate(elements):
                yield from _pairs(element, given[number] if alike else value, whole and alike)
        case ast.Starred(value=inner):
            yield from _pairs(inner, value, False)
        case _:
            yield (as_attribute(target) or target), value, whole


def _each(target: ast.expr, each: ast.expr) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    """What a loop variable gets."""
    match each, target:
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]), ast.Tuple(elts=[count, one]):
            yield count, None, False
            yield from _each(one, inner)
        case ast.Call(func=ast.Name(id="zip"), args=several), ast.Tuple(elts=elements) if len(several) == len(elements):
            for one, inner in zip(elements, several, strict=True):
                yield from _each(one, inner)
        case ast.Call(func=ast.Name(id="list" | "tuple" | "reversed" | "iter" | "sorted"), args=[inner, *_]), _:
            yield from _each(target, inner)
        case ((ast.Tuple(elts=several) | ast.List(elts=several)), _):
            for inner in several:
                if isinstance(inner, ast.Starred):
                    yield from _each(target, inner.value)
                else:
                    yield from _pairs(target, inner, True)
        case _:
            yield from _pairs(target, each, False)


def _collected(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None, bool]]:
    """What a variable of the function collects."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name() as owner, attr="append" | "add" | "insert"), args=[*_, value]
        ):
            yield owner, value, False


def writes(node: ast.AST) -> Sequence[Write]:
    """What a node itself writes: assignments and targets of all kinds, `del`, and calls that change what they get."""
    return _writes(node) if type(node) in _WRITING else ()


@lru_cache(maxsize=16384)
def _writes(node: ast.AST) -> tuple[Write, ...]:
    return tuple(_written(node))


def _written(node: ast.AST) -> Iterator[Write]:
    for target, value, whole in bindings(node):
        yield Write(node, target, value if whole else None, not isinstance(target, ast.Subscript))
    match node:
        case ast.AugAssign(target=target):
            yield Write(node, as_attribute(target) or target, None, False)
        case ast.Delete(targets=targets):
            for one in (one for target in targets for one, _, _ in _pairs(target, None, False)):
                yield Write(node, one, None, not isinstance(one, ast.Subscript))
        case ast.Call():
            yield from (Write(node, one, None, False) for one in changed_by(node))


def changed_by(call: ast.Call) -> Iterator[ast.expr]:
    """What a call changes of what it is given."""
    effect = effects.of_call(call)
    if effect.changes_owner and isinstance(call.func, ast.Attribute):
        yield call.func.value
    first = [*call.args[:1], *(one.value for one in call.keywords if one.arg != "out")][:1]
    given = first if 0 in effect.changes else []
    for one in (*given, *(keyword.value for keyword in call.keywords if keyword.arg == "out")):
        yield from one.elts if isinstance(one, (ast.Tuple, ast.List)) else [one]


def targets(node: ast.AST) -> list[ast.expr]:
    """The same without what is written."""
    return [one.target for one in writes(node)]


def as_attribute(node: ast.AST) -> ast.Attribute | None:
    """`getattr(x, "name")`, `vars(x)["name"]` and `x.__dict__["name"]` as the attribute that they are."""
    match node:
        case (
            ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(name)), *_])
            | ast.Call(
                func=ast.Call(
                    func=ast.Name(id="attrgetter") | ast.Attribute(attr="attrgetter"),
                    args=[ast.Constant(value=str(name))],
                ),
                args=[owner],
            )
            | ast.Subscript(value=ast.Attribute(value=owner, attr="__dict__"), slice=ast.Constant(value=str(name)))
            | ast.Subscript(value=ast.Call(func=ast.Name(id="vars"), args=[owner]), slice=ast.Constant(value=str(name)))
        ):
            return ast.copy_location(ast.Attribute(owner, name, ast.Load()), node)
    return None


def is_read(node: ast.AST) -> bool:
    """Whether it reads a variable or an attribute."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        return isinstance(node.ctx, ast.Load)
    return as_attribute(node) is not None and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


class Names:
    """What the names of a function stand for."""

    def __init__(self, function: ast.AST, shared: Mapping[str, Iterable[str]] | None = None) -> None:
        """Read a function, or any other code. `shared`: what attributes stand for that other methods set."""
        self.nodes = walk(function)
        self._shared = shared or {}
        self._parts: defaultdict[str, set[str]] = defaultdict(set)

    @cached_property
    def _same(self) -> defaultdict[str, set[str]]:
        """What names stand for, learned when somebody asks for the first time; `_parts` is learned with it."""
        self._same = known = defaultdict(set, {name: set(others) for name, others in self._shared.items()})
        found = [one for node in self._writing for one in (*bindings(node), *_collected(node)) if one[1] is not None]
        for _ in range(_ROUNDS):
            news = [self._learn(target, value, whole) for target, value, whole in found if value is not None]
            if not any(news):
                break
        return known

    @cached_property
    def _calling(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]

    @cached_property
    def _writing(self) -> list[ast.AST]:
        return [node for node in self.nodes if type(node) in _WRITING]

    @cached_property
    def _words(self) -> set[str]:
        """All that names can be made of here."""
        found = {word for name, others in self._shared.items() for one in (name, *others) for word in one.split(".")}
        for node in self.nodes:
            match node:
                case ast.Name(id=word) | ast.Attribute(attr=word):
                    found.add(word)
                case ast.Constant(value=str(text)):
                    found.update(text.split("."))
                case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() | ast.MatchMapping():
                    found.update(filter(None, (getattr(node, "name", None), getattr(node, "rest", None))))
        return found

    def mention(self, *names: str) -> bool:
        """Whether all parts of one of these occur, so that something can be it, whatever it is called."""
        return any(not name or self._words.issuperset(name.split(".")) for name in names)

    def _learn(self, target: ast.expr, value: ast.expr, whole: bool) -> bool:
        name, holds = _trunk(target)
        if not name:
            return False
        before = len(self._same[name]), len(self._parts[name])
        for known, more in (
            (self._same, self.of(value) if whole and not holds else ()),
            (self._parts, self.roots(value)),
        ):
            if len(known[name]) < _MANY:
                known[name] |= {one for one in more if not f"{one}.".startswith(f"{name}.") and one.count(".") < _LONG}
        return before != (len(self._same[name]), len(self._parts[name]))

    def same(self) -> Mapping[str, frozenset[str]]:
        """What attributes of `self` stand for: other attributes of it."""
        if not any(_trunk(one[0])[0].startswith("self.") for node in self._writing for one in bindings(node)):
            return {}
        found = {name: _own(others) for name, others in self._same.items() if name.startswith("self.")}
        return {name: others for name, others in found.items() if others}

    def of(self, node: ast.AST) -> set[str]:
        """The names, as `self.a.b`, of what an expression may be."""
        if (attribute := as_attribute(node)) is not None:
            return self.of(attribute)
        match node:
            case ast.Name(id=name):
                return {name, *self._same.get(name, ())}
            case ast.Attribute(value=value, attr=attr):
                owners = self.of(value)
                names = {f"{owner}.{attr}" for owner in owners}
                names.update(*(self._same.get(name, ()) for name in names))
                return names | owners if attr in effects.SAME_ATTRIBUTES else names
            case ast.NamedExpr(value=value) | ast.Await(value=value) | ast.Starred(value=value):
                return self.of(value)
            case ast.IfExp(body=one, orelse=other):
                return self.of(one) | self.of(other)
            case ast.BoolOp(values=values):
                return set[str]().union(*map(self.of, values))
            case ast.Call(func=func, args=[first, *_]) if last_name(func) in _WRAPS:
                return self.of(first)
            case ast.Call(func=ast.Call(func=func), args=[first, *_]) if last_name(func) in _WRAPS:
                return self.of(first)
        return set()

    def lasts(self, node: ast.AST) -> set[str]:
        """The last names of what an expression may be: `b` of `self.a.b`."""
        return {one.rpartition(".")[2] for one in self.of(node)}

    def called(self, call: ast.Call) -> set[str]:
        """The last names of what a call may mean, also where its owner has no name."""
        return self.lasts(call.func) | {last_name(call.func)}

    def roots(self, node: ast.AST) -> set[str]:
        """The names of what an expression may be, and of what it may be a part or a view of, or hold."""
        found = self.of(node)
        for name in found.copy():
            found |= self._parts.get(name, set())
        match node:
            case ast.Attribute(value=value, attr=attr) if attr not in effects.ABOUT:
                return found | self.roots(value)
            case ast.Subscript(value=value):
                return found | self.roots(value)
            case ast.NamedExpr(value=value) | ast.Await(value=value) | ast.Starred(value=value):
                return found | self.roots(value)
            case ast.IfExp(body=one, orelse=other):
                return found | self.roots(one) | self.roots(other)
            case ast.BoolOp(values=several) | ast.Tuple(elts=several) | ast.List(elts=several) | ast.Set(elts=several):
                return found.union(*map(self.roots, several))
            case ast.Dict(values=several):
                return found.union(*map(self.roots, several))
            case ast.ListComp(elt=one) | ast.SetComp(elt=one) | ast.GeneratorExp(elt=one) | ast.DictComp(value=one):
                return found | self.roots(one)
            case ast.Call(func=func, args=args):
                return found | self._given_back(node, func, args)
        return found

    def _given_back(self, call: ast.Call, func: ast.expr, args: Iterable[ast.expr]) -> set[str]:
        gives = effects.of_call(call).gives
        if gives in (Gives.NEW, Gives.COPY) or (isinstance(func, ast.Name) and func.id in _NUMBERS):
            return set()
        owner = self.roots(func.value) if isinstance(func, ast.Attribute) else set()
        return owner.union(*map(self.roots, args)) if gives is Gives.CONTAINER or not owner else owner

    def parts_of(self, node: ast.AST) -> set[str]:
        """The names of all that occurs in an expression."""
        return {name for part in walk(node) for name in self.of(part)}

    def is_(self, node: ast.AST, name: str) -> bool:
        return name in self.of(node)

    def is_of(self, node: ast.AST, *names: str) -> bool:
        """Whether it may be one of these, or a part or a view."""
        return not self.roots(node).isdisjoint(names)

    def reads(self, *names: str, inside: Iterable[ast.AST] | None = None) -> Iterator[ast.expr]:
        """Where one of these is read, whatever it is called there."""
        if inside is None:
            inside = self.nodes if self.mention(*names) else ()
        for node in inside:
            read = node.target if isinstance(node, ast.AugAssign) else node if is_read(node) else None
            if isinstance(read, ast.expr) and not self.of(read).isdisjoint(names):
                yield read

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Where one of these is called, whatever it is called there."""
        calls = self._calling if self.mention(*names) else ()
        return (call for call in calls if not self.of(call.func).isdisjoint(names))

    def writes(self, *names: str) -> Iterator[Write]:
        """What gives one of these another value, or changes it or a part of it."""
        for one in (one for node in self._writing for one in writes(node)) if self.mention(*names) else ():
            target = one.target
            if not one.is_bound:
                hit = self.is_of(target, *names)
            elif isinstance(target, ast.Attribute):
                owners = self.of(target.value)
                hit = any(f"{owner}.{target.attr}" in names for owner in owners) or self.is_of(target.value, *names)
            else:
                hit = dotted(target) in names
            if hit:
                yield one

    def is_element(self, node: ast.AST, is_list: Callable[[ast.expr], bool], seen: tuple[str, ...] = ()) -> bool:
        """Whether it is one of what a list holds, or a part of one: by its number, by a loop, or by a name for it."""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Subscript) and is_list(node.value):
                return True
            node = node.value
        return isinstance(node, ast.Name) and any(
            is_list(value) if not whole else node.id not in seen and self.is_element(value, is_list, (*seen, node.id))
            for one in self.nodes
            for target, value, whole in bindings(one)
            if value is not None and dotted(target) == node.id
        )


def _trunk(target: ast.expr) -> tuple[str, bool]:
    """The name of a target, or of what is given an entry by name: then it holds what it is given."""
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return dotted(target.value) if isinstance(target.slice.value, str) else "", True
    return dotted(target), False


def _own(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if name.startswith("self."))


@lru_cache(maxsize=2048)
def own_attributes_changed(function: ast.AST) -> frozenset[str]:
    """The attributes of `self` that a function changes in place, by whatever name."""
    names = Names(function)
    changed = (one.target for node in names.nodes for one in writes(node) if not one.is_bound)
    return frozenset(name for target in changed for name in names.roots(target) if name.startswith("self."))
