"""The policy losses that a tree chooses from by a setting of its own, and what becomes of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Method, NewtTree


def left_unused(before: NewtTree, after: NewtTree) -> Iterator[str]:
    """Says which losses nothing chooses any more, and which `actor_mode` stands for each value that chose one."""
    losses, now = list(_choices(before)), {name for _, name in _choices(after)}
    unused = [name for _, name in losses if name not in now | {"_pi_loss"}]
    update = after.methods("agent").get("update_pi")
    if not unused or update is None:
        return
    methods = before.methods("agent")
    lines = ", ".join(f"{name} ({methods[name].file}:{methods[name].node.lineno})" for name in unused)
    modes = "; ".join(f"{test}: {_mode(methods[name])}" for test, name in losses)
    yield (
        f"actor_mode chooses the policy's loss now, and nothing uses {lines} any more. "
        f"For what the tree chose: {modes}."
    )


def _choices(tree: NewtTree) -> Iterator[tuple[str, str]]:
    """The tests of `update_pi`, and the method that computes the loss where each holds."""
    method = tree.methods("agent").get("update_pi")
    for node in walk(method.node) if method is not None else ():
        if isinstance(node, ast.If) and _called(tree, node.body):
            yield from _branches(tree, node)
            return


def _branches(tree: NewtTree, node: ast.If) -> Iterator[tuple[str, str]]:
    yield ast.unparse(node.test).replace("self.cfg.", ""), _called(tree, node.body)
    match node.orelse:
        case [ast.If() as other]:
            yield from _branches(tree, other)
        case rest if name := _called(tree, rest):
            yield "otherwise", name


def _called(tree: NewtTree, block: list[ast.stmt]) -> str:
    """The method behind `loss, values, metrics = self.name(...)`, compiled or not."""
    methods, made = tree.methods("agent"), _compiled(tree)
    for statement in block:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=[_, _, _])], value=ast.Call(func=func)):
                name = dotted(func).removeprefix("self.")
                if (name := made.get(name, name)) in methods:
                    return name
    return ""


def _compiled(tree: NewtTree) -> Mapping[str, str]:
    """Attributes that are methods, wrapped in something, by the method's name."""
    methods = tree.methods("agent")
    found: dict[str, str] = {}
    for node in walk(methods["__init__"].node) if "__init__" in methods else ():
        if isinstance(node, ast.Assign):
            names = [part.attr for part in walk(node.value) if isinstance(part, ast.Attribute)]
            own = [name for name in names if name in methods and "loss" in name]
            found |= {dotted(target).removeprefix("self."): own[0] for target in node.targets if len(own) == 1}
    return found


def _mode(method: Method) -> str:
    """The mode that stands for a loss, told by what it computes."""
    calls = [dotted(node.func).rpartition(".")[2] for node in walk(method.node) if isinstance(node, ast.Call)]
    read = {node.id for node in walk(method.node) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    weighed = any(isinstance(node, ast.Attribute) and node.attr == "prior_coef" for node in walk(method.node))
    if {"mu", "std"} <= read and any("logprob" in name for name in calls):
        return "actor_mode=residual"
    if weighed and "action" in read and "Q" in calls:
        return "actor_mode=bc_sac"
    return "no mode, as newt's own loss is none of them (sac is the nearest)"
