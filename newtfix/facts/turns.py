"""Training that happens at one step of a run alone."""

from __future__ import annotations

import ast

from newtfix.code.names import Names, bindings, targets
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, parts, walk
from newtfix.facts.calls import LOOPS, decides
from newtfix.newt.tree import Broken, NewtTree


def trains_once_nowhere(tree: NewtTree, role: str, agent: str, tokens: str) -> Broken | None:
    """What is done at one step alone, or behind a flag that is set there, neither trains nor changes how often."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        nodes = names.nodes
        counted = _counted(names, f"{agent}.update") | {tokens}
        tests = [node for node in nodes if isinstance(node, (ast.If, ast.IfExp, ast.While))]
        asked = {part for one in tests if isinstance(one, ast.If) for part in walk(one.test)}
        named = _only_asked(names, asked)
        for test in tests:
            if isinstance(test, ast.While) or not _is_once(test, set(named)):
                continue
            for node in (part for child in parts(test) if child is not test.test for part in walk(child)):
                if _trains(tree, role, names, node, agent) or any(names.is_of(one, *counted) for one in targets(node)):
                    return tree.broken(method, node, "this trains, or decides on it, at one step alone")
        if method.name != "__init__" and any(names.writes(tokens)):
            asked |= {part for value in named.values() for part in walk(value)}
            for node in nodes:
                if node not in asked and _is_at_a_step(node):
                    return tree.broken(method, node, "this may decide how often the agent is trained")
    return None


def _is_at_a_step(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare) or not any(isinstance(one, ast.Eq) for one in node.ops):
        return False
    return any(dotted(one) == "self._step" for one in (node.left, *node.comparators))


def _only_asked(names: Names, asked: set[ast.AST]) -> dict[str, ast.expr]:
    """Variables that say whether it is a certain step, and that nothing but tests of branches read."""
    found = {
        target.id: value
        for node in names.nodes
        for target, value, whole in bindings(node)
        if value is not None and whole and isinstance(target, ast.Name)
        if any(map(_is_at_a_step, walk(value)))
    }
    reads = [node for node in names.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return {name: value for name, value in found.items() if all(one in asked for one in reads if one.id == name)}


def _is_once(branch: ast.If | ast.IfExp, named: set[str]) -> bool:
    """Whether a branch is taken at one step, by `named` variables as well, or while a flag is not set that it sets."""
    if any(_is_at_a_step(node) or (isinstance(node, ast.Name) and node.id in named) for node in walk(branch.test)):
        return True
    unset = {
        dotted(node.operand)
        for node in walk(branch.test)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    }
    body = branch.body if isinstance(branch.body, list) else [branch.body]
    written = {dotted(one) for part in body for node in walk(part) for one in targets(node)}
    return bool((unset - {""}) & written)


def _counted(names: Names, called: str) -> set[str]:
    """The names that say how often something is called in a method."""
    found: set[str] = set()
    for node in names.calls(called):
        for loop in (one for one in path_to(names.nodes[0], node) if isinstance(one, LOOPS)):
            found |= {name for part in decides(loop) if not isinstance(loop, ast.While) for name in names_in(part)}
    return found - {"range", "tqdm", "int", "max", "min", "self.cfg"}


_KEEPS = ("save", "checkpoint", "eval", "state_dict")


def _trains(tree: NewtTree, role: str, names: Names, node: ast.AST, agent: str, inside: tuple[str, ...] = ()) -> bool:
    """Whether a call may train the agent: its own method, something that it is handed to, or a helper, known or not."""
    if not isinstance(node, ast.Call) or any(word in dotted(node.func) for word in _KEEPS):
        return False
    name = dotted(node.func)
    handed = [*node.args, *(one.value for one in node.keywords)]
    if any(one.startswith(f"{agent}.") for one in names.of(node.func)) or any(names.is_(one, agent) for one in handed):
        return True
    helper = tree.called(role, node, names)
    if helper is None or helper.name in inside:
        return helper is None and name.startswith("self.") and name.count(".") == 1
    own = tree.names(role, helper)
    return any(_trains(tree, role, own, part, agent, (*inside, helper.name)) for part in own.nodes)
