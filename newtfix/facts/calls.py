"""Where something is called, how often, and under which conditions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from newtfix.code.names import Write, as_attribute, bindings, is_read
from newtfix.code.paths import conditions, names_in, path_to, skipped_by
from newtfix.code.syntax import dotted, handed, last_name, walk
from newtfix.newt.places import End
from newtfix.newt.tree import Broken, Method, NewtTree

LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)


def only_calls(
    tree: NewtTree, role: str, name: str, allowed: Callable[[NewtTree, Method, ast.Call], bool], where: str
) -> Broken | None:
    """Something is called at these places only, and handed to nothing that could call it."""
    for method, call in tree.calls(role, name):
        if not allowed(tree, method, call):
            return tree.broken(method, call, f"{name} is called not only {where}")
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        called = {node.func for node in names.nodes if isinstance(node, ast.Call)}
        for node in names.reads(name):
            if node not in called:
                return tree.broken(method, node, f"{name} has another name here")
    return None


def once(tree: NewtTree, role: str, method: str, *called: str) -> Broken | None:
    """A method calls something by these names once each time that it runs, by whatever way."""
    begin = tree.methods(role).get(method)
    times = list(_times(tree, role, begin, called, (), False)) if begin is not None else []
    for where, node, in_loop in times:
        if in_loop:
            return tree.broken(where, node, f"{method} does this more than once each time")
    return None


def ends_after(tree: NewtTree, role: str, method: str, *called: str) -> Broken | None:
    """A method that calls something by these names, by whatever way, does not return before it."""
    begin = tree.methods(role).get(method)
    if begin is None:
        return None
    names = tree.names(role, begin)
    does = [node for node in names.nodes if isinstance(node, ast.Call) and _leads(tree, role, begin, node, called)]
    own = (one for one in names.nodes if isinstance(one, ast.Return))
    for end in (
        one for one in own if not any(isinstance(node, ast.FunctionDef) for node in path_to(begin.node, one)[1:])
    ):
        if does and all(_position(end) < _position(one) and one not in walk(end) for one in does):
            return tree.broken(begin, end, f"{method} may end before {called[0]} is called")
    return None


def _leads(tree: NewtTree, role: str, method: Method, call: ast.Call, called: tuple[str, ...]) -> bool:
    """Whether a call in a method is one by such a name, or one of a method that makes one."""
    if last_name(call.func) in called:
        return True
    helper = tree.called(role, call, tree.names(role, method))
    return helper is not None and any(_times(tree, role, helper, called, (method.name,), False))


def handed_only_to(tree: NewtTree, role: str, word: str, *callers: str) -> Broken | None:
    """Methods with such a word in their names are handed to nothing but what has one of these in its own."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        calls = [node for node in names.nodes if isinstance(node, ast.Call)]
        called = {call.func for call in calls}
        for call in calls:
            given = [part for one in handed(call) for part in walk(one) if part not in called]
            for one in (part for part in given if isinstance(part, (ast.Attribute, ast.Name))):
                own = [
                    name for name in names.of(one) if name.startswith("self.") and word in name and name.count(".") == 1
                ]
                if own and not any(caller in last_name(call.func) for caller in callers):
                    return tree.broken(
                        method, call, f"{own[0].removeprefix('self.')} is called by {last_name(call.func)}"
                    )
    return None


def called_before(tree: NewtTree, role: str, first: str, second: str) -> Broken | None:
    """Methods that call both, the second perhaps by way of another method, call the first before the second."""
    methods = tree.methods(role)
    by_way = {m.name for m in methods.values() if any(tree.names(role, m).calls(second))}
    for method in methods.values():
        names = tree.names(role, method)
        ways = [
            node
            for node in names.nodes
            if isinstance(node, ast.Call)
            and (helper := tree.called(role, node, names)) is not None
            and helper.name in by_way - {method.name}
        ]
        begun = min(map(_position, (*names.calls(second), *ways)), default=None)
        for call in names.calls(first):
            if begun is not None and _position(call) > begun:
                return tree.broken(method, call, f"{first} is called after {second}")
    return None


def _position(call: ast.AST) -> tuple[int, int]:
    return getattr(call, "lineno", 0), getattr(call, "col_offset", 0)


def _times(
    tree: NewtTree, role: str, method: Method, called: tuple[str, ...], inside: tuple[str, ...], in_loop: bool
) -> Iterator[tuple[Method, ast.AST, bool]]:
    if method.name in inside:
        return
    names = tree.names(role, method)
    for node in names.nodes:
        if not isinstance(node, ast.Call):
            continue
        own = {*names.of(node.func), *([node.func.attr] if isinstance(node.func, ast.Attribute) else ())}
        for way in tree.ways_within(role, method, node):
            looped = in_loop or any(isinstance(one, LOOPS) for one in way)
            if any(f".{one}".endswith(f".{name}") for one in own for name in called):
                yield method, node, looped
            elif (helper := tree.called(role, node, names)) is not None and helper.name in (*inside, method.name):
                yield method, node, True  # by way of itself
            elif helper is not None:
                yield from _times(tree, role, helper, called, (*inside, method.name), looped)


def always(
    tree: NewtTree, role: str, name: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """Something is called whenever what is `given` says so, whatever else holds."""
    known = given(tree, role)
    for method, call in tree.calls(role, name):
        kept_back = [_unknown_test(path, known) for path in _ways(tree, role, method, call)]
        if kept_back and None not in kept_back:
            return tree.broken_on(role, method, kept_back[0] or call, f"{name} is not called whenever {what}")
    return None


def _ways(tree: NewtTree, role: str, method: Method, call: ast.Call) -> list[list[ast.AST]]:
    """The ways to a call; those within its method alone, where several places call that: each may add to the others."""
    ways = list(tree.ways(role, method, call))
    return ways if len(ways) == 1 else list(tree.ways_within(role, method, call))


def _unknown_test(path: list[ast.AST], known: set[str]) -> ast.expr | None:
    """What else than what is known decides whether the end of a way is reached."""
    loops = [node for node in path if isinstance(node, (ast.For, ast.AsyncFor, ast.While))]
    inside = path[path.index(loops[0]) + 1 :] if loops else path
    tests = [test for test, _ in conditions(inside)]
    tests += [test for loop in loops[1:] or loops for test, _ in skipped_by(path, loop)]
    return next((test for test in tests if not all(_is_known(one, known) for one in names_in(test))), None)


def _is_known(name: str, known: set[str]) -> bool:
    own = name.startswith("self.")
    return ".".join(name.split(".")[: 2 if own else 1]) in known


def within(
    tree: NewtTree, role: str, name: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """Something is called in a loop over what is `given`, or in none, not over something that was collected before."""
    known = given(tree, role)
    for method, call in tree.calls(role, name):
        for path in _ways(tree, role, method, call):
            loops = [node for node in path if isinstance(node, LOOPS)]
            over = decides(loops[-1]) if loops and not (len(loops) == 1 and isinstance(loops[0], ast.While)) else []
            if not all(_is_known(one, known) for part in over for one in names_in(part) - _own(part)):
                return tree.broken(method, call, f"{name} is not called as soon as {what}")
    return None


def _own(each: ast.expr) -> set[str]:
    """What a comprehension that selects by one of its own variables, as it is, calls its elements."""
    match each:
        case ast.ListComp(generators=[ast.comprehension(target=target, ifs=[ast.Name(id=asked)])]):
            own = {one.id for one in walk(target) if isinstance(one, ast.Name)}
            return own if asked in own else set()
    return set()


def decides(loop: ast.AST) -> list[ast.expr]:
    """What says how often a loop is run."""
    match loop:
        case ast.While(test=test):
            return [test]
        case ast.For(iter=each) | ast.AsyncFor(iter=each):
            return [each]
    return [generator.iter for generator in getattr(loop, "generators", ())]


def begun_only(
    tree: NewtTree, role: str, rows: str, given: Callable[[NewtTree, str], set[str]], what: str
) -> Broken | None:
    """What counts the steps of episodes, cut out of `rows` up to it, goes back to zero only where what is `given`."""
    known = given(tree, role)
    counters = counted(tree, role, rows)
    for method in tree.methods(role).values():
        for write in tree.names(role, method).writes(*counters):
            asked = _asked(write, counters)
            if not all(_is_known(one, known | counters) for part in asked for one in names_in(part)):
                return tree.broken(method, write.node, f"episodes begin anew not only when {what}")
    return None


def counted(tree: NewtTree, role: str, rows: str) -> set[str]:
    """What counts the steps of episodes: `rows` are cut out up to it, environment by environment."""
    return {
        dotted(bound.value)
        for method in tree.methods(role).values()
        for names in (tree.names(role, method),)
        for node in names.nodes
        if isinstance(node, ast.Subscript) and names.is_of(node.value, rows) and isinstance(node.slice, ast.Tuple)
        for bound in walk(node.slice)
        if isinstance(bound, ast.Subscript)
    } - {""}


def _asked(write: Write, counters: set[str]) -> list[ast.expr]:
    """What decides which of the counters get another value; all of them do where they are made anew."""
    index = write.target.slice if isinstance(write.target, ast.Subscript) else None
    if write.is_bound:
        again = write.value is not None and names_in(write.value) & counters
        return [write.value] if again and write.value is not None else []
    match write.node:
        case ast.Call(args=args, keywords=keywords):
            return [*args, *(one.value for one in keywords if one.value is not write.target)]
        case ast.AugAssign(op=operator, value=value) if not isinstance(operator, ast.Add):
            return [value, *([index] if index is not None else [])]
    return [index] if index is not None else []


def only_called_by(tree: NewtTree, role: str, methods: tuple[str, ...], callers: tuple[str, ...]) -> Broken | None:
    """These methods are called by `callers` of the same class, and by nothing else in the tree."""
    allowed = {tree.methods(role)[one].node for one in callers if one in tree.methods(role)}
    own = tree.roles[role].cls if role in tree.roles else None
    for file in tree.files_with(*methods):
        nodes = walk(tree.module(file))
        others = [n for n in nodes if isinstance(n, ast.ClassDef) and n.name != own and not _is_made_of(n, own)]
        inside = {part for node in nodes if node in allowed for part in walk(node)}
        theirs = {part for one in others for part in walk(one)}
        called = {node.func for node in nodes if isinstance(node, ast.Call)}
        kept = {
            part
            for node in nodes
            for target, value, _ in bindings(node)
            if value and _is_own(target)
            for part in walk(value)
        }
        for node in nodes:
            asked = as_attribute(node) or node
            if node in inside or not isinstance(asked, ast.Attribute) or asked.attr not in methods or not is_read(node):
                continue
            handed = node not in called and node not in kept and not dotted(asked.value).endswith(("cfg", "args"))
            if (node in called or handed) and (node not in theirs or dotted(asked.value) != "self"):
                return tree.broken_in(file, node, f"{asked.attr} is called here, too")
    return None


def _is_own(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and dotted(target.value) == "self"


def _is_made_of(cls: ast.ClassDef, name: str | None) -> bool:
    return any(_last(base) == name for base in cls.bases)


def only_named_in(tree: NewtTree, name: str, *roles: str) -> Broken | None:
    """A function is called in the files of these roles alone, and given no other name in others."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        nodes = walk(tree.module(file)) if file not in known and name in tree.sources[file] else []
        checked = {
            part
            for node in nodes
            if isinstance(node, ast.Call) and dotted(node.func) == "isinstance"
            for part in walk(node)
        }
        for node in nodes:
            asked = as_attribute(node) or node
            named = isinstance(asked, ast.expr) and _last(asked) == name and is_read(node) and node not in checked
            if named or (isinstance(node, ast.alias) and node.name == name and node.asname not in (None, name)):
                return tree.broken_in(file, node, f"{name} is called here as well")
    return None


def asks_only(tree: NewtTree, role: str, owner: str, methods: tuple[str, ...], where: str) -> Broken | None:
    """Methods that use a keyword of the name `where` do nothing with `owner` but call these methods."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        if not any(isinstance(node, ast.keyword) and node.arg == where for node in names.nodes):
            continue
        asked = {node.value for node in names.nodes if isinstance(node, ast.Attribute) and node.attr in methods}
        asked |= {value for node in names.nodes for _, value, whole in bindings(node) if value is not None and whole}
        asked |= {one for n in names.nodes if isinstance(n, ast.Call) and "logger" in dotted(n.func) for one in n.args}
        for node in names.reads(owner):
            if node not in asked:
                return tree.broken(method, node, f"{method.name} does more with {owner}")
    return None


def made_once(tree: NewtTree, role: str, call: str, name: str, *roles: str) -> Broken | None:
    """Only one statement of the tree copies (`call`) something whose last name is `name`, or one of its kind.

    What holds one has its name from the files of these roles.
    """
    found: list[tuple[str, ast.Call]] = []
    home = tree.roles[role].file if role in tree.roles else ""
    files = dict.fromkeys(tree.roles[one].file for one in (role, *roles) if one in tree.roles)
    bound = [(file, *one) for file in files for node in walk(tree.module(file)) for one in bindings(node)]
    kinds = {name, "model"} | {
        _last(target) for _, target, value, _ in bound if isinstance(value, ast.Call) and _is_ensemble(value)
    }
    for file in dict.fromkeys((*files, *(one for one in tree.python if call in tree.sources[one]))):
        copies = {call, *(n.asname for n in walk(tree.module(file)) if isinstance(n, ast.alias) and n.name == call)}
        kinds |= {
            _last(target)
            for where, target, value, _ in bound
            if where == file == home and isinstance(value, ast.Call) and _last(value.func) in copies
        }
        made = [(target, value) for node in walk(tree.module(file)) for target, value, _ in bindings(node)]
        others = {_last(target) for target, value in made if isinstance(value, ast.Call) and not _is_ensemble(value)}
        own = kinds - others if file not in files else kinds  # another file may have networks of its own by that name
        for names in tree.scopes(file):
            for node in names.nodes:
                if not isinstance(node, ast.Call) or copies.isdisjoint(map(_last_of, names.of(node.func))):
                    continue
                given = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "x")]
                if not own.isdisjoint(map(_last_of, (part for one in given for part in names.of(one)))):
                    found.append((file, node))
    if len(found) > 1:
        file, node = found[-1]
        return tree.broken_in(file, node, "there is another copy")
    return None


def _last_of(name: str) -> str:
    return name.rpartition(".")[2]


def _last(node: ast.expr) -> str:
    return dotted(node).rpartition(".")[2]


def _is_ensemble(call: ast.Call) -> bool:
    return dotted(call.func).rpartition(".")[2].endswith("Ensemble")


def once_a_turn(tree: NewtTree, role: str, ends: Iterable[End], what: str) -> Broken | None:
    """Each loop that steps has one such place at most."""
    seen: dict[ast.AST, End] = {}
    for end in ends:
        for path in tree.ways(role, end.method, end.expression):
            loops = [node for node in path if isinstance(node, (ast.While, ast.For, ast.AsyncFor))]
            if loops and seen.setdefault(loops[0], end) is not end:
                return tree.broken(end.method, end.expression, f"{what} in another place of the same loop")
    return None


def decided_once(tree: NewtTree, role: str, name: str) -> Broken | None:
    """The names that decide whether something is called get their value once in the method."""
    for method, call in tree.calls(role, name):
        names = tree.names(role, method)
        path = path_to(method.node, call)
        for one in {one for test, _ in conditions(path) for one in names_in(test) if "." not in one}:
            if len(found := list(names.writes(one))) > 1:
                return tree.broken(method, found[-1].node, f"whether {name} is called is decided again")
    return None


def nothing_else_with(tree: NewtTree, role: str, method: str, name: str, called: str) -> Broken | None:
    """A method calls `called` of an attribute, and hands it to nothing that could change it, but beside that call."""
    found = tree.methods(role).get(method)
    if found is None:
        return None
    names = tree.names(role, found)
    calls = set(names.calls(f"{name}.{called}"))
    around = {with_ for call in calls for with_ in path_to(found.node, call) if isinstance(with_, ast.With)}
    beside = {part for one in around for part in walk(one)}
    for write in tree.writes(role, found, name):
        if write.node not in calls and write.node not in beside:
            return tree.broken(found, write.node, f"{method} does more with {name}")
    for node in names.nodes:
        if not isinstance(node, ast.Call) or node in calls | beside:
            continue
        handed = [*node.args, *(keyword.value for keyword in node.keywords)]
        own = isinstance(node.func, ast.Attribute) and names.is_(node.func.value, name)
        if own or any(names.is_(one, name) for one in handed):
            return tree.broken(found, node, f"{method} does more with {name}")
    return None
