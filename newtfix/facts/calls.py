"""Where something is called, how often, and under which conditions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from newtfix.code.paths import conditions, names_in, path_to, skipped_by, targets_of
from newtfix.code.syntax import dotted, parts, walk
from newtfix.newt.places import End
from newtfix.newt.tree import Broken, Method, NewtTree

_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)


def only_calls(
    tree: NewtTree, role: str, name: str, allowed: Callable[[NewtTree, Method, ast.Call], bool], where: str
) -> Broken | None:
    """Something is called at these places only."""
    owner, _, last = name.rpartition(".")
    for method, call in tree.calls(role, name):
        if not allowed(tree, method, call):
            return tree.broken(method, call, f"{name} is called not only {where}")
    for method in tree.methods(role).values():
        called = {node.func for node in walk(method.node) if isinstance(node, ast.Call)}
        for node in walk(method.node):
            handed = isinstance(node, ast.Attribute) and dotted(node) == name and node not in called
            if handed or _asks_by_name(node, owner, last):
                return tree.broken(method, node, f"{name} has another name here")
    return None


def _asks_by_name(node: ast.AST, owner: str, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="getattr"), args=[asked, ast.Constant(value=value), *_]):
            return bool(dotted(asked) == owner and value == name)
    return False


def once(tree: NewtTree, role: str, method: str, called: str) -> Broken | None:
    """A method calls something by this name once each time that it runs, by whatever way."""
    begin = tree.methods(role).get(method)
    times = list(_times(tree, role, begin, called, (), False)) if begin is not None else []
    for where, node, in_loop in times:
        if in_loop:
            return tree.broken(where, node, f"{method} does this more than once each time")
    return None


def _times(
    tree: NewtTree, role: str, method: Method, called: str, inside: tuple[str, ...], in_loop: bool
) -> Iterator[tuple[Method, ast.AST, bool]]:
    if method.name in inside:
        return
    for node, looped in _nodes(method.node, in_loop):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == called:
            yield method, node, looped
        elif (helper := tree.called(role, node)) is not None:
            yield from _times(tree, role, helper, called, (*inside, method.name), looped)


def _nodes(node: ast.AST, in_loop: bool) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes below, and whether each is in a loop."""
    for part in parts(node):
        inside = in_loop or isinstance(part, _LOOPS)
        yield part, inside
        yield from _nodes(part, inside)


def always(
    tree: NewtTree, role: str, name: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """Something is called whenever what is `given` says so, whatever else holds."""
    known = given(tree, role)
    for method, call in tree.calls(role, name):
        path = path_to(method.node, call)
        loops = [node for node in path if isinstance(node, (ast.For, ast.While))]
        inside = path[path.index(loops[-1]) :] if loops else path
        tests = [test for test, _ in conditions(inside)]
        tests += [test for test, _ in skipped_by(path, loops[-1])] if loops else []
        for test in tests:
            if not all(_is_known(one, known) for one in names_in(test)):
                return tree.broken(method, test, f"{name} is not called whenever {what}")
    return None


def _is_known(name: str, known: set[str]) -> bool:
    own = name.startswith("self.")
    return ".".join(name.split(".")[: 2 if own else 1]) in known


def within(
    tree: NewtTree, role: str, name: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """Something is called in a loop over what is `given`, or in none, not over something that was collected before."""
    known = given(tree, role)
    for method, call in tree.calls(role, name):
        loops = [node for node in path_to(method.node, call) if isinstance(node, ast.For)]
        if loops and not all(_is_known(one, known) for one in names_in(loops[-1].iter)):
            return tree.broken(method, call, f"{name} is not called as soon as {what}")
    return None


def begun_only(
    tree: NewtTree, role: str, rows: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """What counts the steps of episodes, cut out of `rows` up to it, goes back to zero only where what is `given`."""
    known = given(tree, role)
    counters = {
        dotted(bound.value)
        for method in tree.methods(role).values()
        for node in walk(method.node)
        if isinstance(node, ast.Subscript) and dotted(node.value) == rows and isinstance(node.slice, ast.Tuple)
        for bound in walk(node.slice)
        if isinstance(bound, ast.Subscript)
    } - {""}
    for method in tree.methods(role).values():
        for node in walk(method.node):
            for target in targets_of(node):
                index = target.slice if isinstance(target, ast.Subscript) and dotted(target.value) in counters else None
                if index is not None and not all(_is_known(one, known) for one in names_in(index)):
                    return tree.broken(method, node, f"episodes begin anew not only when {what}")
    return None


def only_called_by(tree: NewtTree, role: str, methods: tuple[str, ...], callers: tuple[str, ...]) -> Broken | None:
    """These methods are called by `callers` of the same class, and by nothing else in the tree."""
    allowed = {tree.methods(role)[one].node for one in callers if one in tree.methods(role)}
    own = tree.roles[role].cls if role in tree.roles else None
    for file in tree.python:
        if not any(name in tree.sources[file] for name in methods):
            continue
        nodes = walk(tree.module(file))
        others = [n for n in nodes if isinstance(n, ast.ClassDef) and n.name != own and not _is_made_of(n, own)]
        inside = {part for node in nodes if node in allowed for part in walk(node)}
        theirs = {part for one in others for part in walk(one)}
        for node in nodes:
            func = node.func if isinstance(node, ast.Call) and node not in inside else None
            if not isinstance(func, ast.Attribute) or func.attr not in methods:
                continue
            if node not in theirs or dotted(func.value) != "self":
                return tree.broken_in(file, node, f"{func.attr} is called here, too")
    return None


def _is_made_of(cls: ast.ClassDef, name: str | None) -> bool:
    return any(_last(base) == name for base in cls.bases)


def only_named_in(tree: NewtTree, name: str, *roles: str) -> Broken | None:
    """A function is called in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        for node in walk(tree.module(file)) if file not in known and name in tree.sources[file] else ():
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == name:
                return tree.broken_in(file, node, f"{name} is called here as well")
    return None


def asks_only(tree: NewtTree, role: str, owner: str, methods: tuple[str, ...], where: str) -> Broken | None:
    """Methods that use a keyword of the name `where` call nothing of `owner` but these methods."""
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        if not any(isinstance(node, ast.keyword) and node.arg == where for node in nodes):
            continue
        for node in nodes:
            match node:
                case ast.Attribute(value=value, attr=attr) if dotted(value) == owner and attr not in methods:
                    return tree.broken(method, node, f"{method.name} does more with {owner}")
                case ast.Call(func=ast.Name(id="getattr" | "setattr"), args=[value, *_]) if dotted(value) == owner:
                    return tree.broken(method, node, f"{method.name} does more with {owner}")
    return None


def made_once(tree: NewtTree, role: str, call: str, name: str, *roles: str) -> Broken | None:
    """Only one statement of these files copies (`call`) something whose last name is `name`, or one of its kind."""
    found: list[tuple[str, ast.Call]] = []
    for file in dict.fromkeys(tree.roles[one].file for one in (role, *roles) if one in tree.roles):
        kinds = {name, "model"} | {
            dotted(target).rpartition(".")[2]
            for node in walk(tree.module(file))
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_ensemble(node.value)
            for target in node.targets
        }
        for node in walk(tree.module(file)):
            copies = isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == call
            if isinstance(node, ast.Call) and copies and node.args and _last(node.args[0]) in kinds:
                found.append((file, node))
    if len(found) > 1:
        file, node = found[-1]
        return tree.broken_in(file, node, "there is another copy")
    return None


def _last(node: ast.expr) -> str:
    return dotted(node).rpartition(".")[2]


def _is_ensemble(call: ast.Call) -> bool:
    return dotted(call.func).rpartition(".")[2].endswith("Ensemble")


def once_a_turn(tree: NewtTree, ends: Iterable[End], what: str) -> Broken | None:
    """Each loop that steps has one such place at most."""
    seen: dict[ast.AST, End] = {}
    for end in ends:
        loops = [node for node in path_to(end.method.node, end.expression) if isinstance(node, ast.While)]
        if loops and seen.setdefault(loops[0], end) is not end:
            return tree.broken(end.method, end.expression, f"{what} in another place of the same loop")
    return None


def decided_once(tree: NewtTree, role: str, name: str) -> Broken | None:
    """The names that decide whether something is called get their value once in the method."""
    for method, call in tree.calls(role, name):
        path = path_to(method.node, call)
        names = {one for test, _ in conditions(path) for one in names_in(test) if "." not in one}
        for one in names:
            writes = [node for node in walk(method.node) if _binds(node, one)]
            if len(writes) > 1:
                return tree.broken(method, writes[-1], f"whether {name} is called is decided again")
    return None


def _binds(node: ast.AST, name: str) -> bool:
    targets = targets_of(node)
    return any(isinstance(part, ast.Name) and part.id == name for target in targets for part in walk(target))


def trains_once_nowhere(tree: NewtTree, role: str, agent: str, tokens: str) -> Broken | None:
    """What is done at one step alone, or behind a flag that is set there, neither trains nor changes how often."""
    for method in tree.methods(role).values():
        counted = _counted(method, f"{agent}.update") | {tokens}
        nodes = walk(method.node)
        tests = [node for node in nodes if isinstance(node, ast.If)]
        asked = {part for one in tests for part in walk(one.test)}
        named = _only_asked(nodes, asked)
        for test in tests:
            if not _is_once(test, set(named)):
                continue
            for node in (part for statement in (*test.body, *test.orelse) for part in walk(statement)):
                if _trains(tree, role, node, agent) or any(names_in(one) & counted for one in targets_of(node)):
                    return tree.broken(method, node, "this trains, or decides on it, at one step alone")
        if (
            any(names_in(target) & {tokens} for node in nodes for target in targets_of(node))
            and method.name != "__init__"
        ):
            asked |= {part for value in named.values() for part in walk(value)}
            for node in nodes:
                if node not in asked and _is_at_a_step(node):
                    return tree.broken(method, node, "this may decide how often the agent is trained")
    return None


def _is_at_a_step(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare) or not any(isinstance(one, ast.Eq) for one in node.ops):
        return False
    return any(dotted(one) == "self._step" for one in (node.left, *node.comparators))


def _only_asked(nodes: list[ast.AST], asked: set[ast.AST]) -> dict[str, ast.expr]:
    """Variables that say whether it is a certain step, and that nothing but tests of branches read."""
    found = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        if any(map(_is_at_a_step, walk(node.value)))
    }
    reads = [node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return {name: value for name, value in found.items() if all(one in asked for one in reads if one.id == name)}


def _is_once(branch: ast.If, named: set[str]) -> bool:
    """Whether a branch is taken at one step, by `named` variables as well, or while a flag is not set that it sets."""
    if any(_is_at_a_step(node) or (isinstance(node, ast.Name) and node.id in named) for node in walk(branch.test)):
        return True
    unset = {
        dotted(node.operand)
        for node in walk(branch.test)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    }
    written = {dotted(one) for part in branch.body for node in walk(part) for one in targets_of(node)}
    return bool((unset - {""}) & written)


def _counted(method: Method, called: str) -> set[str]:
    """The names that say how often something is called in a method."""
    found: set[str] = set()
    for node in walk(method.node):
        if isinstance(node, ast.Call) and dotted(node.func) == called:
            path = path_to(method.node, node)
            for loop in (one for one in path if isinstance(one, ast.For)):
                found |= names_in(loop.iter)
    return found - {"range", "tqdm", "int", "max", "min", "self.cfg"}


_KEEPS = ("save", "checkpoint", "eval", "state_dict")


def _trains(tree: NewtTree, role: str, node: ast.AST, agent: str, inside: tuple[str, ...] = ()) -> bool:
    """Whether a call may train the agent: its own method, something that it is handed to, or a helper, known or not."""
    if not isinstance(node, ast.Call) or any(word in dotted(node.func) for word in _KEEPS):
        return False
    name = dotted(node.func)
    handed = [*node.args, *(one.value for one in node.keywords)]
    if name.startswith(f"{agent}.") or any(dotted(one) == agent for one in handed):
        return True
    helper = tree.called(role, node)
    if helper is None or helper.name in inside:
        return helper is None and name.startswith("self.") and name.count(".") == 1
    return any(_trains(tree, role, part, agent, (*inside, helper.name)) for part in walk(helper.node))


def nothing_else_with(tree: NewtTree, role: str, method: str, name: str, called: str) -> Broken | None:
    """A method calls `called` of an attribute, and hands it to nothing that could change it, but beside that call."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        call = node.value if isinstance(node, ast.Expr) else None
        if found is None or not isinstance(call, ast.Call) or dotted(call.func) == f"{name}.{called}":
            continue
        handed = [dotted(one) for one in (*call.args, *(keyword.value for keyword in call.keywords), call.func)]
        if any(one == name or one.startswith(f"{name}.") for one in handed):
            around = [one for one in path_to(found.node, node) if isinstance(one, ast.With)]
            if not any(
                dotted(n.func) == f"{name}.{called}" for w in around for n in walk(w) if isinstance(n, ast.Call)
            ):
                return tree.broken(found, node, f"{method} does more with {name}")
    return None
