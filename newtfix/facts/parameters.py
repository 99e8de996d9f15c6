"""The parameters of methods: which matter, which bound what, and which may be missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from newtfix.code.flow import Flow
from newtfix.code.names import Names, bindings
from newtfix.code.syntax import dotted, is_call, walk
from newtfix.code.values import positional
from newtfix.newt.tree import Broken, NewtTree


def matters(tree: NewtTree, role: str, name: str, parameter: str) -> Broken | None:
    """What a method is handed over as a parameter is looked at."""
    method = tree.methods(role).get(name)
    if method is None or all(one.arg != parameter for one in (*method.node.args.args, *method.node.args.kwonlyargs)):
        return None
    reads = [node for node in walk(method.node) if isinstance(node, ast.Name) and node.id == parameter]
    reads = [node for node in reads if isinstance(node.ctx, ast.Load)]
    flow = Flow(method.node, lambda call: None)
    flow.uses(None, [parameter], reads)
    if not flow.met:
        return tree.broken(method, method.node, f"{name} does not look at {parameter}")
    return None


def bounds_keep(tree: NewtTree, role: str, name: str, parameters: tuple[str, ...]) -> Broken | None:
    """A function of a module does not give its parameters other values, nor change those that they have."""
    if (found := tree.function(role, name)) is None:
        return None
    file, names = found
    for write in tree.writes(role, names, *parameters):
        return tree.broken_in(file, write.node, f"{ast.unparse(write.target)} is changed")
    return None


def ends_by_setting(tree: NewtTree, function: str) -> Broken | None:
    """No call of a function gives it a number last that could be a duration.

    It is none where it is greater than the one before, and nobody else calls the function.
    """
    calls = [
        (file, names, call)
        for file in tree.python
        for names in (tree.scopes(file) if function in tree.sources[file] else ())
        for call in names.nodes
        if isinstance(call, ast.Call)
        and (function in names.lasts(call.func) or (is_call(call, "partial") and function in names.lasts(call.args[0])))
    ]
    for file, names, call in calls:
        args = [part for one in call.args for part in _unpacked(one, names)]
        if any(isinstance(one, ast.Starred) for one in args[-2:]):
            return tree.broken_in(file, call, f"{function} may be called with a duration")
        tables = [_value(one.value, names) for one in call.keywords if one.arg is None]
        pairs = [one for table in tables for one in _entries(table)]
        by_name = [value for name in ("start", "end") for key, value in pairs if key == name]
        by_name = by_name or [one.value for name in ("start", "end") for one in call.keywords if one.arg == name]
        given = [*args, *by_name, *(k.value for k in call.keywords if k.value not in by_name)]
        pair = [_value(one, names, _constants(tree, file)) for one in (by_name if len(by_name) == 2 else given[-2:])]
        numbers = [one.value for one in pair if isinstance(one, ast.Constant) and isinstance(one.value, int)]
        rises = len(numbers) == 2 and numbers[0] < numbers[1] and len({one for *_, one in calls}) == 1
        differs = bool(pair) and isinstance(pair[-1], ast.BinOp) and isinstance(pair[-1].op, ast.Sub)
        if differs or (any(isinstance(part, ast.Constant) for one in pair for part in walk(one)) and not rises):
            return tree.broken_in(file, call, f"{function} may be called with a duration")
    return None


def _unpacked(given: ast.expr, names: Names) -> list[ast.expr]:
    """What is given by `*pair`, where that is a tuple."""
    value = _value(given.value, names) if isinstance(given, ast.Starred) else None
    return list(value.elts) if isinstance(value, ast.Tuple) else [given]


def _entries(table: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """What a dictionary has by name."""
    match table:
        case ast.Dict(keys=keys, values=values):
            yield from ((str(getattr(key, "value", "")), one) for key, one in zip(keys, values, strict=True))
        case ast.Call(func=ast.Name("dict"), args=[], keywords=words):
            yield from ((str(word.arg), word.value) for word in words)


def _value(
    node: ast.expr, names: Names, constants: Mapping[str, Sequence[ast.expr | None]] = MappingProxyType({})
) -> ast.expr:
    """What a variable gets, where that is one thing."""
    if not isinstance(node, ast.Name):
        return node
    given = [write.value for write in names.writes(node.id)] or list(constants.get(node.id, ()))
    return given[0] if len(given) == 1 and given[0] is not None else node


def _constants(tree: NewtTree, file: str) -> dict[str, list[ast.expr | None]]:
    """What the module itself gives its variables."""
    found: dict[str, list[ast.expr | None]] = {}
    for node in tree.module(file).body:
        for target, value, _ in bindings(node):
            found.setdefault(dotted(target), []).append(value)
    return found


def never_none(tree: NewtTree, role: str, name: str, parameter: str) -> Broken | None:
    """Whoever calls a method of the class gives it a value for a parameter that is never None."""
    method = tree.methods(role).get(name)
    names = positional(method.node) if method is not None else []
    if method is None or parameter not in names:
        return None
    index = names.index(parameter)
    defaults = dict(zip(reversed(names), reversed(method.node.args.defaults), strict=False))
    for file in tree.python:
        for scope in tree.scopes(file) if name in tree.sources[file] else ():
            for call in scope.nodes:
                if not isinstance(call, ast.Call) or (isinstance(call.func, ast.Name) and call.func.id == name):
                    continue
                if name not in scope.lasts(call.func):
                    continue
                given = [*call.args[index : index + 1], *(one.value for one in call.keywords if one.arg == parameter)]
                unpacked = any(isinstance(one, ast.Starred) for one in call.args) or any(
                    one.arg is None for one in call.keywords
                )
                if not given and not unpacked and parameter in defaults:
                    given = [defaults[parameter]]
                parts = (part for one in given for value in (one, _value(one, scope)) for part in walk(value))
                if any(isinstance(part, ast.Constant) and part.value is None for part in parts):
                    return tree.broken_in(file, call, f"{name} gets no {parameter}")
    return None
