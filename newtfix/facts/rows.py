"""How rows that are kept until their episode is over are written, counted and cut out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code import arithmetic
from newtfix.code.effects import computes
from newtfix.code.names import Names, Write, bindings, writes
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, handed, is_text, last_name, walk
from newtfix.facts.calls import counted
from newtfix.newt.tree import Broken, NewtTree


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
        case ast.Call(func=func) if computes(node):
            return [func.value, *handed(node)] if isinstance(func, ast.Attribute) else handed(node)
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
            yield from ((one, write) for one in handed(write.node))


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


def cut_only(tree: NewtTree, role: str, name: str) -> Broken | None:
    """What is kept in an attribute, row by row, is read by slices of one column, and no row across all columns."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            for one in _gone_through(node):
                if names.is_(one, name):
                    return tree.broken(method, node, f"rows of {name} are read across all columns")
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and names.is_(node.value, name):
                index = _row_of(node)
                if not isinstance(index, ast.Slice) and not is_text(index):
                    return tree.broken(method, node, f"a row of {name} is read across all columns")
            inner = node.value if isinstance(node, ast.Subscript) else None
            entry = isinstance(inner, ast.Subscript) and is_text(inner.slice) and names.is_(inner.value, name)
            if entry and isinstance(node, ast.Subscript) and not isinstance(_row_of(node), ast.Slice):
                return tree.broken(method, node, f"a row of {name} is read across all columns")
    return None


def _row_of(node: ast.Subscript) -> ast.expr:
    """The index of rows: the first one."""
    return node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice


def _gone_through(node: ast.AST) -> list[ast.expr]:
    """What a loop runs over, and what a method is called of or a function is given."""
    if isinstance(node, (ast.For, ast.comprehension)):
        return [node.iter]
    if isinstance(node, ast.Call) and dotted(node.func) == "len":
        return []
    owner = [node.func.value] if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else []
    return [*owner, *node.args] if isinstance(node, ast.Call) else []


def counts_rows(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """What `rows` are cut up to counts them, environment by environment, from none on, one by one."""
    counters = counted(tree, role, rows)
    for method in tree.methods(role).values():
        for write in tree.names(role, method).writes(*counters):
            node, value = write.node, write.value
            if _first_number(tree.module(method.file), value):
                return tree.broken(method, node, f"{rows} do not begin with the first one")
            added = node.value if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) else None
            if isinstance(value, ast.BinOp):
                if isinstance(value.op, (ast.FloorDiv, ast.Div)):
                    return tree.broken(method, node, f"this counts something else than {rows}")
                added = value.right if isinstance(value.op, ast.Add) else None
            elif isinstance(node, ast.Call) and arithmetic.called(node) == "add":
                added = node.args[-1] if node.args else None
            is_one = isinstance(added, ast.Constant) and added.value == 1
            if added is not None and not is_one and "one" not in ast.unparse(added):
                return tree.broken(method, node, f"this counts something else than {rows}")
    return None


def _first_number(module: ast.Module, value: ast.expr | None) -> float:
    """What a count is set to, as far as it is a number of the module; 0: it is not."""
    if isinstance(value, ast.Call):
        filled = [*value.args[1:2], *(one.value for one in value.keywords if one.arg == "fill_value")]
        made: dict[str, list[ast.expr]] = {"ones": [ast.Constant(1)], "full": filled}
        value = next(iter(made.get(last_name(value.func), [])), None)
    if isinstance(value, ast.Name):
        own = (one for one in module.body if isinstance(one, ast.Assign) and value.id in map(dotted, one.targets))
        value = next((one.value for one in own), None)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, (int, float)) else 0


def cut_from_first(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """Slices of `rows` begin with the first one, or where a variable says."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for node in names.nodes:
            if isinstance(node, ast.Subscript) and names.is_(node.value, rows) and isinstance(node.ctx, ast.Load):
                index = _row_of(node)
                begin = index.lower if isinstance(index, ast.Slice) else None
                begin = begin.operand if isinstance(begin, ast.UnaryOp) else begin
                if isinstance(begin, ast.Constant) and begin.value != 0:
                    return tree.broken(method, node, f"the first of {rows} is left out")
    return None


def cut_by_environment(tree: NewtTree, role: str, rows: str) -> Broken | None:
    """Slices of one environment's `rows` end where something of this environment says."""
    for method in tree.methods(role).values():
        names = tree.names(role, method)
        for loop in (node for node in names.nodes if isinstance(node, (ast.For, ast.While))):
            inside = walk(loop)
            own = {dotted(target) for node in inside for target, *_ in bindings(node)} - {""}
            for node in inside:
                if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
                    continue
                first, column = node.slice.elts[0], node.slice.elts[-1]
                if not isinstance(first, ast.Slice) or first.upper is None or not names.is_(node.value, rows):
                    continue
                if isinstance(loop, ast.For) and names_in(column) & own and not names_in(first.upper) & own:
                    return tree.broken(method, node, f"{rows} are cut at the same length for all")
    return None
