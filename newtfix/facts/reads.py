"""Where an attribute or a setting is read and written, and what is made of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from newtfix.code import arithmetic
from newtfix.code.arithmetic import operands, product, quotients, terms
from newtfix.code.effects import computes
from newtfix.code.flow import Flow
from newtfix.code.names import Names, Write, as_attribute, bindings, is_read, targets, writes
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, last_name, parts, walk
from newtfix.newt.places import same_as
from newtfix.newt.tree import Broken, Method, NewtTree

_SETS_UP = frozenset("train eval to half double bfloat16 register_forward_hook register_full_backward_hook".split())
_OPTION = re.compile(r"--\w+|(?:--)?\w+=[-+]?\d[\d.e+-]*")  # as a command line gives a setting
_NORMALISES = frozenset("sum mean norm softmax normalize amax max log_softmax".split())


def written_only_in(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """An attribute gets its value in these methods and nowhere else."""
    for method in tree.methods(role).values():
        for write in tree.writes(role, method, name) if method.name not in methods else ():
            return tree.broken(method, write.node, f"{method.name} sets {name} as well")
    return None


def not_read_by(tree: NewtTree, role: str, name: str, *methods: str) -> Broken | None:
    """None of these methods reads an attribute, nor does what they call."""
    seen: set[str] = set()
    pending = [one for one in methods if one in tree.methods(role)]
    while pending:
        method = tree.methods(role)[pending.pop()]
        seen.add(method.name)
        names = tree.names(role, method)
        for read in names.reads(name):
            return tree.broken(method, read, f"{method.name} uses {name} as well")
        for node in (node for node in names.nodes if is_read(node)):
            called = {one.removeprefix("self.") for one in names.of(node) if one.startswith("self.")}
            pending += [one for one in called - seen if one in tree.methods(role)]
    return None


def used_as_it_is(tree: NewtTree, role: str, name: str, *made_in: str) -> Broken | None:
    """What reads an attribute neither normalises it nor divides it by something of its own."""
    for method in tree.methods(role).values():
        if method.name in made_in or not any(tree.names(role, method).reads(name)):
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
    for part, _ in quotients(node):
        own = isinstance(node, ast.AugAssign) and dotted(part)
        yield ast.copy_location(ast.Name(dotted(part), ast.Load()), part) if own else part
    if isinstance(node, ast.Call) and arithmetic.called(node) in _NORMALISES:
        yield from operands(node)[:1]


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
        case ast.Attribute(attr=attr, ctx=ast.Load()) | ast.AugAssign(target=ast.Attribute(attr=attr)):
            return attr == setting
        case ast.Constant(value=str(text)):
            return text == setting or (_OPTION.fullmatch(text) is not None and text.strip("-").startswith(setting))
        case ast.MatchClass(kwd_attrs=names):
            return setting in names
    return False


def asked_alike(tree: NewtTree, role: str, name: str, *words: str) -> Broken | None:
    """Whatever compares `name` with something made of these words compares it with the same."""
    asked: dict[str, tuple[Method, ast.AST]] = {}
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            for left, right in pairwise((node.left, *node.comparators)) if isinstance(node, ast.Compare) else ():
                others = [side for side in (left, right) if not names.is_(side, name)]
                computed = any(names.is_(term, name) for side in others for term in terms(side))
                if (len(others) == 1 or computed) and any(_says(side, word) for side in others for word in words):
                    asked.setdefault(ast.unparse(others[0] if len(others) == 1 else node), (method, node))
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
        alias = {n.asname for n in walk(tree.module(file)) if isinstance(n, ast.alias) and n.name in functions}
        for names in tree.scopes(file):
            for node in names.nodes:
                if not isinstance(node, ast.Call):
                    continue
                called = {one.rpartition(".")[2] for one in (*names.of(node.func), last_name(node.func))}
                if called & (alias | set(functions)) and any(
                    _is_setting(names, part, setting) for part in _below(node)
                ):
                    return tree.broken_in(file, node, f"{setting} is not what its name says")
    return None


def _below(call: ast.Call) -> list[ast.AST]:
    return [part for one in parts(call) for part in walk(one)]


def _is_setting(names: Names, node: ast.AST, setting: str) -> bool:
    """Whether it is a setting, or a variable that is one."""
    return _mentions(node, setting) or any(one.rpartition(".")[2] == setting for one in names.of(node) if "." in one)


def not_scaled(tree: NewtTree, role: str, setting: str, *but: str) -> Broken | None:
    """Nothing multiplies a setting by a number, or divides it, other than `but`, and nothing sets it anew."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            if any(dotted(target).rpartition(".")[2] == setting for target in targets(node)):
                return tree.broken(method, node, f"{setting} is set anew")
            factors = product(node)
            if any(_is_setting(names, one, setting) for one in factors) and any(
                _is_number(one) and ast.unparse(one) not in but for one in factors
            ):
                return tree.broken(method, node, f"{setting} is scaled here already")
    return None


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value != 1


def written_whole(tree: NewtTree, role: str, name: str) -> Broken | None:
    """Rows are written whole: no entry of them apart, and not in place."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for write in tree.writes(role, method, name):
            target = write.target
            part = isinstance(target, ast.Attribute) and names.is_of(target.value, name)
            if isinstance(target, ast.Subscript) and not isinstance(write.node, (ast.AugAssign, ast.Delete, ast.Call)):
                by_name = isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str)
                if by_name or not names.is_(target.value, name):
                    return tree.broken(method, write.node, f"entries of {name} are written apart")
            elif part or not write.is_bound:
                return tree.broken(method, write.node, f"{name} is changed in place")
    return None


def taken_as_stored(tree: NewtTree, role: str, key: str) -> Broken | None:
    """The file of a role reads an entry of rows as it was stored: it moves and cuts it at most."""
    found = tree.roles.get(role)
    for names in tree.scopes(found.file) if found is not None else ():
        known: set[str] = set()
        for _ in range(2):
            known |= {
                dotted(target)
                for node in names.nodes
                for target, value, whole in bindings(node)
                if whole and value is not None and _is_entry(value, key, known)
            } - {""}
        for node in names.nodes:
            changed = [_kept(write) for write in writes(node) if not write.is_bound]
            if any(_is_entry(one, key, known) for one in (*_operands(node), *changed)):
                return tree.broken_in(found.file if found is not None else "", node, f"{key} is changed")
    return None


def _kept(write: Write) -> ast.expr:
    """What is changed, and not given a whole new value."""
    whole = isinstance(write.target, ast.Subscript) and not isinstance(
        write.node, (ast.AugAssign, ast.Delete, ast.Call)
    )
    return write.target.value if whole and isinstance(write.target, ast.Subscript) else write.target


def _operands(node: ast.AST) -> list[ast.expr]:
    """What something else is computed of."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Call(func=func, args=args, keywords=keywords) if computes(node):
            given = [*args, *(one.value for one in keywords)]
            return [func.value, *given] if isinstance(func, ast.Attribute) else given
    return []


def _is_entry(node: ast.expr, key: str, known: set[str]) -> bool:
    """Whether it is an entry of rows, moved or cut."""
    while True:
        match node:
            case ast.Name(id=name):
                return name in known
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
        names = tree.names(role, method)
        lines = [call.lineno for call in names.calls(made)]
        if not lines or not any(isinstance(n, ast.keyword) and n.arg == "return_type" for n in names.nodes):
            continue
        for node in names.reads(name):
            if node.lineno < min(lines):
                return tree.broken(method, node, f"{name} is read before {made}")
    return None


def flat(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What indexes an attribute has one dimension, where it is made of zeros."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        indexes = {dotted(index) for index, _ in _indexes(names, name)} - {""}
        for write in names.writes(*indexes):
            made = write.value
            if isinstance(made, ast.Tuple) or (isinstance(made, ast.Call) and _has_many_dimensions(made)):
                return tree.broken(method, write.node, f"what indexes {name} has more than one dimension")
    return None


def _indexes(names: Names, *owners: str) -> Iterator[tuple[ast.expr, Write]]:
    """What one of these (or, without any, all else) is written at, and where."""
    for write in (write for node in names.nodes for write in writes(node)):
        if isinstance(write.target, ast.Subscript) and (not owners or names.is_of(write.target.value, *owners)):
            yield write.target.slice, write
        elif isinstance(write.node, ast.Call) and (not owners or names.is_of(write.target, *owners)):
            yield from ((one, write) for one in (*write.node.args, *(k.value for k in write.node.keywords)))


def indexes_alone(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What an attribute is written at, nothing else is written at: no other rows are kept beside it."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        indexes = {one for index, _ in _indexes(names, name) for one in names.of(index)}
        for index, write in _indexes(names):
            if not names.of(index).isdisjoint(indexes) and not names.is_of(write.target, name):
                return tree.broken(method, write.node, f"this is kept beside {name}, row by row")
    return None


def _has_many_dimensions(call: ast.Call) -> bool:
    if last_name(call.func) not in ("zeros", "full", "ones", "empty") or not call.args:
        return False
    shape = call.args[0]
    sizes = (
        shape.elts
        if isinstance(shape, (ast.Tuple, ast.List))
        else call.args
        if last_name(call.func) == "zeros"
        else [shape]
    )
    return len(sizes) > 1


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
        for node in (part for one in made for part in walk(one)):
            if isinstance(node, ast.Name) and node.id in counts and isinstance(node.ctx, ast.Load):
                return tree.broken(method, node, f"not all of {name} are made alike")
        for node in names.nodes:
            asked = node.test if isinstance(node, (ast.If, ast.IfExp)) else None
            if asked is not None and names_in(asked) & counted:
                return tree.broken(method, node, f"not all of {name} are alike")
            if _singles_out(names, node, name, but):
                return tree.broken(method, node, f"not all of {name} are alike")
    return None


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
        if not isinstance(call, ast.Call) or not _is_called(names, call, made):
            continue
        first = call.args[0] if call.args else None
        first = first.value if isinstance(first, ast.NamedExpr) else first
        given = [write.value for write in names.writes(first.id)] if isinstance(first, ast.Name) else [first]
        for one in given:
            if isinstance(one, ast.Call) and not _is_called(names, one, kind):
                return tree.broken_in(file, one, f"{function} does not begin with {kind}")
    return None


def _is_called(names: Names, call: ast.Call, *known: str) -> bool:
    """Whether one of these, by the last of its names, is called."""
    return any(one.rpartition(".")[2] in known for one in (*names.of(call.func), last_name(call.func)))


def called_whole(tree: NewtTree, role: str, cls: str, name: str) -> Broken | None:
    """The parts in a list of a class are called, and not taken apart, but where the class is made."""
    for method in tree.of_class(role, cls):
        for part in _taken_apart(method.node, name) if method.name != "__init__" else ():
            return tree.broken(method, part, f"{method.name} takes one of {name} apart")
    return None


def _taken_apart(method: ast.AST, name: str) -> Iterator[ast.AST]:
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
    for node in names.nodes:
        if isinstance(node, (ast.For, ast.comprehension, ast.Subscript)):
            inner = node.value if isinstance(node, ast.Subscript) else node.iter
        else:
            continue
        if names.is_element(inner, lambda one: not lists.isdisjoint({dotted(one), *names.of(one)})):
            yield node


def never_under(tree: NewtTree, role: str, name: str, operator: str, *methods: str) -> Broken | None:
    """An attribute is no operand of such an operator: not raised to a power ("Pow"), say, and nothing divided by it."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes if not methods or method.name in methods else ():
            for operand in _under(node, operator):
                asked = (one for part in walk(operand) for one in names.of(part) | names.roots(part))
                if any(f".{one}".endswith(name) for one in asked):
                    return tree.broken(method, node, f"{name} is used another way")
    return None


def _under(node: ast.AST, operator: str) -> list[ast.expr]:
    """What is raised to a power, or divided by."""
    if operator == "Div":
        return [divisor for _, divisor in quotients(node) if divisor is not None]
    match node:
        case ast.BinOp(left=left, op=ast.Pow()):
            return [left]
        case ast.AugAssign(target=target, op=ast.Pow(), value=value):
            return [target, value]
        case ast.Call() if arithmetic.called(node) in ("pow", "float_power", "power", "cumprod", "exp2"):
            return operands(node)[:1]
    return []


def attribute_only_in(tree: NewtTree, name: str, *roles: str) -> Broken | None:
    """An attribute (not a setting) of this name is read in the files of these roles alone."""
    known = {tree.roles[role].file for role in roles if role in tree.roles}
    for file in tree.python:
        for node in walk(tree.module(file)) if file not in known and name in tree.sources[file] else ():
            asked = as_attribute(node) or node
            if isinstance(asked, ast.Attribute) and asked.attr == name and not dotted(asked.value).endswith("cfg"):
                return tree.broken_in(file, node, f"{name} is used here as well")
    return None


def calls_no(tree: NewtTree, role: str, function: str, *names: str) -> Broken | None:
    """A function of a module calls none of these, and hands none to something that could."""
    if (found := tree.function(role, function)) is None:
        return None
    file, own = found
    for node in own.nodes:
        named = {one.rpartition(".")[2] for one in own.of(node)} if is_read(node) else set[str]()
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
    """The methods of a class call no dropout of their own, but with a rate that is an attribute or a parameter."""
    for method in tree.of_class(role, cls):
        names = tree.names(role, method)
        for node in names.nodes:
            if not isinstance(node, ast.Call):
                continue
            called = {one.rpartition(".")[2].lower() for one in (*names.of(node.func), last_name(node.func))}
            given = " ".join(map(ast.unparse, (*node.args, *(one.value for one in node.keywords))))
            own = isinstance(node.func, ast.Attribute) and dotted(node.func.value) == "self"
            if any("dropout" in one for one in called) and "dropout" not in given and not own:
                return tree.broken(method, node, f"{cls} drops units already")
    return None


def called_nowhere(tree: NewtTree, *names: str) -> Broken | None:
    """Nothing in the tree calls a method of such a name."""
    for file in tree.python:
        for node in walk(tree.module(file)) if any(name in tree.sources[file] for name in names) else ():
            asked = as_attribute(node) or node
            if isinstance(asked, ast.Attribute) and asked.attr in names and is_read(node):
                return tree.broken_in(file, node, f"{asked.attr} is called here")
    return None


def plain(tree: NewtTree, role: str, method: str, called: str, *makers: str) -> Broken | None:
    """What `called` gets first, in a method, is what one of `makers` returned, and nothing made of it."""
    found = tree.methods(role).get(method)
    if found is None:
        return None
    names = tree.names(role, found)
    calls = [n for n in names.nodes if isinstance(n, ast.Call) and _is_called(names, n, called)]
    given = [one for call in calls for one in (call.args[:1] or [k.value for k in call.keywords[:1]])]
    known = {one for part in given for one in names.of(part)}
    values = [(write.value if write.is_bound else None, write.node) for write in names.writes(*known)] + [
        (one, one) for one in given
    ]
    for value, node in values:
        inner = value and (same_as(value) or value)
        made = inner is None or any(
            isinstance(part, ast.Call) and _is_called(names, part, *makers) for part in walk(inner)
        )
        if made and not (isinstance(inner, ast.Call) and _is_called(names, inner, *makers)):
            return tree.broken(found, node, f"what {called} gets is not as {' or '.join(makers)} made it")
    return None


def uses_only(tree: NewtTree, role: str, method: str, *names: str) -> Broken | None:
    """A method that is replaced whole calls nothing but these and methods of its class, and keeps nothing."""
    found = tree.methods(role).get(method)
    for node in walk(found.node) if found is not None else ():
        if found is None:
            continue
        if isinstance(node, ast.Call):
            known = (
                last_name(node.func) in names
                or last_name(node.func)[:1].isupper()
                or dotted(node.func).startswith("self.")
            )
            own = not known and tree.called(role, node) is None
        else:
            own = any(dotted(_trunk(one)).startswith("self.") for one in targets(node))
        if own:
            return tree.broken(found, node, f"{method} has something of its own, which would be lost")
    return None


def _trunk(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def each_divides(tree: NewtTree, role: str, suffix: str, made: str, by: str) -> Broken | None:
    """Every method whose name ends so takes values from `made` once, and gives them to `by` with nothing in between."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        divides = set(names.calls(by))
        if not method.name.endswith(suffix):
            reads = list(names.reads(by))
            if suffix in method.name and reads and not divides:
                return tree.broken(method, reads[0], f"{method.name} uses {by} by hand")
            continue
        calls = {call for call in names.calls(made) if _is_average(call)}
        known = {dotted(target) for node in names.nodes for target, value, _ in bindings(node) if value in calls} - {""}
        for write in names.writes(*known):
            if write.value not in calls | divides:
                return tree.broken(method, write.node, f"{method.name} changes what it takes from {made}")
        if divides and not known:
            return tree.broken(method, method.node, f"{method.name} uses {by} on something else")
    return None


def _is_average(call: ast.Call) -> bool:
    return any(isinstance(one.value, ast.Constant) and one.value.value == "avg" for one in call.keywords)
