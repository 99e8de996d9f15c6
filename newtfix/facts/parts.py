"""How networks are put together, and whether all in a list of them are treated alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from newtfix.code.effects import ABOUT
from newtfix.code.names import Names, as_attribute, bindings, is_read, targets, writes
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, handed, is_call, last_name, walk
from newtfix.newt.places import assignments
from newtfix.newt.tree import Broken, Method, NewtTree

_OF_NETWORKS = frozenset(
    "parameters named_parameters modules apply state_dict load_state_dict register_forward_hook".split()
)
_HOOKS = re.compile(r"register_\w*_hook")
_SETS_UP = frozenset("train eval to half double bfloat16 register_forward_hook register_full_backward_hook".split())


def alike(tree: NewtTree, role: str, cls: str, name: str, *but: str) -> Broken | None:
    """The parts in a list of a class are made alike, and used as they are: none gets anything but attributes `but`."""
    for method in tree.of_class(role, cls):
        names = tree.names(role, method)
        made = [value for write in names.writes(name) if (value := write.value) is not None]
        each = [part for one in made for part in walk(one) if isinstance(part, ast.comprehension)]
        loops = [node for node in names.nodes if isinstance(node, (ast.For, ast.comprehension))]
        counts = {dotted(one) for loop in each for one, _, _ in bindings(loop)} - {""}
        counted = {
            dotted(one)
            for loop in loops
            if any(names.is_of(part, name) for part in walk(loop.iter) if isinstance(part, ast.expr))
            for one, value, _ in bindings(loop)
            if value is None
        } - {""}
        empty = all(isinstance(one, ast.Call) and not (one.args or one.keywords) for one in made)
        filled = _filling(names, name) if empty else set()
        for node in (part for one in made for part in walk(one)):
            if isinstance(node, ast.Name) and node.id in counts and isinstance(node.ctx, ast.Load):
                return tree.broken(method, node, f"not all of {name} are made alike")
        for node in names.nodes:
            asked = node.test if isinstance(node, (ast.If, ast.IfExp)) else None
            if asked is not None and names_in(asked) & counted:
                return tree.broken(method, node, f"not all of {name} are alike")
            if node not in filled and _singles_out(names, node, name, but):
                return tree.broken(method, node, f"not all of {name} are alike")
    return None


def _filling(names: Names, name: str) -> set[ast.AST]:
    """Where a loop does nothing but put something into a list, each time the same."""
    found: set[ast.AST] = set()
    for node in names.nodes:
        match node:
            case ast.For(
                target=ast.Name(id=each),
                body=[ast.Expr(ast.Call(ast.Attribute(value=owner, attr="append"), [made], []) as call)],
                orelse=[],
            ) if names.is_(owner, name) and each not in names_in(made):
                found.add(call)
    return found if len(found) == 1 else set()


def _singles_out(names: Names, node: ast.AST, name: str, but: tuple[str, ...]) -> bool:
    """Whether it gives one of a list something, puts something into the list, or changes one by its number."""
    for write in writes(node):
        target = write.target
        if isinstance(target, ast.Attribute) and write.is_bound:
            if target.attr not in ("data", "weight", "bias", *but) and _is_one(names, target.value, name):
                return True
        elif isinstance(target, ast.Subscript):
            if names.is_of(target.value, name):
                return True
        elif not write.is_bound and (names.is_(target, name) or _is_numbered(names, target, name)):
            return True
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr="append" | "insert" | "add_module" | "extend")):
            return names.is_of(owner, name)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)):
            return (attr.endswith("_") or attr in _SETS_UP) and _is_numbered(names, owner, name)
    return False


def _is_one(names: Names, node: ast.expr, name: str) -> bool:
    """Whether it is one of a list, or a part of one."""
    return names.is_of(node, name) and not names.is_(node, name)


def _is_numbered(names: Names, node: ast.expr, name: str) -> bool:
    """Whether it is one of a list that is taken by its number, not by a loop."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript) and names.is_(node.value, name):
            return True
        node = node.value
    given = [write.value for write in names.writes(dotted(node)) if write.value is not None] if dotted(node) else []
    return any(isinstance(one, ast.Subscript) and names.is_(one.value, name) for one in given)


def first_is(tree: NewtTree, role: str, function: str, made: str, kind: str) -> Broken | None:
    """What a function of a module puts together (`made(...)`) begins with a part of this kind."""
    if (found := tree.function(role, function)) is None:
        return None
    file, names = found
    for call in names.nodes:
        if not isinstance(call, ast.Call) or made not in names.called(call):
            continue
        first = call.args[0] if call.args else None
        first = first.value if isinstance(first, ast.NamedExpr) else first
        given = [write.value for write in names.writes(first.id)] if isinstance(first, ast.Name) else [first]
        for one in given:
            if isinstance(one, ast.Call) and kind not in names.called(one):
                return tree.broken_in(file, one, f"{function} does not begin with {kind}")
    return None


def called_whole(tree: NewtTree, role: str, cls: str, name: str) -> Broken | None:
    """The parts in a list of a class are called, and not taken apart, but where the class is made."""
    for method in tree.of_class(role, cls):
        for part in _takes_apart(method.node, name) if method.name != "__init__" else ():
            return tree.broken(method, part, f"{method.name} takes one of {name} apart")
    return None


def _takes_apart(method: ast.AST, name: str) -> Iterator[ast.AST]:
    names = Names(method)
    lists = {name}
    for _ in range(2):
        lists |= {
            dotted(target)
            for node in names.nodes
            for target, value, _ in bindings(node)
            if value is not None and isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr))
            if any(dotted(part) in lists for part in walk(value) if isinstance(part, (ast.Attribute, ast.Name)))
        } - {""}
    about = {
        part
        for node in names.nodes
        if isinstance(node, ast.Attribute) and node.attr in ABOUT
        for part in walk(node.value)
    }
    for node in names.nodes:
        if isinstance(node, (ast.For, ast.comprehension, ast.Subscript)) and node not in about:
            inner = node.value if isinstance(node, ast.Subscript) else node.iter
        else:
            continue
        unpacked = not isinstance(node, ast.Subscript) and isinstance(node.target, ast.Tuple) and dotted(inner) in lists
        if unpacked or names.is_element(inner, lambda one: not lists.isdisjoint({dotted(one), *names.of(one)})):
            yield node


def calls_no(tree: NewtTree, role: str, function: str, *names: str) -> Broken | None:
    """A function of a module calls none of these, and hands none to something that could."""
    if (found := tree.function(role, function)) is None:
        return None
    file, own = found
    for node in own.nodes:
        named = own.lasts(node) if is_read(node) else set[str]()
        if isinstance(node, ast.Attribute) and is_read(node):
            named.add(node.attr)
        if (bad := sorted(named & set(names))) and not _is_own_name(own, node):
            return tree.broken_in(file, node, f"{function} has {bad[0]} already")
    return None


def _is_own_name(names: Names, node: ast.AST) -> bool:
    """Whether it is a parameter or a variable of the function, which is not called."""
    called = {one.func for one in names.nodes if isinstance(one, ast.Call)}
    own = {dotted(target) for one in names.nodes for target in targets(one)}
    own |= {one.arg for one in names.nodes if isinstance(one, ast.arg)}
    return node not in called and isinstance(node, ast.Name) and node.id in own


def drops_nothing(tree: NewtTree, role: str, cls: str) -> Broken | None:
    """The methods of a class call no dropout of their own, but with a rate that is an attribute or a parameter.

    Nor do they hook anything into what they consist of.
    """
    for method in tree.of_class(role, cls):
        names = tree.names(role, method)
        for node in names.nodes:
            if not isinstance(node, ast.Call):
                continue
            if _HOOKS.fullmatch(last_name(node.func)):
                return tree.broken(method, node, f"{cls} computes what a hook makes of it")
            given = " ".join(map(ast.unparse, handed(node)))
            own = isinstance(node.func, ast.Attribute) and dotted(node.func.value) == "self"
            if any("dropout" in one.lower() for one in names.called(node)) and "dropout" not in given and not own:
                return tree.broken(method, node, f"{cls} drops units already")
    return None


def called_nowhere(tree: NewtTree, *names: str) -> Broken | None:
    """Nothing in the tree calls a method of such a name."""
    for file in tree.files_with(*names):
        for node in walk(tree.module(file)):
            asked = as_attribute(node) or node
            if isinstance(asked, ast.Attribute) and asked.attr in names and is_read(node):
                return tree.broken_in(file, node, f"{asked.attr} is called here")
    return None


def taken_together(tree: NewtTree, name: str, cls: str) -> Broken | None:
    """Outside of a class nobody takes the parameters of single parts in a list of that name, or gives them others."""
    homes = {tree.roles[role].file for role in ("layers", "world_model") if role in tree.roles}
    for file in tree.python:
        if not any(f"{mark}{name}" in tree.sources[file] for mark in (".", "'", '"')):
            continue
        module = tree.module(file)
        own = {
            part for node in walk(module) if isinstance(node, ast.ClassDef) and node.name == cls for part in walk(node)
        }
        if any(_makes_list(node, name) for node in walk(module) if node not in own):
            continue  # a list of its own
        for names in tree.scopes(file):
            for node in (node for node in names.nodes if node not in own):
                if said := _taken_apart(names, node, name, file in homes):
                    return tree.broken_in(file, node, f"one of {name} is {said}")
    return None


_OF_TRAINING = ("requires_grad", "training", "grad")


def none_replaced(tree: NewtTree, name: str, cls: str) -> Broken | None:
    """Outside of a class nobody puts something else into a part of what a list of that name holds."""
    for file in (one for one in tree.python if name in tree.sources[one]):
        classes = (node for node in walk(tree.module(file)) if isinstance(node, ast.ClassDef) and node.name == cls)
        own = {part for node in classes for part in walk(node)}
        for names in tree.scopes(file):
            for node in (node for node in names.nodes if node not in own):
                func = node.func if isinstance(node, ast.Call) else node
                hooks = isinstance(func, ast.Attribute) and _HOOKS.fullmatch(func.attr)
                if hooks and isinstance(func, ast.Attribute) and _is_one_of(names, func.value, name):
                    return tree.broken_in(file, node, f"a part of one of {name} is hooked")
                for one, value, _ in bindings(node):
                    match one:
                        case ast.Attribute(value=owner, attr=attr):
                            inside = not isinstance(value, ast.Constant) and attr not in _OF_TRAINING
                        case ast.Subscript(value=owner):
                            inside = not isinstance(owner, ast.Attribute)
                        case _:
                            continue
                    if inside and _is_one_of(names, owner, name):
                        return tree.broken_in(file, node, f"a part of one of {name} is replaced")
    return None


def _taken_apart(names: Names, node: ast.AST, name: str, at_home: bool) -> str:
    """What a node does to a part of a list of that name, in words; "": nothing."""
    match node:
        case ast.Attribute(attr=attr) if attr == name and not at_home and _of_ensemble(names, node):
            return "taken apart"
        case ast.Attribute(value=taken, attr=attr) if attr in _OF_NETWORKS and _is_one_of(names, taken, name):
            return "taken by itself"
        case ast.For(iter=each) | ast.comprehension(iter=each) if _is_one_of(names, each, name):
            return "taken apart"
    parts = [one.value for one in targets(node) if isinstance(one, ast.Subscript)]
    return "replaced" if any(name in names.lasts(one) for one in parts) else ""


def _of_ensemble(names: Names, node: ast.Attribute) -> bool:
    """Whether it is an attribute of an ensemble, by whatever name."""
    owners = {one.rpartition(".")[2] for one in names.roots(node.value)} | {last_name(node.value)}
    return not owners.isdisjoint(("online", "target"))


def _is_one_of(names: Names, node: ast.expr, name: str) -> bool:
    """Whether it is a part of a list of that name, and not the list."""
    return names.is_element(node, lambda one: name in names.lasts(one))


def _makes_list(node: ast.AST, name: str) -> bool:
    """Whether an object makes networks of that name for itself."""
    return any(dotted(target) == f"self.{name}" and is_call(value, "ModuleList") for target, value, _ in bindings(node))


def made_of(tree: NewtTree, role: str, cls: str, name: str, *makers: str) -> Broken | None:
    """What a list of a class holds is made by these functions, perhaps by way of another function or method."""
    methods = {method.name: method for method in tree.of_class(role, cls)}
    for method in methods.values():
        for _, given, value in assignments(method):
            lists = [one.elt for one in walk(value) if isinstance(one, (ast.ListComp, ast.GeneratorExp))]
            lists += [one.args[0] for one in walk(method.node) if _appends(one, name, *names_in(value))]
            for part in lists if name in map(dotted, given) else ():
                maker = _maker(method, part) if isinstance(part, ast.Call) else ""
                helper, other = methods.get(maker), tree.function(role, maker) if maker not in makers else None
                inner = walk(helper.node) if helper else other[1].nodes if other is not None else ()
                returned = [one.value for one in inner if isinstance(one, ast.Return)] or [part]
                made = {_maker(method, one) for one in returned if isinstance(one, ast.Call)}
                if made - set(makers):
                    return tree.broken(method, part, f"{name} are no plain networks")
    return None


def _appends(node: ast.AST, *lists: str) -> TypeGuard[ast.Call]:
    return is_call(node, "append") and isinstance(node.func, ast.Attribute) and dotted(node.func.value) in lists


def _maker(method: Method, call: ast.Call) -> str:
    """What a call calls, also by way of a variable that is a part of it."""
    name = last_name(call.func)
    for _, given, value in assignments(method):
        if name in map(dotted, given) and is_call(value, "partial") and value.args:
            return last_name(value.args[0])
    return name


def not_derived(tree: NewtTree, role: str, name: str) -> Broken | None:
    """No class that is derived from the one of this name, in a role's file, has its methods anew."""
    own = {method.name for method in tree.of_class(role, name)} - {"__init__"}
    for file, cls in tree.derived(role, name):
        again = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name in own]
        if again:
            return tree.broken_in(file, again[0], f"{cls.name} has its own {again[0].name}")
    return None


def not_named(tree: NewtTree, name: str) -> Broken | None:
    """No function goes by the names of parameters of what is called so."""
    for file in (one for one in tree.python if name in tree.sources[one]):
        for function in (node for node in walk(tree.module(file)) if isinstance(node, ast.FunctionDef)):
            nodes = walk(function)
            texts = [one for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            said = [one for one in texts if name in str(one.value).split(".")]
            if said and any(is_call(one, "named_parameters") for one in nodes):
                return tree.broken_in(file, said[0], f"parameters of {name} are told by their names")
    return None


def none_derived(tree: NewtTree, role: str, word: str) -> Broken | None:
    """No class that is derived from that of a role has such methods, by a word of their names, in place of its own."""
    for name in (name for name in tree.methods(role) if word in name):
        for method in list(tree.versions(role, name))[1:]:
            return tree.broken(method, method.node, f"a derived class has its own {name}")
    return None


def set_in_no_derived(tree: NewtTree, role: str, name: str) -> Broken | None:
    """No class that is derived from the one of this name gives attributes another value that this one sets."""
    own = {dotted(target) for method in tree.of_class(role, name) for target in _set_in(method.node)}
    for file, cls in tree.derived(role, name):
        for target in _set_in(cls):
            if dotted(target) in own:
                return tree.broken_in(file, target, f"{cls.name} sets {dotted(target)} anew")
    return None


def _set_in(node: ast.AST) -> list[ast.expr]:
    """The attributes of `self` that are given a value."""
    return [one for part in walk(node) for one, _, _ in bindings(part) if dotted(one).startswith("self.")]
