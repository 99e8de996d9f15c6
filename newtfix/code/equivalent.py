"""Other ways to write the same thing: for a node and a pattern, the forms of the node that a pattern may mean."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import libcst as cst

_MIRRORED = {
    cst.LessThan: cst.GreaterThan,
    cst.GreaterThan: cst.LessThan,
    cst.LessThanEqual: cst.GreaterThanEqual,
    cst.GreaterThanEqual: cst.LessThanEqual,
    cst.Equal: cst.Equal,
    cst.NotEqual: cst.NotEqual,
}
_NEGATED = {
    cst.LessThan: cst.GreaterThanEqual,
    cst.GreaterThan: cst.LessThanEqual,
    cst.LessThanEqual: cst.GreaterThan,
    cst.GreaterThanEqual: cst.LessThan,
}
_AUGMENTED = {
    cst.AddAssign: cst.Add,
    cst.SubtractAssign: cst.Subtract,
    cst.MultiplyAssign: cst.Multiply,
    cst.DivideAssign: cst.Divide,
}


def _comparisons(pattern: cst.Comparison, node: Any) -> Iterator[cst.Comparison]:
    """`a >= b` as `b <= a`, and as `not a < b`."""
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not):
        inner = node.expression
        if isinstance(inner, cst.Comparison) and len(inner.comparisons) == 1:
            negated = _NEGATED.get(type(inner.comparisons[0].operator))
            if negated is not None:
                node = _compared(inner.left, negated, inner.comparisons[0].comparator)
                yield node
    if isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
        mirrored = _MIRRORED.get(type(node.comparisons[0].operator))
        if mirrored is not None:
            yield _compared(node.comparisons[0].comparator, mirrored, node.left)


def _compared(left: Any, operator: Any, right: Any) -> cst.Comparison:
    return cst.Comparison(left, [cst.ComparisonTarget(operator(), right)])


def _boolean_operations(pattern: cst.BooleanOperation, node: Any) -> Iterator[cst.BooleanOperation]:
    """`a and b` as `b and a`."""
    if isinstance(node, cst.BooleanOperation):
        yield node.with_changes(left=node.right, right=node.left)


def _augmented(pattern: cst.AugAssign, node: Any) -> Iterator[cst.AugAssign]:
    """`x += y` as `x = x + y`, or `x: T = x + y`."""
    for plain in (node, *_annotated(pattern, node)):
        if isinstance(plain, cst.Assign) and len(plain.targets) == 1 and isinstance(plain.value, cst.BinaryOperation):
            target: Any = plain.targets[0].target
            same_operator = isinstance(plain.value.operator, _AUGMENTED.get(type(pattern.operator), ()))
            if same_operator and target.deep_equals(plain.value.left):
                yield cst.AugAssign(target, pattern.operator, plain.value.right)


def _annotated(pattern: Any, node: Any) -> Iterator[cst.Assign]:
    """`x = y` as `x: T = y`."""
    if isinstance(node, cst.AnnAssign) and node.value is not None:
        yield cst.Assign([cst.AssignTarget(node.target)], node.value)


CASTS = frozenset(("float", "to", "cpu", "contiguous", "detach", "double", "type"))


def _calls(pattern: cst.Call, node: Any) -> Iterator[cst.Call]:
    """Keyword arguments in the order of the pattern's; a call without arguments whose result is moved or cast.

    And `f(x for ...)` as `f([x for ...])`.
    """
    if not isinstance(node, cst.Call):
        return
    match pattern.args, node.args:
        case [cst.Arg(value=cst.ListComp())], [cst.Arg(value=cst.GeneratorExp(elt=elt, for_in=for_in)) as given]:
            yield node.with_changes(args=[given.with_changes(value=cst.ListComp(elt, for_in))])
            return
    if not pattern.args and _is_cast(node) and not _casts(pattern):
        assert isinstance(node.func, cst.Attribute)
        assert isinstance(node.func.value, cst.Call)
        yield node.func.value
        return
    wanted = [argument.keyword.value for argument in pattern.args if argument.keyword is not None]
    if not wanted:
        return
    named = {argument.keyword.value: argument for argument in node.args if argument.keyword is not None}
    if any(name not in named for name in wanted) or list(named)[: len(wanted)] == wanted:
        return
    others = [argument for argument in node.args if argument.keyword is None or argument.keyword.value not in wanted]
    plain = [argument for argument in others if argument.keyword is None and not argument.star]
    rest = [argument for argument in others if all(argument is not one for one in plain)]
    yield node.with_changes(args=[*plain, *(named[name] for name in wanted), *rest])


def _casts(node: cst.Call) -> bool:
    return isinstance(node.func, cst.Attribute) and node.func.attr.value in CASTS


def _is_cast(node: cst.Call) -> bool:
    """Whether the result of another call is moved or cast."""
    return _casts(node) and isinstance(node.func, cst.Attribute) and isinstance(node.func.value, cst.Call)


def _branches(pattern: cst.If, node: Any) -> Iterator[cst.If]:
    """`if a: b else: c` as `if not a: c else: b`."""
    if not (isinstance(node, cst.If) and isinstance(pattern.orelse, cst.Else) and isinstance(node.orelse, cst.Else)):
        return
    if isinstance(node.test, cst.UnaryOperation) and isinstance(node.test.operator, cst.Not):
        orelse = node.orelse.with_changes(body=node.body)
        yield node.with_changes(test=node.test.expression, body=node.orelse.body, orelse=orelse)


def _products(pattern: cst.BinaryOperation, node: Any) -> Iterator[cst.BinaryOperation]:
    """`a * b` as `b * a`, `a + b` as `b + a`, and a product of the pattern's factors in whatever order and grouping."""
    if not isinstance(node, cst.BinaryOperation):
        return
    if isinstance(pattern.operator, cst.Add) and isinstance(node.operator, cst.Add):
        yield node.with_changes(left=node.right, right=node.left)
        return
    if not (isinstance(pattern.operator, cst.Multiply) and isinstance(node.operator, cst.Multiply)):
        return
    yield node.with_changes(left=node.right, right=node.left)
    wanted, given = _factors(pattern), _factors(node)
    if 2 < len(wanted) == len(given) and _all_in(wanted, given) and _all_in(given, wanted):
        yield pattern


def _all_in(some: list[Any], others: list[Any]) -> bool:
    return all(any(one.deep_equals(other) for other in others) for one in some)


def _factors(node: Any) -> list[Any]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        return [*_factors(node.left), *_factors(node.right)]
    return [node.with_changes(lpar=[], rpar=[]) if getattr(node, "lpar", None) else node]


_FOLDED = {cst.Add: operator.add, cst.Subtract: operator.sub, cst.Multiply: operator.mul, cst.Divide: operator.truediv}


def _number(node: Any) -> float | None:
    """What an expression of numbers alone amounts to, as `5.0 * 2`, `-3` or `float(10)`."""
    match node:
        case cst.Integer() | cst.Float():
            return node.evaluated_value
        case cst.UnaryOperation(operator=cst.Minus() | cst.Plus() as sign):
            inner = _number(node.expression)
            return inner if inner is None or isinstance(sign, cst.Plus) else -inner
        case cst.BinaryOperation() if type(node.operator) in _FOLDED:
            left, right = _number(node.left), _number(node.right)
            if left is not None and right:
                with suppress(OverflowError):
                    return float(_FOLDED[type(node.operator)](left, right))
        case cst.Call(func=cst.Name("float"), args=[cst.Arg(keyword=None, star="") as given]):
            return _number(given.value)
    return None


def _folded(pattern: Any, node: Any) -> Iterator[Any]:
    """An expression of numbers alone as the number of the pattern, where it amounts to that."""
    if not isinstance(node, (cst.Integer, cst.Float)) and _number(node) == pattern.evaluated_value:
        yield pattern


def _functions(pattern: cst.FunctionDef, node: Any) -> Iterator[cst.FunctionDef]:
    """A function without its docstring."""
    if isinstance(node, cst.FunctionDef) and is_docstring(node.body.body[:1]) and len(node.body.body) > 1:
        yield node.with_changes(body=node.body.with_changes(body=node.body.body[1:]))


def is_docstring(statements: Any) -> bool:
    """Whether the one statement given is a string alone."""
    small = statements[0].body if len(statements) == 1 and isinstance(statements[0], cst.SimpleStatementLine) else ()
    return (
        len(small) == 1
        and isinstance(small[0], cst.Expr)
        and isinstance(small[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )


EQUIVALENTS: Mapping[type, Callable[[Any, Any], Iterator[Any]]] = {
    cst.Comparison: _comparisons,
    cst.BooleanOperation: _boolean_operations,
    cst.BinaryOperation: _products,
    cst.AugAssign: _augmented,
    cst.Assign: _annotated,
    cst.Call: _calls,
    cst.Integer: _folded,
    cst.Float: _folded,
    cst.If: _branches,
    cst.FunctionDef: _functions,
}
