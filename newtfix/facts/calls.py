"""Where something is called, how often, and under which conditions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from newtfix.code.paths import conditions, names_in, path_to, skipped_by
from newtfix.code.syntax import parts
from newtfix.newt.tree import Broken, Method, NewtTree

_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)


def only_calls(
    tree: NewtTree, role: str, name: str, allowed: Callable[[NewtTree, Method, ast.Call], bool], where: str
) -> Broken | None:
    """Something is called at these places only."""
    for method, call in tree.calls(role, name):
        if not allowed(tree, method, call):
            return tree.broken(method, call, f"{name} is called not only {where}")
    return None


def once(tree: NewtTree, role: str, method: str, called: str) -> Broken | None:
    """A method calls something by this name once each time that it runs, by whatever way."""
    begin = tree.methods(role).get(method)
    times = list(_times(tree, role, begin, called, (), False)) if begin is not None else []
    for where, node, in_loop in times:
        if in_loop:
            return tree.broken(where, node, f"{method} does this more than once each time")
    return None


def _times(
    tree: NewtTree, role: str, method: Method, called: str, inside: tuple[str, ...], in_loop: bool
) -> Iterator[tuple[Method, ast.AST, bool]]:
    if method.name in inside:
        return
    for node, looped in _nodes(method.node, in_loop):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == called:
            yield method, node, looped
        elif (helper := tree.called(role, node)) is not None:
            yield from _times(tree, role, helper, called, (*inside, method.name), looped)


def _nodes(node: ast.AST, in_loop: bool) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes below, and whether each is in a loop."""
    for part in parts(node):
        inside = in_loop or isinstance(part, _LOOPS)
        yield part, inside
        yield from _nodes(part, inside)


def always(
    tree: NewtTree, role: str, name: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """Something is called whenever what is `given` says so, whatever else holds."""
    known = given(tree, role)
    for method, call in tree.calls(role, name):
        path = path_to(method.node, call)
        loops = [node for node in path if isinstance(node, (ast.For, ast.While))]
        inside = path[path.index(loops[-1]) :] if loops else path
        tests = [test for test, _ in conditions(inside)]
        tests += [test for test, _ in skipped_by(path, loops[-1])] if loops else []
        for test in tests:
            if not all(_is_known(one, known) for one in names_in(test)):
                return tree.broken(method, test, f"{name} is not called whenever {what}")
    return None


def _is_known(name: str, known: set[str]) -> bool:
    own = name.startswith("self.")
    return ".".join(name.split(".")[: 2 if own else 1]) in known
