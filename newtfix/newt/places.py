"""Where the values of a newt-style tree are made and used: all knowledge about how such places look.

A start gives a value names; an end is an expression that should have that value. Code in a form that is not known here
is no place; the edits of patches say whether they know the code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Method, NewtTree


@dataclass(frozen=True, eq=False)
class Start:
    """A statement of a method that gives a value to names."""

    method: Method
    statement: ast.stmt
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class End:
    """An expression of a method that should have the value."""

    method: Method
    expression: ast.expr


def assignments(method: Method) -> Iterator[tuple[ast.stmt, list[ast.expr], ast.expr]]:
    """The assignments of a method: the statement, its targets, and the value."""
    for node in walk(method.node):
        if isinstance(node, ast.Assign):
            yield node, node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node, [node.target], node.value


def _element(targets: Iterable[ast.expr], index: int, of: int | None = None) -> tuple[str, ...]:
    """The names that get the element `index` of what is unpacked; all of it where nothing is unpacked."""
    names: list[str] = []
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            if index < len(target.elts) and (of is None or len(target.elts) == of):
                names.append(dotted(target.elts[index]))
        elif index == 0:
            names.append(dotted(target))
    return tuple(name for name in names if name)


def _call_of(value: ast.expr, *names: str) -> ast.Call | None:
    return value if isinstance(value, ast.Call) and dotted(value.func) in names else None


def _starts(tree: NewtTree, role: str, index: int, *called: str) -> Iterator[Start]:
    """Statements that name (element `index` of) what a call returns, also one of several on the right."""
    for method in tree.methods(role).values():
        for statement, targets, value in assignments(method):
            if _call_of(value, *called) is not None:
                yield Start(method, statement, _element(targets, index))
            elif isinstance(value, ast.Tuple):
                for number, part in enumerate(value.elts):
                    if index == 0 and _call_of(part, *called) is not None:
                        yield Start(method, statement, _element(targets, number, len(value.elts)))


def _argument(call: ast.Call, index: int, keyword: str) -> ast.expr | None:
    for one in call.keywords:
        if one.arg == keyword:
            return one.value
    plain = not any(isinstance(one, ast.Starred) for one in call.args[: index + 1])
    return call.args[index] if index < len(call.args) and plain else None


def _arguments(tree: NewtTree, role: str, called: str, index: int, keyword: str = "") -> Iterator[End]:
    for method, call in tree.calls(role, called):
        if (argument := _argument(call, index, keyword)) is not None:
            yield End(method, argument)


# --- starts -----------------------------------------------------------------------------------------------------------


def drawn(tree: NewtTree) -> Iterator[Start]:
    """Actions that are drawn at random."""
    return _starts(tree, "trainer", 0, "self.env.rand_act")


def acted(tree: NewtTree) -> Iterator[Start]:
    """Actions that the agent chose, but for evaluations."""
    for start in _starts(tree, "trainer", 0, "self.agent", "self.agent.act", "self.agent.forward"):
        call = next(node for node in walk(start.statement) if isinstance(node, ast.Call))
        if not any(keyword.arg == "eval_mode" for keyword in call.keywords):
            yield start


def made_rows(tree: NewtTree) -> Iterator[Start]:
    """Rows of what a step did, one for each environment."""
    for start in _starts(tree, "trainer", 0, "self.to_td"):
        call = next(n for n in walk(start.statement) if isinstance(n, ast.Call) and dotted(n.func) == "self.to_td")
        if len(call.args) + len(call.keywords) > 1:
            yield start


def cut_out(tree: NewtTree) -> Iterator[Start]:
    """Episodes that are cut out of the rows that are kept."""
    for method in tree.methods("trainer").values():
        for statement, targets, value in assignments(method):
            if _is_episode(value):
                yield Start(method, statement, _element(targets, 0))


def _is_episode(value: ast.expr) -> bool:
    """Whether it is `self._tds[... : end, i]`, in whatever dimensions."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    while isinstance(value, ast.Subscript) and dotted(value.value) != "self._tds":
        value = value.value
    if not isinstance(value, ast.Subscript) or not isinstance(value.slice, ast.Tuple):
        return False
    return isinstance(value.slice.elts[0], ast.Slice)


def stepped(tree: NewtTree) -> Iterator[Start]:
    """Observations that the environments returned."""
    return _starts(tree, "trainer", 0, "self.env.step")


def paid(tree: NewtTree) -> Iterator[Start]:
    """Rewards that the environments paid."""
    return _starts(tree, "trainer", 1, "self.env.step")


def _sampled(index: int) -> Callable[[NewtTree], Iterator[Start]]:
    def find(tree: NewtTree) -> Iterator[Start]:
        method = tree.methods("agent").get("update")
        for statement, targets, value in assignments(method) if method is not None else ():
            if isinstance(value, ast.Call) and dotted(value.func).endswith(".sample") and method is not None:
                yield Start(method, statement, _element(targets, index))

    return find


def elite(tree: NewtTree) -> Iterator[Start]:
    """The planner's last standard deviation, as the search returned it."""
    return _starts(tree, "agent", 2, "self.mppi", "self._mppi")


# --- ends -------------------------------------------------------------------------------------------------------------


def stored(tree: NewtTree) -> Iterator[End]:
    """The actions that rows hold."""
    return _arguments(tree, "trainer", "self.to_td", 1, "action")


def kept_rows(tree: NewtTree) -> Iterator[End]:
    """Rows that are kept until their episode is over."""
    for method in tree.methods("trainer").values():
        for _, targets, value in assignments(method):
            if any(isinstance(one, ast.Subscript) and dotted(one.value) == "self._tds" for one in targets):
                yield End(method, value)


def added(tree: NewtTree) -> Iterator[End]:
    """Episodes that go to the buffer."""
    return _arguments(tree, "trainer", "self.buffer.add", 0, "td")


def extended(tree: NewtTree) -> Iterator[End]:
    """What the buffer puts into its memory."""
    return _arguments(tree, "buffer", "self._buffer.extend", 0)


def done_actions(tree: NewtTree) -> Iterator[End]:
    """The actions that the environments get."""
    return _arguments(tree, "trainer", "self.env.step", 0, "action")


def cloned(tree: NewtTree) -> Iterator[End]:
    """The stored actions that the policy's update gets."""
    return _arguments(tree, "agent", "self.update_pi", 1, "action")


STARTS: Mapping[str, Callable[[NewtTree], Iterator[Start]]] = {
    "random actions": drawn,
    "the agent's actions": acted,
    "rows": made_rows,
    "episodes": cut_out,
    "observations": stepped,
    "rewards": paid,
    "sampled observations": _sampled(0),
    "sampled actions": _sampled(1),
    "the planner's deviation": elite,
}
ENDS: Mapping[str, Callable[[NewtTree], Iterator[End]]] = {
    "stored": stored,
    "kept": kept_rows,
    "added to the buffer": added,
    "put into memory": extended,
    "done": done_actions,
    "handed to the policy": cloned,
}
