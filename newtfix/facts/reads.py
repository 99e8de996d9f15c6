"""Where an attribute is read and written, and what is made of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code import arithmetic
from newtfix.code.arithmetic import operands, quotients
from newtfix.code.flow import Flow
from newtfix.code.names import Write, as_attribute, is_read
from newtfix.code.syntax import dotted, is_call, walk
from newtfix.newt.places import assignments
from newtfix.newt.tree import Broken, NewtTree

_SUMS = (ast.Add, ast.Sub, ast.Mod)
_NORMALISES = frozenset("sum mean norm softmax normalize amax max log_softmax".split())


def written_only_in(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """An attribute gets its value in these methods and nowhere else."""
    for method in tree.methods(role).values():
        for write in tree.writes(role, method, name) if method.name not in methods else ():
            return tree.broken(method, write.node, f"{method.name} sets {name} as well")
    return None


def bound_only_in(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """An attribute is made in these methods; elsewhere it may change, but no other object takes its name."""
    for method in tree.methods(role).values():
        for write in tree.writes(role, method, name) if method.name not in methods else ():
            if write.is_bound and dotted(write.target) == name:
                return tree.broken(method, write.node, f"{name} is another one from here on")
    return None


def not_read_by(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """None of these methods reads an attribute, nor does what they call."""
    seen: set[str] = set()
    pending = [one for one in methods if one in tree.methods(role)]
    while pending:
        method = tree.methods(role)[pending.pop()]
        seen.add(method.name)
        names = tree.names(role, method)
        for read in names.reads(name):
            return tree.broken(method, read, f"{method.name} uses {name} as well")
        for node in (node for node in names.nodes if is_read(node)):
            called = {one.removeprefix("self.") for one in names.of(node) if one.startswith("self.")}
            pending += [one for one in called - seen if one in tree.methods(role)]
    return None


def used_as_it_is(tree: NewtTree, role: str, name: str, *made_in: str) -> Broken | None:
    """What reads an attribute neither normalises it nor divides it by something of its own."""
    for method in tree.methods(role).values():
        if not any(tree.names(role, method).reads(name)):
            continue
        if method.name in made_in:
            for statement, given, value in assignments(method):
                other = any(dotted(one) not in ("", name) for one in given)
                normalised = (part for one in walk(value) for whole in _normalised(one) for part in walk(whole))
                if other and any(isinstance(one, ast.Attribute) and dotted(one) == name for one in normalised):
                    return tree.broken(method, statement, f"{name} is normalised for something else")
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
    for part, _ in quotients(node):
        own = isinstance(node, ast.AugAssign) and dotted(part)
        yield ast.copy_location(ast.Name(dotted(part), ast.Load()), part) if own else part
    if isinstance(node, ast.Call) and arithmetic.called(node) in _NORMALISES:
        yield from operands(node)[:1]


def read_only_after(tree: NewtTree, role: str, name: str, made: str) -> Broken | None:
    """In methods that call `made`, an attribute is read behind the first such call only."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        lines = [call.lineno for call in names.calls(made)]
        if not lines or not any(isinstance(n, ast.keyword) and n.arg == "return_type" for n in names.nodes):
            continue
        for node in names.reads(name):
            if node.lineno < min(lines):
                return tree.broken(method, node, f"{name} is read before {made}")
    return None


def never_under(tree: NewtTree, role: str, name: str, operator: str, *methods: str) -> Broken | None:
    """An attribute is no operand of such an operator: not raised to a power ("Pow"), divided by, in a difference."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        reported = {part for node in names.nodes for part in _detached(node) if operator == "Div"}
        for node in names.nodes if not methods or method.name in methods else ():
            for operand in _under(node, operator) if node not in reported else ():
                asked = (one for part in walk(operand) for one in names.of(part) | names.roots(part))
                if any(f".{one}".endswith(name) for one in asked):
                    return tree.broken(method, node, f"{name} is used another way")
    return None


def _detached(node: ast.AST) -> Iterator[ast.AST]:
    """Quotients in a table of numbers that no gradient goes through."""
    for value in node.values if isinstance(node, ast.Dict) else ():
        top = value.left if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div) else value
        if is_call(top, "detach", "item"):
            yield from walk(value)


def _under(node: ast.AST, operator: str) -> list[ast.expr]:
    """What is raised to a power, divided by, or by itself a part of a difference."""
    if operator == "Div":
        return [divisor for _, divisor in quotients(node) if divisor is not None]
    if operator == "Sub":
        sides = [node.left, node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) else []
        return [side for side in sides if not any(isinstance(part, (ast.BinOp, ast.Call)) for part in walk(side))]
    match node:
        case ast.BinOp(left=left, op=ast.Pow()):
            return [left]
        case ast.AugAssign(target=target, op=ast.Pow(), value=value):
            return [target, value]
        case ast.Call() if arithmetic.called(node) in ("pow", "float_power", "power", "cumprod", "exp2"):
            return operands(node)[:1]
    return []


def attribute_only_in(tree: NewtTree, name: str, *roles: str) -> Broken | None:
    """An attribute (not a setting) of this name is read in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        for node in walk(tree.module(file)) if file not in known and name in tree.sources[file] else ():
            asked = as_attribute(node) or node
            named = isinstance(node, ast.Constant) and node.value == name and name.startswith("_")
            of_another = isinstance(asked, ast.Attribute) and not dotted(asked.value).endswith("cfg")
            if named or (of_another and isinstance(asked, ast.Attribute) and asked.attr == name):
                return tree.broken_in(file, node, f"{name} is used here as well")
    return None


def _is_of_another(node: ast.AST, name: str) -> bool:
    """Whether it is a call of something that holds the number, which no call can change."""
    last = name.rpartition(".")[2]
    parts = walk(node) if isinstance(node, ast.Call) else []
    named = any(isinstance(one, ast.Constant) and one.value == last for one in parts)
    return bool(parts) and not named and not any(dotted(one) == name for one in parts if isinstance(one, ast.Attribute))


def _is_rest(write: Write) -> bool:
    """Whether it is what `divmod` leaves."""
    match write.node:
        case ast.Assign(targets=[ast.Tuple(elts=[_, rest])], value=ast.Call(func=ast.Name(id="divmod"))):
            return rest is write.target
    return False


def paid_in(tree: NewtTree, role: str, name: str, called: str) -> Broken | None:
    """In methods that call something, an attribute is added to and taken from, and not set to something else.

    The class begins with none of it.
    """
    for method in {one.name: one for one, _ in tree.calls(role, called)}.values():
        names = tree.names(role, method)
        for write in tree.writes(role, method, name):
            sums = isinstance(write.node, ast.AugAssign) and isinstance(write.node.op, _SUMS)
            given = write.value
            given = getattr(write.node, "value", None) if given is None and _is_rest(write) else given
            kept = isinstance(given, ast.Constant) or (given is not None and any(names.reads(name, inside=walk(given))))
            if not sums and not kept and not _is_of_another(write.node, name):
                return tree.broken(method, write.node, f"{name} is set to something else")
    begin = tree.methods(role).get("__init__")
    for write in tree.writes(role, begin, name) if begin is not None else ():
        if begin is not None and not (isinstance(write.value, ast.Constant) and write.value.value == 0):
            return tree.broken(begin, write.node, f"{name} begins with more than nothing")
    return None
