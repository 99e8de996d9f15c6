"""What the terms of the policy's loss, its inputs and what the planner gives are made of."""

from __future__ import annotations

import ast
import re
from itertools import takewhile

from newtfix.code.arithmetic import called, operands
from newtfix.code.equivalent import CASTS
from newtfix.code.names import bindings, targets
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, last_name, walk
from newtfix.code.values import positional
from newtfix.newt.places import assignments
from newtfix.newt.tree import Broken, NewtTree

# What people say of how long something takes.
_LENGTH = re.compile(
    r"\b(duration|length|how long|lasts?|takes|longer|later|(so|this|that|as) many|steps (from|after))\b",
    re.IGNORECASE,
)
_MOVES = frozenset("detach to clone float cpu cuda contiguous long".split())
_CASTS = frozenset("float to type_as double half int long".split())
_DRAWS = frozenset("randn randn_like rand rand_like normal normal_".split())
_TESTS = frozenset("isnan isfinite".split())
_PUTS = frozenset("where nan_to_num masked_fill masked_fill_ nan_to_num_".split())


def not_accumulated(tree: NewtTree, role: str, methods: str, word: str) -> Broken | None:
    """Methods with this in their names add nothing to a variable with this word in its name once it has a value.

    They may switch it on and off.
    """
    for method in (one for name, one in tree.methods(role).items() if methods in name):
        switches = {
            dotted(target): value for _, given, value in assignments(method) for target in given if _is_switch(value)
        }
        for node in walk(method.node):
            added: ast.expr | None = node.target if isinstance(node, ast.AugAssign) else None
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and len(node.targets) == 1:
                both = (node.value.left, node.value.right)
                if isinstance(node.value.op, ast.Mult) and any(_is_switch(switches.get(dotted(x), x)) for x in both):
                    continue
                sides = set(map(dotted, both))
                added = node.targets[0] if dotted(node.targets[0]) in sides - {""} else None
            if added is not None and word in dotted(added) and isinstance(getattr(node, "op", ast.Add()), ast.Add):
                return tree.broken(method, node, f"{method.name} adds to {dotted(added)}, which would be lost")
    return None


def _is_switch(node: ast.expr) -> bool:
    """Whether it is a comparison, perhaps as numbers."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and called(node) in _CASTS:
        node = node.func.value
    return isinstance(node, ast.Compare)


def not_rebound(tree: NewtTree, role: str, method: str) -> Broken | None:
    """A method hands its parameters on as it was given them, moved or cut."""
    found = tree.methods(role).get(method)
    parameters = {one.arg for one in found.node.args.args} if found is not None else set[str]()
    for _, given, value in assignments(found) if found is not None else ():
        inner = value
        while isinstance(inner, ast.Subscript) or (isinstance(inner, ast.Call) and last_name(inner.func) in _MOVES):
            inner = inner.value if isinstance(inner, ast.Subscript) else getattr(inner.func, "value", inner.func)
        names = {dotted(one) for one in given} & parameters
        if found is not None and names and dotted(inner) not in names:
            return tree.broken(found, value, f"{method} changes {', '.join(sorted(names))} before it hands it on")
    return None


def not_replaced(tree: NewtTree, role: str, method: str, *called: str) -> Broken | None:
    """What a method calls one of these for first goes on under its name: nothing else takes its place there."""
    found = tree.methods(role).get(method)
    given = [(to, value) for _, targets, value in (assignments(found) if found is not None else ()) for to in targets]
    calls = [(to, value) for to, value in given if isinstance(value, ast.Call) and dotted(value.func) in called]
    made = {dotted(to.elts[0] if isinstance(to, ast.Tuple) else to): value.lineno for to, value in calls}
    for to, value in given:
        names = {dotted(one) for one in (to.elts if isinstance(to, ast.Tuple) else [to])} - names_in(value)
        other = dotted(value.func) if isinstance(value, ast.Call) else ""
        again = [name for name in names if made.get(name, value.lineno) < value.lineno]
        if found is not None and again and not other.startswith("self."):
            return tree.broken(found, value, f"{again[0]} is another one from here on")
    return None


def only_replaced(tree: NewtTree, role: str, *names: str) -> Broken | None:
    """Whether a value is NaN is asked only to put something in its place."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if not (isinstance(node, ast.Call) and last_name(node.func) in _TESTS):
                continue
            asked = {dotted(one) for one in walk(node) if isinstance(one, ast.Name)}
            around = [one for one in path_to(method.node, node) if isinstance(one, ast.Call)]
            if asked & set(names) and not any(last_name(one.func) in _PUTS for one in around):
                return tree.broken(method, node, f"what {', '.join(sorted(asked & set(names)))} lacks means something")
    return None


def ordered(tree: NewtTree, first: str, second: str) -> Broken | None:
    """The default of one setting is less than that of another, where both are numbers."""
    found = tree.roles.get("config")
    defaults: dict[str, tuple[ast.AST, int | float]] = {}
    for node in walk(tree.module(found.file)) if found is not None else ():
        value = node.value if isinstance(node, (ast.AnnAssign, ast.Assign)) else None
        for target in targets(node):
            if isinstance(value, ast.Constant) and isinstance(value.value, (int, float)):
                defaults.setdefault(dotted(target), (node, value.value))
    if found is not None and first in defaults and second in defaults and defaults[first][1] >= defaults[second][1]:
        return tree.broken_in(found.file, defaults[second][0], f"{second} is not after {first}: it is no step")
    return None


def told_as_step(tree: NewtTree, setting: str) -> Broken | None:
    """What the settings say of one, beside it or above it, is not that it is how long something takes."""
    found = tree.roles.get("config")
    lines = tree.sources[found.file].splitlines() if found is not None else []
    for node in walk(tree.module(found.file)) if found is not None else ():
        value = node.value if isinstance(node, (ast.AnnAssign, ast.Assign)) else None
        if value is None or found is None or setting not in map(dotted, targets(node)):
            continue
        last = value.end_lineno or value.lineno
        above = list(takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines[: value.lineno - 1])))
        texts = (one.value for one in walk(value) if isinstance(one, ast.Constant))
        said = [lines[last - 1].partition("#")[2], *above, *(text for text in texts if isinstance(text, str))]
        if any(_LENGTH.search(one) for one in said):
            return tree.broken_in(found.file, node, f"{setting} is said to be how long it takes")
    return None


def drawn_from_no_noise(tree: NewtTree, role: str, *methods: str) -> Broken | None:
    """What these methods return first has no noise in it that they draw themselves."""
    for method in (one for name, one in tree.methods(role).items() if name in methods):
        returned = [n.value for n in walk(method.node) if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple)]
        names = {dotted(value.elts[0]) for value in returned if isinstance(value, ast.Tuple)} - {""}
        for _, given, value in assignments(method):
            draws = any(isinstance(one, ast.Call) and last_name(one.func) in _DRAWS for one in walk(value))
            reads = {dotted(one) for one in walk(value) if isinstance(one, ast.expr)} & names
            if draws and reads and names & set(map(dotted, given)):
                return tree.broken(method, value, f"{method.name} returns noise with the action")
    return None


def scales_noise(tree: NewtTree, role: str, name: str, *made: str) -> Broken | None:
    """All noise that a method draws is multiplied by what `made` returns behind action and mean, by any name."""
    if (method := tree.methods(role).get(name)) is None:
        return None
    spreads: set[str] = set()
    drawn: dict[ast.AST, set[str]] = {node: set() for node in walk(method.node) if _is_drawn(node)}
    for _, given, value in assignments(method):
        parts = given[0].elts if isinstance(given[0], ast.Tuple) else given
        if isinstance(value, ast.Call) and dotted(value.func) in made:
            spreads |= set(map(dotted, parts[2:]))
        elif any(dotted(one) in spreads for one in _factors(value)):
            spreads |= set(map(dotted, parts))
        for node in drawn.keys() & set(walk(value)):
            drawn[node] |= set(map(dotted, parts))
    products = [factors for node in walk(method.node) if (factors := _factors(node))]
    scaled = [one for factors in products if not spreads.isdisjoint(map(dotted, factors)) for one in factors]
    inside, read = {part for one in scaled for part in walk(one)}, set(map(dotted, scaled))
    for node, names in drawn.items():
        if node not in inside and names.isdisjoint(read):
            return tree.broken(method, node, f"{name} does not scale its noise with what the planner found")
    return None if drawn else tree.broken(method, method.node, f"{name} draws no noise")


def _is_drawn(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in _DRAWS


def _factors(node: ast.AST) -> list[ast.expr]:
    """What is multiplied with each other; where a draw has a deviation, that and the draw."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return [part for side in (left, right) for part in (_factors(side) or [side])]
        case ast.Call() if called(node) in ("mul", "multiply", "addcmul"):
            return operands(node)[-2:]
        case ast.Call() if called(node) == "normal":
            return [*operands(node)[1:2], node]
    return []


def no_number_scales(tree: NewtTree, role: str, methods: str, word: str) -> Broken | None:
    """Methods with this in their names scale nothing with this word in its name by a number."""
    for method in (one for name, one in tree.methods(role).items() if methods in name):
        for _, given, value in assignments(method):
            if not any(word in dotted(one) for one in given) or not isinstance(value, ast.BinOp):
                continue
            numbers = [one.value for one in (value.left, value.right) if isinstance(one, ast.Constant)]
            if isinstance(value.op, (ast.Mult, ast.Div)) and any(one not in (1, -1, 61) for one in numbers):
                return tree.broken(method, value, f"{word} is scaled by a number here")
    for method in (one for name, one in tree.methods(role).items() if word in name):
        for node in (one for one in walk(method.node) if isinstance(one, ast.Return)):
            match node.value:
                case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
                    sides = [one for one in (left, right) if isinstance(one, ast.Attribute)]
                case _:
                    sides = []
            if any("cfg" in dotted(one).split(".") for one in sides):
                return tree.broken(method, node, f"what {method.name} returns is scaled by a setting")
    return None


def _numbers_in_parts(function: ast.FunctionDef) -> dict[str, list[tuple[ast.AST, float]]]:
    """The numbers that a function writes into parts of variables."""
    found: dict[str, list[tuple[ast.AST, float]]] = {}
    for node in walk(function):
        for target, value, _ in bindings(node):
            number = value.value if isinstance(value, ast.Constant) else None
            if isinstance(target, ast.Subscript) and isinstance(number, (int, float)):
                found.setdefault(dotted(target.value), []).append((node, number))
    return found


def not_filled(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What is registered under a name is not filled with one number afterwards, does not stay zero, and has no others.

    Others than ones and zeros: numbers that are written into a part of what has ones in another.
    """
    methods = tree.methods(role).values()
    found = tree.roles.get(role)
    for function in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(function, ast.FunctionDef) and found is not None:
            for parts in _numbers_in_parts(function).values():
                others = [place for place, number in parts if number not in (0, 1)]
                if others and any(number == 1 for _, number in parts):
                    return tree.broken_in(found.file, others[0], f"{name} have more than ones and zeros")
    written = {
        dotted(target.value)
        for method in methods
        for node in walk(method.node)
        for target in targets(node)
        if isinstance(target, ast.Subscript)
    }
    for method in methods:
        nodes = [node for node in walk(method.node) if isinstance(node, ast.Call)]
        given = [
            call.args[1]
            for call in nodes
            if last_name(call.func) == "register_buffer" and len(call.args) > 1
            if isinstance(call.args[0], ast.Constant) and call.args[0].value == name
        ]
        for value in given if f"self.{name}" not in written else ():
            if isinstance(value, ast.Call) and last_name(value.func) == "zeros":
                return tree.broken(method, value, f"{name} stay zero")
        kept = {f"self.{name}", *map(dotted, given)} - {""}
        made = [value for node in walk(method.node) for target, value, _ in bindings(node) if dotted(target) in kept]
        choices = [node for node in walk(method.node) if isinstance(node, ast.If) and _goes_by_setting(node.test)]
        chosen = {part for node in choices for part in walk(node)}
        changed = any(
            isinstance(target, ast.Subscript)
            for node in walk(method.node)
            for target in (targets(node) if node not in chosen else ())
        )
        for one in [*given, *made] if not changed else ():
            if isinstance(one, ast.Call) and last_name(one.func) == "ones" and not _is_single(one):
                return tree.broken(method, one, f"{name} are all alike")
        for call in nodes:
            owner = dotted(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            if owner in kept and last_name(call.func) in ("fill_", "fill"):
                return tree.broken(method, call, f"{name} are all alike")
    return None


def _goes_by_setting(test: ast.expr) -> bool:
    return any(isinstance(one, ast.Attribute) and dotted(one.value).endswith("cfg") for one in walk(test))


def _is_single(made: ast.Call) -> bool:
    """Whether it has one row, for one task."""
    return bool(made.args) and isinstance(made.args[0], ast.Constant) and made.args[0].value == 1


def chosen_by(tree: NewtTree, role: str, method: str, word: str, setting: str) -> Broken | None:
    """Which of the methods with this word in their names a method calls depends on nothing but a setting."""
    found = tree.methods(role).get(method)
    calls = [
        node
        for node in (walk(found.node) if found is not None else ())
        if isinstance(node, ast.Call) and dotted(node.func).startswith("self.") and word in dotted(node.func)
    ]
    if found is None or len({dotted(call.func) for call in calls}) < 2:
        return None
    for call in calls:
        for test in (one.test for one in path_to(found.node, call) if isinstance(one, ast.If)):
            read = {part.attr for part in walk(test) if isinstance(part, ast.Attribute)} - {"cfg", "get"}
            read |= {
                part.value for part in walk(test) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
            if read - {setting}:
                return tree.broken(found, test, f"{dotted(call.func)} is chosen by something else")
    return None


def not_remade(tree: NewtTree, role: str, variables: str, but: str) -> Broken | None:
    """No variable of these names gets what a call other than one of `but` makes of it; moves and casts aside."""
    names, allowed = variables.split(), {*but.split(), *CASTS}
    for method in tree.methods(role).values():
        for node in walk(method.node):
            for target, value, _ in bindings(node):
                made = value if isinstance(value, ast.Call) and last_name(value.func) not in allowed else None
                if made is not None and dotted(target) in names_in(made).intersection(names):
                    return tree.broken(method, node, f"{dotted(target)} is made anew")
    return None


def not_mixed(tree: NewtTree, role: str, call: str, *entries: str) -> Broken | None:
    """What else a call is given is not made of what it is given under these names."""
    for method, node in tree.calls(role, call):
        made = tree.called(role, node)
        words = positional(made.node) if made is not None else []
        given: dict[str | None, ast.expr] = dict(zip(words, node.args, strict=False))
        given |= {one.arg: one.value for one in node.keywords}
        mixed = {dotted(value) for word, value in given.items() if word in entries} - {""}
        others = {dotted(value) for word, value in given.items() if word not in entries} - {"", *mixed}
        for part in walk(method.node):
            for target, value, _ in bindings(part):
                read = names_in(value) if value is not None and dotted(target) in others else set()
                if mixed & read and dotted(target) in read:
                    return tree.broken(method, part, f"{dotted(target)} is made of {' or '.join(entries)}")
    return None
