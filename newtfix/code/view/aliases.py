"""Names that code gives to settings and parts: `cfg = self.cfg`, and what holds or asks for a bound."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from newtfix.code.syntax import dotted, parse, walk

_CALLS = frozenset({"int", "max", "min", "float", "round"})
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv)


@dataclass(frozen=True)
class Vocabulary:
    """What code may give names to that patterns see spelled out, each as `self.x`.

    `config` holds the settings; `settings` are others; `parts` are what else it is; `bounds` are words of what `count`
    is compared with.
    """

    config: str
    settings: tuple[str, ...]
    parts: tuple[str, ...]
    bounds: tuple[str, ...]
    count: str

    def is_bound(self, code: str) -> bool:
        return any(word in code for word in self.bounds)


@dataclass(frozen=True)
class Alias:
    """A name for a setting: a variable in `scope`, a function, or (`attribute`) an attribute or method of a class."""

    scope: str
    name: str
    code: str
    attribute: bool = False


@lru_cache(maxsize=512)
def aliases(text: str, own: Vocabulary) -> tuple[Alias, ...]:
    """The names for settings in a module, in a fixed order."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError):
        return ()
    found: list[Alias] = []
    for node in module.body:
        parts = set(own.parts)
        if isinstance(node, ast.ClassDef):
            found += _attributes(node, own)
            parts |= _methods(node)
        for scope, function in _functions(node, ""):
            found += _variables(function, scope, own, parts)
    return tuple(found)


def _methods(cls: ast.ClassDef) -> set[str]:
    """Methods of a class that nothing decorates, and no attribute takes the place of."""
    set_to = {dotted(target) for node in walk(cls) for target, _ in _settings_of(node)}
    plain = [node for node in cls.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    return {f"self.{node.name}" for node in plain} - set_to


def _functions(node: ast.stmt, scope: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    if isinstance(node, ast.FunctionDef):
        yield scope + node.name, node
    elif isinstance(node, ast.ClassDef):
        for child in node.body:
            yield from _functions(child, f"{node.name}.")


def _attributes(cls: ast.ClassDef, own: Vocabulary) -> list[Alias]:
    """Attributes that are set once in the class, to a bound."""
    set_to: dict[str, list[ast.expr | None]] = {}
    for node in (one for one in walk(cls) if isinstance(one, _SETTING)):
        for target, value in _settings_of(node):
            if isinstance(target, ast.Attribute) and dotted(target.value) == "self":
                set_to.setdefault(target.attr, []).append(value)
    config = own.config.removeprefix("self.")
    known = {config: own.config} if config in set_to else {}
    names = []
    for name, values in set_to.items():
        code = _spelled(values[0], known, own) if len(values) == 1 and values[0] is not None else None
        if code is not None and own.is_bound(code):
            names.append(Alias(cls.name, f"self.{name}", code, attribute=True))
    thresholds = [one for node in cls.body if (one := _threshold(cls.name, node, own)) is not None]
    bounds = {one.name: one.code for one in thresholds}
    questions = (_question(cls.name, node, bounds, own) or _handing_on(cls.name, node) for node in cls.body)
    return [*names, *thresholds, *(question for question in questions if question is not None)]


def _handing_on(cls: str, node: ast.stmt) -> Alias | None:
    """A method without arguments that does nothing but call another one, of a part, with parts or nothing."""
    match _answer(node):
        case read, ast.Call(
            func=ast.Attribute(value=ast.Attribute(value=ast.Name("self"))), args=args, keywords=[]
        ) as call if all(dotted(one).startswith("self.") for one in args):
            return Alias(cls, read, ast.unparse(call), attribute=True) if read.endswith("()") else None
    return None


def _threshold(cls: str, node: ast.stmt, own: Vocabulary) -> Alias | None:
    """A property that says nothing but what a bound is."""
    read, value = _answer(node)
    code = _spelled(value, {}, own) if value is not None else None
    if code is None or read.endswith("()") or not own.is_bound(code):
        return None
    return Alias(cls, read, code, attribute=True)


def _question(cls: str, node: ast.stmt, bounds: Mapping[str, str], own: Vocabulary) -> Alias | None:
    """A property, or a method without arguments, that says nothing but whether the count has come to a bound.

    Args:
        bounds: what properties say that the bound is.
    """
    match _answer(node):
        case (read, ast.Compare(left=left, ops=[operator], comparators=[right])) | (
            read,
            ast.Call(ast.Name("bool"), [ast.Compare(left=left, ops=[operator], comparators=[right])], []),
        ):
            bound = bounds.get(dotted(right)) or _spelled(right, {}, own)
        case _:
            return None
    asks = ast.unparse(left) == own.count and isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
    if not asks or bound is None or not own.is_bound(bound):
        return None
    if dotted(right) not in bounds and bound != ast.unparse(right):
        return None
    compared = ast.Compare(left, [operator], [ast.parse(bound, mode="eval").body])
    return Alias(cls, read, ast.unparse(compared), attribute=True)


def _answer(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """How a property, or a method without arguments, is read, and the expression that is all it consists of.

    Variables that it sets on the way are spelled out.
    """
    match node:
        case ast.FunctionDef(
            args=ast.arguments(args=[_], vararg=None, kwonlyargs=[], kwarg=None),
            body=[*others, ast.Return(value=ast.expr() as value)],
        ):
            known = _Substituted({})
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if decorators not in ([], ["property"], ["cached_property"], ["functools.cached_property"]):
                return "", None
            for one in others:
                match one:
                    case (
                        ast.Assign(targets=[ast.Name(id=name)], value=given)
                        | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as given)
                    ):
                        known.values[name] = known.spelled(given)
                    case ast.Expr(value=ast.Constant()):
                        pass
                    case _:
                        return "", None
            return f"self.{node.name}{'' if decorators else '()'}", known.spelled(value)
    return "", None


class _Substituted(ast.NodeTransformer):
    """Puts what variables are set to in their place."""

    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def spelled(self, value: ast.expr) -> ast.expr:
        return self.visit(deepcopy(value)) if self.values else value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node)


_SETTING = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For)


def _settings_of(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """What a statement sets, each with what it is set to, where that is an expression of its own."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(values):
            yield from zip(targets, values, strict=True)
        case ast.Assign(targets=[ast.Tuple(elts=targets)]):
            yield from ((target, None) for target in targets)
        case ast.Assign(targets=[target], value=value):
            yield target, value
        case ast.Assign(targets=targets):
            yield from ((target, None) for target in targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            yield target, None


def _variables(function: ast.FunctionDef, scope: str, own: Vocabulary, parts: set[str]) -> list[Alias]:
    """Variables that are set once in the function, where nothing depends on a branch, to settings or `parts`."""
    stored, read = _used(walk(function))
    known: dict[str, str] = {}
    for statement, block in _settled(function.body):
        for target, value in _settings_of(statement) if isinstance(statement, ast.Assign) else ():
            if isinstance(target, ast.Name) and stored[target.id] == 1 and value is not None:
                code = dotted(value) if dotted(value) in parts else _spelled(value, known, own)
                if code is None or "self." not in code:
                    continue
                if block is None or sum(_used(walk(one))[1][target.id] for one in block) == read[target.id]:
                    known[target.id] = code
    known |= {
        name: ast.unparse(value) for name, value in _temporaries(function.body, stored, read) if name not in known
    }
    return [Alias(scope, name, code) for name, code in known.items()]


def _used(nodes: list[ast.AST]) -> tuple[Counter[str], Counter[str]]:
    """How often names get a value, and how often they are read."""
    stored, read = Counter[str](), Counter[str]()
    for node in nodes:
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else stored)[node.id] += 1
        elif isinstance(node, ast.arg):
            stored[node.arg] += 1
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            stored.update(2 * node.names)
    return stored, read


def _temporaries(
    block: list[ast.stmt], stored: Mapping[str, int], read: Mapping[str, int]
) -> Iterator[tuple[str, ast.expr]]:
    """Names for what a loop goes through, that the next statement asks for and nothing else."""
    for statement, then in pairwise([*block, None]):
        match statement, then:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as value),
                ast.For(iter=ast.Name(id=asked)),
            ) if name == asked and stored[name] == 1 and read[name] == 1:
                yield name, value
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(getattr(statement, inner, None), list):
                yield from _temporaries(getattr(statement, inner), stored, read)


def _settled(
    block: list[ast.stmt], branch: list[ast.stmt] | None = None
) -> Iterator[tuple[ast.stmt, list[ast.stmt] | None]]:
    """Statements, each with the innermost branch that it stands in, if it stands in one."""
    for statement in block:
        yield statement, branch
        if isinstance(statement, (ast.While, ast.For, ast.With)):
            yield from _settled(statement.body, branch)
        elif isinstance(statement, ast.If):
            yield from _settled(statement.body, statement.body)
            yield from _settled(statement.orelse, statement.orelse)


def _spelled(value: ast.expr, known: Mapping[str, str], own: Vocabulary) -> str | None:
    """An expression of settings alone, in which known names are spelled out; None: it is not one."""
    match value:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Attribute(value=owner, attr=attribute):
            plain = dotted(value)
            if plain == own.config or plain in own.settings:
                return plain
            code = _spelled(owner, known, own)
            return f"{code}.{attribute}" if code is not None and code.startswith(own.config) else None
        case ast.Constant(value=int() | float() as number):
            return repr(number)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
            one, other = _spelled(left, known, own), _spelled(right, known, own)
            if one is None or other is None or not ("self." in one or "self." in other):
                return None
            return ast.unparse(
                ast.BinOp(ast.parse(one, mode="eval").body, operator, ast.parse(other, mode="eval").body)
            )
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in _CALLS:
            spelled = [_spelled(argument, known, own) for argument in arguments]
            if all(code is not None for code in spelled) and any("self." in str(code) for code in spelled):
                return f"{function}({', '.join(map(str, spelled))})"
    return None
