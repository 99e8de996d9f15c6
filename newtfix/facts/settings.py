"""What a tree makes of a setting: what kind of value it has, where it is given another, what it weighs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code.paths import targets_of
from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Broken, Method, NewtTree


def _files_with(tree: NewtTree, name: str) -> Iterator[tuple[str, list[ast.AST]]]:
    for file in tree.python:
        if name in tree.sources[file]:
            yield file, walk(tree.module(file))


def _is_setting(node: ast.AST, setting: str) -> bool:
    """Whether it is the setting as an attribute, or as an entry of settings."""
    match node:
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
                value = getattr(node, "value", None)
                given = any(_is_setting(part, setting) for one in targets_of(node) for part in walk(one))
                by_name = (
                    isinstance(node, ast.Call)
                    and dotted(node.func).rpartition(".")[2] in ("setattr", "__setattr__")
                    and any(isinstance(one, ast.Constant) and one.value == setting for one in node.args)
                )
                in_turn = isinstance(node, ast.For) and _sets_in_turn(node, setting)
                if by_name or in_turn or (given and (isinstance(node, ast.AugAssign) or not _is_plain(value, setting))):
                    return tree.broken_in(file, node, f"{setting} is computed anew")
    return None


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
            names = {dotted(one) for one in targets_of(node)}
            value = getattr(node, "value", None)
            if value is None:
                continue
            if names & set(settings):
                if isinstance(value, (ast.Tuple, ast.List, ast.Dict)) or _is_text(value):
                    return tree.broken_in(found.file, node, f"{', '.join(names)} is no number")
            elif names:
                for part in walk(value):
                    if isinstance(part, ast.Name) and part.id in settings:
                        return tree.broken_in(found.file, node, f"{part.id} decides another default as well")
    return None


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def weighs_only(tree: NewtTree, role: str, setting: str, word: str, unlike: str) -> Broken | None:
    """A setting weighs terms of the losses that have this word in their names, and none made of calls of `unlike`.

    Elsewhere it may weigh a term where the tree gives it another value for that time.
    """
    elsewhere = any(
        isinstance(node, ast.Assign) and any(_is_setting(one, setting) for one in node.targets)
        for _, nodes in _files_with(tree, setting)
        for node in nodes
    )
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        reads = [n for n in nodes if _is_setting(n, setting) and isinstance(getattr(n, "ctx", None), ast.Load)]
        others = word not in method.name or any(
            dotted(n.func) == "self.model.reward" for n in nodes if isinstance(n, ast.Call)
        )
        if reads and others and not elsewhere and not _is_pretraining(method):
            return tree.broken(method, reads[0], f"{setting} weighs something in {method.name} as well")
        factors_of = {one for n in nodes if isinstance(n, ast.BinOp) for one in _factors(n) if _multiplies(n)}
        stored = {n.value for n in nodes if isinstance(n, (ast.Assign, ast.keyword))}
        stored |= {value for n in nodes if isinstance(n, ast.Dict) for value in n.values}
        for node in reads:
            if node not in factors_of and node not in stored:
                return tree.broken(method, node, f"{setting} is no weight here")
        for node in nodes:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                factors = list(_factors(node))
                terms = [one for one in factors if not any(_is_setting(part, setting) for part in walk(one))]
                if len(terms) < len(factors) and any(_made_of(one, unlike, nodes) for one in terms):
                    return tree.broken(method, node, f"{setting} weighs another term here")
    return None


def _multiplies(node: ast.BinOp) -> bool:
    return isinstance(node.op, (ast.Mult, ast.Div))


def _is_pretraining(method: Method) -> bool:
    return method.name in ("__init__", "update_pi")


def _factors(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


def _made_of(value: ast.expr, called: str, nodes: list[ast.AST]) -> bool:
    """Whether an expression, by way of the variables of its method, is made of what a method of that name returns."""
    pending, seen = [value], set[str]()
    while pending:
        for part in walk(pending.pop()):
            if isinstance(part, ast.Call) and dotted(part.func).rpartition(".")[2] == called:
                return True
            if isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                pending += [
                    node.value
                    for node in nodes
                    if isinstance(node, (ast.Assign, ast.AugAssign)) and part.id in map(dotted, _flat(targets_of(node)))
                ]
    return False


def _flat(targets: list[ast.expr]) -> list[ast.expr]:
    return [part for one in targets for part in (one.elts if isinstance(one, (ast.Tuple, ast.List)) else [one])]
