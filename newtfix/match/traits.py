"""Traits: what code must have for a pattern to match it. Most patterns match nothing, and need not even be parsed.

A trait is a name, an attribute with its owner's name, a kind of statement, an operator, what is passed to a function,
what is assigned, or what stands in a loop. Whatever counts as another way to write the same thing
(newtfix/code/equivalent.py) has the same traits. Those of patterns come from Python's own parser, which is ten times as
quick as LibCST's; where the two differ, a pattern asks for nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeGuard

import libcst as cst

from newtfix.code.equivalent import CASTS
from newtfix.code.syntax import handed
from newtfix.match.holes import KINDS, tree_of

Traits = frozenset[str]
NONE: Traits = frozenset()

_KINDS = (
    "For While With Try If IfExp Lambda ListComp SetComp DictComp GeneratorExp Dict List Set Subscript Call Return "
    "Expr Assign AnnAssign AugAssign FunctionDef Raise Pass Break Continue"
).split()
# `a >= b` is `not a < b`, and `x += y` and `x: T = y` are assignments like others.
_RENAMED = {
    "GeneratorExp": "ListComp",
    **dict.fromkeys(("Compare", "Comparison", "UnaryOp", "UnaryOperation"), "compared"),
    **dict.fromkeys(("BinOp", "BinaryOperation"), "arithmetic"),
    **dict.fromkeys(("BoolOp", "BooleanOperation"), "logic"),
    **dict.fromkeys(("Assign", "AnnAssign", "AugAssign"), "assigned"),
}
_AST: dict[type, str] = {
    getattr(ast, name): _RENAMED.get(name, name) for name in (*_KINDS, "Compare", "UnaryOp", "BinOp", "BoolOp")
}
_CST: dict[type, str] = {
    getattr(cst, name): _RENAMED.get(name, name)
    for name in (*_KINDS, "Comparison", "UnaryOperation", "BinaryOperation", "BooleanOperation")
}
_BLOCKS = ("For", "While", "With", "If", "FunctionDef")
# What LibCST calls the operators; comparisons go by what they are about, as `a < b` is `b > a` and `not a >= b`.
_OPERATORS = {
    "Add": "Add",
    "Sub": "Subtract",
    "Mult": "Multiply",
    "Div": "Divide",
    "Mod": "Modulo",
    "Pow": "Power",
    "Eq": "Equal",
    "NotEq": "NotEqual",
    **dict.fromkeys(
        ("Lt", "Gt", "LtE", "GtE", "LessThan", "GreaterThan", "LessThanEqual", "GreaterThanEqual"), "order"
    ),
}


def is_hole(name: str) -> bool:
    return any(kind in name for kind in KINDS.values())


# --- patterns ---------------------------------------------------------------------------------------------------------


@cache
def asked(source: str) -> tuple[Traits, ...]:
    """The traits that each statement of a pattern asks of code; () for what Python's parser does not read."""
    tree = tree_of(source)
    if tree is None:
        return ()
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        return (frozenset(_asked(tree.body[0].value)),)  # an expression anywhere, not only as a statement
    return tuple(frozenset(_asked(statement)) for statement in tree.body)


@cache
def asked_by_all(source: str) -> Traits:
    """The traits that a pattern asks of code as a whole."""
    return NONE.union(*asked(source))


def _asked(root: ast.AST) -> Iterator[str]:
    pending: list[ast.AST] = [root]
    while pending:
        node = pending.pop()
        if _is_any_statements(node):
            continue
        if _is_around(node):
            pending.append(node.slice)
            continue
        yield from (name for name in _names(node) if name and not is_hole(name))
        if type(node) in _AST:
            yield _AST[type(node)]
            yield from _structure(node)
        pending += [] if type(node) is ast.JoinedStr else ast.iter_child_nodes(node)


def _is_any_statements(node: ast.AST) -> bool:
    """Whether it is a hole in the place of statements."""
    return type(node) is ast.Expr and type(node.value) is ast.Name and is_hole(node.value.id)


def _is_around(node: Any) -> TypeGuard[ast.Subscript]:
    """Whether it is a hole for whatever moves and casts stand around something."""
    return type(node) is ast.Subscript and type(node.value) is ast.Name and node.value.id.startswith(KINDS["@"])


def _names(node: Any) -> tuple[str, ...]:
    """The names that a node has itself, and an attribute's with its owner's."""
    kind = type(node)
    if kind is ast.Name:
        return (node.id,)
    if kind is ast.Attribute:
        owner = _name(node.value)
        return node.attr, f"{owner}.{node.attr}" if owner and not is_hole(node.attr) else ""
    if kind in (ast.arg, ast.keyword):
        return (node.arg or "",)
    if kind in (ast.FunctionDef, ast.ClassDef):
        return (node.name,)
    if kind is ast.alias:
        return tuple(part for part in node.name.split(".") if part != "*")
    if kind is ast.Constant and (node.value is None or isinstance(node.value, bool)):
        return (repr(node.value),)
    return ()


def _name(node: Any) -> str:
    """The name of a variable or an attribute; "" for anything else, and for holes."""
    name = node.attr if type(node) is ast.Attribute else node.id if type(node) is ast.Name else ""
    return "" if is_hole(name) else name


def _structure(node: Any) -> Iterator[str]:
    kind = type(node)
    if kind in (ast.BinOp, ast.AugAssign):
        yield from _operators(node.op)
    elif kind is ast.Compare:
        yield from _operators(*node.ops)
    elif kind is ast.UnaryOp and type(node.op) is ast.Not:
        yield "Not"
    elif kind is ast.Call and (callee := _name(node.func)):
        for value in handed(node):
            yield from _most(f"{callee}(", value)
    elif kind in (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr) and node.value is not None:
        yield from _most(_AST[kind], node.value)
    elif _AST[kind] in _BLOCKS:
        for statement in (*node.body, *getattr(node, "orelse", ())):
            if not _is_any_statements(statement):
                yield from _most(f"{_AST[kind]}:", statement)


def _operators(*operators: ast.AST) -> Iterator[str]:
    names = (type(operator).__name__ for operator in operators)
    return (_OPERATORS[name] for name in names if name in _OPERATORS)


def _most(place: str, node: Any) -> Iterator[str]:
    """The most that can be said of what stands in some place."""
    if type(node) in _AST and not _is_around(node):
        yield f"{place} {_AST[type(node)]}{_name(node.func) if type(node) is ast.Call else ''}"


# --- code -------------------------------------------------------------------------------------------------------------


def shown(node: Any) -> Iterable[str]:
    """The traits that a node of code has by itself, without those of its parts."""
    read = _READERS.get(type(node))
    return () if read is None else read(node)


def _said(node: Any) -> str:
    """The name of a variable or an attribute; "" for anything else."""
    name = node.attr if type(node) is cst.Attribute else node
    return str(name.value) if type(name) is cst.Name else ""


def _attribute(node: cst.Attribute) -> Iterable[str]:
    owner = _said(node.value)
    return (f"{owner}.{node.attr.value}",) if owner else ()


def _plain(node: Any) -> Iterable[str]:
    return (_CST[type(node)],)


def _arithmetic(node: Any) -> Iterable[str]:
    return _CST[type(node)], type(node.operator).__name__.removesuffix("Assign")


def _compared(node: cst.Comparison) -> Iterator[str]:
    yield "compared"
    for target in node.comparisons:
        name = type(target.operator).__name__
        yield _OPERATORS.get(name, name)


def _unary(node: cst.UnaryOperation) -> Iterable[str]:
    # what stands under `not` counts as the opposite comparison
    return ("compared", "Not") if type(node.operator) is cst.Not else ("compared",)


def _call(node: cst.Call) -> Iterator[str]:
    yield "Call"
    callee = _said(node.func)
    for argument in node.args if callee else ():
        yield from _all(f"{callee}(", argument.value)


def _value(node: Any) -> Iterator[str]:
    label = _CST[type(node)]
    yield label
    yield from _all(label, node.value)


def _block(node: Any) -> Iterator[str]:
    label = _CST[type(node)]
    yield label
    orelse = getattr(node, "orelse", None)
    if type(orelse) is cst.If:
        yield f"{label}: If"
    for block in (node,) if orelse is None or type(orelse) is cst.If else (node, orelse):
        for line in block.body.body:
            for statement in line.body if type(line) is cst.SimpleStatementLine else (line,):
                yield from _all(f"{label}:", statement)


def _all(place: str, node: Any) -> Iterator[str]:
    """All that a pattern may say of what stands in some place."""
    label = _CST.get(type(node))
    if label is not None:
        yield f"{place} {label}"
        if label == "Call" and (callee := _said(node.func)):
            yield f"{place} Call{callee}"
            if callee in CASTS and type(node.func) is cst.Attribute:
                yield from _all(place, node.func.value)


_READERS: dict[type, Callable[[Any], Iterable[str]]] = {
    **dict.fromkeys(_CST, _plain),
    cst.Attribute: _attribute,
    cst.BinaryOperation: _arithmetic,
    cst.AugAssign: _arithmetic,
    cst.Comparison: _compared,
    cst.UnaryOperation: _unary,
    cst.Call: _call,
    **dict.fromkeys((cst.Assign, cst.AnnAssign, cst.Return, cst.Expr), _value),
    **{getattr(cst, name): _block for name in _BLOCKS},
}
