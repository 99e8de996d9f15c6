"""What must hold for a fix to count as there: nothing undoes what it leaves, nor what it hands on."""

from __future__ import annotations

import ast

from newtfix.code.effects import Gives, of_call
from newtfix.code.imports import origin
from newtfix.code.names import Names, bindings
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, handed, is_call, last_name, walk
from newtfix.code.values import bound
from newtfix.newt.tree import Broken, NewtTree


def set_once(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """Each of these methods gives an attribute one value, which at most goes to another device afterwards."""
    for method in (tree.methods(role).get(one) for one in methods):
        if method is None:
            continue
        names = tree.names(role, method)
        found = [one.node for one in tree.writes(role, method, name) if not _moves(names, one.value, name)]
        found += [node for node in names.nodes if isinstance(node, ast.AugAssign) and names.is_of(node.target, name)]
        if len(set(found)) > 1:
            return tree.broken(method, found[-1], f"{name} gets another value here")
    return None


def selects_all(tree: NewtTree, role: str, *entries: str) -> Broken | None:
    """Where the file of a role selects the first of some entries by name, it selects the others as well."""
    found = tree.roles.get(role)
    nodes = walk(tree.module(found.file)) if found is not None else []
    lists = {dotted(target).rpartition(".")[2]: value for node in nodes for target, value, _ in bindings(node)}
    for call in (node for node in nodes if is_call(node, "select")):
        given = [one.value if isinstance(one, ast.Starred) else one for one in call.args]
        made = [(lists.get(dotted(one).rpartition(".")[2]) if dotted(one) else None) or one for one in given]
        texts = [part.value for one in made for part in walk(one) if isinstance(part, ast.Constant)]
        names = {word for text in texts for word in (text.split() if isinstance(text, str) else [text])}
        if found is not None and entries[0] in names and not names.issuperset(entries):
            return tree.broken_in(found.file, call, f"{' and '.join(entries[1:])} are left out")
    return None


def numbers_each(tree: NewtTree, role: str, call: str, number: str) -> Broken | None:
    """Each method that calls something computes with a number, unless what it calls does."""
    for method, node in tree.calls(role, call):
        made = tree.called(role, node)
        if not any(_has(one.node, number) for one in (method, made) if one is not None):
            return tree.broken(method, node, f"{method.name} goes without {number}")
    return None


def _has(function: ast.AST, number: str) -> bool:
    return any(isinstance(one, ast.Constant) and one.value == float(number) for one in walk(function))


def _moves(names: Names, value: ast.AST | None, name: str) -> bool:
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if of_call(value).gives not in (Gives.ITSELF, Gives.VIEW, Gives.COPY):
            return False
        value = value.func.value
        if names.is_(value, name):
            return True
    return False


def not_handed_to(tree: NewtTree, role: str, owner: str, *keys: str) -> Broken | None:
    """No entry by one of these keys is handed to a method of `owner`, or of a part of it."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for call in (node for node in names.nodes if isinstance(node, ast.Call)):
            of_owner = dotted(call.func).startswith(f"{owner}.")
            for part in (part for one in handed(call) for part in walk(one)) if of_owner else ():
                key = part.slice if isinstance(part, ast.Subscript) else next(iter(getattr(part, "args", ())), None)
                if isinstance(key, ast.Constant) and key.value in keys:
                    return tree.broken(method, call, f"{key.value} of rows is used for something else")
    return None


def takes_bare(tree: NewtTree, role: str, name: str, taken: str) -> Broken | None:
    """An attribute is what plays the role `taken`, and nothing of the tree's own around it, there or where given."""
    bare = name.removeprefix("self.")
    for method in tree.methods(role).values():
        for node in walk(method.node):
            for target, value, _ in bindings(node):
                if dotted(target) == name and (made := _own_around(tree, method.file, value, taken, (name, bare))):
                    return tree.broken(method, node, f"{made} is around {bare}")
    begins, found = tree.methods(role).get("__init__"), tree.roles.get(role)
    if begins is None or found is None or found.cls is None:
        return None
    for file in (one for one in tree.python if found.cls in tree.sources[one]):
        nodes = walk(tree.module(file))
        for call in (node for node in nodes if is_call(node, found.cls)):
            given = dict(
                bound(begins.node, [*((None, a) for a in call.args), *((k.arg, k.value) for k in call.keywords)])
            )
            names = {dotted(given[bare])} if bare in given else set()
            values = [value for node in nodes for target, value, _ in bindings(node) if dotted(target) in names - {""}]
            for value in (given.get(bare), *values):
                if made := _own_around(tree, file, value, taken):
                    return tree.broken_in(file, call, f"{made} is around {bare}")
    return None


def _own_around(tree: NewtTree, file: str, value: ast.expr | None, taken: str, of: tuple[str, ...] = ()) -> str:
    """The class of the tree that a value is an object of, made of one of these names perhaps; "" for the role's own."""
    made = last_name(value.func) if isinstance(value, ast.Call) else ""
    given = {part for one in handed(value) for part in names_in(one)} if isinstance(value, ast.Call) else set()
    role = tree.roles.get(taken)
    own = (
        {role.cls, *(cls.name for _, cls in tree.derived(taken, role.cls))} if role is not None and role.cls else set()
    )
    if not made[:1].isupper() or made in own or (of and given.isdisjoint(of)):
        return ""
    return made if any(origin(file, made, tree.sources)) else ""
