"""Whether a name occurs only where a patch knows it: what else is done with it may rely on what the patch changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from newtfix.code.names import targets
from newtfix.code.paths import path_to
from newtfix.code.syntax import dotted, walk
from newtfix.newt.places import assignments
from newtfix.newt.tree import Broken, Method, NewtTree

_ABOUT_NETWORKS = frozenset(
    "parameters named_parameters buffers modules children train eval apply state_dict load_state_dict training "
    "requires_grad_ to zero_grad register_forward_hook named_children named_modules compile".split()
)
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def only_called(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A network that is an attribute is called, and asked for what all networks have; it holds nothing of its own."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            own = isinstance(node, ast.Attribute) and dotted(node.value) == name
            if isinstance(node, ast.Attribute) and own and node.attr not in _ABOUT_NETWORKS:
                return tree.broken(method, node, f"{name} is more than a network")
            if isinstance(node, ast.Call) and dotted(node.func) in (f"{name}.register_parameter", f"{name}.add_module"):
                return tree.broken(method, node, f"{name} is more than a network")
    return None


def begins_anew(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """First rows are written for all environments only where all begin: behind counters that are set to 0."""
    for method in tree.methods(role).values():
        for statement, given, value in assignments(method):
            indexes = {
                dotted(one.slice) for one in given if isinstance(one, ast.Subscript) and dotted(one.value) == rows
            } - {""}
            if not indexes or not _is_first(value):
                continue
            if not indexes & _set_before(method, statement):
                return tree.broken(method, statement, f"{rows} of running episodes are written over")
    return None


def _set_before(method: Method, statement: ast.stmt) -> set[str]:
    """What gets a value in a statement before another one, in its block or around it, in the same turn of a loop."""
    names: set[str] = set()
    for around, inner in reversed(list(pairwise(path_to(method.node, statement)))):
        for block in (getattr(around, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list) and any(one is inner for one in block):
                before = block[: next(number for number, one in enumerate(block) if one is inner)]
                names |= {dotted(part) for one in before for target in targets(one) for part in _flat(target)}
        if isinstance(around, ast.While):
            break
    return names


def _flat(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _is_first(value: ast.expr) -> bool:
    """Whether it is a row of an observation alone."""
    return isinstance(value, ast.Call) and dotted(value.func) == "self.to_td" and len(value.args + value.keywords) == 1


def columns_in_order(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """Column i of `rows` is environment i: rows are written as they are made, and cut out by that number."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if not isinstance(node, ast.Subscript):
                continue
            made = node.value if isinstance(node.value, ast.Call) and dotted(node.value.func) == "self.to_td" else None
            if made is not None and len(made.args + made.keywords) > 1:
                return tree.broken(method, node, "rows are put into another order")
            cut = node.slice.elts[1:2] if dotted(node.value) == rows and isinstance(node.slice, ast.Tuple) else []
            if isinstance(node.ctx, ast.Load) and any(isinstance(one, ast.Subscript) for one in cut):
                return tree.broken(method, node, f"columns of {rows} are in another order")
    return None


def no_logarithm(tree: NewtTree, role: str, *methods: str) -> Broken | None:
    """None of several things that these methods return together is a logarithm: a deviation, and not its log."""
    for method in (tree.methods(role)[one] for one in methods if one in tree.methods(role)):
        nodes = walk(method.node)
        logs = {
            name
            for _, targets, value in assignments(method)
            for target, part in _pairs(targets, value)
            if is_logarithm(part) and (name := dotted(target)) and "log" not in name
        }
        for node in nodes:
            value = node.value if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) else None
            for part in value.elts if value is not None else ():
                if is_logarithm(part) or (dotted(_moved(part)) in logs):
                    return tree.broken(method, node, f"{method.name} returns a logarithm")
    return None


def _pairs(targets: list[ast.expr], value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value


def _moved(node: ast.expr) -> ast.expr:
    while (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("cpu", "to", "detach")
    ):
        node = node.func.value
    return node


def is_logarithm(node: ast.expr) -> bool:
    node = _moved(node)
    match node:
        case ast.Call(func=ast.Attribute(attr="log")):
            return True
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key.startswith("log_") and key != "log_pi"
    return False


def set_nowhere_else(tree: NewtTree, setting: str, but: str) -> Broken | None:
    """Nothing but its default gives a setting a number other than `but`: no preset, no argument of a call."""
    for file in tree.python:
        for node in walk(tree.module(file)) if setting in tree.sources[file] else ():
            match node:
                case ast.Dict(keys=keys, values=values):
                    given = [(k, v) for k, v in zip(keys, values, strict=True) if getattr(k, "value", None) == setting]
                case ast.keyword(arg=name, value=value) if name == setting:
                    given = [(value, value)]
                    if isinstance(value, (ast.Subscript, ast.IfExp, ast.BinOp)):
                        return tree.broken_in(file, value, f"{setting} is set here as well")
                case _:
                    continue
            for place, value in given:
                number = value.value if isinstance(value, ast.Constant) else None
                if place is not None and isinstance(number, (int, float)) and number != float(but):
                    return tree.broken_in(file, place, f"{setting} is set here as well")
    return None


def not_read_in(tree: NewtTree, setting: str, role: str) -> Broken | None:
    """The class of a role does not ask for a setting."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if isinstance(node, ast.Attribute) and node.attr == setting and isinstance(node.ctx, ast.Load):
                return tree.broken(method, node, f"{method.name} counts on {setting}")
    return None


def not_compared(tree: NewtTree, setting: str) -> Broken | None:
    """Nothing asks whether a setting is more or less than something, other than 0."""
    for file in tree.python:
        for node in walk(tree.module(file)) if setting in tree.sources[file] else ():
            if not isinstance(node, ast.Compare) or not any(isinstance(one, _ORDERS) for one in node.ops):
                continue
            sides = [node.left, *node.comparators]
            others = [one for one in sides if not (isinstance(one, ast.Attribute) and one.attr == setting)]
            if len(others) < len(sides) and not any(map(is_nothing, others)):
                return tree.broken_in(file, node, f"{setting} is a bound, or has one")
    return None


def weighs_plainly(tree: NewtTree, role: str, setting: str) -> Broken | None:
    """What a setting is multiplied by is not computed from a count, a choice or a bound."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
                continue
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, ast.Attribute) and one.attr == setting and _is_schedule(other):
                    return tree.broken(method, node, f"{setting} changes in the course of a run")
    return None


def _is_schedule(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return True
    name = dotted(node.func) if isinstance(node, ast.Call) else ""
    return name in ("max", "min", "float", "int", "pow") or name.startswith("math.")


def not_counted(tree: NewtTree, role: str, method: str) -> Broken | None:
    """What a method counts decides nothing in it, but whether it is the first time."""
    found = tree.methods(role).get(method)
    nodes = walk(found.node) if found is not None else []
    counted = {dotted(node.target) for node in nodes if isinstance(node, ast.AugAssign)} - {""}
    tests = [part for node in nodes if isinstance(node, (ast.If, ast.IfExp)) for part in walk(node.test)]
    first = [one for one in tests if isinstance(one, ast.Compare) and is_nothing(one.comparators[0])]
    asked = {one.left for one in first if dotted(one.left) in counted}
    for part in tests:
        known = isinstance(part, (ast.Name, ast.Attribute)) and part in asked
        if found is not None and isinstance(part, (ast.Name, ast.Attribute)) and dotted(part) in counted and not known:
            return tree.broken(found, part, f"{method} goes by how often it was called")
    return None


def is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def not_given_by_hand(tree: NewtTree, *words: str) -> Broken | None:
    """Nothing outside of its class gives an object whose name is one of these another attribute."""
    for file in tree.python:
        for node in walk(tree.module(file)) if any(f".{word}." in tree.sources[file] for word in words) else ():
            for target in targets(node):
                owner = dotted(target.value) if isinstance(target, ast.Attribute) else ""
                if owner.count(".") > 1 and owner.rpartition(".")[2] in words:
                    return tree.broken_in(file, node, f"{owner} is changed here")
    return None


def runs_once(tree: NewtTree, role: str, method: str, *called: str) -> Broken | None:
    """A method calls these outside of loops."""
    found: Method | None = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if found is not None and isinstance(node, (ast.For, ast.While)):
            for call in walk(node):
                if isinstance(call, ast.Call) and dotted(call.func) in called:
                    return tree.broken(found, call, f"{method} does this several times")
    return None
