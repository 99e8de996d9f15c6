"""What a method makes of what it is given first: changes, keeps, or asks for its length."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from newtfix.code.flow import Flow
from newtfix.code.names import Names, bindings, targets
from newtfix.code.paths import trunk
from newtfix.code.syntax import dotted, is_call, last_name, parsed, walk
from newtfix.code.values import positional
from newtfix.newt.tree import Broken, Method, NewtTree

_SHAPES = frozenset("shape size device dtype ndim numel dim full_like zeros_like ones_like empty_like".split())
_ALONG = frozenset("mean nanmean sum nansum std var cumsum cumprod flip sort median quantile diff".split())
_BY_NUMBER = frozenset("abs clamp clip exp float log log1p mul div pow round sign sqrt tanh to".split())
_ONE_BY_ONE = frozenset("isfinite isnan isinf isposinf isneginf".split())
_TESTS = (ast.If, ast.Assert, ast.While, ast.IfExp)
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def taken_as_given(
    tree: NewtTree, role: str, name: str, keys: frozenset[str] | None, *, by_row: bool = False
) -> Broken | None:
    """A method does not change what its first parameter holds (of a row, the entries `keys`), nor copies of it.

    Args:
        by_row: copies may be changed in ways that make each number of that number alone.
    """
    for method in _and_on(tree, tree.versions(role, name)):
        if (parameter := _first_parameter(method)) is None:
            continue
        flow = Flow(method.node, lambda call: tree.helper(role, call), keys)
        flow.parameter(parameter)
        plain = [node for node in walk(method.node) if by_row and _goes_by_row(node) and not _is_entry(node, parameter)]
        lines = {node.lineno for node in plain if isinstance(node, ast.Assign)}
        changes = (change for change in flow.mutated.values() if change.line not in lines)
        for change in sorted(changes, key=lambda change: change.line):
            may = "" if change.is_certain else "perhaps "
            return tree.broken(method, change.line, f"{may}{name} changes what it is given")
    return None


def copies_at_once(tree: NewtTree, role: str, name: str, other: str, source: str) -> Broken | None:
    """A method puts into no list what it is given, or a part of it that is no copy, unless it is given copies.

    Args:
        other, source: the role that calls it, and what it must be given no part of for that.
    """
    callers = [tree.names(other, method) for method in tree.methods(other).values()]
    given = [(names, node) for names in callers for node in names.nodes if is_call(node, name) and node.args]
    if given and not any(names.is_of(call.args[0], source) for names, call in given):
        return None
    for method in _and_on(tree, tree.versions(role, name)):
        parameter, names = _first_parameter(method), Names(method.node)
        for node in names.nodes if parameter is not None else ():
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="append" | "insert"), args=[*_, one]):
                    kept = one
                case ast.AugAssign(target=owner, op=ast.Add(), value=ast.List() as kept):
                    pass
                case _:
                    continue
            if dotted(owner).startswith("self.") and names.is_of(kept, str(parameter)):
                return tree.broken(method, node, f"{method.name} keeps what may still change")
    return None


def _and_on(tree: NewtTree, methods: Iterable[Method]) -> Iterator[Method]:
    """Methods, and those of other classes of the file that they hand their first parameter, or a part of it, first."""
    for method in methods:
        yield method
        parameter, names = _first_parameter(method), Names(method.node)
        calls = [node for node in names.nodes if isinstance(node, ast.Call) and dotted(node.func).count(".") > 1]
        handed = {
            last_name(one.func) for one in calls if parameter and one.args and names.is_of(one.args[0], parameter)
        }
        for cls in (node for node in tree.module(method.file).body if isinstance(node, ast.ClassDef)):
            for one in cls.body if method.node not in cls.body else ():
                if isinstance(one, ast.FunctionDef) and one.name in handed:
                    yield Method(method.file, one.name, one)


def leaves_as_given(tree: NewtTree, name: str) -> Broken | None:
    """No method of this name, of whatever class, writes into its first parameter."""
    for file in (one for one in tree.python if f"def {name}(" in tree.sources[one]):
        for method in (node for node in walk(tree.module(file)) if isinstance(node, ast.FunctionDef)):
            words = positional(method)
            given = words[0] if method.name == name and words else ""
            nodes = walk(method) if given else []
            if any(dotted(target) == given for node in nodes for target, _, _ in bindings(node)):
                continue
            for node in nodes:
                if any(given == dotted(trunk(target)) for target in targets(node)):
                    return tree.broken_in(file, node, f"{name} writes into what it is given")
    return None


def takes_any_length(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A method takes a part of a sequence as it takes a whole one: no length decides, no sum runs along it.

    Checks count as well, so the method is looked at as it is written.
    """
    found = (_takes_any_length(tree, method) for method in _and_on(tree, tree.versions(role, name)))
    return next((one for one in found if one is not None), None)


def _takes_any_length(tree: NewtTree, method: Method) -> Broken | None:
    name, parameter = method.name, _first_parameter(method)
    if parameter is None:
        return None
    written = next(
        (
            n
            for n in walk(parsed(tree.sources[method.file]))
            if isinstance(n, ast.FunctionDef) and n.lineno == method.node.lineno
        ),
        method.node,
    )
    lengths, names = _lengths(written, parameter), Names(written)
    by_row = {part for node in walk(written) if _goes_by_row(node) for part in walk(node)}
    for node in (one for one in walk(written) if one not in by_row):
        if isinstance(node, _TESTS) and _depends(node, lengths, parameter):
            return tree.broken(method, node, f"{name} asks for a length")
        if isinstance(node, (ast.If, ast.While, ast.Match)) and any(
            isinstance(part, (ast.Return, ast.Continue)) for part in walk(node)
        ):
            return tree.broken(method, node, f"{name} does not keep everything")
        if _sets_entry(names, node, parameter):
            return tree.broken(method, node, f"{name} marks rows")
        if _reduces(node):
            return tree.broken(method, node, f"{name} computes with the rows of a whole episode")
        for entry in _entries_read(node, parameter):
            return tree.broken(method, entry, f"{name} computes with the rows of a whole episode")
        if isinstance(node, ast.Subscript) and _cuts(node, parameter):
            return tree.broken(method, node, f"{name} keeps some rows only")
    return None


def _goes_by_row(node: ast.AST) -> bool:
    """Whether it computes each number of an entry from that number alone: `row["reward"] = row["reward"] * scale`."""
    match node:
        case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str())) as entry], value=value):
            return _of_one(value, ast.unparse(entry))
    return False


def _is_entry(node: ast.AST, name: str) -> bool:
    return any(isinstance(one, ast.Subscript) and dotted(one.value) == name for one in targets(node))


def _of_one(node: ast.expr, entry: str) -> bool:
    """Whether a value is computed number by number from an entry, or from numbers and settings."""
    match node:
        case ast.BinOp(left=left, right=right):
            return _of_one(left, entry) and _of_one(right, entry)
        case ast.UnaryOp(operand=inner):
            return _of_one(inner, entry)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr), args=args, keywords=keywords) if attr in _BY_NUMBER:
            return all(_of_one(one, entry) for one in (owner, *args, *(word.value for word in keywords)))
        case ast.Attribute() | ast.Name():
            name = dotted(node)
            return name.isupper() or name.startswith("torch.") or name.startswith(("self.cfg.", "cfg."))
    return isinstance(node, ast.Constant) or ast.unparse(node) == entry


def _reduces(node: ast.AST) -> bool:
    """Whether entries are summed up, averaged or put in another order; counts and checks are not meant."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ALONG):
        return False
    return any(isinstance(part, ast.Subscript) and _is_text(part.slice) for part in walk(node))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "episode"


def _first_parameter(method: Method) -> str | None:
    names = positional(method.node)
    return names[0] if names else None


def _lengths(function: ast.AST, parameter: str) -> set[str]:
    """Names for how long what is given is."""
    found: set[str] = set()
    for target, value, whole in (one for node in walk(function) for one in bindings(node)):
        if value is not None and (
            (whole and _is_length(value, parameter, found)) or (not whole and _is_shape(value, parameter))
        ):
            found.add(dotted(target))
    return found


def _is_shape(node: ast.expr, parameter: str) -> bool:
    match node:
        case ast.Attribute(value=owner, attr="shape") | ast.Call(func=ast.Attribute(value=owner, attr="size")):
            return _is_of(owner, parameter)
    return False


def _is_length(node: ast.expr, parameter: str, known: set[str]) -> bool:
    match node:
        case ast.Subscript(value=ast.Attribute(value=owner, attr="shape"), slice=ast.Constant(value=index)):
            return index != 0 and _is_of(owner, parameter)
        case ast.Call(func=ast.Attribute(value=owner, attr="size"), args=[ast.Constant(value=index)]):
            return index != 0 and _is_of(owner, parameter)
        case ast.Call(func=ast.Name(id="len" | "int"), args=[inner]):
            return (isinstance(inner, ast.Subscript) and _is_of(inner, parameter)) or _is_length(
                inner, parameter, known
            )
        case ast.Name(id=name):
            return name in known
    return False


def _is_of(node: ast.expr, parameter: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == parameter for part in walk(node))


def _depends(statement: ast.If | ast.Assert | ast.While | ast.IfExp, lengths: set[str], parameter: str) -> bool:
    """Whether a length decides whether what is given is taken, but for one that is too long for the memory."""
    if isinstance(statement, ast.If) and not any(isinstance(node, _LEAVES) for node in walk(statement)):
        return False
    for node in walk(statement.test):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            here = [number for number, side in enumerate(sides) if _is_length(side, parameter, lengths)]
            if here and not (
                here == [0] and isinstance(node.ops[0], (ast.Gt, ast.GtE)) and isinstance(statement, ast.If)
            ):
                return not (
                    here == [0] and isinstance(statement, ast.Assert) and isinstance(node.ops[0], (ast.LtE, ast.Lt))
                )
    return False


def _entries_read(node: ast.AST, parameter: str) -> Iterator[ast.AST]:
    """Computations with an entry of what is given, other than with its shape or kind."""
    if isinstance(node, ast.Call) and last_name(node.func) in _ONE_BY_ONE:
        return
    for inner in (node.left, node.right) if isinstance(node, ast.BinOp) else _arguments(node):
        entry = inner
        while isinstance(entry, ast.Subscript) and not isinstance(entry.slice, ast.Constant):
            entry = entry.value
        if (
            isinstance(entry, ast.Subscript)
            and isinstance(entry.slice, ast.Constant)
            and isinstance(entry.slice.value, str)
            and entry.slice.value != "episode"
            and dotted(entry.value) == parameter
        ):
            yield node


def _sets_entry(names: Names, node: ast.AST, parameter: str) -> bool:
    """Whether a statement writes an entry of what is given, other than the number of its episode."""
    for target in targets(node):
        keys = [
            one.slice.value
            for one in walk(target)
            if isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Constant)
        ]
        keys += [one.value for one in node.args[:1] if isinstance(one, ast.Constant)] if _puts(node) else []
        inside = isinstance(target, ast.Subscript) or isinstance(node, ast.Call)
        if inside and names.is_of(target, parameter) and keys != ["episode"]:
            return True
    return False


def _puts(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("set", "set_")


def _arguments(node: ast.AST) -> list[ast.expr]:
    if not isinstance(node, ast.Call):
        return []
    name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
    if name in _SHAPES:
        return []
    return [
        *([node.func.value] if isinstance(node.func, ast.Attribute) and name not in ("to", "clone") else []),
        *node.args,
    ]


def _cuts(node: ast.Subscript, parameter: str) -> bool:
    """Whether it is a part of what is given along its time: not the single episode, and not all of it."""
    if not isinstance(node.ctx, ast.Load) or dotted(node.value) != parameter:
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return any(isinstance(one, ast.Slice) and (one.lower or one.upper or one.step) is not None for one in parts)
