"""Whether a method does with what it has just what a patch takes it to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from newtfix.code.paths import conditions, names_in, path_to, targets_of
from newtfix.code.syntax import dotted, parsed, walk
from newtfix.newt.tree import Broken, NewtTree

_LEAVES = (ast.Return, ast.Continue, ast.Break)
_AVERAGES = frozenset("mean nanmean".split())
_OF_NETWORKS = frozenset(
    "parameters named_parameters modules apply state_dict load_state_dict register_forward_hook".split()
)


def cut_only(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What is kept in an attribute, row by row, is read by slices of one column, and no row across all columns."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and dotted(node.value) == name:
                index = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
                if not isinstance(index, ast.Slice) and not _is_text(index):
                    return tree.broken(method, node, f"a row of {name} is read across all columns")
    return None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def decided_by(tree: NewtTree, role: str, name: str, parameter: str, *others: str) -> Broken | None:
    """A parameter of a method keeps its value, but for what `others` say where it is not given."""
    method = tree.methods(role).get(name)
    known = {parameter, *others, *(one.rpartition(".")[0] for one in others)}
    for node in walk(method.node) if method is not None else ():
        value = getattr(node, "value", None)
        if method is None or not isinstance(value, ast.expr):
            continue
        if parameter in map(dotted, targets_of(node)) and not names_in(value) <= known:
            return tree.broken(method, node, f"not {parameter} alone decides")
    return None


def only_of(tree: NewtTree, role: str, name: str, called: str, *owners: str) -> Broken | None:
    """A method asks for what `called` returns of these owners alone."""
    method = tree.methods(role).get(name)
    for node in walk(method.node) if method is not None else ():
        if method is None or not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == called and dotted(node.func.value) not in owners:
            return tree.broken(method, node, f"{name} asks something else for {called}")
    return None


def read_once(tree: NewtTree, role: str, function: str, parameter: str) -> Broken | None:
    """A function of a module reads a parameter at one place."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == function and found is not None:
            reads = [n for n in walk(node) if isinstance(n, ast.Name) and n.id == parameter]
            reads = [n for n in reads if isinstance(n.ctx, ast.Load)]
            if len(reads) > 1:
                return tree.broken_in(found.file, reads[1], f"{parameter} is used once more")
    return None


def ends_by_setting(tree: NewtTree, function: str) -> Broken | None:
    """No call of a function gives it a number last that could be a duration: it is greater than the one before."""
    for file in tree.python:
        for node in walk(tree.module(file)) if function in tree.sources[file] else ():
            if not isinstance(node, ast.Call) or dotted(node.func).rpartition(".")[2] != function:
                continue
            given = [*node.args, *(one.value for one in node.keywords)][-2:]
            numbers = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, int)]
            rises = len(numbers) == 2 and numbers[0] < numbers[1]
            if any(isinstance(one, ast.Constant) for one in given) and not rises:
                return tree.broken_in(file, node, f"{function} may be called with a duration")
    return None


def summed_only(tree: NewtTree, role: str, made: str) -> Broken | None:
    """In methods that call `made` themselves, what it returns is neither divided nor averaged over a dimension."""
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        if not any(_calls(node, made) for node in nodes):
            continue
        names = {
            dotted(target)
            for node in nodes
            for target in targets_of(node)
            if any(_calls(part, made) for part in walk(node))
        }
        for node in nodes:
            match node:
                case ast.BinOp(right=ast.Constant(), op=ast.Div()):
                    continue
                case ast.BinOp(left=left, op=ast.Div()) | ast.AugAssign(target=left, op=ast.Div()):
                    divided = left
                case ast.Call(func=ast.Attribute(value=divided, attr=attr), args=args, keywords=keywords) if (
                    attr in _AVERAGES and (args or keywords)
                ):
                    pass
                case ast.BinOp(left=left, op=ast.Mult(), right=right) if _calls(left, made) or _calls(right, made):
                    divided, other = (left, right) if _calls(left, made) else (right, left)
                    if isinstance(other, ast.Constant) or "mask" in ast.unparse(other):
                        continue
                case _:
                    continue
            if any(_calls(part, made) or dotted(part) in names for part in _inside(divided)):
                return tree.broken(method, node, f"what {made} returns is averaged already")
    return None


def _inside(node: ast.AST) -> list[ast.expr]:
    return [part for part in walk(node) if isinstance(part, (ast.Call, ast.Name, ast.Attribute))]


def _calls(node: ast.AST, made: str) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == made


def never_none(tree: NewtTree, role: str, name: str, parameter: str) -> Broken | None:
    """Whoever calls a method of the class gives it a value for a parameter that is never None."""
    method = tree.methods(role).get(name)
    names = [one.arg for one in method.node.args.args if one.arg != "self"] if method is not None else []
    if parameter not in names:
        return None
    index = names.index(parameter)
    for file in tree.python:
        for call in walk(tree.module(file)) if name in tree.sources[file] else ():
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == name):
                continue
            given = [*call.args[index : index + 1], *(one.value for one in call.keywords if one.arg == parameter)]
            for part in (part for one in given for part in walk(one)):
                if isinstance(part, ast.Constant) and part.value is None:
                    return tree.broken_in(file, call, f"{name} gets no {parameter}")
    return None


def taken_together(tree: NewtTree, name: str, cls: str) -> Broken | None:
    """Outside of a class nobody takes the parameters of single parts in a list of that name, or gives them others."""
    for file in tree.python:
        if f".{name}" not in tree.sources[file]:
            continue
        module = tree.module(file)
        own = {
            part for node in walk(module) if isinstance(node, ast.ClassDef) and node.name == cls for part in walk(node)
        }
        nodes = [node for node in walk(module) if node not in own]
        if any(_makes_list(node, name) for node in nodes):
            continue  # a list of its own
        each = {part.id for node in nodes for part in _names_of_parts(node, name)}
        each |= {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)
            if dotted(node.value.value).rpartition(".")[2] == name
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _OF_NETWORKS:
                owner = node.func.value
                if (isinstance(owner, ast.Name) and owner.id in each) or _is_part(owner, name):
                    return tree.broken_in(file, node, f"one of {name} is taken by itself")
            for target in targets_of(node):
                if isinstance(target, ast.Subscript) and dotted(target.value).rpartition(".")[2] == name:
                    return tree.broken_in(file, node, f"one of {name} is replaced")
            if isinstance(node, (ast.For, ast.comprehension)) and _is_part(node.iter, name):
                return tree.broken_in(file, node.iter, f"one of {name} is taken apart")
    return None


def _makes_list(node: ast.AST, name: str) -> bool:
    """Whether an object makes networks of that name for itself."""
    made = (
        node.value if isinstance(node, ast.Assign) and any(dotted(t) == f"self.{name}" for t in node.targets) else None
    )
    return isinstance(made, ast.Call) and dotted(made.func).rpartition(".")[2] == "ModuleList"


def _names_of_parts(node: ast.AST, name: str) -> Iterator[ast.Name]:
    """The variables of a loop over a list of that name."""
    if isinstance(node, (ast.For, ast.comprehension)):
        attributes = [part for part in walk(node.iter) if isinstance(part, ast.Attribute)]
        owners = {part.value for part in attributes}
        if any(part.attr == name and part not in owners for part in attributes):
            yield from (part for part in walk(node.target) if isinstance(part, ast.Name))


def _is_part(node: ast.expr, name: str) -> bool:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        if isinstance(node, ast.Subscript) and dotted(node.value).rpartition(".")[2] == name:
            return True
        node = node.value
    return False


def divided_only_by(tree: NewtTree, role: str, names: tuple[str, ...], *allowed: str) -> Broken | None:
    """Variables of these names are divided by nothing but what mentions one of `allowed`."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            targets = {dotted(part) for one in targets_of(node) for part in _inside(one)}
            value = getattr(node, "value", None)
            if not targets & set(names) or value is None:
                continue
            divisors = [value] if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div) else []
            divisors += [n.right for n in walk(value) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
            for divisor in divisors:
                if not any(one in ast.unparse(divisor) for one in allowed):
                    return tree.broken(method, node, f"{', '.join(sorted(targets & set(names)))} is averaged already")
    return None


def called_only_in(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Something is called in methods with such a word in their names, and in no others of the class."""
    for method, call in tree.calls(role, name):
        if not any(word in method.name for word in words):
            return tree.broken(method, call, f"{method.name} uses {name} as well")
    return None


def reached(tree: NewtTree, role: str, method: str, called: str, *but: str) -> Broken | None:
    """Whenever a method runs to its end, it calls something, unless a condition on one of `but` says no."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if not (isinstance(node, ast.Call) and dotted(node.func) == called and found is not None):
            continue
        for test, _ in conditions(path_to(found.node, node)):
            if not names_in(test) & set(but):
                return tree.broken(found, test, f"{called} is not always called")
        for one in walk(found.node):
            if isinstance(one, _LEAVES) and one.lineno < node.lineno:
                return tree.broken(found, one, f"{method} may leave before {called}")
    return None


def one_name_for(tree: NewtTree, role: str, cls: str, method: str) -> Broken | None:
    """One attribute of a class holds a method, compiled or not."""
    found = tree.roles.get(role)
    holders: dict[str, ast.AST] = {}
    for node in walk(tree.module(found.file)) if found is not None else ():
        for target in targets_of(node):
            its = isinstance(target, ast.Attribute) and dotted(target.value) == "self"
            if isinstance(target, ast.Attribute) and target.attr == "forward" and not its and found is not None:
                return tree.broken_in(found.file, node, "forward itself is replaced")
    for own in tree.of_class(role, cls):
        for node in walk(own.node):
            value = getattr(node, "value", None)
            if isinstance(value, ast.expr) and f"self.{method}" in names_in(value):
                for target in targets_of(node):
                    holders.setdefault(dotted(target), node)
    if len(holders) > 1 and found is not None:
        return tree.broken_in(found.file, list(holders.values())[-1], f"{' and '.join(holders)} both hold {method}")
    return None


def undisturbed(tree: NewtTree, role: str, name: str, owner: str) -> Broken | None:
    """A call in a loop is in no context, nothing is done to `owner` around it, and nothing to put right after it."""
    for method, call in tree.calls(role, name):
        path = path_to(method.node, call)
        loops = [number for number, node in enumerate(path) if isinstance(node, ast.While)]
        inside = path[loops[-1] + 1 :] if loops else path
        for node in inside:
            if isinstance(node, ast.Try) and node.finalbody:
                return tree.broken(method, node, f"something is done behind {name} whatever happens")
            if isinstance(node, ast.With) and (loops or any(owner in names_in(one.context_expr) for one in node.items)):
                return tree.broken(method, node, f"{name} is called within this")
            for block in (getattr(node, part, None) for part in ("body", "orelse")):
                for one in block if isinstance(block, list) else ():
                    value = one.value if isinstance(one, ast.Expr) else None
                    if isinstance(value, ast.Call) and dotted(value.func).startswith(f"{owner}."):
                        return tree.broken(method, one, f"{name} is called while something is done with {owner}")
    return None


def only_checks(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A method consists of one condition under which it ends the run."""
    method = tree.methods(role).get(name)
    if method is None:
        return None
    body = [one for one in method.node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    for number, one in enumerate(body):
        ends = isinstance(one, ast.If) and not one.orelse and all(isinstance(part, ast.Raise) for part in one.body)
        if not ends or number > 0:
            return tree.broken(method, one, f"{name} does more than it is known for")
    return None


def not_asserted(tree: NewtTree, role: str, name: str) -> Broken | None:
    """Nothing ends a run because of an attribute, or of what calls in the class of a role are given under this name.

    Checks are hidden from patterns, so the files are looked at as they are written.
    """
    names = {f"self.{name}", name}
    for method in tree.methods(role).values():
        given = [n.value for n in walk(method.node) if isinstance(n, ast.keyword) and n.arg == name]
        names |= {dotted(value) for value in given} - {""}
    for file in tree.python:
        if not any(one.rpartition(".")[2] in tree.sources[file] for one in names):
            continue
        nodes = walk(parsed(tree.sources[file]))
        checks = [n for n in nodes if isinstance(n, ast.Assert) or (isinstance(n, ast.If) and _only_raises(n))]
        made = {
            dotted(target): node
            for node in nodes
            if isinstance(node, ast.Assign) and _reads_any(node.value, {name})
            for target in node.targets
        }
        for node in checks:
            if _reads_any(node.test, names | {one for one in made if one.isidentifier()}):
                return tree.broken_in(file, node, f"{name} is checked here")
    return None


def _only_raises(node: ast.If) -> bool:
    return all(isinstance(one, ast.Raise) for one in node.body)


def _reads_any(node: ast.expr, names: set[str]) -> bool:
    return any(
        isinstance(part, (ast.Name, ast.Attribute)) and (dotted(part) in names or getattr(part, "attr", "") in names)
        for part in walk(node)
        if not (isinstance(part, ast.Attribute) and dotted(part.value).rpartition(".")[2] == "cfg")
    )


def adds_nothing(tree: NewtTree, role: str, name: str, made: str) -> Broken | None:
    """In a method, nothing is added to what `made` returns as it is."""
    method = tree.methods(role).get(name)
    nodes = walk(method.node) if method is not None else []
    names = {
        dotted(target)
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and dotted(node.value.func) == made
        for target in node.targets
    }
    for node in nodes:
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                terms = [left, right]
            case ast.AugAssign(target=left, op=ast.Add() | ast.Sub()):
                terms = [left]
            case _:
                continue
        if method is not None and any(dotted(one) in names for one in terms):
            return tree.broken(method, node, f"{name} adds to what {made} returns")
    return None


def split_at_once(tree: NewtTree, role: str, called: str) -> Broken | None:
    """What `called` returns is split into two halves, at once or by way of a variable that is used for nothing else."""
    for method, call in tree.calls(role, called):
        nodes = walk(method.node)
        halved = {_moved(n.func.value) for n in nodes if isinstance(n, ast.Call) and _halves(n.func)}
        names = {
            dotted(t) for n in nodes if isinstance(n, ast.Assign) and _moved(n.value) is call for t in n.targets
        } - {""}
        uses = [n for n in nodes if isinstance(n, ast.Name) and n.id in names and isinstance(n.ctx, ast.Load)]
        if call not in halved and not (uses and all(use in halved for use in uses)):
            return tree.broken(method, call, f"what {called} returns is more than two halves")
    return None


def _moved(node: ast.expr) -> ast.expr:
    """What is cast or moved."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("float", "to"):
        node = node.func.value
    return node


def _halves(func: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(func, ast.Attribute) and func.attr in ("chunk", "split", "tensor_split")


def paid_in(tree: NewtTree, role: str, name: str, called: str) -> Broken | None:
    """In methods that call something, an attribute is added to and taken from, and not set to something else."""
    for method in {one.name: one for one, _ in tree.calls(role, called)}.values():
        for node in walk(method.node):
            given = node.value if isinstance(node, ast.Assign) and name in map(dotted, node.targets) else None
            if given is not None and not isinstance(given, ast.Constant) and name not in names_in(given):
                return tree.broken(method, node, f"{name} is set to something else")
    return None
