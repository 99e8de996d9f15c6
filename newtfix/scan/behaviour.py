"""What the code of a tree does in numbers: when learning starts, how often it updates, how it weighs the steps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from newtfix.code.syntax import parse, walk
from newtfix.model import Place
from newtfix.newt.roles import Found
from newtfix.scan.evaluate import ClassCode, class_code, local_values, self_attribute

_OTHER_STEPS = re.compile(r"(total_|max_|num_|train_)?steps|.*(eval|save|log_freq|constraint|warmup|demo).*")
_DEEPEST = 4  # methods that call methods


@dataclass(frozen=True)
class Expression:
    """An expression of the tree, the function it stands in, and its place."""

    node: ast.expr
    function: ast.FunctionDef
    place: Place

    @property
    def text(self) -> str:
        return ast.unparse(self.node)


@dataclass(frozen=True)
class TrainerCode:
    """What the trainer compares its step with, and by how much it moves on.

    `thresholds` end seeding, those that updates wait for first; `equal` are compared by `==` there. `step` is what one
    iteration adds to the step, `tokens` what it adds to the update tokens; `bursts` are the numbers of updates of loops
    that neither tokens nor demonstrations count.
    """

    code: ClassCode
    thresholds: tuple[Expression, ...] = ()
    equal: tuple[Expression, ...] = ()
    step: Expression | None = None
    tokens: Expression | None = None
    bursts: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class AgentCode:
    """The agent's temporal weights, and what reads the weight of its prior.

    `normalised`: the weights are divided by their sum. `entries`: how many there are. `prior_readers`: methods that
    read prior_coef; `prior_is_zero`: what it is multiplied with is the constant 0 in one branch of each of them.
    """

    code: ClassCode
    weights: tuple[Expression, ...] = ()
    normalised: bool = False
    entries: Expression | None = None
    prior_readers: tuple[str, ...] = ()
    prior_is_zero: bool = False
    has_reference_logprob: bool = False


# --- the trainer ------------------------------------------------------------------------------------------------------


def read_trainer(sources: Mapping[str, str], found: Found) -> TrainerCode:
    """What the trainer's class does, from its text."""
    text = sources[found.file]
    code = class_code(parse(text), found.cls)
    reader = _Reader(found.file, _lines(text), code)
    counter = reader.counter()
    comparisons = list(reader.comparisons(counter))
    ordered = sorted((c for c in comparisons if not c[2]), key=lambda c: not c[1])
    guarding = [expression for expression, guards, _ in ordered if guards]
    return TrainerCode(
        code,
        thresholds=tuple(guarding) or tuple(expression for expression, *_ in ordered),
        equal=tuple(expression for expression, guards, equal in comparisons if equal and guards),
        step=next(reader.growth(counter), None),
        tokens=next(reader.token_growth(), None),
        bursts=tuple(reader.bursts()),
    )


def _lines(text: str) -> list[str]:
    """The lines as Python counts them: a form feed does not end one."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


class _Reader:
    """Looks through the methods of one class."""

    def __init__(self, file: str, lines: list[str], code: ClassCode) -> None:
        self.file, self.lines, self.code = file, lines, code

    def expression(self, node: ast.expr, function: ast.FunctionDef, at: ast.AST | None = None) -> Expression:
        line = getattr(at or node, "lineno", 1)
        return Expression(node, function, Place(self.file, line, self.lines[line - 1].strip()))

    def counter(self) -> str:
        """The attribute that counts environment steps."""
        counting = sorted(name for name in self.code.changing if "step" in name)
        return "_step" if "_step" in counting or not counting else counting[0]

    def growth(self, attribute: str) -> Iterator[Expression]:
        for function, node in self.nodes:
            grows = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
            if isinstance(node, ast.AugAssign) and grows and self_attribute(node.target) == attribute:
                yield self.expression(node.value, function, node)

    def token_growth(self) -> Iterator[Expression]:
        for name in sorted(self.code.changing):
            for expression in self.growth(name):
                if "utd" in expression.text or "token" in name:
                    yield expression

    def comparisons(self, counter: str) -> Iterator[tuple[Expression, bool, bool]]:
        """What the step is compared with, whether updates wait for it, and whether equality is asked for.

        Ends of training, and steps that evaluations, checkpoints and the like depend on, are left out.
        """
        for function, node in self.nodes:
            if not isinstance(node, ast.Compare) or len(node.ops) > 1 or self.is_loop_end(function, node):
                continue
            sides = (node.left, node.comparators[0])
            other = [side for side in sides if self_attribute(side) != counter]
            equal = isinstance(node.ops[0], ast.Eq)
            if len(other) != 1 or not (equal or isinstance(node.ops[0], (ast.Gt, ast.GtE, ast.Lt, ast.LtE))):
                continue
            if not self.is_other(other[0], function):
                yield self.expression(other[0], function, node), self.updates_wait(function, node), equal

    def is_other(self, node: ast.expr, function: ast.FunctionDef) -> bool:
        """Whether this is the step of something else than the end of seeding: 0, an evaluation, the end."""
        if isinstance(node, ast.Constant) and not node.value:
            return True
        meant = [node, *(local_values(function, node.id) if isinstance(node, ast.Name) else ())]
        return any(_OTHER_STEPS.fullmatch(word) for part in meant for word in _words(part))

    def is_loop_end(self, function: ast.FunctionDef, comparison: ast.Compare) -> bool:
        loops = (node.test for node in walk(function) if isinstance(node, ast.While))
        return any(comparison in walk(test) for test in loops)

    def updates_wait(self, function: ast.FunctionDef, comparison: ast.Compare) -> bool:
        """Whether a branch that the comparison decides, by itself or through a name, updates the agent or returns."""
        names = {
            target.id
            for node in walk(function)
            if isinstance(node, ast.Assign) and comparison in walk(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in walk(function):
            if isinstance(node, ast.If) and self.decides(node.test, comparison, names):
                returns = isinstance(node.body[-1], (ast.Return, ast.Continue))
                if returns or any(self.calls_update(part, _DEEPEST) for part in (*node.body, *node.orelse)):
                    return True
        return False

    def decides(self, test: ast.expr, comparison: ast.Compare, names: set[str]) -> bool:
        return any(part is comparison or (isinstance(part, ast.Name) and part.id in names) for part in walk(test))

    def calls_update(self, node: ast.AST, depth: int) -> bool:
        """Whether the agent is updated in `node`, or in a method that is called there."""
        for part in walk(node):
            if not isinstance(part, ast.Call) or not isinstance(part.func, ast.Attribute):
                continue
            if part.func.attr == "update" and ast.unparse(part.func.value).endswith("agent"):
                return True
            method = self.code.methods.get(self_attribute(part.func) or "")
            if method is not None and depth and self.calls_update(method, depth - 1):
                return True
        return False

    def bursts(self) -> Iterator[Expression]:
        for function, node in self.nodes:
            if isinstance(node, ast.For) and any(self.calls_update(part, 0) for part in node.body):
                count = _range(node.iter)
                if count is not None and "demo" not in ast.unparse(node.iter):
                    for value in self.values(count, function):
                        if not self.code.changing & set(_words(value)):
                            yield self.expression(value, function, node)

    def values(self, node: ast.expr, function: ast.FunctionDef) -> list[ast.expr]:
        """All that a name may stand for, or the expression itself."""
        return local_values(function, node.id) if isinstance(node, ast.Name) else [node]

    @cached_property
    def nodes(self) -> list[tuple[ast.FunctionDef, ast.AST]]:
        return [(function, node) for function in self.code.methods.values() for node in walk(function)]


def _words(node: ast.AST) -> list[str]:
    """The names and attributes in an expression, without the names of the records they are in."""
    attributes = [part.attr for part in walk(node) if isinstance(part, ast.Attribute)]
    return attributes + [part.id for part in walk(node) if isinstance(part, ast.Name)]


def _range(node: ast.expr) -> ast.expr | None:
    """N in `range(N)`, also inside of a progress bar."""
    for part in walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in ("range", "trange"):
            return part.args[-1] if part.args else None
    return None


# --- the agent --------------------------------------------------------------------------------------------------------


def read_agent(sources: Mapping[str, str], found: Found) -> AgentCode:
    """What the agent's class does, from its text."""
    text = sources[found.file]
    code = class_code(parse(text), found.cls)
    reader = _Reader(found.file, _lines(text), code)
    weights = tuple(reader.expression(node, function) for node, function in code.attributes.get("rho", ()))
    readers = tuple(name for name, method in code.methods.items() if _reads(method, "prior_coef"))
    return AgentCode(
        code,
        weights,
        normalised="rho" in code.changing or any(_divides(expression.node) for expression in weights),
        entries=next((entry for expression in weights for entry in _entries(reader, expression)), None),
        prior_readers=readers,
        prior_is_zero=bool(readers) and all(_zero_prior(code.methods[name]) for name in readers),
        has_reference_logprob=any("reference_logprob" in _words(method) for method in code.methods.values()),
    )


def _reads(method: ast.FunctionDef, setting: str) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == setting and isinstance(node.ctx, ast.Load)
        for node in walk(method)
    )


def _divides(node: ast.expr) -> bool:
    """Whether an expression divides by a sum, or makes weights that add up to 1 by other means."""
    for part in walk(node):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div) and "sum" in ast.unparse(part.right):
            return True
        if isinstance(part, ast.Attribute) and part.attr in ("softmax", "normalize"):
            return True
    return False


def _entries(reader: _Reader, weights: Expression) -> Iterator[Expression]:
    for part in walk(weights.node):
        if (
            isinstance(part, ast.Call)
            and ast.unparse(part.func).rpartition(".")[2] in ("arange", "range")
            and part.args
        ):
            yield reader.expression(part.args[-1], weights.function)


def _zero_prior(method: ast.FunctionDef) -> bool:
    """Whether what prior_coef is multiplied with in a method is also assigned the constant 0 there."""
    for node in walk(method):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            other = [side for side in sides if isinstance(side, ast.Name)]
            if other and any(isinstance(side, ast.Attribute) and side.attr == "prior_coef" for side in sides):
                values = local_values(method, other[0].id)
                return any(isinstance(value, ast.Constant) and value.value == 0 for value in values)
    return False
