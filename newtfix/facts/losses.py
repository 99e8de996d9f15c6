"""What losses add up, average, divide and scale."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from newtfix.code.arithmetic import operands, product, quotients, terms
from newtfix.code.names import Names, bindings, targets
from newtfix.code.paths import names_in, trunk
from newtfix.code.series import Series
from newtfix.code.syntax import dotted, handed, is_call, last_name, walk
from newtfix.newt.tree import Broken, NewtTree


def summed_only(tree: NewtTree, role: str, made: str) -> Broken | None:
    """In methods that call `made` themselves, what it returns is neither divided nor averaged over a dimension."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        if not any(is_call(node, made) for node in names.nodes):
            continue
        known = _made_of(names, made)
        for node in names.nodes:
            whole = isinstance(node, ast.Call) and len(operands(node)) + len(node.keywords) == 1
            for divided, divisor in [] if whole else [*quotients(node), *_weighed(node, made)]:
                if isinstance(divisor, ast.Constant):
                    continue
                if any(is_call(part, made) or names.is_of(part, *known) for part in _inside(divided)):
                    return tree.broken(method, node, f"what {made} returns is averaged already")
    return None


def _made_of(names: Names, made: str) -> set[str]:
    """The names for what is made of what `made` returns."""
    return {
        dotted(target)
        for node in names.nodes
        for target, value, _ in bindings(node)
        if value is not None and any(is_call(part, made) for part in walk(value))
    }


def _weighed(node: ast.AST, made: str) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a call is multiplied by at once, other than a mask."""
    factors = product(node) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) else []
    for one in (one for one in factors if is_call(one, made)):
        yield from ((one, other) for other in factors if other is not one and "mask" not in ast.unparse(other))


def _inside(node: ast.AST) -> list[ast.expr]:
    return [part for part in walk(node) if isinstance(part, (ast.Call, ast.Name, ast.Attribute))]


def divided_only_by(tree: NewtTree, role: str, names: tuple[str, ...], *allowed: str) -> Broken | None:
    """Variables of these names are divided by nothing but what mentions one of `allowed`."""
    for method in tree.methods(role).values():
        own = tree.names(role, method)
        for node in own.nodes:
            given = {dotted(part) for one in targets(node) for part in _inside(one)} & set(names)
            values = [node] if given else []
            values += [node] if any(own.is_of(one, *names) for one, _ in quotients(node)) else []
            for divided, divisor in (pair for one in values for part in walk(one) for pair in quotients(part)):
                if divisor is None or _over_sums(tree, role, own, divided, divisor):
                    continue
                if not any(one in ast.unparse(divisor) for one in allowed):
                    return tree.broken(method, node, f"{', '.join(sorted(given) or names)} is averaged already")
    return None


def _over_sums(tree: NewtTree, role: str, names: Names, divided: ast.expr, divisor: ast.expr) -> bool:
    """Whether it is the mean of a list of what a method of the class has added up over time, weighed by its rho."""
    match divided, divisor:
        case ast.Call(func=ast.Name(id="sum"), args=[ast.Name(id=name)]), ast.Call(args=[ast.Name(id=other)]):
            lists = [value for node in names.nodes for target, value, _ in bindings(node) if dotted(target) == name]
            made = [one.elt for one in lists if isinstance(one, ast.ListComp)]
            called = [tree.called(role, one) if isinstance(one, ast.Call) else None for one in made]
            bodies = [walk(one.node) if one is not None else [] for one in called]
            return name == other and bool(lists) and len(made) == len(lists) and all(map(_adds_up, bodies))
    return False


def _adds_up(nodes: list[ast.AST]) -> bool:
    sums = any(isinstance(one, ast.Call) and last_name(one.func) == "sum" for one in nodes)
    return sums and any(isinstance(one, ast.Attribute) and dotted(one) == "self.rho" for one in nodes)


def normalised_last(tree: NewtTree, role: str, attribute: str) -> Broken | None:
    """Of what an attribute is made in `__init__`, nothing is divided or normalised before the attribute gets it.

    There it may be divided by its sum.
    """
    if (method := tree.methods(role).get("__init__")) is None:
        return None
    nodes = tree.names(role, method).nodes
    given = {node: value for node in nodes for value in _given(node, attribute)}
    steps = [node for node in nodes if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr))]
    own = {dotted(target) for node in steps for target in targets(node)}
    wanted = {name for value in given.values() for name in names_in(value)} & own
    for node in (one for one in reversed(steps) if one not in given):
        changed = {dotted(target) for target in targets(node)}
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            changed.add(dotted(node.value.func.value))
        if wanted & changed:
            wanted |= names_in(node) & own
            if any(_divides(tree, role, part) for part in walk(node)):
                return tree.broken(method, node, f"{attribute} is normalised before it is set")
    for where, value in given.items():
        if any(_divides(tree, role, part) for part in walk(_shared_out(value))):
            return tree.broken(method, where, f"{attribute} is normalised here")
    return None


def _shared_out(value: ast.expr) -> ast.expr:
    """What is divided by its sum, or else the value."""
    match value:
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Call(func=ast.Attribute(attr="sum"))):
            return left
    return value


def _given(node: ast.AST, attribute: str) -> list[ast.expr]:
    """What a statement, or a call that registers a buffer, gives to an attribute."""
    match node:
        case ast.Call(func=ast.Attribute(attr="register_buffer"), args=[ast.Constant(value=str(name)), value, *_]):
            return [value] if f"self.{name}" == attribute else []
    return [value for target, value, _ in bindings(node) if value is not None and dotted(target) == attribute]


def _divides(tree: NewtTree, role: str, node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and last_name(node.func) in ("softmax", "normalize"):
        return True
    helper = tree.helper(role, node) if isinstance(node, ast.Call) else None
    inside = walk(helper) if helper is not None else [node]
    return any(divisor is not None for part in inside for _, divisor in quotients(part))


def adds_nothing(tree: NewtTree, role: str, name: str, made: str) -> Broken | None:
    """In a method, nothing is added to what `made` returns as it is."""
    method = tree.methods(role).get(name)
    if method is None:
        return None
    names = tree.names(role, method)
    calls = set(names.calls(made))
    known = {dotted(target) for node in names.nodes for target, value, _ in bindings(node) if value in calls}
    for node in names.nodes:
        if any(one in calls or not names.of(one).isdisjoint(known) for one in terms(node)):
            return tree.broken(method, node, f"{name} adds to what {made} returns")
    return None


def uses_only(tree: NewtTree, role: str, method: str, *names: str) -> Broken | None:
    """A method that is replaced whole calls nothing but these and methods of its class, and keeps nothing."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if found is None:
            continue
        if isinstance(node, ast.Call):
            known = (
                last_name(node.func) in names
                or last_name(node.func)[:1].isupper()
                or dotted(node.func).startswith("self.")
            )
            own = not known and tree.called(role, node) is None
        else:
            own = any(dotted(trunk(one)).startswith("self.") for one in targets(node))
        if own:
            return tree.broken(found, node, f"{method} has something of its own, which would be lost")
    return None


def each_divides(tree: NewtTree, role: str, suffix: str, made: str, by: str) -> Broken | None:
    """Every method whose name ends so takes values from `made` once, and gives them to `by` with nothing in between.

    Others whose names have it in them give `by` such values as well, if anything.
    """
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        divides = set(names.calls(by))
        if not method.name.endswith(suffix):
            reads = list(names.reads(by))
            its = {one for call in divides for one in call.args if names.is_of(one, *_averages(names, made))}
            if suffix in method.name and reads and not its:
                return tree.broken(method, reads[0], f"{method.name} uses {by} by hand, or on something else")
            continue
        calls = {call for call in names.calls(made) if _is_average(call)}
        known = _averages(names, made)
        for write in names.writes(*known):
            if write.value not in calls | divides:
                return tree.broken(method, write.node, f"{method.name} changes what it takes from {made}")
        if divides and not known:
            return tree.broken(method, method.node, f"{method.name} uses {by} on something else")
    return None


def _averages(names: Names, made: str) -> set[str]:
    """The names for averages that `made` returns."""
    calls = {call for call in names.calls(made) if _is_average(call)}
    return {dotted(target) for node in names.nodes for target, value, _ in bindings(node) if value in calls} - {""}


def _is_average(call: ast.Call) -> bool:
    return any(isinstance(one.value, ast.Constant) and one.value.value == "avg" for one in call.keywords)


def scaled_by(tree: NewtTree, role: str, made: str, by: str) -> Broken | None:
    """What `made` returns goes through no object of `self` but `by`, and is not divided by anything made of itself."""
    own = set(tree.methods(role))
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        known = _made_of(names, made)
        made_of = [(dotted(target), value) for node in names.nodes for target, value, _ in bindings(node)]
        spread = known | {name for name, value in made_of if value is not None and known & names_in(value)}
        for node in names.nodes:
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) else ()
            if sides and known & names_in(sides[0]) and spread & names_in(sides[1]):
                return tree.broken(method, node, f"what {made} returns is scaled by its own spread")
            if not isinstance(node, ast.Call) or not any(_is_own_object(one, own, by) for one in names.of(node.func)):
                continue
            given = handed(node)
            if any(not names.of(one).isdisjoint(known) or is_call(one, made) for one in given):
                return tree.broken(method, node, f"what {made} returns is scaled in another way")
    return None


def _is_own_object(name: str, own: set[str], but: str) -> bool:
    return name.startswith("self.") and name.count(".") == 1 and name.removeprefix("self.") not in own and name != but


def has_powers(tree: NewtTree, role: str, attribute: str, setting: str, how: str = "") -> Broken | None:
    """An attribute is the powers of a setting from the 0th on, one for each step, or else these divided by their sum.

    Args:
        how: where it says something, they are not divided.
    """
    method = tree.methods(role).get("__init__")
    given = [node for node in walk(method.node) for _ in _given(node, attribute)] if method is not None else []
    if method is None or not given:
        return None
    steps, base = 3, 0.7
    series = Series({setting: base, "horizon": steps}, lambda call: tree.helper(role, call))
    series.run(method.node.body)
    weights = series.names.get(attribute)
    for count in (steps, steps + 1):
        powers = [base**step for step in range(count)]
        for scale in (1.0,) if how else (1.0, math.fsum(powers)):
            wanted = [power / scale for power in powers]
            if isinstance(weights, list) and len(weights) == count and all(map(math.isclose, weights, wanted)):
                return None
    return tree.broken(method, given[-1], f"{attribute} is not known to be {setting}^t")
