"""What decides in a newt-style tree: when episodes are over, and what update tokens pay for."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping

from newtfix.code.paths import conditions, names_in, path_to
from newtfix.code.syntax import dotted, walk
from newtfix.newt.places import Start, assignments
from newtfix.newt.starts import made_by
from newtfix.newt.tree import Method, NewtTree


def finished(tree: NewtTree, role: str) -> set[str]:
    """The names that say which episodes are over, those made of them, and what counts environments."""
    known = {"self.cfg", "range", "enumerate", "int", "bool", "len", "torch", "any", "i"}
    parts = {"terminated", "truncated", *(name for start in _ended(tree, role) for name in start.names)}
    known |= {"done", *parts}
    while True:
        found = {name for method in tree.methods(role).values() for name in _made_of(method, known)} - known
        if not found:
            return known - parts
        known |= found


def _ended(tree: NewtTree, role: str) -> Iterator[Start]:
    for index in (2, 3):
        yield from made_by(tree, role, index, "self.env.step")


def _made_of(method: Method, known: set[str]) -> Iterator[str]:
    """Names for what is made of known names alone."""
    for node in walk(method.node):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, (ast.For, ast.comprehension)):
            targets, value = [node.target], node.iter
        else:
            continue
        if isinstance(value, ast.Call) and dotted(value.func) == "enumerate" and isinstance(targets[0], ast.Tuple):
            targets = targets[0].elts[1:]
        names = names_in(value)
        roots = {".".join(name.split(".")[: 2 if name.startswith("self.") else 1]) for name in names}
        if roots and roots <= known and not roots <= {"self.cfg", "torch", "int", "range"}:
            yield from (dotted(target) for target in targets if dotted(target))


def spends_tokens(tree: NewtTree, method: Method, call: ast.Call) -> bool:
    """Whether an update is one that update tokens pay for, or comes before any step is taken."""
    path = path_to(method.node, call)
    tokens = {"self._update_tokens"}
    given = [targets for _, targets, value in assignments(method) if names_in(value) & tokens]
    tokens |= {dotted(part) for targets in given for one in targets for part in getattr(one, "elts", (one,))} - {""}
    around = [node.iter for node in path if isinstance(node, ast.For)] + [test for test, _ in conditions(path)]
    if any(names_in(one) & tokens for one in around):
        return True
    callers = list(tree.calls("trainer", f"self.{method.name}"))
    if callers and all(caller is not method and spends_tokens(tree, caller, one) for caller, one in callers):
        return True
    loops = [node for node in path if isinstance(node, ast.While)]
    steps = any(dotted(n.func) == "self.env.step" for loop in loops for n in walk(loop) if isinstance(n, ast.Call))
    return not steps and method.name not in _stepping(tree)


def _stepping(tree: NewtTree) -> set[str]:
    """The methods that are called while steps are taken: in the loop of `train`, directly or not."""
    train = tree.methods("trainer").get("train")
    loops = [node for node in walk(train.node) if isinstance(node, ast.While)] if train is not None else []
    pending = [node for loop in loops for node in walk(loop) if isinstance(node, ast.Call)]
    found: set[str] = set()
    while pending:
        called = tree.called("trainer", pending.pop())
        if called is not None and called.name not in found and called.name in tree.methods("trainer"):
            found.add(called.name)
            pending += [node for node in walk(called.node) if isinstance(node, ast.Call)]
    return found


# Conditions under which something happens, and places where something may be called.
GIVEN: Mapping[str, Callable[[NewtTree, str], set[str]]] = {"an episode is over": finished}


CALLERS: Mapping[str, Callable[[NewtTree, Method, ast.Call], bool]] = {"where update tokens are spent": spends_tokens}
