"""Whether a method does with what it has just what a patch takes it to do."""

from __future__ import annotations

import ast
from itertools import pairwise

from newtfix.code import arithmetic
from newtfix.code.arithmetic import operands
from newtfix.code.names import Names, as_attribute, bindings, is_read, targets
from newtfix.code.paths import conditions, names_in
from newtfix.code.syntax import dotted, handed, is_call, parsed, walk
from newtfix.facts.settings import within
from newtfix.newt.places import same_as
from newtfix.newt.tree import Broken, Method, NewtTree

_LEAVES = (ast.Return, ast.Continue, ast.Break)
_EXITS = ("exit", "quit", "sys.exit", "os._exit", "os.abort")


def decided_by(tree: NewtTree, role: str, name: str, parameter: str, *others: str) -> Broken | None:
    """A parameter of a method keeps its value, by whatever name, but for what `others` say where it is not given."""
    method = tree.methods(role).get(name)
    if method is None:
        return None
    plain, mixed = {parameter}, set[str]()
    known = {*others, *(one.rpartition(".")[0] for one in others)}
    for write in tree.writes(role, method, parameter):
        if write.value is None or _or_else(write.value, plain) or not names_in(write.value) <= {parameter, *known}:
            return tree.broken(method, write.node, f"not {parameter} alone decides")
    for node in walk(method.node):
        for target, value, _ in bindings(node):
            read = names_in(value) if value is not None else set()
            if isinstance(value, (ast.Name, ast.Attribute, ast.BoolOp, ast.IfExp, ast.UnaryOp)) and read & plain:
                (plain if read <= plain | known and not _or_else(value, plain) else mixed).add(dotted(target))
        test = node.test if isinstance(node, (ast.If, ast.IfExp)) else None
        asked = names_in(test) if test is not None else set[str]()
        alone = asked <= plain | known and (test is None or not _or_else(test, plain))
        if asked & mixed or (asked & plain and not alone):
            return tree.broken(method, node, f"not {parameter} alone decides")
    return None


def _or_else(node: ast.AST, names: set[str]) -> bool:
    """Whether something else counts where one of these names is false."""
    either = (part for part in walk(node) if isinstance(part, ast.BoolOp) and isinstance(part.op, ast.Or))
    return any(dotted(value) in names for one in either for value in one.values)


def only_of(tree: NewtTree, role: str, name: str, called: str, *owners: str) -> Broken | None:
    """A method asks for what `called` returns of these owners alone."""
    method = tree.methods(role).get(name)
    if method is None:
        return None
    names, allowed = tree.names(role, method), {f"{owner}.{called}" for owner in owners}
    for node in names.nodes:
        asked = as_attribute(node) or node
        its = isinstance(asked, ast.Attribute) and asked.attr == called and is_read(node)
        if its and names.of(asked).isdisjoint(allowed):
            return tree.broken(method, node, f"{name} asks something else for {called}")
    return None


def read_once(tree: NewtTree, role: str, function: str, parameter: str) -> Broken | None:
    """A function of a module reads a parameter at one place, by whatever name, but to leave where there is nothing."""
    if (found := tree.function(role, function)) is None:
        return None
    file, names = found
    plain = [node for node in names.nodes if not isinstance(node, ast.NamedExpr)]
    moved = {value for node in plain for _, value, whole in bindings(node) if value is not None and whole}
    zero = {part for node in plain if isinstance(node, ast.If) and _is_for_nothing(node) for part in walk(node.test)}
    reads = [node for node in names.reads(parameter) if node not in moved | zero]
    return tree.broken_in(file, reads[1], f"{parameter} is used once more") if len(reads) > 1 else None


def _is_for_nothing(node: ast.If) -> bool:
    """Whether it leaves where something is zero or less."""
    match node:
        case ast.If(test=ast.Compare(ops=[ast.LtE() | ast.Eq()], comparators=[ast.Constant(value=0)]), orelse=[]):
            return isinstance(node.body[-1], ast.Return)
    return False


def called_only_in(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Something is called in methods with such a word in their names, and in no others of the class."""
    for method, call in tree.calls(role, name):
        if not within(tree, role, method, *words):
            return tree.broken(method, call, f"{method.name} uses {name} as well")
    return None


def called_for(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Something is called in methods with such a word in their names, or in some that only these call."""
    for method, call in tree.calls(role, name):
        callers = [one.name for one, _ in tree.calls(role, f"self.{method.name}") if one is not method]
        named = [any(word in one for word in words) for one in (method.name, *callers)]
        if not named[0] and not all(named[1:] or [False]):
            return tree.broken(method, call, f"{method.name} calls {name} as well")
    return None


def reached(tree: NewtTree, role: str, method: str, called: str, *but: str) -> Broken | None:
    """Whenever a method runs to its end, it calls something, unless a condition on one of `but` says no."""
    found = tree.methods(role).get(method)
    if found is None:
        return None
    ways = [way for where, call in tree.calls(role, called) for way in tree.ways(role, where, call)]
    ways = [way[way.index(found.node) :] for way in ways if found.node in way]
    for way in ways:
        for test in (*(test for test, _ in conditions(way)), *(each for one in way for each in _over(one))):
            if not names_in(test) & set(but):
                return tree.broken_on(role, found, test, f"{called} is not always called")
        for where, call in pairwise([*(one for one in way if isinstance(one, ast.FunctionDef)), way[-1]]):
            inside = next(one for one in way[way.index(where) :] if isinstance(one, ast.Call) or one is way[-1])
            for one in walk(where):
                if isinstance(one, _LEAVES) and one.lineno < getattr(inside, "lineno", 0) and call is not one:
                    return tree.broken_on(role, found, one, f"{method} may leave before {called}")
    return None if ways else tree.broken(found, found.node, f"{called} is not called")


def _over(node: ast.AST) -> list[ast.expr]:
    """What a loop runs over, which may be nothing."""
    loops = [node] if isinstance(node, (ast.For, ast.AsyncFor)) else getattr(node, "generators", [])
    return [loop.iter for loop in loops]


def one_name_for(tree: NewtTree, role: str, cls: str, method: str) -> Broken | None:
    """One attribute of a class holds a method, or one that calls it, compiled or not, and nothing else."""
    found = tree.roles.get(role)
    if found is None:
        return None
    for node in walk(tree.module(found.file)):
        for target in targets(node):
            its = isinstance(target, ast.Attribute) and dotted(target.value) == "self"
            if isinstance(target, ast.Attribute) and target.attr == "forward" and not its:
                return tree.broken_in(found.file, node, "forward itself is replaced")
    each = [tree.names(role, own) for own in tree.of_class(role, cls)]
    own = list(tree.of_class(role, cls))
    calling = [one.name for one in own if any(tree.names(role, one).calls(f"self.{method}"))]
    held = [f"self.{one}" for one in (method, *calling) if one not in ("forward", "__init__")]
    given = [(names, node, *one) for names in each for node in names.nodes for one in bindings(node)]
    holders: dict[str, ast.AST] = {}
    for names, node, target, value, _ in given:
        asked = value is not None and any(names.reads(*held, inside=walk(value)))
        if asked and isinstance(target, (ast.Attribute, ast.Subscript)):
            holders.setdefault(dotted(target), node)
    if len(holders) > 1:
        return tree.broken_in(found.file, list(holders.values())[-1], f"{' and '.join(holders)} both hold {method}")
    for names, node, target, value, _ in given:
        if dotted(target) in holders and value is not None and names.of(value).isdisjoint(held):
            return tree.broken_in(found.file, node, f"{dotted(target)} is something else than {method}")
    return None


def undisturbed(tree: NewtTree, role: str, name: str, owner: str) -> Broken | None:
    """A call in a loop is in no context, nothing is done to `owner` around it, and nothing to put right after it."""
    for method, call in tree.calls(role, name):
        for path in tree.ways(role, method, call):
            loops = [number for number, node in enumerate(path) if isinstance(node, ast.While)]
            for node in path[loops[0] + 1 :] if loops else path[path.index(method.node) + 1 :]:
                if isinstance(node, ast.Try) and node.finalbody:
                    return tree.broken_on(role, method, node, f"something is done behind {name} whatever happens")
                if isinstance(node, ast.With) and loops:
                    return tree.broken_on(role, method, node, f"{name} is called within this")
                blocks = [getattr(node, part, None) for part in ("body", "orelse", "items")]
                for one in (one for block in blocks if isinstance(block, list) for one in block):
                    if _disturbs(tree.names(role, method), one, owner):
                        return tree.broken_on(
                            role, method, one, f"{name} is called while something is done with {owner}"
                        )
    return None


def _disturbs(names: Names, node: ast.AST, owner: str) -> bool:
    """Whether a statement by itself, or the head of a `with`, calls something of `owner` or changes it."""
    value = node.context_expr if isinstance(node, ast.withitem) else getattr(node, "value", None)
    if not isinstance(value, ast.expr) or not isinstance(node, (ast.stmt, ast.withitem)):
        return False
    asked = any(any(names.reads(owner, inside=walk(one))) for one in walk(value) if isinstance(one, ast.Call))
    return asked or any(names.is_of(one, owner) for one in targets(node) if not isinstance(one, ast.Name))


def only_checks(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A method consists of one condition under which it ends the run."""
    method = tree.methods(role).get(name)
    if method is None:
        return None
    body = [one for one in method.node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    for number, one in enumerate(body):
        ends = isinstance(one, ast.If) and not one.orelse and all(isinstance(part, ast.Raise) for part in one.body)
        if not ends or number > 0 or any(targets(part) for part in walk(one)):
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
    for file in tree.files_with(*names):
        nodes = walk(parsed(tree.sources[file]))
        made = {
            dotted(target)
            for node in nodes
            for target, value, _ in bindings(node)
            if value is not None and _reads_any(value, {name})
        }
        for node in nodes:
            if any(_reads_any(one, names | {one for one in made if one.isidentifier()}) for one in _checked(node)):
                return tree.broken_in(file, node, f"{name} is checked here")
    return None


def _checked(node: ast.AST) -> list[ast.expr]:
    """What decides whether a run is ended."""
    match node:
        case ast.Assert(test=test):
            return [test]
        case ast.If(test=test, body=body, orelse=orelse) | ast.While(test=test, body=body, orelse=orelse):
            return [test] if _ends(body) or _ends(orelse) else []
        case ast.Match(subject=subject, cases=cases) if any(_ends(case.body) for case in cases):
            return [subject]
        case ast.Call() if arithmetic.called(node).startswith("assert"):
            return handed(node)
    return []


def _ends(body: list[ast.stmt]) -> bool:
    """Whether a block ends the run."""
    return any(
        isinstance(one, ast.Raise)
        or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) and dotted(one.value.func) in _EXITS)
        for one in body
    )


def _reads_any(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression goes by the values of these, not by their number or whether they are finite."""
    aside: list[ast.AST] = [
        one for one in walk(node) if is_call(one, "isfinite", "isnan", "isinf", "len", "size", "dim")
    ]
    aside += [one for one in walk(node) if isinstance(one, ast.Attribute) and one.attr in ("shape", "ndim", "dtype")]
    apart = {part for one in aside for part in walk(one)}
    return any(
        isinstance(asked, (ast.Name, ast.Attribute)) and (dotted(asked) in names or getattr(asked, "attr", "") in names)
        for part in walk(node)
        for asked in (as_attribute(part) or part,)
        if part not in apart
        if not (isinstance(part, ast.Attribute) and dotted(part.value).rpartition(".")[2] == "cfg")
    )


def split_at_once(tree: NewtTree, role: str, called: str) -> Broken | None:
    """What `called` returns is split into two halves, at once or by way of a variable that is used for nothing else."""
    for method, call in tree.calls(role, called):
        names = tree.names(role, method)
        nodes = names.nodes
        halved = {_moved(half) for n in nodes if isinstance(n, ast.Call) and (half := _halves(n)) is not None}
        known = {dotted(t) for n in nodes for t, value, _ in bindings(n) if value and _moved(value) is call} - {""}
        uses = [n for n in nodes if isinstance(n, ast.Name) and n.id in known and isinstance(n.ctx, ast.Load)]
        changed = [one for one in names.writes(*known) if one.value is None or _moved(one.value) is not call]
        if changed or not (call in halved or uses) or any(use not in halved for use in uses):
            return tree.broken(method, call, f"what {called} returns is more than two halves")
        for node in nodes:
            half = _halves(node.value) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) else None
            pair = node.targets[0] if isinstance(node, ast.Assign) and half is not None else None
            if half is None or _moved(half) is not call or not isinstance(pair, ast.Tuple):
                continue
            if "std" in dotted(pair.elts[0]):
                return tree.broken(method, node, f"the halves of what {called} returns are the other way round")
    return None


def _moved(node: ast.expr) -> ast.expr:
    """What is cast or moved, or given a name on the way."""
    while True:
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr="float" | "to")) | ast.NamedExpr(value=inner):
                node = inner
            case _:
                return node


def _halves(call: ast.Call) -> ast.expr | None:
    """What a call splits."""
    return (
        operands(call)[0] if arithmetic.called(call) in ("chunk", "split", "tensor_split") and operands(call) else None
    )


def plain(tree: NewtTree, role: str, method: str, called: str, *makers: str) -> Broken | None:
    """What `called` gets first, in a method, is what one of `makers` returned, and nothing made of it."""
    found = tree.methods(role).get(method)
    if found is None:
        return None
    names = tree.names(role, found)
    calls = [n for n in names.nodes if isinstance(n, ast.Call) and called in names.called(n)]
    for given in (one for call in calls for one in (call.args[:1] or [k.value for k in call.keywords[:1]])):
        if (node := _otherwise_made(tree, role, found, given, frozenset(makers))) is not None:
            return tree.broken(found, node, f"what {called} gets is not as {' or '.join(makers)} made it")
    return None


def _otherwise_made(
    tree: NewtTree, role: str, method: Method, given: ast.expr, makers: frozenset[str], calls: int = 2
) -> ast.AST | None:
    """What makes a value other than one of `makers`; None: nothing does.

    Args:
        calls: how many methods that return a value are looked into.
    """
    names = tree.names(role, method)
    values = [(write.value if write.is_bound else None, write.node) for write in names.writes(*names.of(given))]
    for value, node in (*values, (given, given)):
        part = _returned(tree, role, node, names.of(given)) if calls and value is None else None
        if part is not None:
            computed = isinstance(same_as(part[1]) or part[1], ast.BinOp)
            if computed or _otherwise_made(tree, role, *part, makers, calls - 1) is not None:
                return node
            continue
        inner = value and (same_as(value) or value)
        made = inner is None or any(isinstance(one, ast.Call) and names.called(one) & makers for one in walk(inner))
        if made and not (isinstance(inner, ast.Call) and names.called(inner) & makers):
            return node
    return None


def _returned(tree: NewtTree, role: str, node: ast.AST, names: set[str]) -> tuple[Method, ast.expr] | None:
    """The method, and the part of what it returns, that a statement unpacks into one of `names`."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Call() as call):
            called = tree.called(role, call)
            ends = [one.value for one in walk(called.node) if isinstance(one, ast.Return)] if called is not None else []
            numbers = [number for number, part in enumerate(parts) if dotted(part) in names]
            if called is not None and len(ends) == len(numbers) == 1 and isinstance(ends[0], ast.Tuple):
                return called, ends[0].elts[numbers[0]]
    return None


def hands_on(tree: NewtTree, role: str, method: str, called: str) -> Broken | None:
    """A method returns more than the first of what it unpacks of what `called` returns."""
    found = tree.methods(role).get(method)
    nodes = walk(found.node) if found is not None else []
    returned = {name for one in nodes if isinstance(one, ast.Return) and one.value for name in names_in(one.value)}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Call() as call) if dotted(call.func) == called:
                beside = {dotted(part.value if isinstance(part, ast.Starred) else part) for part in parts[1:]}
                if found is not None and not beside & returned:
                    return tree.broken(found, node, f"{method} drops what {called} returns beside the first")
    return None


def no_exponent(tree: NewtTree, role: str, function: str, parameter: str) -> Broken | None:
    """Nothing that a function of a module makes of a parameter is an exponent."""
    if (found := tree.function(role, function)) is None:
        return None
    file, names = found
    given = [
        (dotted(target), value) for node in names.nodes for target, value, _ in bindings(node) if value is not None
    ]
    made, before = {parameter}, set[str]()
    while made != before:
        before = set(made)
        made |= {target for target, value in given if names_in(value) & made}
    for node in names.nodes:
        raised = [node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) else []
        raised += handed(node) if is_call(node, "exp", "exp2") else []
        raised += handed(node)[1:] if is_call(node, "pow") else []
        if any(names_in(one) & made for one in raised):
            return tree.broken_in(file, node, f"{parameter} is in an exponent")
    return None
