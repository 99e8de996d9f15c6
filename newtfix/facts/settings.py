"""What a tree makes of a setting: its kind of value, where it is read or given another, what it scales and bounds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from newtfix.code.arithmetic import product, terms
from newtfix.code.effects import ABOUT
from newtfix.code.names import Names, as_attribute, bindings, targets, writes
from newtfix.code.syntax import dotted, is_call, reads_any, walk
from newtfix.newt.tree import Broken, Method, NewtTree

_OPTION = re.compile(r"--\w+|(?:--)?\w+=[-+]?\d[\d.e+-]*")  # as a command line gives a setting


def _files_with(tree: NewtTree, name: str) -> Iterator[tuple[str, list[ast.AST]]]:
    for file in tree.python:
        if name in tree.sources[file]:
            yield file, walk(tree.module(file))


def _is_setting(node: ast.AST, setting: str) -> bool:
    """Whether it is the setting as an attribute, or as an entry of settings."""
    match as_attribute(node) or node:
        case ast.Attribute(attr=attr):
            return attr == setting
        case ast.Subscript(slice=ast.Constant(value=value)):
            return bool(value == setting)
    return False


def set_plainly(tree: NewtTree, *settings: str) -> Broken | None:
    """Where the tree gives a setting another value, that is a number or the setting itself, nothing computed of it."""
    for setting in settings:
        for file, nodes in _files_with(tree, setting):
            for node in nodes:
                by_name = isinstance(node, ast.Call) and any(
                    isinstance(one, ast.Constant) and one.value == setting and _sets(node) for one in node.args
                )
                given = [one for one in writes(node) if any(_is_setting(part, setting) for part in walk(one.target))]
                handed = isinstance(node, ast.keyword) and node.arg == setting and _computes(node.value)
                in_turn = isinstance(node, ast.For) and _sets_in_turn(node, setting)
                anew = any(isinstance(node, ast.AugAssign) or not _is_plain(one.value, setting) for one in given)
                if by_name or in_turn or handed or anew:
                    return tree.broken_in(file, node, f"{setting} is computed anew")
    return None


def _sets(call: ast.Call) -> bool:
    """Whether a call gives an attribute, by its name, another value."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)
    return name in ("setattr", "__setattr__", "__setitem__", "update", "setdefault")


def _computes(value: ast.expr) -> bool:
    return any(isinstance(part, (ast.BinOp, ast.IfExp)) for part in walk(value))


def _sets_in_turn(loop: ast.For, setting: str) -> bool:
    """Whether a loop over names sets each of these."""
    names = [part.value for part in walk(loop.iter) if isinstance(part, ast.Constant)]
    return setting in names and any(isinstance(one, ast.Call) and dotted(one.func) == "setattr" for one in walk(loop))


def _uncast(value: ast.AST | None) -> ast.AST | None:
    """What is made a number or a tensor."""
    while is_call(value, "float", "int", "tensor", "as_tensor") and len(value.args) == 1:
        value = value.args[0]
    return value


def _is_plain(value: ast.AST | None, setting: str) -> bool:
    value = _uncast(value)
    return isinstance(value, ast.Constant) or (value is not None and _is_setting(value, setting))


def counts_all(tree: NewtTree, role: str, name: str, *settings: str) -> Broken | None:
    """What counts environment steps goes up by these settings multiplied, where they are known, and nothing else."""
    methods = tree.methods(role).values()
    known = any(_is_setting(node, one) for one in settings for method in methods for node in walk(method.node))
    for method in methods:
        for node in walk(method.node):
            value = node.value if isinstance(node, ast.AugAssign) and dotted(node.target) == name else None
            for part in _spelled_out(tree, role, value) if value is not None else ():
                if isinstance(part, ast.Attribute) and dotted(part.value).endswith("cfg") and part.attr not in settings:
                    return tree.broken(method, node, f"{name} counts something else")
            if isinstance(value, ast.Constant) and known:
                return tree.broken(method, node, f"{name} does not count by {settings[0]}")
    return None


def _spelled_out(tree: NewtTree, role: str, value: ast.expr) -> list[ast.AST]:
    """The parts of an expression, and of what the attributes in it were given."""
    own = {dotted(part) for part in walk(value) if isinstance(part, ast.Attribute) and dotted(part).count(".") == 1}
    nodes = [node for method in tree.methods(role).values() for node in walk(method.node)]
    made = [given for node in nodes for target, given, _ in bindings(node) if dotted(target) in own and given]
    return [part for one in (value, *made) for part in walk(one)]


def is_number(tree: NewtTree, *settings: str) -> Broken | None:
    """The default of a setting is a number, and no other default is made of it."""
    found = tree.roles.get("config")
    if found is None:
        return None
    for cls in tree.module(found.file).body:
        for node in cls.body if isinstance(cls, ast.ClassDef) else ():
            for target, value, _ in bindings(node):
                if value is None:
                    continue
                if dotted(target) in settings:
                    default = _default(value)
                    if isinstance(default, (ast.Tuple, ast.List, ast.Dict, ast.Lambda)) or not _is_amount(default):
                        return tree.broken_in(found.file, node, f"{dotted(target)} is no number")
                elif dotted(target):
                    for part in walk(value):
                        if isinstance(part, ast.Name) and part.id in settings:
                            return tree.broken_in(found.file, node, f"{part.id} decides another default as well")
    return None


def _is_amount(default: ast.expr) -> bool:
    return not isinstance(default, ast.Constant) or (default.value is not None and not isinstance(default.value, str))


def _default(value: ast.expr) -> ast.expr:
    """The default of a field, also where it is said with others things about the field."""
    given = value.keywords if isinstance(value, ast.Call) else []
    return next((one.value for one in given if one.arg in ("default", "default_factory")), value)


def _is_sign(node: ast.Compare) -> bool:
    """Whether it asks no more than whether something is 0."""
    return len(node.ops) == 1 and isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value == 0


def weighs_only(tree: NewtTree, role: str, setting: str, word: str, unlike: str) -> Broken | None:
    """A setting weighs terms of the losses that have this word in their names, and none made of calls of `unlike`.

    Elsewhere it may weigh a term where the tree gives it another value for that time.
    """
    elsewhere = any(
        _is_setting(target, setting)
        for _, nodes in _files_with(tree, setting)
        for node in nodes
        for target, value, _ in bindings(node)
        if value is not None
    )
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        reads = [n for n in nodes if _is_setting(n, setting) and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)]
        others = not within(tree, role, method, word) or any(tree.names(role, method).calls("self.model.reward"))
        if reads and others and not elsewhere and not _is_pretraining(method):
            return tree.broken(method, reads[0], f"{setting} weighs something in {method.name} as well")
        factors_of = {one for node in nodes for one in product(node)}
        stored: set[ast.AST | None] = {value for node in nodes for _, value, _ in bindings(node)}
        stored |= {node.value for node in nodes if isinstance(node, ast.keyword)}
        stored |= {_uncast(v) for n in nodes for entry, v, _ in bindings(n) if isinstance(entry, ast.Subscript) and v}
        stored |= {part for n in nodes if isinstance(n, ast.Dict) for value in n.values for part in walk(value)}
        signs = {part for node in nodes if isinstance(node, ast.Compare) and _is_sign(node) for part in walk(node)}
        signs |= {node.test for node in nodes if isinstance(node, (ast.If, ast.IfExp))}
        signs |= {node.operand for node in nodes if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)}
        for node in reads:
            if node not in factors_of and node not in stored and node not in signs:
                return tree.broken(method, node, f"{setting} is no weight here")
        names = tree.names(role, method)
        for node in (one for one in nodes if one not in stored or isinstance(one, ast.stmt)):
            factors = product(node)
            weighed = [one for one in factors if not any(_weighs(names, part, setting) for part in walk(one))]
            if len(weighed) < len(factors) and any(_made_of(one, unlike, names) for one in weighed):
                return tree.broken(method, node, f"{setting} weighs another term here")
    return None


def within(tree: NewtTree, role: str, method: Method, *words: str) -> bool:
    """Whether a method has such a word in its name, or only policy losses call it."""
    callers = [caller for caller, _ in tree.calls(role, f"self.{method.name}") if caller is not method]
    return any(word in method.name for word in words) or (
        bool(callers) and all("pi_loss" in caller.name for caller in callers)
    )


def _weighs(names: Names, node: ast.AST, setting: str) -> bool:
    return _is_setting(node, setting) or _stands_for(names, node, setting)


def _stands_for(names: Names, node: ast.AST, setting: str) -> bool:
    """Whether it may be an attribute of that name."""
    return any(one.rpartition(".")[2] == setting for one in names.of(node) if "." in one)


def _is_pretraining(method: Method) -> bool:
    return method.name in ("__init__", "update_pi")


def _made_of(value: ast.expr, called: str, names: Names) -> bool:
    """Whether an expression, by way of the variables of its method, is made of what a method of that name returns."""
    pending, seen = [value], set[str]()
    while pending:
        whole = walk(pending.pop())
        sizes = {inner for part in whole if _is_size(part) for inner in walk(part)}
        for part in (one for one in whole if one not in sizes):
            if isinstance(part, ast.Call) and called in names.lasts(part.func):
                return True
            if isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                pending += [
                    given
                    for node in names.nodes
                    for target, given, _ in (*bindings(node), *_augmented(node))
                    if given is not None and dotted(target) == part.id
                ]
    return False


def _is_size(node: ast.AST) -> bool:
    """Whether it says something about a value that is not made of its numbers."""
    match node:
        case ast.Call(func=ast.Name(id="len")):
            return True
        case ast.Attribute(attr=name) | ast.Call(func=ast.Attribute(attr=name)):
            return name in ABOUT
    return False


def _augmented(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    if isinstance(node, ast.AugAssign):
        yield node.target, node.value, False


def read_only_in(tree: NewtTree, setting: str, *roles: str) -> Broken | None:
    """A setting is read in the files of these roles alone; where settings are made, no other is made of it."""
    known = {tree.roles[role].file: role for role in roles if role in tree.roles}
    for file, nodes in _files_with(tree, setting):
        if known.get(file) == "config":
            made = [value for node in nodes for target, value, _ in bindings(node) if isinstance(target, ast.Attribute)]
            own = (one for value in made if value is not None for one in walk(value) if isinstance(one, ast.Attribute))
            bounds = [node for node in nodes if isinstance(node, ast.Compare) and not _with_itself(node, setting)]
            asked = (one for node in bounds for one in walk(node) if isinstance(one, ast.Attribute))
            nodes = [one for one in (*own, *asked) if isinstance(one.value, ast.Name)]
        told = {one for node in nodes if _is_told(node) for one in walk(node)}
        for node in nodes if known.get(file) in (None, "config") else ():
            if _mentions(node, setting) and node not in told:
                return tree.broken_in(file, node, f"{setting} is used here as well")
    return None


def _is_told(node: ast.AST) -> bool:
    """Whether it is a text that a statement hands to something and nothing else."""
    match node:
        case ast.Expr(value=ast.Call(args=[ast.JoinedStr()], keywords=[])):
            return True
    return False


def _with_itself(node: ast.Compare, setting: str) -> bool:
    """Whether it compares a setting with numbers, or with its own default."""
    others = [one for one in node.comparators if not isinstance(one, ast.Constant)]
    return all(isinstance(one, ast.Attribute) and one.attr == setting for one in others)


def _mentions(node: ast.AST, setting: str) -> bool:
    match node:
        case ast.Attribute(attr=attr, ctx=ast.Load()) | ast.AugAssign(target=ast.Attribute(attr=attr)):
            return attr == setting
        case ast.Constant(value=str(text)):
            return text == setting or (_OPTION.fullmatch(text) is not None and text.strip("-").startswith(setting))
        case ast.MatchClass(kwd_attrs=names):
            return setting in names
    return False


def asked_alike(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Whatever compares `name` with something made of these words compares it with the same, and by size."""
    asked: dict[str, tuple[Method, ast.AST]] = {}
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in (one for one in names.nodes if isinstance(one, ast.Compare)):
            for left, right in pairwise((node.left, *node.comparators)):
                others = [side for side in (left, right) if not names.is_(side, name)]
                computed = any(names.is_(term, name) for side in others for term in terms(side))
                if (len(others) == 1 or computed) and any(reads_any(side, *words) for side in others):
                    if any(isinstance(one, (ast.Eq, ast.NotEq)) for one in node.ops):
                        return tree.broken(method, node, f"{name} need not come to exactly this")
                    asked.setdefault(_in_order(others[0] if len(others) == 1 else node), (method, node))
    if len(asked) > 1:
        method, last = list(asked.values())[-1]
        return tree.broken(method, last, f"{name} is compared with another bound here")
    return None


def _in_order(node: ast.expr) -> str:
    """The text of an expression, its factors in one order if it is a product."""
    divides = any(isinstance(part, ast.BinOp) and not isinstance(part.op, ast.Mult) for part in walk(node))
    factors = [] if divides else product(node)
    return " * ".join(sorted(map(ast.unparse, factors))) or ast.unparse(node)


def not_under(tree: NewtTree, setting: str, *functions: str) -> Broken | None:
    """Nothing takes such a function of a setting: it is what its name says, and not its inverse."""
    for file, nodes in _files_with(tree, setting):
        alias = {n.asname for n in nodes if isinstance(n, ast.alias) and n.name in functions}
        for names in tree.scopes(file):
            for node in names.nodes:
                called = names.called(node) if isinstance(node, ast.Call) else set[str]()
                if called & {*alias, *functions} and any(_is_named(names, part, setting) for part in walk(node)[1:]):
                    return tree.broken_in(file, node, f"{setting} is not what its name says")
    return None


def _is_named(names: Names, node: ast.AST, setting: str) -> bool:
    """Whether it is a setting, or a variable that is one."""
    return _mentions(node, setting) or _stands_for(names, node, setting)


def not_scaled(tree: NewtTree, role: str, setting: str, *but: str) -> Broken | None:
    """Nothing multiplies a setting by a number, or divides it, other than `but`, and nothing sets it anew."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            if any(dotted(target).rpartition(".")[2] == setting for target in targets(node)):
                return tree.broken(method, node, f"{setting} is set anew")
            factors = product(node)
            if any(_is_named(names, one, setting) for one in factors) and any(
                _is_number(one) and ast.unparse(one) not in but for one in factors
            ):
                return tree.broken(method, node, f"{setting} is scaled here already")
    return None


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value != 1
