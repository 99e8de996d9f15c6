"""Whether a name occurs only where a patch knows it: what else is done with it may rely on what the patch changes."""

from __future__ import annotations

import ast
from itertools import pairwise

from newtfix.code.arithmetic import called, product
from newtfix.code.names import Names, as_attribute, bindings, is_read, targets, writes
from newtfix.code.paths import path_to
from newtfix.code.syntax import dotted, is_call, parts, walk
from newtfix.newt.tree import Broken, Method, NewtTree

_ABOUT_NETWORKS = frozenset(
    "parameters named_parameters buffers modules children train eval apply state_dict load_state_dict training "
    "requires_grad_ to zero_grad register_forward_hook named_children named_modules compile".split()
)
_MEASURES = frozenset("pow square reciprocal rsqrt sqrt".split())
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def only_called(tree: NewtTree, role: str, name: str) -> Broken | None:
    """A network that is an attribute is called, and asked for what all networks have; it holds nothing of its own."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            asked = as_attribute(node) or node
            own = isinstance(asked, ast.Attribute) and names.is_(asked.value, name)
            if isinstance(asked, ast.Attribute) and own and asked.attr not in _ABOUT_NETWORKS:
                return tree.broken(method, node, f"{name} is more than a network")
            if any(isinstance(one, ast.Attribute) and names.is_(one.value, name) for one in targets(node)):
                return tree.broken(method, node, f"{name} is more than a network")
    return None


def begins_anew(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """First rows are written for all environments only where all begin: behind counters that are set to 0."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for write in names.writes(rows):
            target = write.target
            indexes = {dotted(target.slice)} - {""} if isinstance(target, ast.Subscript) else set[str]()
            if not indexes or write.value is None or not _is_first(write.value):
                continue
            statement = next(one for one in reversed(path_to(method.node, write.node)) if isinstance(one, ast.stmt))
            if not indexes & _set_before(method, statement):
                return tree.broken(method, statement, f"{rows} of running episodes are written over")
    return None


def _set_before(method: Method, statement: ast.stmt) -> set[str]:
    """What gets a value in a statement before another one, in its block or around it, in the same turn of a loop."""
    names: set[str] = set()
    for around, inner in reversed(list(pairwise(path_to(method.node, statement)))):
        for block in (getattr(around, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list) and any(one is inner for one in block):
                before = block[: next(number for number, one in enumerate(block) if one is inner)]
                names |= {dotted(part) for one in before for target in targets(one) for part in _flat(target)}
        if isinstance(around, ast.While):
            break
    return names


def _flat(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _is_first(value: ast.expr) -> bool:
    """Whether it is a row of an observation alone."""
    return isinstance(value, ast.Call) and dotted(value.func) == "self.to_td" and len(value.args + value.keywords) == 1


def columns_in_order(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """Column i of `rows` is environment i: rows are written as they are made, and cut out by that number."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        made = {dotted(target) for node in names.nodes for target, value, _ in bindings(node) if _is_row(value)} - {""}
        for node in names.nodes:
            if not isinstance(node, ast.Subscript):
                continue
            if _is_row(node.value) or (dotted(node.value) in made and isinstance(node.slice, (ast.Name, ast.Call))):
                return tree.broken(method, node, "rows are put into another order")
            cut = node.slice.elts[1:2] if names.is_(node.value, rows) and isinstance(node.slice, ast.Tuple) else []
            if isinstance(node.ctx, ast.Load) and any(isinstance(one, ast.Subscript) for one in cut):
                return tree.broken(method, node, f"columns of {rows} are in another order")
    return None


def _is_row(node: ast.AST | None) -> bool:
    """Whether it makes rows of what a step did."""
    return isinstance(node, ast.Call) and dotted(node.func) == "self.to_td" and len([*node.args, *node.keywords]) > 1


def no_logarithm(tree: NewtTree, role: str, *methods: str) -> Broken | None:
    """None of several things that these methods return together is a logarithm, a precision or a variance."""
    for method in (tree.methods(role)[one] for one in methods if one in tree.methods(role)):
        names = tree.names(role, method)
        logs = {
            name
            for node in names.nodes
            for target, value, _ in bindings(node)
            if value is not None and is_logarithm(value) and (name := dotted(target)) and "log" not in name
        }
        for node in names.nodes:
            value = node.value if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) else None
            for part in value.elts if value is not None else ():
                if is_call(_moved(part), *_MEASURES):
                    return tree.broken(method, node, f"{method.name} returns another measure")
                if is_logarithm(_moved(part)) or not names.of(_moved(part)).isdisjoint(logs):
                    return tree.broken(method, node, f"{method.name} returns a logarithm")
    return None


def _moved(node: ast.expr) -> ast.expr:
    while (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("cpu", "to", "detach")
    ):
        node = node.func.value
    return node


def is_logarithm(node: ast.expr) -> bool:
    node = _moved(node)
    match node:
        case ast.Call() if called(node) == "log":
            return True
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key.startswith("log_") and key != "log_pi"
    return False


def set_nowhere_else(tree: NewtTree, setting: str, but: str) -> Broken | None:
    """Nothing but its default gives a setting a number other than `but`: no preset, no argument, no second default."""
    usual, default = _usual_choices(tree), _number_of(tree, setting)
    for file in tree.python:
        text = tree.sources[file]
        nodes = walk(tree.module(file)) if setting in text or setting.replace("_", "-") in text else []
        choices = {
            value
            for one in nodes
            if isinstance(one, ast.Dict)
            for key, value in zip(one.keys, one.values, strict=True)
            if isinstance(key, ast.Constant) and key.value not in usual and not _repeats(value, setting, default)
        }
        for node in (one for one in nodes if one not in choices):
            match node:
                case ast.ClassDef(body=body) if len(again := _defaults(body, setting)) > 1:
                    return tree.broken_in(file, again[-1], f"{setting} is set here as well")
                case ast.ClassDef(bases=[_, *_], body=body) if _derives(tree, node) and (
                    own := _defaults(body, setting)
                ):
                    number = getattr(own[0].value, "value", None) if isinstance(own[0], _DEFAULT) else None
                    if number != float(but):
                        return tree.broken_in(file, own[0], f"{setting} is set here as well")
                    continue
                case ast.Dict(keys=keys, values=values):
                    given: list[tuple[ast.expr | None, ast.expr]] = [
                        (k, v) for k, v in zip(keys, values, strict=True) if getattr(k, "value", None) == setting
                    ]
                case ast.Call(keywords=keywords) if _is_option(node, setting):
                    given = [(one.value, one.value) for one in keywords if one.arg == "default"]
                case ast.keyword(arg=name, value=value) if name == setting:
                    given = [(value, value)]
                    if isinstance(value, (ast.Subscript, ast.IfExp, ast.BinOp)):
                        return tree.broken_in(file, value, f"{setting} is set here as well")
                case _:
                    given = [(v, v) for target, v, _ in bindings(node) if v is not None and _is_entry(target, setting)]
            for place, value in given:
                number = value.value if isinstance(value, ast.Constant) else None
                if place is not None and isinstance(number, (int, float)) and number != float(but):
                    return tree.broken_in(file, place, f"{setting} is set here as well")
    return None


def _is_option(call: ast.Call, setting: str) -> bool:
    """Whether a command line has an option for it: `add_argument("--prior-coef", ...)`."""
    named = [one.value for one in call.args if isinstance(one, ast.Constant) and str(one.value).startswith("-")]
    named += [str(getattr(one.value, "value", "")) for one in call.keywords if one.arg == "dest"]
    return setting in [str(one).lstrip("-").replace("-", "_") for one in named]


_DEFAULT = (ast.Assign, ast.AnnAssign)


def _number_of(tree: NewtTree, setting: str) -> object:
    found = tree.roles.get("config")
    nodes = walk(tree.module(found.file)) if found is not None else []
    given = [one.value for one in nodes if isinstance(one, ast.AnnAssign) and dotted(one.target) == setting]
    return next((one.value for one in given if isinstance(one, ast.Constant)), None)


def _repeats(value: ast.expr, setting: str, default: object) -> bool:
    """Whether an entry of a table gives a setting the number that it has by default."""
    pairs = zip(value.keys, value.values, strict=True) if isinstance(value, ast.Dict) else ()
    return any(getattr(key, "value", None) == setting and getattr(one, "value", None) == default for key, one in pairs)


def _usual_choices(tree: NewtTree) -> set[object]:
    """The texts that settings are by default: what stands under another name in a table has to be asked for."""
    found = tree.roles.get("config")
    nodes = walk(tree.module(found.file)) if found is not None else []
    return {one.value.value for one in nodes if isinstance(one, _DEFAULT) and isinstance(one.value, ast.Constant)}


def _derives(tree: NewtTree, cls: ast.ClassDef) -> bool:
    """Whether a class is made of the one that holds the settings."""
    found = tree.roles.get("config")
    return found is not None and any(dotted(base).rpartition(".")[2] == found.cls for base in cls.bases)


def _defaults(body: list[ast.stmt], setting: str) -> list[ast.stmt]:
    """The fields of a class by a name, those under a condition as well."""
    found: list[ast.stmt] = []
    pending: list[ast.AST] = list(body)
    while pending:
        one = pending.pop(0)
        if isinstance(one, ast.stmt) and any(dotted(target) == setting for target, _, _ in bindings(one)):
            found.append(one)
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            pending += [part for part in parts(one) if isinstance(part, (ast.stmt, ast.excepthandler))]
    return found


def _is_entry(target: ast.expr, setting: str) -> bool:
    match target:
        case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=name)):
            return bool(name == setting)
    return False


def not_read_in(tree: NewtTree, setting: str, role: str) -> Broken | None:
    """The class of a role does not ask for a setting."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            asked = as_attribute(node) or node
            match node:
                case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=name), *_]) if name == setting:
                    return tree.broken(method, node, f"{method.name} counts on {setting}")
                case ast.AugAssign(target=ast.Attribute(attr=name)) if name == setting:
                    return tree.broken(method, node, f"{method.name} counts on {setting}")
            if isinstance(asked, ast.Attribute) and asked.attr == setting and is_read(node):
                return tree.broken(method, node, f"{method.name} counts on {setting}")
    return None


def not_compared(tree: NewtTree, setting: str) -> Broken | None:
    """Nothing asks whether a setting is more or less than something, other than 0."""
    for file in tree.files_with(setting):
        for names in tree.scopes(file):
            for node in names.nodes:
                if not isinstance(node, ast.Compare) or not any(isinstance(one, _ORDERS) for one in node.ops):
                    continue
                sides = [node.left, *node.comparators]
                others = [one for one in sides if not any(name.endswith(f".{setting}") for name in names.of(one))]
                if len(others) < len(sides) and not any(map(is_nothing, others)):
                    return tree.broken_in(file, node, f"{setting} is a bound, or has one")
    return None


def weighs_plainly(tree: NewtTree, role: str, setting: str) -> Broken | None:
    """What a setting is multiplied by is not computed from a count, a choice or a bound."""
    nodes = [node for method in tree.methods(role).values() for node in walk(method.node)]
    counts = {dotted(node.target) for node in nodes if isinstance(node, ast.AugAssign)}
    counts |= {_changed_in_place(node) for node in nodes} - {""}
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            factors = product(node)
            own = [one for one in factors if any(name.endswith(f".{setting}") for name in names.of(one))]
            others = [part for one in factors if one not in own for part in _made_of(names, one)] if own else []
            if any(_is_schedule(one) or _reads_any(one, counts) for one in others):
                return tree.broken(method, node, f"{setting} changes in the course of a run")
    return None


def _made_of(names: Names, node: ast.expr) -> list[ast.expr]:
    """A factor, and what a variable that it is was made of."""
    made = [one.value for one in names.writes(node.id)] if isinstance(node, ast.Name) else []
    counted = [one for one in made if one is not None and any(isinstance(part, ast.Attribute) for part in walk(one))]
    return [node, *(one for one in counted if not isinstance(one, ast.Call))]


def _changed_in_place(node: ast.AST) -> str:
    """What a method whose name says so changes, or others after it."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
        node = node.func.value
        if name := dotted(node) if isinstance(node, ast.Attribute) else "":
            return name
    return ""


def _reads_any(node: ast.expr, names: set[str]) -> bool:
    return any(isinstance(one, ast.Attribute) and dotted(one) in names for one in walk(node))


def _is_schedule(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return True
    name = dotted(node.func) if isinstance(node, ast.Call) else ""
    return name in ("max", "min", "float", "int", "pow") or name.startswith("math.")


def is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def not_given_by_hand(tree: NewtTree, *words: str) -> Broken | None:
    """Nothing outside of its class gives an object whose name is one of these another attribute."""
    for file in tree.files_with(*(f".{word}" for word in words)):
        for names in (one for one in tree.scopes(file) if one.mention(*words)):
            for write in (one for node in names.nodes for one in writes(node)):
                if not isinstance(write.target, ast.Attribute):
                    continue
                for owner in sorted(names.of(write.target.value)):
                    own = write.target.attr in words and owner.count(".") > 1
                    if own or (owner.count(".") > 1 and owner.rpartition(".")[2] in words):
                        return tree.broken_in(file, write.node, f"{owner} is changed here")
    return None
