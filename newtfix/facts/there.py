"""What must hold for a fix to count as there: nothing undoes what it leaves."""

from __future__ import annotations

import ast

from newtfix.code.effects import Gives, of_call
from newtfix.code.names import Names
from newtfix.code.syntax import walk
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
