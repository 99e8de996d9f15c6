"""What a tree makes of a setting: what kind of value it has, where it is given another, what it weighs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code.arithmetic import product
from newtfix.code.names import Names, as_attribute, bindings, writes
from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Broken, Method, NewtTree


def _files_with(tree: NewtTree, name: str) -> Iterator[tuple[str, list[ast.AST]]]:
    for file in tree.python:
        if name in tree.sources[file]:
            yield file, walk(tree.module(file))


def _is_setting(node: ast.AST, setting: str) -> bool:
    """Whether it is the setting as an attribute, or as an entry of settings."""
    match as_attribute(node) or node:
        case ast.Attribute(attr=attr):
            return attr == setting
        case ast.Subscript(slice=ast.Constant(value=value)):
            return bool(value == setting)
    return False


def set_plainly(tree: NewtTree, *settings: str) -> Broken | None:
    """Where the tree gives a setting another value, that is a number or the setting itself, nothing computed of it."""
    for setting in settings:
        for file, nodes in _files_with(tree, setting):
            for node in nodes:
                by_name = isinstance(node, ast.Call) and any(
                    isinstance(one, ast.Constant) and one.value == setting and _sets(node) for one in node.args
                )
                given = [one for one in writes(node) if any(_is_setting(part, setting) for part in walk(one.target))]
                handed = isinstance(node, ast.keyword) and node.arg == setting and _computes(node.value)
                in_turn = isinstance(node, ast.For) and _sets_in_turn(node, setting)
                anew = any(isinstance(node, ast.AugAssign) or not _is_plain(one.value, setting) for one in given)
                if by_name or in_turn or handed or anew:
                    return tree.broken_in(file, node, f"{setting} is computed anew")
    return None


def _sets(call: ast.Call) -> bool:
    """Whether a call gives an attribute, by its name, another value."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)
    return name in ("setattr", "__setattr__", "__setitem__", "update", "setdefault")


def _computes(value: ast.expr) -> bool:
    return any(isinstance(part, (ast.BinOp, ast.IfExp)) for part in walk(value))


def _sets_in_turn(loop: ast.For, setting: str) -> bool:
    """Whether a loop over names sets each of these."""
    names = [part.value for part in walk(loop.iter) if isinstance(part, ast.Constant)]
    return setting in names and any(isinstance(one, ast.Call) and dotted(one.func) == "setattr" for one in walk(loop))


def _is_plain(value: ast.AST | None, setting: str) -> bool:
    return isinstance(value, ast.Constant) or (value is not None and _is_setting(value, setting))


def is_number(tree: NewtTree, *settings: str) -> Broken | None:
    """The default of a setting is a number, and no other default is made of it."""
    found = tree.roles.get("config")
    if found is None:
        return None
    for cls in tree.module(found.file).body:
        for node in cls.body if isinstance(cls, ast.ClassDef) else ():
            for target, value, _ in bindings(node):
                if value is None:
                    continue
                if dotted(target) in settings:
                    if isinstance(_default(value), (ast.Tuple, ast.List, ast.Dict, ast.Lambda)) or _is_text(
                        _default(value)
                    ):
                        return tree.broken_in(found.file, node, f"{dotted(target)} is no number")
                elif dotted(target):
                    for part in walk(value):
                        if isinstance(part, ast.Name) and part.id in settings:
                            return tree.broken_in(found.file, node, f"{part.id} decides another default as well")
    return None


def _default(value: ast.expr) -> ast.expr:
    """The default of a field, also where it is said with others things about the field."""
    given = value.keywords if isinstance(value, ast.Call) else []
    return next((one.value for one in given if one.arg in ("default", "default_factory")), value)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def weighs_only(tree: NewtTree, role: str, setting: str, word: str, unlike: str) -> Broken | None:
    """A setting weighs terms of the losses that have this word in their names, and none made of calls of `unlike`.

    Elsewhere it may weigh a term where the tree gives it another value for that time.
    """
    elsewhere = any(
        _is_setting(target, setting)
        for _, nodes in _files_with(tree, setting)
        for node in nodes
        for target, value, _ in bindings(node)
        if value is not None
    )
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        reads = [n for n in nodes if _is_setting(n, setting) and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)]
        others = word not in method.name or any(tree.names(role, method).calls("self.model.reward"))
        if reads and others and not elsewhere and not _is_pretraining(method):
            return tree.broken(method, reads[0], f"{setting} weighs something in {method.name} as well")
        factors_of = {one for node in nodes for one in product(node)}
        stored: set[ast.AST | None] = {value for node in nodes for _, value, _ in bindings(node)}
        stored |= {node.value for node in nodes if isinstance(node, ast.keyword)}
        stored |= {part for n in nodes if isinstance(n, ast.Dict) for value in n.values for part in walk(value)}
        for node in reads:
            if node not in factors_of and node not in stored:
                return tree.broken(method, node, f"{setting} is no weight here")
        names = tree.names(role, method)
        for node in nodes:
            factors = product(node)
            terms = [one for one in factors if not any(_weighs(names, part, setting) for part in walk(one))]
            if len(terms) < len(factors) and any(_made_of(one, unlike, names) for one in terms):
                return tree.broken(method, node, f"{setting} weighs another term here")
    return None


def _weighs(names: Names, node: ast.AST, setting: str) -> bool:
    return _is_setting(node, setting) or any(one.rpartition(".")[2] == setting for one in names.of(node) if "." in one)


def _is_pretraining(method: Method) -> bool:
    return method.name in ("__init__", "update_pi")


def _made_of(value: ast.expr, called: str, names: Names) -> bool:
    """Whether an expression, by way of the variables of its method, is made of what a method of that name returns."""
    pending, seen = [value], set[str]()
    while pending:
        for part in walk(pending.pop()):
            if isinstance(part, ast.Call) and any(one.rpartition(".")[2] == called for one in names.of(part.func)):
                return True
            if isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                pending += [
                    given
                    for node in names.nodes
                    for target, given, _ in (*bindings(node), *_augmented(node))
                    if given is not None and dotted(target) == part.id
                ]
    return False


def _augmented(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    if isinstance(node, ast.AugAssign):
        yield node.target, node.value, False
