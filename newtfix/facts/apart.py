"""What a tree does apart from what a patch knows: with settings, parameters, counts and bounds of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code.arithmetic import called
from newtfix.code.names import bindings
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, handed, last_name, reads_any, walk
from newtfix.facts.around import named
from newtfix.newt.tree import Broken, NewtTree

_DRAWS = frozenset(("randn", "randn_like", "rand", "rand_like", "normal", "bernoulli", "uniform"))
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_BOUNDS = frozenset(("clamp", "clip", "clamp_max", "minimum"))
_SHAPES = ("ndim", "dim", "shape", "size", "numel")


def reads_attributes(tree: NewtTree, role: str, methods: str, *attributes: str) -> Broken | None:
    """Methods with this in their names, which are replaced whole, compute with no attributes but these and methods."""
    known = {*attributes, *tree.methods(role)}
    for method in named(tree, role, methods):
        nodes = walk(method.node)
        told = {n.value.func for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)}
        for node in nodes:
            name = dotted(node) if isinstance(node, ast.Attribute) and node not in told else ""
            if name.startswith("self.") and name.split(".")[1] not in known:
                return tree.broken(method, node, f"{method.name} goes by {name}, which would be lost")
    return None


def names_no_number(tree: NewtTree, role: str, number: str) -> Broken | None:
    """The number stands nowhere in the file of a role outside of the class that plays it."""
    found = tree.roles.get(role)
    for statement in tree.module(found.file).body if found is not None else ():
        for node in walk(statement) if not isinstance(statement, ast.ClassDef) else ():
            value = node.value if isinstance(node, ast.Constant) else None
            if found is not None and isinstance(value, (int, float)) and value == float(number):
                return tree.broken_in(found.file, node, f"{number} is part of something already")
    return None


def draws_evenly(tree: NewtTree, role: str) -> Broken | None:
    """What is drawn in the file of a role is drawn alike, or by how long it is."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if not isinstance(node, ast.Call) or found is None:
            continue
        by_name = [one.value for one in node.keywords if one.arg in ("weights", "cum_weights", "p")]
        at = {"choices": 1, "multinomial": 0, "WeightedRandomSampler": 0}.get(last_name(node.func))
        if at is None and last_name(node.func) != "choice":
            continue
        for weights in by_name or (node.args[at : at + 1] if at is not None else []):
            lengths = any(isinstance(part, ast.Call) and last_name(part.func) == "len" for part in walk(weights))
            numbers = isinstance(weights, (ast.List, ast.Tuple)) and all(
                isinstance(o, ast.Constant) for o in weights.elts
            )
            if not lengths and not numbers and not reads_any(weights, "shape"):
                return tree.broken_in(found.file, node, "some are drawn more often than others")
    return None


def maps_randomly(tree: NewtTree, role: str) -> Broken | None:
    """What runs networks side by side lets each draw numbers of its own."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.Call) and last_name(node.func) == "vmap" and found is not None:
            given = {one.arg: one.value for one in node.keywords}.get("randomness")
            if not (isinstance(given, ast.Constant) and given.value == "different"):
                return tree.broken_in(found.file, node, "no network may draw numbers here")
    return None


def not_told_apart(tree: NewtTree, what: str) -> Broken | None:
    """Nothing tells parameters apart by their dimensions."""
    for file in tree.files_with(what, f"named_{what}"):
        lists = _lists_of(tree.module(file), what)
        for node in walk(tree.module(file)):
            loops = node.generators if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)) else ()
            tests = [test for loop in loops if _goes_over(loop.iter, what, lists) for test in loop.ifs]
            if isinstance(node, ast.For) and _goes_over(node.iter, what, lists):
                tests += [one.test for one in walk(node) if isinstance(one, (ast.If, ast.IfExp))]
            for test in tests:
                if reads_any(test, *_SHAPES):
                    return tree.broken_in(file, test, f"{what} are told apart by their dimensions")
            each = _each_of(node, what, lists)
            for call in (one for one in walk(node) if isinstance(one, ast.Call)) if each else ():
                if "norm" in last_name(call.func) and any(names_in(one) & each for one in handed(call)):
                    return tree.broken_in(file, call, f"each of the {what} has a norm of its own here")
    return None


def _goes_over(node: ast.expr, what: str, lists: set[str]) -> bool:
    return reads_any(node, what, f"named_{what}") or dotted(node) in lists


def _lists_of(module: ast.Module, what: str) -> set[str]:
    """The names of lists of these."""
    return {
        dotted(target)
        for one in walk(module)
        for target, value, _ in bindings(one)
        if isinstance(value, (ast.ListComp, ast.Call)) and reads_any(value, what, f"named_{what}")
    } - {""}


def _each_of(node: ast.AST, what: str, lists: set[str]) -> set[str]:
    """The names that a loop or comprehension gives to each of these, or of a list of them."""
    match node:
        case ast.For(target=target, iter=them):
            loops = [(target, them)]
        case ast.ListComp(generators=each) | ast.GeneratorExp(generators=each):
            loops = [(one.target, one.iter) for one in each]
        case _:
            return set()
    return {
        name
        for target, them in loops
        if reads_any(them, what, f"named_{what}") or dotted(them) in lists
        for name in names_in(target)
    }


def ranges_by(tree: NewtTree, role: str, methods: str, *settings: str) -> Broken | None:
    """Loops and counts in these methods go by these settings, where they go by one."""
    for method in (one for name, one in tree.methods(role).items() if name in methods.split()):
        for node in walk(method.node):
            if isinstance(node, ast.Call) and called(node) in ("range", "arange"):
                for part in walk(node):
                    of_cfg = isinstance(part, ast.Attribute) and dotted(part.value).rpartition(".")[2] == "cfg"
                    if isinstance(part, ast.Attribute) and of_cfg and part.attr not in settings:
                        return tree.broken(method, node, f"{method.name} counts by {part.attr}")
    return None


def bounded_below(tree: NewtTree, role: str, *names: str) -> Broken | None:
    """Nothing bounds these values from above."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if not (isinstance(node, ast.Call) and called(node) in _BOUNDS):
                continue
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            of_module = owner is None or dotted(owner) in ("torch", "np", "numpy")
            bounded = (node.args[0] if node.args else None) if of_module else owner
            upper = bool(node.args[1 + of_module :]) or any(one.arg == "max" for one in node.keywords)
            lone = called(node) in ("clamp_max", "minimum")
            if bounded is not None and dotted(bounded) in names and (upper or lone):
                return tree.broken(method, node, f"{dotted(bounded)} has an upper bound here")
    return None


def compared_alone(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Where `name` is compared with something made of these words, nothing else is compared by size."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            both = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)
            orders = list(_orders(node)) if both else []
            asked = [one for one in orders if reads_any(one, name.rpartition(".")[2]) and reads_any(one, *words)]
            others = [one for one in orders if one not in asked and not _is_switch(one)]
            if asked and others:
                return tree.broken(method, others[0], f"{name} is not alone in what decides")
    return None


def _orders(node: ast.AST) -> Iterator[ast.Compare]:
    for part in walk(node):
        if isinstance(part, ast.Compare) and any(isinstance(one, _ORDERS) for one in part.ops):
            yield part


def _is_switch(node: ast.Compare) -> bool:
    """Whether it asks whether something is there at all."""
    return any(isinstance(one, ast.Constant) and one.value in (0, 1) for one in (node.left, *node.comparators))


def asked_within(tree: NewtTree, setting: str, role: str, *classes: str) -> Broken | None:
    """A setting is read in these classes of the file of a role alone, where it is read at all."""
    found = tree.roles.get(role)
    for file in tree.python:
        for node in walk(tree.module(file)) if setting in tree.sources[file] else ():
            if not (isinstance(node, ast.Attribute) and node.attr == setting and isinstance(node.ctx, ast.Load)):
                continue
            if dotted(node.value).rpartition(".")[2] != "cfg":
                continue
            around = {one.name for one in path_to(tree.module(file), node) if isinstance(one, ast.ClassDef)}
            if found is None or file != found.file or not around & set(classes):
                return tree.broken_in(file, node, f"{setting} means something else here")
    return None


def begins_by_setting(tree: NewtTree, function: str, start: str, end: str) -> Broken | None:
    """Whoever calls a function and gives it `end` gives it `start` as well."""
    for file in tree.python:
        for node in walk(tree.module(file)) if function in tree.sources[file] else ():
            calls = isinstance(node, ast.Call) and last_name(node.func) == function
            if calls and reads_any(node, end) and not reads_any(node, start):
                return tree.broken_in(file, node, f"{function} begins at another step than {start}")
    return None


def without_alternatives(tree: NewtTree, role: str, setting: str) -> Broken | None:
    """What is done only where a setting says so is done in no other case instead."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            tests = node.test.values if isinstance(node, ast.If) and isinstance(node.test, ast.BoolOp) else []
            both = bool(tests) and isinstance(node, ast.If) and isinstance(getattr(node.test, "op", None), ast.And)
            others = [one for one in tests if isinstance(one, ast.BoolOp) and isinstance(one.op, ast.Or)]
            if both and others and any(reads_any(one, setting) for one in tests if one not in others):
                return tree.broken(method, node, f"not {setting} alone decides here")
    return None


def draws_nothing(tree: NewtTree, role: str, cls: str) -> Broken | None:
    """Methods of a class draw no random numbers."""
    for method in tree.of_class(role, cls):
        for node in walk(method.node):
            if isinstance(node, ast.Call) and called(node) in _DRAWS and method.name != "__init__":
                return tree.broken(method, node, f"{method.name} draws numbers of its own")
    return None


def computed_nowhere(tree: NewtTree, role: str, made: str) -> Broken | None:
    """What a call returns first keeps its name for itself: nothing computed is given to it in the same method."""
    for method in tree.methods(role).values():
        names = {
            dotted(target.elts[0] if isinstance(target, ast.Tuple) else target)
            for node in walk(method.node)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and dotted(node.value.func) == made
            for target in node.targets
            if not isinstance(target, ast.Tuple) or target.elts
        } - {""}
        for node in walk(method.node) if names else ():
            for target, value, whole in bindings(node):
                if dotted(target) in names and whole and isinstance(value, (ast.BinOp, ast.UnaryOp, ast.IfExp)):
                    return tree.broken(method, node, f"{dotted(target)} is computed anew")
            if isinstance(node, ast.AugAssign) and dotted(node.target) in names:
                return tree.broken(method, node, f"{dotted(node.target)} is computed anew")
    return None


def shares_no_function(tree: NewtTree, role: str, cls: str) -> Broken | None:
    """A deep copy of a class shares no function that is closed over the class itself, but one that is compiled.

    Bound methods are copied with what they are bound to; closures and compiled functions are not.
    """
    compiled: set[str] = set()
    for method in tree.of_class(role, cls):
        functions = [one for one in walk(method.node)[1:] if isinstance(one, ast.FunctionDef)]
        local = {one.name for one in functions if _reads_itself(one)}
        for node in walk(method.node):
            for target, value, _ in bindings(node):
                if not dotted(target).startswith("self.") or value is None:
                    continue
                parts = walk(value)
                if any(isinstance(one, ast.Call) and called(one) == "compile" for one in parts):
                    compiled.add(dotted(target))
                closed = _reads_itself(value) and any(isinstance(one, ast.Lambda) for one in parts)
                if closed or any(one.id in local for one in parts if isinstance(one, ast.Name)) or len(compiled) > 1:
                    return tree.broken(method, node, f"copies of {cls} share {dotted(target)}")
    return None


def _reads_itself(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Attribute) and dotted(one).startswith("self.") for one in walk(node))
