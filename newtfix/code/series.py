"""What arithmetic over a few steps comes to in numbers: for `torch.pow(0.5, torch.arange(4))`, [1, 0.5, 0.25, 0.125].

Nothing is run: what is not known here is Unknown. Shapes don't count; tensors are the numbers in them.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from newtfix.code.arithmetic import called, operands
from newtfix.code.effects import of_call
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, handed, walk
from newtfix.code.values import Function

Number = float | list[float]
_STEPS = 64  # numbers in a row, at most
_LAYOUT = frozenset("dim axis keepdim device dtype requires_grad persistent copy non_blocking pin_memory".split())
_SAME = frozenset(
    "to cpu cuda float double half type contiguous detach requires_grad clone copy view reshape flatten ravel squeeze"
    " unsqueeze tensor as_tensor asarray array Tensor FloatTensor list tuple from_numpy numpy tolist register_buffer"
    " Parameter expand".split()
)
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_BY_NAME = {"add": ast.Add, "sub": ast.Sub, "mul": ast.Mult, "multiply": ast.Mult, "div": ast.Div, "divide": ast.Div}
_BY_NAME |= {"pow": ast.Pow, "power": ast.Pow, "float_power": ast.Pow, "true_divide": ast.Div}
_OF_EACH: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "neg": operator.neg,
    "float": float,
    "int": float,
}
_ROWS: dict[str, Callable[[list[float]], Number]] = {
    "cumprod": lambda row: list(accumulate(row, operator.mul)),
    "cumsum": lambda row: list(accumulate(row)),
    "sum": math.fsum,
    "mean": lambda row: math.fsum(row) / len(row),
    "logsumexp": lambda row: math.log(math.fsum(map(math.exp, row))),
    "softmax": lambda row: [math.exp(one) / math.fsum(map(math.exp, row)) for one in row],
    "log_softmax": lambda row: [one - math.log(math.fsum(map(math.exp, row))) for one in row],
}


class Unknown(Exception):
    """It is no arithmetic that is known here."""


class Series:
    """Runs through the statements of a function and keeps the numbers that its names have."""

    def __init__(self, settings: Mapping[str, float], helper: Callable[[ast.Call], Function | None]) -> None:
        self.names: dict[str, Number] = {}
        self._settings, self._helper = settings, helper
        self._depth = 0

    def run(self, statements: Iterable[ast.stmt]) -> Number | None:
        """Go through statements, and come to what the last of them returns, where that is known.

        Of an `if` counts what both arms agree on.
        """
        returned: Number | None = None
        for statement in statements:
            try:
                if isinstance(statement, ast.Return) and statement.value is not None:
                    returned = self.value(statement.value)
                else:
                    self._statement(statement)
            except (Unknown, ArithmeticError, ValueError, IndexError):
                for target in _stored(statement):
                    self.names.pop(target, None)
        return returned

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._give(target, self.value(value))
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._give(target, self.value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                self._give(target, _each(op, self.value(target), self.value(value)))
            case ast.Expr(value=ast.Call(ast.Attribute(attr="register_buffer"), [ast.Constant(str(name)), value, *_])):
                self.names[f"self.{name}"] = self.value(value)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr="append"), args=[value])):
                self.names[dotted(owner)] = [*_row(self.value(owner)), *_row(self.value(value))]
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr=attr)) as call) if attr.endswith("_"):
                self._give(owner, self.value(call))
            case ast.For(target=ast.Name(id=name), iter=each, body=body, orelse=[]) if not _leaves(statement):
                for one in _row(self.value(each)):
                    self.names[name] = one
                    self.run(body)
            case ast.If(body=body, orelse=orelse):
                before = dict(self.names)
                self.run(body)
                after, self.names = self.names, before
                self.run(orelse)
                self.names = {name: number for name, number in self.names.items() if after.get(name) == number}
            case ast.With(body=body):
                self.run(body)
            case _:
                raise Unknown

    def _give(self, target: ast.expr, value: Number) -> None:
        match target:
            case ast.Subscript(value=owner, slice=index):
                row = list(_row(self.value(owner)))
                row[int(_one(self.value(index)))] = _one(value)
                self.names[dotted(owner)] = row
            case ast.Name() | ast.Attribute():
                self.names[dotted(target)] = value
            case _:
                raise Unknown

    def value(self, node: ast.expr) -> Number:
        """What an expression comes to. Raises Unknown, and what arithmetic raises."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name() | ast.Attribute() if dotted(node) in self.names:
                return self.names[dotted(node)]
            case ast.Attribute(value=owner, attr=attr) if attr in self._settings and dotted(owner) != "self":
                return self._settings[attr]
            case ast.Subscript(value=owner, slice=ast.Constant(value=str(name))) if name in self._settings:
                return self._settings[name]
            case ast.Subscript(value=owner, slice=index):
                return self._item(_row(self.value(owner)), index)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _each(ast.Mult(), -1.0, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _each(op, self.value(left), self.value(right))
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [one for element in elements for one in _row(self.value(element))]
            case ast.Starred(value=value):
                return self.value(value)
            case ast.ListComp(elt=elt, generators=[one]) | ast.GeneratorExp(elt=elt, generators=[one]):
                return self._comprehension(elt, one)
            case ast.Call():
                return self._call(node)
        raise Unknown

    def _item(self, row: list[float], index: ast.expr) -> Number:
        if isinstance(index, ast.Tuple):
            index = next((one for one in index.elts if not isinstance(one, ast.Constant)), index.elts[0])
        if isinstance(index, ast.Constant) and index.value is None:
            return row
        if isinstance(index, ast.Slice):
            lower, upper, step = (
                None if one is None else int(_one(self.value(one))) for one in (index.lower, index.upper, index.step)
            )
            return row[lower:upper:step]
        return row[int(_one(self.value(index)))]

    def _comprehension(self, elt: ast.expr, one: ast.comprehension) -> Number:
        if not isinstance(one.target, ast.Name) or one.ifs:
            raise Unknown
        found: list[float] = []
        for number in _row(self.value(one.iter)):
            self.names[one.target.id] = number
            found += _row(self.value(elt))
        return found

    def _call(self, call: ast.Call) -> Number:
        name = called(call)
        function = self._helper(call)
        if function is not None:
            return self._through(function, call)
        settings = [str(one.value) for one in call.args if isinstance(one, ast.Constant)]
        if name in ("getattr", "get") and settings and settings[0] in self._settings:
            return self._settings[settings[0]]
        if any(one.arg not in _LAYOUT for one in call.keywords):
            raise Unknown
        own = operands(ast.Call(call.func, call.args, []))
        if name in ("arange", "range"):
            ends = [int(_one(self.value(one))) for one in own]
            return [float(one) for one in range(*ends)][:_STEPS]
        if name in ("ones", "zeros", "full"):
            count = [self.value(one) for one in own]
            number = _one(count[-1]) if name == "full" else float(name == "ones")
            return [number] * min(int(_one(count[0])), _STEPS)
        if name in _SAME and own:
            return self.value(own[0])
        if name in ("cat", "concatenate", "stack", "hstack") and own:
            return self.value(own[0])
        given = [self.value(one) for one in own[:2]] if name in _BY_NAME else [self.value(one) for one in own[:1]]
        if name in ("ones_like", "zeros_like"):
            return [float(name == "ones_like")] * len(_row(given[0]))
        return _computed(name, given)

    def _through(self, function: Function, call: ast.Call) -> Number:
        if self._depth > 3 or handed(call) or sum(isinstance(one, ast.Return) for one in walk(function)) != 1:
            raise Unknown
        inner = Series(self._settings, self._helper)
        inner._depth = self._depth + 1
        inner.names = {name: number for name, number in self.names.items() if name.startswith("self.")}
        if (returned := inner.run(function.body)) is None:
            raise Unknown
        return returned


def _computed(name: str, given: Sequence[Number]) -> Number:
    if name in _BY_NAME and len(given) == 2:
        return _each(_BY_NAME[name](), *given)
    if name in _OF_EACH and given:
        one = given[0]
        return [_OF_EACH[name](number) for number in one] if isinstance(one, list) else _OF_EACH[name](one)
    if name in _ROWS and given:
        return _ROWS[name](_row(given[0]))
    raise Unknown


def _each(op: ast.operator, left: Number, right: Number) -> Number:
    compute = _OPERATORS.get(type(op))
    if compute is None:
        raise Unknown
    if not isinstance(left, list) and not isinstance(right, list):
        return compute(left, right)
    count = max(len(_row(left)), len(_row(right)))
    pairs = zip(_row(left, count), _row(right, count), strict=True)
    return [compute(one, other) for one, other in pairs]


def _row(value: Number, count: int = 1) -> list[float]:
    return value if isinstance(value, list) else [value] * count


def _one(value: Number) -> float:
    if isinstance(value, list) and len(value) != 1:
        raise Unknown
    return _row(value)[0]


def _leaves(loop: ast.stmt) -> bool:
    return any(isinstance(one, ast.Break | ast.Continue) for one in walk(loop))


def _stored(statement: ast.stmt) -> set[str]:
    """The names that a statement, or one in it, may give another value, also those that a call changes."""
    found: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.Name(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
                found.add(dotted(node))
            case ast.Subscript(value=owner, ctx=ast.Store()) | ast.Call(func=ast.Attribute(value=owner)):
                found.add(dotted(owner))
        if isinstance(node, ast.Call) and of_call(node).changes:
            found |= {name for one in handed(node) for name in names_in(one)}
    return found
