"""Training that happens at one step of a run alone."""

from __future__ import annotations

import ast

from newtfix.code.equivalent import CASTS
from newtfix.code.names import Names, bindings, targets
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, is_call, last_name, parts, walk
from newtfix.facts.calls import LOOPS, decides
from newtfix.newt.deciding import finished
from newtfix.newt.tree import Broken, NewtTree


def trains_once_nowhere(tree: NewtTree, role: str, agent: str, tokens: str) -> Broken | None:
    """What is done at one step alone, or behind a flag that is set there, neither trains nor changes how often.

    Nor does anything train after so many updates, as an attribute other than the tokens counts them.
    """
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        nodes = names.nodes
        counted = _counted(names, f"{agent}.update") | {tokens}
        tests = [node for node in nodes if isinstance(node, (ast.If, ast.IfExp, ast.While))]
        asked = {part for one in tests if isinstance(one, ast.If) for part in walk(one.test)}
        named = _only_asked(names, asked)
        for test in tests:
            counts = isinstance(test, ast.If) and any(names.writes(tokens)) and _is_counted(test.test, tokens)
            if isinstance(test, ast.While) or not (counts or _is_once(test, set(named))):
                continue
            for node in (part for child in parts(test) if child is not test.test for part in walk(child)):
                if _trains(tree, role, names, node, agent) or any(names.is_of(one, *counted) for one in targets(node)):
                    return tree.broken(method, node, "this trains, or decides on it, at one step alone")
        if method.name != "__init__" and any(names.writes(tokens)):
            asked |= {part for value in named.values() for part in walk(value)}
            for node in nodes:
                if node not in asked and _is_at_a_step(node):
                    return tree.broken(method, node, "this may decide how often the agent is trained")
    return None


def repeated_by(tree: NewtTree, role: str, called: str, tokens: str) -> Broken | None:
    """Beside where tokens are counted, a loop around a call goes round as often as they say, whatever else is asked."""
    for method in {one.name: one for one, _ in tree.calls(role, called)}.values():
        names = tree.names(role, method)
        loops = [node for node in names.nodes if isinstance(node, ast.For) and is_call(node.iter, "range")]
        for loop in loops:
            around = [one for outer in path_to(method.node, loop) for one in parts(outer) if isinstance(one, ast.stmt)]
            calls = any(isinstance(part, ast.Call) and dotted(part.func) == called for part in walk(loop))
            if not calls or not any(names.is_of(target, tokens) for one in around for target in targets(one)):
                continue
            for count in loop.iter.args[-1:] if isinstance(loop.iter, ast.Call) else ():
                for value in _values(names, count):
                    arms = [value, *(arm for part in walk(value) for arm in _arms(part))]
                    if not all(any(names.reads(tokens, inside=_spelled_out(names, arm))) for arm in arms):
                        return tree.broken(method, value, "something else says how often the agent is trained")
    return None


def _values(names: Names, node: ast.expr) -> list[ast.expr]:
    """All that a variable is given, or else the expression."""
    if not isinstance(node, ast.Name):
        return [node]
    found = [given for one in names.nodes for to, given, _ in bindings(one) if dotted(to) == node.id]
    return [given for given in found if given is not None]


def _spelled_out(names: Names, value: ast.expr, depth: int = 3) -> list[ast.AST]:
    """The parts of an expression, and of what its variables are given."""
    own = [part for part in walk(value) if isinstance(part, ast.Name)] if depth else []
    return [
        *walk(value),
        *(p for one in own for given in _values(names, one) for p in _spelled_out(names, given, depth - 1)),
    ]


def _arms(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.BoolOp(values=values):
            return values
    return []


def _is_at_a_step(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare) or not any(isinstance(one, ast.Eq) for one in node.ops):
        return False
    return any(dotted(one) == "self._step" for one in (node.left, *node.comparators))


def _is_counted(test: ast.expr, *but: str) -> bool:
    """Whether an attribute of one's own is compared with something, and neither with the steps nor with these."""
    for one in (part for part in walk(test) if isinstance(part, ast.Compare)):
        sides = [one.left, *one.comparators]
        own = {dotted(side.left if isinstance(side, ast.BinOp) else side) for side in sides}
        counts = any(name.startswith("self.") and name.count(".") == 1 for name in own)
        if counts and not names_in(one) & {"self._step", *but}:
            return True
    return False


def _only_asked(names: Names, asked: set[ast.AST]) -> dict[str, ast.expr]:
    """Variables that say whether it is a certain step, and that nothing but tests of branches read."""
    found = {
        target.id: value
        for node in names.nodes
        for target, value, whole in bindings(node)
        if value is not None and whole and isinstance(target, ast.Name)
        if any(map(_is_at_a_step, walk(value)))
    }
    reads = [node for node in names.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return {name: value for name, value in found.items() if all(one in asked for one in reads if one.id == name)}


def _is_once(branch: ast.If | ast.IfExp, named: set[str]) -> bool:
    """Whether a branch is taken at one step, by `named` variables as well, or while a flag is not set that it sets."""
    if any(_is_at_a_step(node) or (isinstance(node, ast.Name) and node.id in named) for node in walk(branch.test)):
        return True
    unset = {
        dotted(node.operand)
        for node in walk(branch.test)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    }
    body = branch.body if isinstance(branch.body, list) else [branch.body]
    written = {dotted(one) for part in body for node in walk(part) for one in targets(node)}
    return bool((unset - {""}) & written)


def _counted(names: Names, called: str) -> set[str]:
    """The names that say how often something is called in a method."""
    found: set[str] = set()
    for node in names.calls(called):
        for loop in (one for one in path_to(names.nodes[0], node) if isinstance(one, LOOPS)):
            found |= {name for part in decides(loop) if not isinstance(loop, ast.While) for name in names_in(part)}
    return found - {"range", "tqdm", "int", "max", "min", "self.cfg"}


_PLAIN = CASTS | frozenset("int len item items get mean clone copy dict".split())
_KEEPS = ("save", "checkpoint", "eval", "state_dict")


def _trains(tree: NewtTree, role: str, names: Names, node: ast.AST, agent: str, inside: tuple[str, ...] = ()) -> bool:
    """Whether a call may train the agent: its own method, something that it is handed to, or a helper, known or not."""
    if not isinstance(node, ast.Call) or any(word in dotted(node.func) for word in _KEEPS):
        return False
    name = dotted(node.func)
    handed = [*node.args, *(one.value for one in node.keywords)]
    if any(one.startswith(f"{agent}.") for one in names.of(node.func)) or any(names.is_(one, agent) for one in handed):
        return True
    helper = tree.called(role, node, names)
    if helper is None or helper.name in inside:
        return helper is None and name.startswith("self.") and name.count(".") == 1
    own = tree.names(role, helper)
    return any(_trains(tree, role, own, part, agent, (*inside, helper.name)) for part in own.nodes)


def only_kept(tree: NewtTree, role: str, called: str, paid: str) -> Broken | None:
    """A loop that calls something, where it is paid for or its result returned, pays and keeps results, and no more.

    A method that pays has a loop over all steps; what it does before is no matter.
    """
    for method, call in tree.calls(role, called):
        path = path_to(method.node, call)
        loops = [node for node in path if isinstance(node, (ast.For, ast.While))]
        returns = any(isinstance(node, ast.Return) and node.value is not None for node in walk(method.node))
        pays = any(True for _ in tree.writes(role, method, paid))
        over_steps = [node for node in walk(method.node) if isinstance(node, ast.While)]
        before = pays and bool(over_steps) and over_steps[0] not in path
        if not loops or before or not (returns or pays):
            continue
        inner = path[path.index(loops[-1]) + 1 :]
        for node in inner:
            if isinstance(node, (ast.If, ast.Try, ast.IfExp, ast.BoolOp)):
                return tree.broken(method, node, f"{called} is called in a loop that does more")
        blocks = [loops[-1].body, *(node.body for node in inner if isinstance(node, ast.With))]
        for one in (one for block in blocks for one in block if call not in walk(one)):
            if not _pays(one, paid) and not _keeps_numbers(one):
                return tree.broken(method, one, f"{called} is called in a loop that does more")
    return None


def _pays(node: ast.stmt, paid: str) -> bool:
    return isinstance(node, ast.AugAssign) and dotted(node.target) == paid


def _keeps_numbers(node: ast.stmt) -> bool:
    """Whether a statement puts numbers into variables, or what these hold."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append" | "update" | "extend"), args=args) as call):
            return _is_local(call.func) and all(map(_is_number, args))
        case ast.Assign(targets=[target], value=value):
            return _is_local(target) and _is_number(value)
        case ast.For(iter=each, body=body, orelse=[]):
            return _is_number(each) and all(map(_keeps_numbers, body))
    return False


def _is_local(node: ast.expr) -> bool:
    """Whether it is a variable, or a part of what one holds."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return isinstance(node, ast.Name) and node.id != "self"


def _is_number(node: ast.expr) -> bool:
    """Whether nothing is called in it but casts, counts and what a dictionary holds."""
    calls = (one for one in walk(node) if isinstance(one, ast.Call))
    return all(last_name(one.func) in _PLAIN for one in calls)


def same_for_all_episodes(tree: NewtTree, role: str, method: str) -> Broken | None:
    """What a method reads of its object is not another value for the episodes that begin where others are over."""
    made = tree.methods(role).get(method)
    read = names_in(made.node) - {"self.cfg"} if made is not None else set()
    over = finished(tree, role) - {"i", "range", "len", "int", "torch", "self.cfg"}
    for other in (one for one in tree.methods(role).values() if one.name not in ("__init__", method)):
        for node in walk(other.node):
            for target in targets(node):
                which = target.slice if isinstance(target, ast.Subscript) else getattr(node, "value", None)
                name = dotted(target.value if isinstance(target, ast.Subscript) else target)
                if name in read and name.startswith("self.") and which is not None and names_in(which) & over:
                    return tree.broken(
                        other, node, f"{name}, which {method} reads, is another one for the next episode"
                    )
    return None
