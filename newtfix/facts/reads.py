"""Where an attribute or a setting is read and written, and what is made of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from newtfix.code import effects
from newtfix.code.flow import Flow
from newtfix.code.paths import targets_of
from newtfix.code.syntax import dotted, parts, walk
from newtfix.newt.places import same_as
from newtfix.newt.tree import Broken, Method, NewtTree

_SETS_UP = frozenset("train eval to half double bfloat16 register_forward_hook register_full_backward_hook".split())
_OPTION = re.compile(r"--\w+|(?:--)?\w+=[-+]?\d[\d.e+-]*")  # as a command line gives a setting
_DROPS = ("nn.functional.dropout", "F.dropout", "torch.nn.functional.dropout", "torch.dropout")
_NORMALISES = frozenset("sum mean norm softmax normalize amax max log_softmax".split())


def written_only_in(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """An attribute gets its value in these methods and nowhere else."""
    for method in tree.methods(role).values():
        if method.name not in methods:
            for node in walk(method.node):
                if _writes(node, name):
                    return tree.broken(method, node, f"{method.name} sets {name} as well")
    return None


def _writes(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Assign(targets=targets):
            return any(_is_part(part, name) for target in targets for part in _unpacked(target))
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _is_part(target, name)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)):
            return attr.endswith("_") and not attr.startswith("_") and _is_part(owner, name)
    return False


def _unpacked(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _is_part(node: ast.expr, name: str) -> bool:
    while isinstance(node, ast.Subscript):
        node = node.value
    return dotted(node) == name


def not_read_by(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """None of these methods reads an attribute, nor does what they call."""
    seen: set[str] = set()
    others = _other_names(tree, role)
    pending = [one for one in methods if one in tree.methods(role)]
    while pending:
        method = tree.methods(role)[pending.pop()]
        seen.add(method.name)
        for node in walk(method.node):
            if not isinstance(node, ast.Attribute):
                continue
            if dotted(node) == name:
                return tree.broken(method, node, f"{method.name} uses {name} as well")
            called = others.get(dotted(node), dotted(node)).removeprefix("self.")
            if called not in seen and called in tree.methods(role):
                pending.append(called)
    return None


def _other_names(tree: NewtTree, role: str) -> dict[str, str]:
    """The methods that attributes hold, compiled or not: `self._plan = torch.compile(self._mppi)`."""
    return {
        dotted(target): dotted(part)
        for method in tree.methods(role).values()
        for node in walk(method.node)
        if isinstance(node, ast.Assign)
        for part in _held(node.value)
        if dotted(part).removeprefix("self.") in tree.methods(role)
        for target in node.targets
    }


def _held(value: ast.expr) -> list[ast.expr]:
    match value:
        case ast.Call(args=[first, *_]):
            return [first]
        case ast.IfExp(body=one, orelse=other):
            return [*_held(one), *_held(other)]
    return [value]


def used_as_it_is(tree: NewtTree, role: str, name: str, *made_in: str) -> Broken | None:
    """What reads an attribute neither normalises it nor divides it by something of its own."""
    for method in tree.methods(role).values():
        if method.name in made_in or not any(
            dotted(n) == name for n in walk(method.node) if isinstance(n, ast.Attribute)
        ):
            continue
        suspects = {part: node for node in walk(method.node) for part in _normalised(node)}
        flow = Flow(method.node, lambda call: tree.helper(role, call))
        flow.uses(None, [name], suspects)
        for part, node in suspects.items():
            if part in flow.met:
                return tree.broken(method, node, f"{name} is normalised again where it is used")
    return None


def _normalised(node: ast.AST) -> Iterator[ast.expr]:
    """What an expression divides, sums up or normalises."""
    match node:
        case ast.BinOp(left=left, op=ast.Div()):
            yield left
        case ast.AugAssign(target=target, op=ast.Div()):
            yield ast.copy_location(ast.Name(dotted(target), ast.Load()), target)
        case ast.Call(func=ast.Attribute(value=owner, attr=attr), args=arguments) if attr in _NORMALISES:
            yield owner
            yield from arguments[:1]


def read_only_in(tree: NewtTree, setting: str, *roles: str) -> Broken | None:
    """A setting is read in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        if file in known or setting not in tree.sources[file]:
            continue
        for node in walk(tree.module(file)):
            if _mentions(node, setting):
                return tree.broken_in(file, node, f"{setting} is used here as well")
    return None


def _mentions(node: ast.AST, setting: str) -> bool:
    match node:
        case ast.Attribute(attr=attr, ctx=ast.Load()):
            return attr == setting
        case ast.Constant(value=str(text)):
            return text == setting or (_OPTION.fullmatch(text) is not None and text.strip("-").startswith(setting))
    return False


def asked_alike(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Whatever compares `name` with something made of these words compares it with the same."""
    asked: dict[str, tuple[Method, ast.AST]] = {}
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                sides = [node.left, node.comparators[0]]
                others = [side for side in sides if dotted(side) != name]
                if len(others) == 1 and any(_says(others[0], word) for word in words):
                    asked.setdefault(ast.unparse(others[0]), (method, node))
    if len(asked) > 1:
        method, node = list(asked.values())[-1]
        return tree.broken(method, node, f"{name} is compared with another bound here")
    return None


def _says(node: ast.expr, word: str) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == word for part in walk(node))


def not_under(tree: NewtTree, setting: str, *functions: str) -> Broken | None:
    """Nothing takes such a function of a setting: it is what its name says, and not its inverse."""
    for file in tree.python:
        if setting not in tree.sources[file]:
            continue
        for node in walk(tree.module(file)):
            if isinstance(node, ast.Call) and _called(node) in functions and _reads(node, setting):
                return tree.broken_in(file, node, f"{setting} is not what its name says")
    return None


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


def _reads(call: ast.Call, setting: str) -> bool:
    """Whether the function is taken of the setting itself, and not of a condition or a string in it."""
    pending = parts(call)
    while pending:
        node = pending.pop()
        if _mentions(node, setting):
            return True
        pending += parts(node)
    return False


def not_scaled(tree: NewtTree, role: str, setting: str, *but: str) -> Broken | None:
    """Nothing multiplies a setting by a number, or divides it, other than `but`, and nothing sets it anew."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            if any(dotted(target).rpartition(".")[2] == setting for target in targets_of(node)):
                return tree.broken(method, node, f"{setting} is set anew")
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
                factors = list(_factors(node))
                if any(_mentions(one, setting) for one in factors) and any(
                    _is_number(one) and ast.unparse(one) not in but for one in factors
                ):
                    return tree.broken(method, node, f"{setting} is scaled here already")
    return None


def _factors(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value != 1


def written_whole(tree: NewtTree, role: str, name: str) -> Broken | None:
    """Rows are written whole: no entry of them apart, and not in place."""
    for method in tree.methods(role).values():
        for node in walk(method.node):
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AugAssign)
                else []
            )
            for target in targets:
                if isinstance(target, ast.Subscript) and _is_part(target, name) and dotted(target.value) != name:
                    return tree.broken(method, node, f"entries of {name} are written apart")
            if isinstance(node, (ast.AugAssign, ast.Call)) and _writes(node, name):
                return tree.broken(method, node, f"{name} is changed in place")
    return None


def taken_as_stored(tree: NewtTree, role: str, key: str) -> Broken | None:
    """The file of a role reads an entry of rows as it was stored: it moves and cuts it at most."""
    found = tree.roles.get(role)
    if found is None:
        return None
    for node in walk(tree.module(found.file)):
        if isinstance(node, (ast.BinOp, ast.UnaryOp)) or (isinstance(node, ast.Call) and _computes(node)):
            operands = [node.left, node.right] if isinstance(node, ast.BinOp) else _operands(node)
            if any(_is_entry(operand, key) for operand in operands):
                return tree.broken_in(found.file, node, f"{key} is changed")
    return None


def _operands(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    return (
        [*([node.func.value] if isinstance(node.func, ast.Attribute) else []), *node.args]
        if isinstance(node, ast.Call)
        else []
    )


def _computes(call: ast.Call) -> bool:
    """Whether a call gives something else than what it is given, or a view of it."""
    name = _called(call)
    return effects.of_call(call).gives is effects.Gives.NEW and not name.endswith("_like")


def _is_entry(node: ast.expr, key: str) -> bool:
    """Whether it is an entry of rows, moved or cut."""
    while True:
        match node:
            case ast.Subscript(slice=ast.Constant(value=value)) if value == key:
                return True
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=value), *_]) if value == key:
                return True
            case ast.Subscript(value=inner) | ast.Call(func=ast.Attribute(value=inner)):
                node = inner
            case _:
                return False


def read_only_after(tree: NewtTree, role: str, name: str, made: str) -> Broken | None:
    """In methods that call `made`, an attribute is read behind the first such call only."""
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        lines = [n.lineno for n in nodes if isinstance(n, ast.Call) and dotted(n.func) == made]
        if not lines or not any(isinstance(n, ast.keyword) and n.arg == "return_type" for n in nodes):
            continue
        for node in nodes:
            if isinstance(node, ast.Attribute) and dotted(node) == name and node.lineno < min(lines):
                return tree.broken(method, node, f"{name} is read before {made}")
    return None


def flat(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What indexes an attribute has one dimension, where it is made of zeros."""
    for method in tree.methods(role).values():
        indexes = {
            dotted(target.slice)
            for node in walk(method.node)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Subscript) and dotted(target.value) == name
        } - {""}
        for node in walk(method.node):
            made = (
                getattr(node, "value", None) if any(dotted(target) in indexes for target in targets_of(node)) else None
            )
            if isinstance(made, ast.Tuple) or (isinstance(made, ast.Call) and _has_many_dimensions(made)):
                return tree.broken(method, node, f"what indexes {name} has more than one dimension")
    return None


def indexes_alone(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What an attribute is written at, nothing else is written at: no other rows are kept beside it."""
    for method in tree.methods(role).values():
        written = [
            (target, node)
            for node in walk(method.node)
            for target in targets_of(node)
            if isinstance(target, ast.Subscript) and isinstance(target.slice, (ast.Name, ast.Attribute))
        ]
        indexes = {dotted(target.slice) for target, _ in written if dotted(target.value) == name} - {""}
        for target, node in written:
            if dotted(target.value) != name and dotted(target.slice) in indexes:
                return tree.broken(method, node, f"this is kept beside {name}, row by row")
    return None


def _has_many_dimensions(call: ast.Call) -> bool:
    if _called(call) not in ("zeros", "full", "ones", "empty") or not call.args:
        return False
    shape = call.args[0]
    sizes = (
        shape.elts if isinstance(shape, (ast.Tuple, ast.List)) else call.args if _called(call) == "zeros" else [shape]
    )
    return len(sizes) > 1


def alike(tree: NewtTree, role: str, cls: str, name: str, *but: str) -> Broken | None:
    """The parts in a list of a class are made alike, and used as they are: none gets anything but attributes `but`."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if not (isinstance(node, ast.ClassDef) and node.name == cls and found is not None):
            continue
        each = {
            loop.target.id
            for loop in walk(node)
            if isinstance(loop, (ast.For, ast.comprehension)) and isinstance(loop.target, ast.Name)
            if any(dotted(part) == name for part in walk(loop.iter) if isinstance(part, ast.Attribute))
        }
        numbers = {
            loop.target.id
            for made in walk(node)
            if isinstance(made, ast.Assign) and any(dotted(target) == name for target in made.targets)
            for loop in walk(made.value)
            if isinstance(loop, ast.comprehension) and isinstance(loop.target, ast.Name)
        }
        for part in walk(node):
            if isinstance(part, ast.Name) and part.id in numbers and isinstance(part.ctx, ast.Load):
                return tree.broken_in(found.file, part, f"not all of {name} are made alike")
            if _singles_out(part, name, each, but):
                return tree.broken_in(found.file, part, f"not all of {name} are alike")
    return None


def _singles_out(node: ast.AST, name: str, each: set[str], but: tuple[str, ...]) -> bool:
    match node:
        case ast.Assign(targets=[ast.Attribute(value=owner, attr=attr)]):
            return attr not in ("data", "weight", "bias", *but) and _is_one(owner, name, each)
        case ast.Call(func=ast.Attribute(value=owner, attr="append" | "insert" | "add_module" | "extend")):
            return dotted(owner) == name or _is_one(owner, name, each)
        case ast.Assign(targets=[ast.Subscript(value=owner)]):
            return dotted(owner) == name or _is_one(owner, name, each)
        case ast.Call(func=ast.Attribute(value=ast.Subscript(value=owner), attr=attr)):
            return dotted(owner) == name and (attr.endswith("_") or attr in _SETS_UP)
    return False


def _is_one(node: ast.expr, name: str, each: set[str]) -> bool:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        if isinstance(node, ast.Subscript) and dotted(node.value) == name:
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id in each


def first_is(tree: NewtTree, role: str, function: str, made: str, kind: str) -> Broken | None:
    """What a function of a module puts together (`made(...)`) begins with a part of this kind."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == function and found is not None:
            for call in walk(node):
                first = call.args[0] if isinstance(call, ast.Call) and _called(call) == made and call.args else None
                if isinstance(first, ast.Call) and _called(first) != kind:
                    return tree.broken_in(found.file, first, f"{function} does not begin with {kind}")
    return None


def called_whole(tree: NewtTree, role: str, cls: str, name: str) -> Broken | None:
    """The parts in a list of a class are called, and not taken apart, but where the class is made."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if not (isinstance(node, ast.ClassDef) and node.name == cls and found is not None):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name != "__init__":
                for part in _taken_apart(method, name):
                    return tree.broken_in(found.file, part, f"{method.name} takes one of {name} apart")
    return None


def _taken_apart(method: ast.AST, name: str) -> Iterator[ast.AST]:
    nodes = walk(method)
    lists = {name} | {
        dotted(target)
        for node in nodes
        if isinstance(node, ast.Assign)
        and any(dotted(p) == name for p in walk(node.value) if isinstance(p, ast.Attribute))
        for target in node.targets
    }
    each = {
        loop.target.id
        for loop in nodes
        if isinstance(loop, (ast.For, ast.comprehension))
        and isinstance(loop.target, ast.Name)
        and dotted(loop.iter) in lists
    }
    for node in nodes:
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in each:
            yield node


def never_under(tree: NewtTree, role: str, name: str, operator: str, *methods: str) -> Broken | None:
    """An attribute is no operand of such an operator: not raised to a power ("Pow"), say, and nothing divided by it."""
    for method in tree.methods(role).values():
        for node in walk(method.node) if not methods or method.name in methods else ():
            if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op).__name__ == operator:
                operands = (
                    [node.right if operator == "Div" else node.left] if isinstance(node, ast.BinOp) else [node.value]
                )
                if any(dotted(one).endswith(name) for one in walk(operands[0]) if isinstance(one, ast.Attribute)):
                    return tree.broken(method, node, f"{name} is used another way")
    return None


def attribute_only_in(tree: NewtTree, name: str, *roles: str) -> Broken | None:
    """An attribute (not a setting) of this name is read in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        for node in walk(tree.module(file)) if file not in known and name in tree.sources[file] else ():
            if isinstance(node, ast.Attribute) and node.attr == name and not dotted(node.value).endswith("cfg"):
                return tree.broken_in(file, node, f"{name} is used here as well")
    return None


def calls_no(tree: NewtTree, role: str, function: str, *names: str) -> Broken | None:
    """A function of a module calls none of these."""
    found = tree.roles.get(role)
    for node in walk(tree.module(found.file)) if found is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == function and found is not None:
            for call in walk(node):
                if isinstance(call, ast.Call) and _called(call) in names:
                    return tree.broken_in(found.file, call, f"{function} has {_called(call)} already")
    return None


def drops_nothing(tree: NewtTree, role: str, cls: str) -> Broken | None:
    """The methods of a class call no dropout of their own, but with a rate that is an attribute."""
    for method in tree.of_class(role, cls):
        for node in walk(method.node):
            if isinstance(node, ast.Call) and dotted(node.func) in _DROPS and "self.dropout" not in ast.unparse(node):
                return tree.broken(method, node, f"{cls} drops units already")
    return None


def called_nowhere(tree: NewtTree, *names: str) -> Broken | None:
    """Nothing in the tree calls a method of such a name."""
    for file in tree.python:
        for node in walk(tree.module(file)) if any(name in tree.sources[file] for name in names) else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                return tree.broken_in(file, node, f"{node.func.attr} is called here")
    return None


def plain(tree: NewtTree, role: str, method: str, called: str, *makers: str) -> Broken | None:
    """What `called` gets first, in a method, is what one of `makers` returned, and nothing made of it."""
    found = tree.methods(role).get(method)
    nodes = walk(found.node) if found is not None else []
    names = {dotted(n.args[0]) for n in nodes if isinstance(n, ast.Call) and _called(n) == called and n.args} - {""}
    for node in nodes:
        if not (isinstance(node, ast.Assign) and names & set(map(dotted, node.targets)) and found is not None):
            continue
        value = same_as(node.value) or node.value
        made = any(isinstance(part, ast.Call) and _called(part) in makers for part in walk(value))
        if made and not (isinstance(value, ast.Call) and _called(value) in makers):
            return tree.broken(found, node, f"what {called} gets is not as {' or '.join(makers)} made it")
    return None


def uses_only(tree: NewtTree, role: str, method: str, *names: str) -> Broken | None:
    """A method that is replaced whole calls nothing but these and methods of its class."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if not isinstance(node, ast.Call) or found is None or _called(node) in names or _called(node)[:1].isupper():
            continue
        if not dotted(node.func).startswith("self.") and tree.called(role, node) is None:
            return tree.broken(found, node, f"{method} has something of its own, which would be lost")
    return None


def each_divides(tree: NewtTree, role: str, suffix: str, made: str, by: str) -> Broken | None:
    """Every method whose name ends so takes values from `made` once, and gives them to `by` with nothing in between."""
    for method in tree.methods(role).values():
        nodes = walk(method.node)
        if not method.name.endswith(suffix):
            reads = [n for n in nodes if isinstance(n, ast.Attribute) and dotted(n) == by]
            if suffix in method.name and reads and not any(isinstance(n, ast.Call) and n.func in reads for n in nodes):
                return tree.broken(method, reads[0], f"{method.name} uses {by} by hand")
            continue
        makes = [n for n in nodes if isinstance(n, ast.Assign) and _makes_average(n.value, made)]
        names = {dotted(target) for one in makes for target in one.targets}
        for node in nodes:
            if not isinstance(node, ast.Assign) or node in makes or not names & set(map(dotted, node.targets)):
                continue
            if not (isinstance(node.value, ast.Call) and dotted(node.value.func) == by):
                return tree.broken(method, node, f"{method.name} changes what it takes from {made}")
        if not makes and any(isinstance(n, ast.Call) and dotted(n.func) == by for n in nodes):
            return tree.broken(method, method.node, f"{method.name} uses {by} on something else")
    return None


def _makes_average(value: ast.expr, made: str) -> bool:
    if not isinstance(value, ast.Call) or dotted(value.func) != made:
        return False
    return any(isinstance(one.value, ast.Constant) and one.value.value == "avg" for one in value.keywords)
