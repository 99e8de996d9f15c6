"""What code adds, multiplies, divides and averages, as operators, methods or functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.code.syntax import dotted

_MODULES = frozenset("torch np numpy math operator F nn functional jnp jax einops".split())
_DIVIDES = frozenset("div divide true_divide truediv itruediv floor_divide floordiv".split())
_MULTIPLIES = frozenset("mul multiply imul".split())
_ADDS = frozenset("add sub subtract iadd isub rsub".split())
_AVERAGES = frozenset("mean nanmean average".split())


def called(call: ast.Call) -> str:
    """The last name of what is called, without the `_` of what works in place."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)
    return name if name.endswith("__") else name.rstrip("_")


def operands(call: ast.Call) -> list[ast.expr]:
    """What a call computes with: the owner of a method, or none for a function of a module, and the arguments."""
    func = call.func
    of_module = not isinstance(func, ast.Attribute) or dotted(func.value).rpartition(".")[2] in _MODULES
    owner = [] if of_module or not isinstance(func, ast.Attribute) else [func.value]
    return [*owner, *call.args, *(one.value for one in call.keywords if one.arg not in ("dim", "axis", "keepdim"))]


def quotients(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """What is divided, and by what; None: by how many there are."""
    match node:
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv(), right=right):
            yield left, right
        case ast.AugAssign(target=target, op=ast.Div() | ast.FloorDiv(), value=value):
            yield target, value
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            yield from ((one, other) for one, other in ((left, right), (right, left)) if _is_reciprocal(other))
        case ast.AugAssign(target=target, op=ast.Mult(), value=value) if _is_reciprocal(value):
            yield target, value
        case ast.Call() if given := operands(node):
            name, others = called(node), given[1:]
            if (name in _DIVIDES and others) or (name in _MULTIPLIES and others and _is_reciprocal(others[0])):
                yield given[0], others[0]
            elif name in _AVERAGES:
                yield given[0], None


def terms(node: ast.AST) -> list[ast.expr]:
    """What is added up, or taken from each other, where a node does that."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return [left, right]
        case ast.AugAssign(target=target, op=ast.Add() | ast.Sub(), value=value):
            return [target, value]
        case ast.Call() if called(node) in _ADDS:
            return operands(node)
    return []


def product(node: ast.AST) -> list[ast.expr]:
    """What is multiplied, and what it is divided by, where a node does that."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            return [*(product(left) or [left]), *(product(right) or [right])]
        case ast.AugAssign(target=target, op=ast.Mult() | ast.Div(), value=value):
            return [target, *(product(value) or [value])]
        case ast.Call() if called(node) in _MULTIPLIES | _DIVIDES:
            return [part for one in operands(node) for part in (product(one) or [one])]
    return []


def _is_reciprocal(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(left=ast.Constant(), op=ast.Div(), right=right):
            return not isinstance(right, ast.Constant)
        case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
            return True
        case ast.Call():
            return called(node) == "reciprocal"
    return False
