"""What an expression of a tree amounts to, from its text and settings alone: nothing of the tree is run."""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from newtfix.code.syntax import walk

SETTINGS_NAMES = frozenset({"cfg", "config", "_cfg", "_config", "args"})
_DEEPEST = 60  # names and operators that a value may go through
_LARGEST_EXPONENT = 64
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{"max": max, "min": min, "int": int, "float": float, "round": round, "abs": abs, "len": len, "bool": bool},
    **{"math.ceil": math.ceil, "math.floor": math.floor, "math.sqrt": math.sqrt, "math.exp": math.exp},
}


class Unknown(Exception):
    """A value that the text does not give; the argument names what is missing."""


@dataclass(frozen=True)
class ClassCode:
    """The methods of a class, and what they assign to attributes of `self`."""

    methods: Mapping[str, ast.FunctionDef] = field(default_factory=dict)
    attributes: Mapping[str, tuple[tuple[ast.expr, ast.FunctionDef], ...]] = field(default_factory=dict)
    changing: frozenset[str] = frozenset()  # attributes that grow or shrink meanwhile


def class_code(module: ast.Module, name: str | None) -> ClassCode:
    """The class of that name in a module; without one, there is nothing in it."""
    node = next((node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    methods = {method.name: method for method in (node.body if node else ()) if isinstance(method, ast.FunctionDef)}
    attributes: dict[str, list[tuple[ast.expr, ast.FunctionDef]]] = {}
    changing: set[str] = set()
    for method in methods.values():
        for inner in walk(method):
            for target, value in _assigned(inner):
                if (attribute := self_attribute(target)) is not None:
                    attributes.setdefault(attribute, []).append((value, method))
            if isinstance(inner, ast.AugAssign) and (attribute := self_attribute(inner.target)) is not None:
                changing.add(attribute)
    return ClassCode(methods, {name: tuple(values) for name, values in attributes.items()}, frozenset(changing))


def self_attribute(node: ast.AST) -> str | None:
    """NAME where the node is `self.NAME`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None


def local_values(function: ast.FunctionDef, name: str) -> list[ast.expr]:
    """Everything that a function assigns to a local name; nothing when the name changes by other means too."""
    values: list[ast.expr] = []
    for node in walk(function):
        if isinstance(node, (ast.AugAssign, ast.For)) and isinstance(node.target, ast.Name) and node.target.id == name:
            return []
        values += [value for target, value in _assigned(node) if isinstance(target, ast.Name) and target.id == name]
    return values


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Pairs of target and value, those of `a, b = c, d` one by one."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value
    for target in node.targets if isinstance(node, ast.Assign) else ():
        value = node.value  # type: ignore[attr-defined]
        targets, values = (getattr(side, "elts", ()) for side in (target, value))
        if targets and len(targets) == len(values):
            yield from zip(targets, values, strict=True)
        else:
            yield target, value


class Evaluator:
    """Evaluates expressions of one class, or of none, with given settings; `used` collects the settings it read."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        code: ClassCode | None = None,
        constants: Mapping[str, ast.expr] | None = None,
    ) -> None:
        self.settings = settings
        self.code = code or ClassCode()
        self.constants = constants or {}
        self.used: dict[str, Any] = {}

    def value(self, node: ast.expr, function: ast.FunctionDef | None = None) -> Any:
        """The value of an expression that stands in `function`. Raises Unknown."""
        return self._eval(node, function, 0)

    def number(self, node: ast.expr, function: ast.FunctionDef | None = None) -> float:
        """The value where it is a finite number. Raises Unknown."""
        return self._number(node, function, 0)

    def _number(self, node: ast.expr, function: ast.FunctionDef | None, depth: int) -> float:
        value = self._eval(node, function, depth)
        if isinstance(value, (int, float)) and math.isfinite(value):
            return value
        raise Unknown(_short(node))

    def _eval(self, node: ast.expr, function: ast.FunctionDef | None, depth: int) -> Any:
        value = self._evaluated(node, function, depth)
        if isinstance(value, int) and value.bit_length() > sys.float_info.max_exp:
            raise Unknown("a number that is too large")
        return value

    def _evaluated(self, node: ast.expr, function: ast.FunctionDef | None, depth: int) -> Any:
        if depth > _DEEPEST:
            raise Unknown(_short(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, type(None))):
            return node.value
        if isinstance(node, (ast.Tuple, ast.List)):
            return [self._eval(part, function, depth + 1) for part in node.elts]
        if isinstance(node, ast.Name):
            return self._name(node, function, depth)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, function, depth)
        if isinstance(node, ast.Call):
            return self._call(node, function, depth)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and self._is_cfg(node.value):
            return self._setting(str(node.slice.value))
        return self._operation(node, function, depth)

    def _operation(self, node: ast.expr, function: ast.FunctionDef | None, depth: int) -> Any:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            left, right = (self._number(side, function, depth + 1) for side in (node.left, node.right))
            return _arithmetic(node, left, right)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self._eval(node.operand, function, depth + 1)
            value = self._number(node.operand, function, depth + 1)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.IfExp):
            chosen = node.body if self._eval(node.test, function, depth + 1) else node.orelse
            return self._eval(chosen, function, depth + 1)
        if isinstance(node, ast.BoolOp):
            return self._either(node, function, depth)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            left, right = (self._eval(side, function, depth + 1) for side in (node.left, node.comparators[0]))
            try:
                return _COMPARISONS[type(node.ops[0])](left, right)
            except TypeError:
                raise Unknown(_short(node)) from None
        raise Unknown(_short(node))

    def _either(self, node: ast.BoolOp, function: ast.FunctionDef | None, depth: int) -> Any:
        value: Any = None
        for part in node.values:
            value = self._eval(part, function, depth + 1)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _is_cfg(self, node: ast.expr) -> bool:
        """Whether this is the record of the settings: `cfg`, `self.cfg`, `agent.cfg`."""
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        return name in SETTINGS_NAMES

    def _setting(self, name: str) -> Any:
        if name not in self.settings:
            raise Unknown(name)
        self.used[name] = self.settings[name]
        return self.settings[name]

    def _name(self, node: ast.Name, function: ast.FunctionDef | None, depth: int) -> Any:
        values = local_values(function, node.id) if function else []
        if len({ast.dump(value) for value in values}) == 1:
            return self._eval(values[0], function, depth + 1)
        if not values and node.id in self.constants:
            return self._eval(self.constants[node.id], None, depth + 1)
        raise Unknown(node.id)

    def _attribute(self, node: ast.Attribute, function: ast.FunctionDef | None, depth: int) -> Any:
        if self._is_cfg(node.value):
            return self._setting(node.attr)
        name = self_attribute(node)
        if name is None or name in self.code.changing:
            raise Unknown(_short(node))
        if name in self.code.methods:
            return self._returned(name, depth)
        values = self.code.attributes.get(name, ())
        if len({ast.dump(value) for value, _ in values}) == 1:
            return self._eval(values[0][0], values[0][1], depth + 1)
        raise Unknown(_short(node))

    def _returned(self, name: str, depth: int) -> Any:
        """What a method or property without arguments returns."""
        method = self.code.methods[name]
        returned = [node.value for node in walk(method) if isinstance(node, ast.Return) and node.value is not None]
        if len(returned) != 1 or len(method.args.args) > 1:
            raise Unknown(f"self.{name}")
        return self._eval(returned[0], method, depth + 1)

    def _call(self, node: ast.Call, function: ast.FunctionDef | None, depth: int) -> Any:
        called = ast.unparse(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and self._is_cfg(node.func.value):
            return self._looked_up(node.args, function, depth)
        if called == "getattr" and node.args and self._is_cfg(node.args[0]):
            return self._looked_up(node.args[1:], function, depth)
        if not node.args and (name := self_attribute(node.func)) in self.code.methods and name is not None:
            return self._returned(name, depth)
        if called not in _FUNCTIONS or node.keywords:
            raise Unknown(_short(node))
        arguments = [self._eval(argument, function, depth + 1) for argument in node.args]
        try:
            return _FUNCTIONS[called](*arguments)
        except (TypeError, ValueError, OverflowError):
            missing = next((a for a, value in zip(node.args, arguments, strict=True) if value is None), node)
            raise Unknown(_short(missing)) from None

    def _looked_up(self, arguments: list[ast.expr], function: ast.FunctionDef | None, depth: int) -> Any:
        name = self._eval(arguments[0], function, depth + 1) if arguments else None
        if name not in self.settings and len(arguments) > 1:
            return self._eval(arguments[1], function, depth + 1)
        return self._setting(str(name))


def _arithmetic(node: ast.BinOp, left: float, right: float) -> float:
    if isinstance(node.op, ast.Pow) and abs(right) > _LARGEST_EXPONENT:
        raise Unknown(_short(node))
    try:
        value = _OPERATORS[type(node.op)](left, right)
    except (ArithmeticError, ValueError):
        raise Unknown(_short(node)) from None
    if isinstance(value, (int, float)):
        return value
    raise Unknown(_short(node))


def _short(node: ast.expr) -> str:
    """An expression as people write it, without the way to the settings."""
    text = ast.unparse(node)
    for prefix in ("self.cfg.", "cfg.", "self.config.", "config."):
        text = text.removeprefix(prefix)
    return text
