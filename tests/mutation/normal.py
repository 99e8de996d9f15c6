"""Ways of writing the same thing made one: the rewrites that the normal form of `canon` is made of."""

from __future__ import annotations

import ast
from typing import Any

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
PURE = set(
    "torch.zeros torch.ones torch.full torch.zeros_like torch.ones_like torch.full_like torch.tensor torch.clamp "
    "torch.cat torch.stack torch.where int float len max min".split()
)
PURE_METHODS = set("mean std clamp unsqueeze detach clone item sum square log exp".split())


# --- statements -------------------------------------------------------------------------------------------------------


class Statements(ast.NodeTransformer):
    """One target per assignment, no augmented ones, no conditional expressions at the top, no idle nesting."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                inside = not isinstance(node, ast.ClassDef)
                setattr(node, field, [new for s in block for new in (_split(s) if inside else [s])])
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, _absorbing(block))
        return node


def _split(node: ast.stmt) -> list[ast.stmt]:
    if isinstance(node, ast.AugAssign):
        value = ast.BinOp(_loading(node.target), node.op, node.value)
        return _split(ast.Assign([node.target], value))
    if isinstance(node, ast.AnnAssign):
        return _split(ast.Assign([node.target], node.value)) if node.value else []
    if isinstance(node, ast.Assign) and len(node.targets) > 1 and isinstance(node.value, ast.Constant):
        return [part for t in node.targets for part in _split(ast.Assign([t], node.value))]
    if isinstance(node, ast.Assign) and is_pairwise(node):
        target, value = node.targets[0], node.value
        return [p for t, v in zip(target.elts, value.elts, strict=True) for p in _split(ast.Assign([t], v))]
    if isinstance(node, (ast.Assign, ast.Return)) and isinstance(node.value, ast.IfExp):
        return _as_if(node, node.value)
    if isinstance(node, ast.If):
        return _flat_if(node)
    return [node]


def _loading(target: Any) -> Any:
    """A target read as an expression."""
    return ast.parse(ast.unparse(target), mode="eval").body


def is_pairwise(node: ast.Assign) -> bool:
    """Whether `a, b = x, y` may be written as two assignments: nothing that is read was assigned before."""
    target, value = node.targets[0], node.value
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
        return False
    if len(target.elts) != len(value.elts) or any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts)):
        return False
    places = [ast.unparse(e) for e in target.elts]
    simple = all(isinstance(e, ast.Name) or _attribute_of_self(e) for e in target.elts)
    read = [{ast.unparse(n) for n in ast.walk(v) if isinstance(n, (ast.Name, ast.Attribute))} for v in value.elts]
    calls = any(isinstance(n, ast.Call) and not pure_call(n) for v in value.elts for n in ast.walk(v))
    clash = any(names & set(places[:index]) for index, names in enumerate(read))
    return simple and not clash and not (calls and any("." in p for p in places))


def _attribute_of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _as_if(node: Any, choice: ast.IfExp) -> list[ast.stmt]:
    def arm(value: ast.expr) -> list[ast.stmt]:
        new = ast.Return(value) if isinstance(node, ast.Return) else ast.Assign(node.targets, value)
        return _split(new)

    if isinstance(node, ast.Assign) and not all(isinstance(t, ast.Name) or _attribute_of_self(t) for t in node.targets):
        return [node]
    return _flat_if(ast.If(choice.test, arm(choice.body), arm(choice.orelse)))


def _flat_if(node: ast.If) -> list[ast.stmt]:
    if isinstance(node.test, ast.Constant) and node.test.value is True:
        return list(node.body)
    if isinstance(node.test, ast.NamedExpr):
        test = node.test
        return [
            ast.Assign([test.target], test.value),
            ast.If(ast.Name(test.target.id, ast.Load()), node.body, node.orelse),
        ]
    if isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.NamedExpr):
        walrus = node.test.left
        test = ast.Compare(ast.Name(walrus.target.id, ast.Load()), node.test.ops, node.test.comparators)
        return [ast.Assign([walrus.target], walrus.value), ast.If(test, node.body, node.orelse)]
    inner = node.body[0] if len(node.body) == 1 else None
    if isinstance(inner, ast.If) and not inner.orelse and not node.orelse:
        tests = [*_operands(node.test), *_operands(inner.test)]
        return [ast.If(ast.BoolOp(ast.And(), tests), inner.body, [])]
    return [node]


def _operands(test: ast.expr) -> list[ast.expr]:
    return list(test.values) if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]


def _leaves(block: list[ast.stmt]) -> bool:
    last = block[-1] if block else None
    return isinstance(last, _LEAVES) or (isinstance(last, ast.If) and _leaves(last.body) and _leaves(last.orelse))


def _absorbing(block: list[ast.stmt]) -> list[ast.stmt]:
    """What is only reached through one arm of an `if` moved into that arm."""
    for index in reversed(range(len(block))):
        node, rest = block[index], block[index + 1 :]
        if isinstance(node, ast.If) and (_leaves(node.body) or _leaves(node.orelse)):
            if not _leaves(node.body):
                node.body = _absorbing([*node.body, *rest])
            elif not _leaves(node.orelse):
                node.orelse = _absorbing([*node.orelse, *rest])
            block = block[: index + 1]
    return block


# --- expressions ------------------------------------------------------------------------------------------------------


def signatures(tree: ast.Module) -> dict[str, list[str]]:
    """The positional parameters of the methods of a module, where all methods of a name have the same ones.

    What `_name` takes, `name` takes too, unless it is a method itself: agents keep compiled methods under such names.
    """
    found: dict[str, list[str]] = {}
    clash: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "self":
            names = [p.arg for p in node.args.args[1:]]
            clash |= {node.name} if found.get(node.name, names) != names or node.args.vararg else set()
            found[node.name] = names
    compiled = {name[1:]: names for name, names in found.items() if name.startswith("_") and name[1:] not in found}
    return {name: names for name, names in {**compiled, **found}.items() if not {name, f"_{name}"} & clash}


class Expressions(ast.NodeTransformer):
    """Comparisons one way round, `not` inside them, products sorted, arguments by position where they can be."""

    def __init__(self, signatures: dict[str, list[str]]) -> None:
        self.signatures = signatures

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
            return inner.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            return self._negated(inner) or node
        return node

    def _negated(self, node: ast.Compare) -> ast.AST | None:
        left, right = node.left, node.comparators[0]
        if not (_scalar(left) and _scalar(right)):
            return None
        if isinstance(node.ops[0], ast.Lt):
            return ast.Compare(right, [ast.LtE()], [left])
        if isinstance(node.ops[0], ast.LtE):
            return ast.Compare(right, [ast.Lt()], [left])
        opposite = {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
        opposite |= {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
        new = opposite.get(type(node.ops[0]))
        return ast.Compare(left, [new()], [right]) if new else None

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        flat = [part for v in node.values for part in (v.values if _same_operator(v, node) else [v])]
        return ast.BoolOp(node.op, flat)

    def visit_If(self, node: ast.If) -> ast.AST:
        """The arm of the test that comes first, of the test and its opposite, is the first."""
        self.generic_visit(node)
        if not node.orelse:
            return node
        if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            return ast.If(node.test.operand, node.orelse, node.body)
        if isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
            opposite = self._negated(node.test)
            if opposite is not None and ast.dump(opposite) < ast.dump(node.test):
                return ast.If(opposite, node.orelse, node.body)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Gt, ast.GtE)):
            turned = ast.Lt() if isinstance(node.ops[0], ast.Gt) else ast.LtE()
            return ast.Compare(node.comparators[0], [turned], [node.left])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult):
            left, right = sorted((node.left, node.right), key=ast.dump)
            return ast.BinOp(left, ast.Mult(), right)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if _attribute_of_self(node.func) and not any(isinstance(a, ast.Starred) for a in node.args):
            names = self.signatures.get(node.func.attr, [])[len(node.args) :]
            given = {k.arg: k for k in node.keywords}
            for name in names:
                if name not in given:
                    break
                node.args.append(given.pop(name).value)
            node.keywords = list(given.values())
        if all(k.arg for k in node.keywords):
            node.keywords.sort(key=lambda k: k.arg)
        return node


def _same_operator(part: ast.AST, node: ast.BoolOp) -> bool:
    return isinstance(part, ast.BoolOp) and type(part.op) is type(node.op)


def _scalar(node: ast.AST) -> bool:
    """Whether an expression is made of numbers and attributes, so that its comparisons are plain true or false."""
    return not any(isinstance(n, ast.Subscript) for n in ast.walk(node))


# --- what statements do -----------------------------------------------------------------------------------------------


def reads_and_writes(node: ast.stmt) -> tuple[set[str], set[str]] | None:
    """What a simple assignment reads and writes (names and attributes of self); None if it may do more than that."""
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
        return None
    target = node.targets[0]
    if not (isinstance(target, ast.Name) or _attribute_of_self(target)):
        return None
    for part in ast.walk(node.value):
        if isinstance(part, ast.Call) and not pure_call(part):
            return None
        if isinstance(part, (ast.NamedExpr, ast.Yield, ast.Await, ast.Lambda, ast.ListComp, ast.GeneratorExp)):
            return None
    read = {ast.unparse(n) for n in ast.walk(node.value) if isinstance(n, ast.Name) or _attribute_of_self(n)}
    return read - {"self"}, {ast.unparse(target)}


def pure_call(node: ast.Call) -> bool:
    if isinstance(node.func, ast.Attribute) and node.func.attr in PURE_METHODS:
        return True
    return ast.unparse(node.func) in PURE


Effects = tuple[set[str], set[str]] | None


def commute(first: Effects, second: Effects) -> bool:
    """Whether two statements that read and write these may change places."""
    if first is None or second is None:
        return False
    (read_a, write_a), (read_b, write_b) = first, second
    return not (write_a & (read_b | write_b) or write_b & read_a)
