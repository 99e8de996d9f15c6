"""What methods do beside what a patch knows of them: count, keep, wrap, scale, and read what it brings."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeGuard

from newtfix.code.effects import own_attributes_set
from newtfix.code.names import Names, bindings, own_attributes_changed, targets
from newtfix.code.paths import names_in, path_to
from newtfix.code.syntax import dotted, is_call, walk
from newtfix.facts.closed import is_logarithm
from newtfix.newt.places import assignments
from newtfix.newt.roles import outline
from newtfix.newt.tree import Broken, NewtTree

_FUNCTIONS = frozenset("exp log log2 log10 pow sqrt square reciprocal sigmoid softplus".split())
_KEEPS = frozenset("update append add push record observe".split())
_NETWORKS = frozenset("Linear NormedLinear mlp Sequential ModuleList LayerNorm".split())


def independent(tree: NewtTree, role: str, *methods: str) -> Broken | None:
    """What these methods do goes by nothing that the class counts or that they left behind, but for a first time."""
    nodes = [node for method in tree.methods(role).values() for node in tree.names(role, method).nodes]
    counted = {dotted(node.target) for node in nodes if isinstance(node, ast.AugAssign)} | {
        dotted(target)
        for node in nodes
        for target, value, _ in bindings(node)
        if value is not None and dotted(target) in names_in(value)
    }
    counted = {name for name in counted if name.startswith("self.")}
    for method in (one for name, one in tree.methods(role).items() if name in methods):
        names = tree.names(role, method)
        own = {name for node in names.nodes for name in map(dotted, targets(node)) if name.startswith("self.")}
        counting = {
            part
            for node in names.nodes
            if (given := set(map(dotted, targets(node)))) and given <= counted
            for part in walk(node)
        }
        for node in (one for one in names.nodes if one not in counting):
            match node:
                case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                    known = counted | own
                case ast.BinOp(op=ast.Mod() | ast.FloorDiv() | ast.Div(), left=test):
                    known = counted
                case ast.Call(func=ast.Name(id="min" | "max")):
                    known, test = counted, node
                case _:
                    continue
            first = {part.left for part in walk(test) if _is_first_time(part)}
            if any(part not in first and not names.of(part).isdisjoint(known) for part in walk(test)):
                return tree.broken(method, test, f"{method.name} goes by how often it was called")
    return None


def _is_first_time(node: ast.AST) -> TypeGuard[ast.Compare]:
    """Whether it asks for 0 or None."""
    match node:
        case ast.Compare(ops=[ast.Eq()], comparators=[ast.Constant(value=0)]):
            return True
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
    return False


def subtracted(tree: NewtTree, role: str, methods: str, setting: str) -> Broken | None:
    """Methods with this in their names take an entropy that a setting weighs away, and do not add it."""
    for method in (one for name, one in tree.methods(role).items() if methods in name):
        for node in walk(method.node):
            if isinstance(node, ast.Attribute) and node.attr == setting and isinstance(node.ctx, ast.Load):
                path = path_to(method.node, node)
                signs = [
                    one
                    for one, inner in pairwise(path)
                    if (isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.USub))
                    or (isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) and one.right is inner)
                ]
                products = [one for one in path if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult)]
                weighs = any("entropy" in ast.unparse(one).replace(setting, "") for one in products[-1:])
                if weighs and len(signs) % 2 == 0:
                    return tree.broken(method, node, f"{setting} has the other sign here")
    return None


def plain_value(tree: NewtTree, cls: str, attribute: str) -> Broken | None:
    """A class reads one of its attributes as it is, and not through a function."""
    for file in tree.python:
        for node in walk(tree.module(file)) if f"class {cls}" in tree.sources[file] else ():
            if isinstance(node, ast.ClassDef) and node.name == cls:
                for part in walk(node):
                    func = part.func if isinstance(part, ast.Call) else None
                    if isinstance(func, ast.Attribute) and func.attr in _FUNCTIONS and dotted(func.value) == attribute:
                        return tree.broken_in(file, part, f"{attribute} of {cls} is something else")
    return None


def reads_what_it_sets(tree: NewtTree, cls: str, setter: str, *readers: str) -> Broken | None:
    """A class reads in one of its methods what another one writes at once, perhaps by way of further methods."""
    for file in tree.files_with(cls):
        found = (one for one in walk(tree.module(file)) if isinstance(one, ast.ClassDef) and one.name == cls)
        for methods in ({one.name: one for one in node.body if isinstance(one, ast.FunctionDef)} for node in found):
            if setter not in methods:
                continue
            read = [reader for name in readers if name in methods for reader in _with_called(methods, name)]
            asked = {dotted(one) for part in read for one in walk(part) if isinstance(one, ast.Attribute)}
            own = [name for name in asked if name.startswith("self.") and name.count(".") == 1]
            sets = [Names(part) for part in _with_called(methods, setter)]
            if own and not any(True for one in sets for _ in one.writes(*own)):
                return tree.broken_in(file, methods[setter], f"{setter} of {cls} sets nothing that counts at once")
    return None


def _with_called(methods: Mapping[str, ast.FunctionDef], name: str) -> list[ast.FunctionDef]:
    """A method and those of its class that it mentions, properties included."""
    found = [methods[name]]
    for method in found:
        named = {dotted(part) for part in walk(method) if isinstance(part, ast.Attribute)}
        found += [one for key, one in methods.items() if f"self.{key}" in named and one not in found]
    return found


def read_by_none(tree: NewtTree, setting: str, *but: str) -> Broken | None:
    """Nothing reads a setting that the patch brings, but its own methods and what is given to attributes of it."""
    for file in tree.python:
        module = tree.module(file) if f".{setting}" in tree.sources[file] else ast.Module([], [])
        own = {
            part
            for node in walk(module)
            if (isinstance(node, ast.FunctionDef) and node.name in but)
            or (isinstance(node, ast.Assign) and any(dotted(one).rpartition(".")[2] in but for one in node.targets))
            for part in walk(node)
        }
        for node in walk(module):
            if isinstance(node, ast.Attribute) and node.attr == setting and node not in own:
                return tree.broken_in(file, node, f"{setting} means something here already")
    return None


def made_by_library(tree: NewtTree, role: str, name: str) -> Broken | None:
    """An attribute holds nothing of a class of the tree's own."""
    for method in tree.methods(role).values():
        for _, given, value in assignments(method):
            if (
                name in map(dotted, given)
                and isinstance(value, ast.Call)
                and (cls := dotted(value.func).rpartition(".")[2])
                and any(cls in outline(tree.sources[file]).classes for file in tree.files_with(cls))
            ):
                return tree.broken(method, value, f"{name} is of a class of the tree's own")
    return None


def leaves_no_trace(tree: NewtTree, role: str, method: str, *but: str) -> Broken | None:
    """A method, with those of its class that it calls, changes no attribute but these: how often it runs is no matter.

    Nor does it hand something to a part that keeps account: `self.seen.update(x)`.
    """
    pending, seen = [method], {method}
    while pending:
        found = tree.methods(role).get(pending.pop())
        for node in walk(found.node) if found is not None else ():
            for target in targets(node):
                name = dotted(target.value) if isinstance(target, ast.Subscript) else dotted(target)
                if found is not None and name.startswith("self.") and name not in but:
                    return tree.broken(found, node, f"{method} changes {name} each time")
            part = dotted(node.func).rpartition(".") if isinstance(node, ast.Call) else ("", "", "")
            if found is not None and part[0].startswith("self.") and part[2] in _KEEPS:
                return tree.broken(found, node, f"{method} changes {part[0]} each time")
            for one in [tree.methods(other).get(part[2]) for other in tree.roles if part[0].startswith("self.")]:
                if (
                    found is not None
                    and one is not None
                    and own_attributes_changed(one.node) | own_attributes_set(one.node)
                ):
                    return tree.broken(found, node, f"{method} has {part[0]} change each time")
            called = tree.called(role, node) if isinstance(node, ast.Call) else None
            if called is not None and called.name not in {*seen, *but}:
                seen.add(called.name)
                pending.append(called.name)
    return None


def holds_only(tree: NewtTree, role: str, cls: str, name: str) -> Broken | None:
    """A class makes no networks but those in one list."""
    for method in tree.of_class(role, cls):
        for _, given, value in assignments(method):
            made = dotted(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
            attributes = [one for one in map(dotted, given) if one.startswith("self.") and one != name]
            if attributes and made in _NETWORKS:
                return tree.broken(method, value, f"{cls} has {attributes[0]} beside {name}")
    return None


def not_set_by_name(tree: NewtTree, role: str, cls: str, method: str) -> Broken | None:
    """A method of a class is defined there, and nothing puts another function in its place; nothing else names it."""
    found = tree.roles.get(role)
    for file in tree.python if found is not None else ():
        if method not in tree.sources[file]:
            continue
        module = tree.module(file)
        own = {
            part
            for node in walk(module)
            if isinstance(node, ast.ClassDef) and node.name == cls and found is not None and file == found.file
            for part in walk(node)
        }
        for node in walk(module):
            if any(dotted(one) == f"self.{method}" for one in targets(node)):
                return tree.broken_in(file, node, f"{method} is set here")
            named = isinstance(node, ast.Attribute) and node.attr == method and dotted(node.value) != "self"
            if node not in own and (named or (isinstance(node, ast.Constant) and node.value == method)):
                return tree.broken_in(file, node, f"{method} is used here as well")
    return None


def asks_for_none(tree: NewtTree, role: str, method: str, but: str, *names: str) -> Broken | None:
    """A method calls none of these, nor does a method that it calls, except `but`."""
    seen, pending = {but}, [method]
    while pending:
        found = tree.methods(role).get(pending.pop())
        if found is None or found.name in seen:
            continue
        seen.add(found.name)
        for node in walk(found.node):
            if isinstance(node, ast.Call) and dotted(node.func) in names:
                return tree.broken(found, node, f"{found.name} asks {dotted(node.func)}")
            if isinstance(node, ast.Call) and dotted(node.func).startswith("self."):
                pending.append(dotted(node.func).removeprefix("self."))
    return None


def stepped_at_one_place(tree: NewtTree, role: str, called: str, *but: str) -> Broken | None:
    """Something is called at one place of a class, beside methods with such words in their names."""
    found = [(m, call) for m, call in tree.calls(role, called) if not any(word in m.name for word in but)]
    if len(found) > 1:
        method, call = found[-1]
        return tree.broken(method, call, f"{called} is called here as well")
    return None


def undecorated(tree: NewtTree, role: str, function: str) -> Broken | None:
    """A function has no decorator of the tree's own."""
    found = tree.roles.get(role)
    own = {node.name for node in tree.module(found.file).body if isinstance(node, ast.FunctionDef)} if found else set()
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == function and found is not None:
            for one in node.decorator_list:
                if dotted(one.func if isinstance(one, ast.Call) else one) in own:
                    return tree.broken_in(found.file, one, f"{function} is wrapped")
    return None


def never_added(tree: NewtTree, one: str, other: str) -> Broken | None:
    """Two settings are not added up: the second is no duration."""
    for file in tree.python:
        for node in walk(tree.module(file)) if one in tree.sources[file] and other in tree.sources[file] else ():
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                names = {dotted(side).rpartition(".")[2] for side in (node.left, node.right)}
                if {one, other} <= names:
                    return tree.broken_in(file, node, f"{other} is how long it takes")
    return None


def keeps_first(tree: NewtTree, role: str, called: str) -> Broken | None:
    """Of several things that a function returns, the first is kept."""
    for method in tree.methods(role).values():
        for _, given, value in assignments(method):
            if is_call(value, called):
                for target in given:
                    if isinstance(target, ast.Tuple) and target.elts and dotted(target.elts[0]).startswith("_"):
                        return tree.broken(method, value, f"what {called} makes of the first is not used")
    return None


def not_spread(tree: NewtTree, called: str, *roles: str) -> Broken | None:
    """What a method returns is unpacked by name, and not handed on with a star, but in the files of these roles."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        for node in walk(tree.module(file)) if f"{called}(" in tree.sources[file] and file not in known else ():
            inner = node.value if isinstance(node, ast.Starred) else None
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                inner = node.value if "buffer" in ast.unparse(node.value) else None
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == called:
                return tree.broken_in(file, node, f"all that {called} returns is handed on here")
    return None


def computes_plainly(tree: NewtTree, role: str, method: str) -> Broken | None:
    """A method multiplies and divides by no attribute of the object."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)) and found is not None:
            sides = [node.right] if isinstance(node.op, ast.Div) else [node.left, node.right]
            if any(dotted(side).startswith("self.") and ".cfg" not in dotted(side) for side in sides):
                return tree.broken(found, node, f"{method} scales what it returns")
    return None


def not_a_logarithm(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A variable of this name is nowhere made by taking a logarithm."""
    for method in tree.methods(role).values():
        for _, given, value in assignments(method):
            if name in map(dotted, given) and is_logarithm(value) and isinstance(value, ast.Call):
                return tree.broken(method, value, f"{name} is bounded in another way")
    return None


def alone_in_loop(tree: NewtTree, role: str, called: str, owner: str) -> Broken | None:
    """In the loop of a training loop that calls something, nothing is asked of its owner, or done with it, besides."""
    its = (owner, owner.removeprefix("self."))
    follows = {
        dotted(target)
        for method in tree.methods(role).values()
        for _, given, value in assignments(method)
        for target in given
        if isinstance(value, ast.Call)
        and dotted(target).startswith("self.")
        and any(f"{name}.".startswith(f"{one}.") for name in names_in(value) for one in its)
    }
    for method, call in tree.calls(role, called):
        path = path_to(method.node, call)
        loops = [node for node in path if isinstance(node, (ast.For, ast.While))]
        if len(loops) < 2 or not isinstance(loops[0], ast.While):
            continue
        for node in (one for one in walk(loops[-1]) if isinstance(one, ast.Call) and one is not call):
            asked = dotted(node.func).rpartition(".")[0]
            if f"{asked}.".startswith(f"{owner}.") or asked in follows:
                return tree.broken(method, node, f"this is done with each {called} as well")
    return None


def drops_first(tree: NewtTree, role: str) -> Broken | None:
    """Layers that drop units do so before anything else is made of what their linear map gives."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.Call) and dotted(node.func) == "self.dropout" and found is not None:
            inner = [one for given in node.args for one in walk(given) if isinstance(one, ast.Call)]
            if any(dotted(one.func).startswith(("self.ln", "self.act", "self.norm", "torch.", "F.")) for one in inner):
                return tree.broken_in(found.file, node, "units are dropped behind the activation")
    return None


def only_compared(tree: NewtTree, role: str, setting: str) -> Broken | None:
    """An attribute that is made of a setting is compared with something and used for nothing else."""
    methods = tree.methods(role).values()
    made = {
        dotted(target)
        for method in methods
        for _, given, value in assignments(method)
        if any(isinstance(one, ast.Attribute) and one.attr == setting for one in walk(value))
        for target in given
        if dotted(target).startswith("self.")
    }
    for method in methods:
        compared = {part for node in walk(method.node) if isinstance(node, ast.Compare) for part in walk(node)}
        for node in walk(method.node):
            if isinstance(node, ast.AugAssign) and dotted(node.target) in made:
                return tree.broken(method, node, f"what {setting} makes is used for something else as well")
            if not isinstance(node, ast.BinOp) or node in compared:
                continue
            used = [side for side in (node.left, node.right) if dotted(side) in made]
            if not isinstance(node.op, ast.Mult):  # the names of bounds are spelled out
                used += [one for one in walk(node) if isinstance(one, ast.Attribute) and one.attr == setting]
            if used:
                return tree.broken(method, node, f"what {setting} makes is used for something else as well")
    return None


def function_calls(tree: NewtTree, role: str, function: str, called: str) -> Broken | None:
    """A function of a module calls something by this name, if it is there."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == function and found is not None:
            funcs = [one.func for one in walk(node) if isinstance(one, ast.Call)]
            names = {one.attr if isinstance(one, ast.Attribute) else dotted(one) for one in funcs}
            if not names & {called, f"{called}_"}:
                return tree.broken_in(found.file, node, f"{function} is no {called}")
    return None
