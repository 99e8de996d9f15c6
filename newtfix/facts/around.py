"""What goes on around the places that a patch changes: before them, beside them, and in other files."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code import arithmetic
from newtfix.code.names import Names, as_attribute, bindings
from newtfix.code.paths import conditions, names_in, path_to
from newtfix.code.syntax import dotted, handed, is_call, last_name, parsed, parts, walk
from newtfix.newt.tree import Broken, Method, NewtTree

_SELECTS = frozenset("startswith endswith removeprefix removesuffix match search fullmatch".split())
_SHORT = 3  # letters that say nothing of a metric
_LOADS = frozenset("load load_state_dict load_weights load_pretrained from_pretrained".split())
_LEARNED = ("agent", "model")
_BEFORE = "pretrain"
_FILLS = frozenset("isnan nan_to_num isfinite".split())
_MOVES = frozenset("to float cpu cuda contiguous clone detach half".split())


def not_asked_before(tree: NewtTree, role: str, tokens: str, owner: str) -> Broken | None:
    """No variable that decides whether `tokens` are earned was made by asking `owner` before."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        earned = [write.node for write in names.writes(tokens) if isinstance(write.node, ast.AugAssign)]
        tests = [test for node in earned for test, _ in conditions(path_to(method.node, node))]
        asked = {name for test in tests for name in names_in(test)}
        for node in names.nodes:
            for target, value, _ in bindings(node):
                read = names.parts_of(value) if value is not None and dotted(target) in asked else set[str]()
                if any(one == owner or one.startswith(f"{owner}.") for one in read):
                    return tree.broken(method, node, f"{owner} is asked before the last rows are handed over")
    return None


def not_selected(tree: NewtTree, *names: str) -> Broken | None:
    """Nothing picks things by how their names begin or end where these would be picked as well."""
    for file in tree.files_with(*_SELECTS):
        nodes = walk(tree.module(file))
        others = _of_other_dictionaries(nodes)
        for node in nodes:
            if node not in others and isinstance(node, ast.Call) and last_name(node.func) in _SELECTS:
                asked = [one.value for part in node.args for one in walk(part) if isinstance(one, ast.Constant)]
                texts = [text for text in asked if isinstance(text, str) and len(text) > _SHORT]
                picked = [name for name in names for text in texts if _picks(last_name(node.func), name, text)]
                if picked:
                    return tree.broken_in(file, node, f"this would pick {' and '.join(dict.fromkeys(picked))} as well")
    return None


def _picks(method: str, name: str, text: str) -> bool:
    return text != name and (name.endswith(text) if "end" in method or "suffix" in method else name.startswith(text))


def _of_other_dictionaries(nodes: list[ast.AST]) -> set[ast.AST]:
    """What loops over the items of dictionaries that are about training by their names."""
    return {
        part
        for node in nodes
        if isinstance(node, (ast.For, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp))
        if any("train" in name for one in _iterated(node) for name in names_in(one))
        for part in walk(node)
    }


def _iterated(node: ast.AST) -> list[ast.expr]:
    return [node.iter] if isinstance(node, ast.For) else [one.iter for one in getattr(node, "generators", ())]


def reads(tree: NewtTree, role: str, method: str, attribute: str) -> Broken | None:
    """A method reads an attribute of `self`, or by way of a method of its class that it calls."""
    found = tree.methods(role).get(method)
    if found is None:
        return None
    pending, seen = [found], {found.name}
    while pending:
        names = tree.names(role, pending.pop())
        if any(names.reads(attribute)):
            return None
        for node in names.nodes:
            called = tree.called(role, node, names) if isinstance(node, ast.Call) else None
            if called is not None and called.name not in seen:
                seen.add(called.name)
                pending.append(called)
    return tree.broken(found, found.node, f"{method} does not use {attribute}")


def loaded_only_for(tree: NewtTree, *words: str) -> Broken | None:
    """Scripts load weights, or train before they act, only where a name with one of these words says so.

    An object may always load itself.
    """
    known = {found.file for found in tree.roles.values()}
    loading = tree.files_with(*(f"{owner}.{name}" for owner in _LEARNED for name in _LOADS))
    for file in dict.fromkeys((*loading, *(one for one in tree.python if _BEFORE in tree.sources[one]))):
        if file in known - {getattr(tree.roles.get("trainer"), "file", "")}:
            continue
        for names in tree.scopes(file):
            function = names.nodes[0]
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in names.nodes:
                learns = isinstance(node, ast.Call) and _BEFORE in last_name(node.func)
                if isinstance(node, ast.Call) and (learns or any(map(_loads_weights, names.of(node.func)))):
                    tests = [test for test, _ in conditions(path_to(function, node))]
                    given = handed(node)
                    said = {name for one in (*tests, *given) for name in _affirmed(one)} | {function.name}
                    named = [write.value for name in said for write in names.writes(name) if write.value is not None]
                    said |= {name for one in named for name in _affirmed(one)}
                    if tests and not any(word in name for name in said for word in words):
                        return tree.broken_in(file, node, "the agent has learned before")
    return None


def _affirmed(test: ast.expr) -> set[str]:
    """The names in an expression, but for those that it denies."""
    denied = {name for node in walk(test) if isinstance(node, ast.UnaryOp) for name in names_in(node)}
    return names_in(test) - denied


def _loads_weights(name: str) -> bool:
    owner, _, last = name.rpartition(".")
    return last in _LOADS and any(one in _LEARNED for one in owner.split("."))


def at_one_place(tree: NewtTree, role: str, setting: str) -> Broken | None:
    """A class reads a setting in one statement, as its file is written, and elsewhere compares it with a count."""
    found = tree.roles.get(role)
    module = parsed(tree.sources[found.file]) if found is not None else ast.Module([], [])
    statements = [
        statement
        for cls in module.body
        if isinstance(cls, ast.ClassDef) and found is not None and cls.name == found.cls
        for method in cls.body
        for statement in walk(method)
        if isinstance(statement, ast.stmt) and _takes(statement, setting)
    ]
    if len(statements) == 1 and found is not None:
        statements += _read_by_name(module, statements[0], setting)
    if len(statements) > 1 and found is not None:
        return tree.broken_in(found.file, statements[-1], f"{setting} is used here once more")
    return None


def _takes(statement: ast.stmt, setting: str) -> bool:
    """Whether a statement reads a setting, other than to compare it with a variable or an attribute."""
    own = _own(statement)
    plain = [
        side
        for one in own
        if isinstance(one, ast.Compare) and len(one.ops) == 1 and not isinstance(one.ops[0], (ast.Eq, ast.NotEq))
        for side in (one.left, one.comparators[0])
        if all(map(dotted, (one.left, one.comparators[0])))
    ]
    return any(_is_named(one, setting) and one not in plain for one in own)


def _read_by_name(module: ast.Module, given: ast.stmt, setting: str) -> list[ast.stmt]:
    """Where a function reads a name that a statement gives a setting, but for the first time."""
    functions = [node for node in walk(module) if isinstance(node, ast.FunctionDef) and given in walk(node)]
    own = {dotted(target) for target, value, _ in bindings(given) if value is not None and _is_named(value, setting)}
    nodes = walk(functions[-1]) if functions else []
    reading = (node for node in nodes if isinstance(node, ast.stmt) and node is not given)
    return [node for node in reading if any(own & names_in(one) for one in _own(node))][1:]


def _own(statement: ast.stmt) -> list[ast.AST]:
    """What a statement consists of, but for the statements in it."""
    return [one for part in parts(statement) if isinstance(part, (ast.expr, ast.withitem)) for one in walk(part)]


def _is_named(node: ast.AST, setting: str) -> bool:
    match as_attribute(node) or node:
        case ast.Attribute(attr=name) | ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=name), *_]):
            return bool(name == setting)
    return False


def passes_mode(tree: NewtTree, role: str, *parts: str) -> Broken | None:
    """Classes that set the mode of their parts themselves give these what they are given, and leave none out."""
    if (found := tree.roles.get(role)) is None:
        return None
    for names in tree.scopes(found.file):
        method = names.nodes[0]
        if not isinstance(method, ast.FunctionDef) or method.name != "train" or len(method.args.args) < 2:
            continue
        mode = method.args.args[1].arg
        called = {arithmetic.called(node) for node in names.nodes if isinstance(node, ast.Call)}
        told = any(True for _ in names.calls(*(f"{part}.train" for part in parts)))
        cls = next((one for one in walk(tree.module(found.file)) if method in getattr(one, "body", ())), None)
        own = {dotted(one) for node in walk(cls) for one, _, _ in bindings(node)} if cls is not None else set()
        if "super" not in called and not told and own & set(parts):
            return tree.broken_in(found.file, method, f"this leaves out {' and '.join(sorted(own & set(parts)))}")
        for node, words in _other_modes(names, method, mode, parts):
            return tree.broken_in(found.file, node, words)
    return None


def _other_modes(
    names: Names, method: ast.FunctionDef, mode: str, parts: tuple[str, ...]
) -> Iterator[tuple[ast.AST, str]]:
    """Where a method that sets modes sets another one than it is given, or that of what is never trained."""

    def told(call: ast.Call) -> bool:
        return mode in {name for one in handed(call) for name in names.parts_of(one)}

    for node in names.calls(*(f"{part}.train" for part in parts)):
        if not told(node):
            yield node, "this trains whatever the mode"
    for node in names.calls(*(f"{part}.eval" for part in parts)):
        if not any(isinstance(one, (ast.If, ast.IfExp)) for one in path_to(method, node)):
            yield node, "this trains whatever the mode"
    for node in (one for one in names.nodes if isinstance(one, ast.Call) and arithmetic.called(one) == "train"):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else node
        if is_call(owner, "super") and not told(node):
            yield node, "this trains whatever the mode"
        asked = mode in {name for one in node.args for name in names_in(one)}
        if asked and names.is_of(owner, "self.target"):
            yield node, "this trains what is never trained"


def not_overridden(tree: NewtTree, role: str, called: str) -> Broken | None:
    """No class that is derived from that of a role has a method of its own in place of one that calls `called`."""
    found = tree.roles.get(role)
    methods = {method.name for method, _ in tree.calls(role, called)} - {"train"}
    for file, cls in tree.derived(role, str(found.cls)) if methods and found is not None and found.cls else ():
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name in methods:
                return tree.broken_in(file, node, f"{cls.name} has its own {node.name}")
    return None


def updated_only_in(tree: NewtTree, role: str, name: str) -> Broken | None:
    """Only the class of a role calls something by this name, of its own."""
    found = tree.roles.get(role)
    for file in tree.files_with(name) if found is not None else ():
        for cls in (node for node in walk(tree.module(file)) if isinstance(node, ast.ClassDef)):
            if found is not None and (file, cls.name) == (found.file, found.cls):
                continue
            for names in (one for one in tree.scopes(file) if one.nodes[0] in cls.body):
                for node in names.calls(f"self.{name}"):
                    return tree.broken_in(file, node, f"{cls.name} does this on its own")
    return None


def asked_once(tree: NewtTree, role: str, methods: str, *called: str) -> Broken | None:
    """Methods with this in their names, which are replaced whole, call each of these once at most."""
    for method in named(tree, role, methods):
        for name in called:
            its = list(tree.names(role, method).calls(name))
            if len(its) > 1:
                return tree.broken(method, its[-1], f"{method.name} has a term of its own, which would be lost")
    return None


def reads_only(tree: NewtTree, role: str, methods: str, *settings: str) -> Broken | None:
    """Methods with this in their names, which are replaced whole, read no settings but these."""
    for method in named(tree, role, methods):
        names = tree.names(role, method)
        for node in names.nodes:
            read = {one.rpartition(".")[2] for one in names.of(node) if one.split(".")[-2:-1] == ["cfg"]}
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[ast.Constant(value=str(name)), *_]):
                    read |= {name} if any(one.endswith("cfg") for one in names.of(owner)) else set()
            if other := sorted(read - {*settings, "get"}):
                return tree.broken(method, node, f"{method.name} goes by {other[0]}, which would be lost")
    return None


def named(tree: NewtTree, role: str, part: str) -> list[Method]:
    """The methods of a class with this in their names."""
    return [method for method in tree.methods(role).values() if part in method.name]


def refuses_nothing(tree: NewtTree, role: str, name: str, parameter: str) -> Broken | None:
    """A method, as its file is written, raises nothing where it is not given `parameter`."""
    method = tree.methods(role).get(name)
    nodes = walk(parsed(tree.sources[method.file])) if method is not None else []
    for written in (n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == name):
        for node in walk(written) if method is not None and written.lineno == method.node.lineno else ():
            asked = [node.test] if isinstance(node, ast.Assert) else []
            asked += [test for test, _ in conditions(path_to(written, node))] if isinstance(node, ast.Raise) else []
            if any(_asks_whether_given(part, parameter) for test in asked for part in walk(test)):
                return tree.broken_in(str(method and method.file), node, f"{name} refuses rows without {parameter}")
    return None


def _asks_whether_given(node: ast.AST, parameter: str) -> bool:
    match node:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Is() | ast.IsNot()]):
            return name == parameter
    return False


def asks_beside(tree: NewtTree, role: str, setting: str, *words: str) -> Broken | None:
    """Methods that read a setting call something with one of these words in its name, or are given its result."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        reads = [node for node in names.nodes if _is_named(node, setting)]
        known = [last_name(node.func) for node in names.nodes if isinstance(node, ast.Call)] if reads else []
        known += [one.arg for one in method.node.args.args]
        if reads and not any(word in one for one in known for word in words):
            return tree.broken(method, reads[0], f"{method.name} calls nothing named {' or '.join(words)}")
    return None


def handed_as_sampled(tree: NewtTree, role: str, *names: str) -> Broken | None:
    """Methods that draw a batch fill in what is missing in these parts of it, and change them in no other way."""
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        if not any(isinstance(node, ast.Call) and last_name(node.func) == "sample" for node in nodes):
            continue
        for node in nodes:
            for target, value, whole in bindings(node):
                if dotted(target) not in names or value is None or not whole or not isinstance(value, ast.Call):
                    continue
                known = {last_name(one.func) for one in walk(value) if isinstance(one, ast.Call)}
                if not known & _FILLS and known - _MOVES:
                    return tree.broken(method, node, f"{dotted(target)} is changed before the policy gets it")
    return None


def begins_rows(tree: NewtTree, role: str, reset: str, rows: str) -> Broken | None:
    """Where all environments are reset, and rows are kept, their first ones are written next."""
    for method, call in tree.calls(role, reset):
        names = tree.names(role, method)
        if not any(names.writes(rows)):
            continue
        path = path_to(method.node, call)
        block = [getattr(node, part, None) for node in path[-3:] for part in ("body", "orelse")]
        behind = [one for part in block if isinstance(part, list) for one in part if _is_behind(one, path, part)]
        if not any(names.is_of(target, rows) for one in behind for node in walk(one) for target, *_ in bindings(node)):
            return tree.broken(method, call, f"{reset} is called, and no first rows are written")
    return None


def _is_behind(statement: ast.AST, path: list[ast.AST], block: list[ast.AST]) -> bool:
    here = [number for number, one in enumerate(block) if any(one is node for node in path)]
    return bool(here) and block.index(statement) >= here[0]


def returns_unscaled(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A function of a module, or a method of its class, does not end by scaling something by a number."""
    found, method = tree.function(role, name), tree.methods(role).get(name)
    nodes = found[1].nodes if found is not None else walk(method.node) if method is not None else []
    file = found[0] if found is not None else method.file if method is not None else ""
    for node in nodes:
        match node:
            case ast.Return(value=ast.BinOp(left=left, op=ast.Div() | ast.Mult() as by, right=right)):
                if _is_constant(right) or (isinstance(by, ast.Mult) and _is_constant(left)):
                    return tree.broken_in(file, node, f"{name} is scaled by a number")
    return None


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())
