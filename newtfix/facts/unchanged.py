"""Whether a value reaches the places that use it as it was made, also by way of methods that return it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from newtfix.code.effects import Gives, of_call
from newtfix.code.flow import Flow
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import Change
from newtfix.newt.places import End, Start, assignments, is_computed, same_as
from newtfix.newt.tree import Broken, Method, NewtTree

_CALLS = 3  # methods that hand a value on


def unchanged(
    tree: NewtTree, role: str, starts: Sequence[Start], ends: Sequence[End], keys: frozenset[str] | None, what: str
) -> Broken | None:
    """The first place where a value of `starts` is changed before one of `ends`; None: none is.

    Args:
        keys: where given, the entries of the value that count. what: what happens there, in words.
    """
    if not ends:
        return None
    others = [start.statement for start in starts if isinstance(start.statement, ast.stmt)]
    for start in (one for one in starts if not one.as_made):
        wanted = [end.expression for end in ends if end.method is start.method]
        for one in wanted if start.call is not None else ():
            if start.call is not None and is_computed(same_as(one) or one, start.call):
                return tree.broken(start.method, one, what)
        flow = Flow(start.method.node, lambda call: tree.helper(role, call), keys, same_as)
        if None in flow.uses(start.statement, start.names, wanted).values() and start.statement is not None:
            return tree.broken(start.method, start.statement, what)
    for start in (one for one in starts if one.as_made):
        for broken in _follow(tree, role, start, ends, others, keys, what, _CALLS):
            return broken
    return None


def reaches(tree: NewtTree, role: str, starts: Sequence[Start], ends: Sequence[End], what: str) -> Broken | None:
    """Each of `ends` gets a value that one of `starts` made, in the same method, as it was made."""
    flows = {start: Flow(start.method.node, lambda call: tree.helper(role, call), None, same_as) for start in starts}
    for end in ends:
        here = [start for start in starts if start.method is end.method]
        found = [flows[start].uses(start.statement, start.names, [end.expression]) for start in here]
        if here and not any(end.expression in one and one[end.expression] is None for one in found):
            return tree.broken(end.method, end.expression, what)
    return None


def never_changed(tree: NewtTree, role: str, starts: Sequence[Start], what: str) -> Broken | None:
    """Nothing writes into a value, by whatever name."""
    for start in starts:
        flow = Flow(start.method.node, lambda call: tree.helper(role, call))
        flow.uses(start.statement, start.names, ())
        change = flow.mutated.get(start.statement or start.method.node.args)
        if change is not None:
            return _told(tree, start.method, change, what)
    return None


def goes_only_to(tree: NewtTree, role: str, starts: Sequence[Start], called: str, what: str) -> Broken | None:
    """A value is handed to `called`, perhaps moved to another name before, and used for nothing else."""
    for start in starts:
        nodes = walk(start.method.node)
        inside = {
            part for node in nodes if isinstance(node, ast.Call) and dotted(node.func) == called for part in walk(node)
        }
        inside |= {part for node in nodes if (kept := _renames(node)) is not None for part in walk(kept)}
        loads = [n for n in nodes if isinstance(n, (ast.Name, ast.Attribute)) and isinstance(n.ctx, ast.Load)]
        flow = Flow(start.method.node, lambda call: tree.helper(role, call))
        flow.uses(start.statement, start.names, loads)
        for node in loads:
            if node in flow.met and node not in inside:
                return tree.broken(start.method, node, what)
    return None


def _renames(node: ast.AST) -> ast.expr | None:
    """What a statement gives another name: the value as it is, or moved."""
    value = node.value if isinstance(node, ast.Assign) else None
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and not value.keywords:
        if of_call(value).gives not in (Gives.ITSELF, Gives.VIEW, Gives.COPY):
            return None
        value = value.func.value
    return value if isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)) else None


def _follow(
    tree: NewtTree,
    role: str,
    start: Start,
    ends: Sequence[End],
    others: Sequence[ast.stmt],
    keys: frozenset[str] | None,
    what: str,
    calls: int,
) -> Iterator[Broken]:
    method = start.method
    wanted = [end.expression for end in ends if end.method is method]
    returned = [node.value for node in walk(method.node) if isinstance(node, ast.Return) and node.value is not None]
    parts = [part for value in returned for part in _elements(value)]
    handed = list(_handed(tree, role, method)) if calls else []
    flow = Flow(method.node, lambda call: tree.helper(role, call), keys, same_as)
    looked_at = [*wanted, *parts, *(argument for argument, *_ in handed)]
    found = flow.uses(start.statement, start.names, looked_at, [o for o in others if o is not start.statement])
    for expression in wanted:
        if (change := found.get(expression)) is not None:
            yield _told(tree, method, change, what)
    callers = list(_callers(tree, role, method.name)) if calls else []
    reached = [found[part] for part in parts if part in found]
    changes = [change for change in reached if change is not None and not change.is_other]
    if callers and not wanted and changes and None not in reached:
        yield _told(tree, method, changes[0], what)
    for value in returned:
        elements = _elements(value)
        for number, part in enumerate(elements):
            if part in found and found[part] is None:
                for caller, statement, names in _taken(callers, number, len(elements)):
                    again = Start(caller, statement, names)
                    yield from _follow(tree, role, again, ends, (), keys, what, calls - 1)
    for argument, called, parameter in handed:
        if argument not in found:
            continue
        if (change := found[argument]) is None:
            yield from _follow(tree, role, Start(called, None, (parameter,)), ends, (), keys, what, calls - 1)
        elif not change.is_other and any(end.method is called for end in ends):
            yield _told(tree, method, change, what)


def _handed(tree: NewtTree, role: str, method: Method) -> Iterator[tuple[ast.expr, Method, str]]:
    """What a method hands over to others of its class, and as which parameter."""
    for node in walk(method.node):
        called = tree.called(role, node) if isinstance(node, ast.Call) else None
        if called is None or not isinstance(node, ast.Call) or called.name not in tree.methods(role):
            continue
        names = [one.arg for one in called.node.args.args][1:]
        yield from ((argument, called, name) for argument, name in zip(node.args, names, strict=False))
        yield from ((one.value, called, one.arg) for one in node.keywords if one.arg is not None)


def _elements(value: ast.expr) -> list[ast.expr]:
    return value.elts if isinstance(value, ast.Tuple) else [value]


def _told(tree: NewtTree, method: Method, change: Change, what: str) -> Broken:
    return tree.broken(method, change.line, what if change.is_certain else f"perhaps {what}")


def _callers(tree: NewtTree, role: str, name: str) -> Iterator[tuple[Method, ast.stmt, list[ast.expr]]]:
    for method in tree.methods(role).values():
        for statement, targets, value in assignments(method):
            if isinstance(value, ast.Call) and dotted(value.func) == f"self.{name}":
                yield method, statement, targets


def _taken(
    callers: Iterable[tuple[Method, ast.stmt, list[ast.expr]]], number: int, of: int
) -> Iterator[tuple[Method, ast.stmt, tuple[str, ...]]]:
    """The names that callers give to one of the things that a method returns."""
    for method, statement, targets in callers:
        for target in targets:
            if of == 1:
                names = (dotted(target),)
            elif isinstance(target, ast.Tuple) and len(target.elts) == of:
                names = (dotted(target.elts[number]),)
            else:
                continue
            if names[0]:
                yield method, statement, names
