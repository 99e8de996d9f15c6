"""Where an attribute or a setting is read and written, and what is made of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code.flow import Flow
from newtfix.code.syntax import dotted, parts, walk
from newtfix.newt.tree import Broken, Method, NewtTree

_NORMALISES = frozenset("sum mean norm softmax normalize amax max log_softmax".split())


def written_only_in(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """An attribute gets its value in these methods and nowhere else."""
    for method in tree.methods(role).values():
        if method.name not in methods:
            for node in walk(method.node):
                if _writes(node, name):
                    return tree.broken(method, node, f"{method.name} sets {name} as well")
    return None


def _writes(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Assign(targets=targets):
            return any(_is_part(part, name) for target in targets for part in _unpacked(target))
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _is_part(target, name)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)):
            return attr.endswith("_") and not attr.startswith("_") and _is_part(owner, name)
    return False


def _unpacked(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _is_part(node: ast.expr, name: str) -> bool:
    while isinstance(node, ast.Subscript):
        node = node.value
    return dotted(node) == name


def not_read_by(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """None of these methods reads an attribute, nor does what they call."""
    seen: set[str] = set()
    pending = [one for one in methods if one in tree.methods(role)]
    while pending:
        method = tree.methods(role)[pending.pop()]
        seen.add(method.name)
        for node in walk(method.node):
            if isinstance(node, ast.Attribute) and dotted(node) == name:
                return tree.broken(method, node, f"{method.name} uses {name} as well")
            called = tree.called(role, node) if isinstance(node, ast.Call) else None
            if called is not None and called.name not in seen and called.name in tree.methods(role):
                pending.append(called.name)
    return None


def used_as_it_is(tree: NewtTree, role: str, name: str, *made_in: str) -> Broken | None:
    """What reads an attribute neither normalises it nor divides it by something of its own."""
    for method in tree.methods(role).values():
        if method.name in made_in or not any(
            dotted(n) == name for n in walk(method.node) if isinstance(n, ast.Attribute)
        ):
            continue
        suspects = {part: node for node in walk(method.node) for part in _normalised(node)}
        flow = Flow(method.node, lambda call: tree.helper(role, call))
        flow.uses(None, [name], suspects)
        for part, node in suspects.items():
            if part in flow.met:
                return tree.broken(method, node, f"{name} is normalised again where it is used")
    return None


def _normalised(node: ast.AST) -> Iterator[ast.expr]:
    """What an expression divides, sums up or normalises."""
    match node:
        case ast.BinOp(left=left, op=ast.Div()):
            yield left
        case ast.AugAssign(target=target, op=ast.Div()):
            yield ast.copy_location(ast.Name(dotted(target), ast.Load()), target)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr), args=arguments) if attr in _NORMALISES:
            yield owner
            yield from arguments[:1]


def read_only_in(tree: NewtTree, setting: str, *roles: str) -> Broken | None:
    """A setting is read in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        if file in known or setting not in tree.sources[file]:
            continue
        for node in walk(tree.module(file)):
            if _mentions(node, setting):
                line = getattr(node, "lineno", 0)
                return Broken(file, line, f"{setting} is used here as well: {tree.line(file, line)}")
    return None


def _mentions(node: ast.AST, setting: str) -> bool:
    match node:
        case ast.Attribute(attr=attr, ctx=ast.Load()):
            return attr == setting
        case ast.Constant(value=value):
            return value == setting
    return False


def asked_alike(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Whatever compares `name` with something made of these words compares it with the same."""
    asked: dict[str, tuple[Method, ast.AST]] = {}
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                sides = [node.left, node.comparators[0]]
                others = [side for side in sides if dotted(side) != name]
                if len(others) == 1 and any(_says(others[0], word) for word in words):
                    asked.setdefault(ast.unparse(others[0]), (method, node))
    if len(asked) > 1:
        method, node = list(asked.values())[-1]
        return tree.broken(method, node, f"{name} is compared with another bound here")
    return None


def _says(node: ast.expr, word: str) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == word for part in walk(node))


def not_under(tree: NewtTree, setting: str, *functions: str) -> Broken | None:
    """Nothing takes such a function of a setting: it is what its name says, and not its inverse."""
    for file in tree.python:
        if setting not in tree.sources[file]:
            continue
        for node in walk(tree.module(file)):
            if isinstance(node, ast.Call) and _called(node) in functions and _reads(node, setting):
                return Broken(file, node.lineno, f"{setting} is not what its name says: {tree.line(file, node.lineno)}")
    return None


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


def _reads(call: ast.Call, setting: str) -> bool:
    """Whether the function is taken of the setting itself, and not of a condition or a string in it."""
    pending = parts(call)
    while pending:
        node = pending.pop()
        if _mentions(node, setting):
            return True
        pending += parts(node)
    return False
