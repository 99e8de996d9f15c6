"""Where the values of a newt-style tree are made, in the words of facts; code that looks otherwise is no place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

from newtfix.code.names import Names
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import positional
from newtfix.newt.places import Start, assignments, call_of, is_computed
from newtfix.newt.tree import Method, NewtTree


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


def made_by(tree: NewtTree, role: str, index: int, *called: str) -> Iterator[Start]:
    """Statements that name (element `index` of) what a call returns, also one of several on the right."""
    calls = {call for name in called for _, call in tree.calls(role, name)}
    for method in tree.methods(role).values():
        own = [call for call in walk(method.node) if isinstance(call, ast.Call) and call in calls]
        for node in walk(method.node) if own else ():
            if isinstance(node, ast.NamedExpr) and node.value in own:
                yield Start(method, node, _element([node.target], index), node.value)
        for statement, targets, value in assignments(method) if own else ():
            if value in own:
                for one, unpacked in _taken_apart(method, statement, targets, index):
                    yield Start(method, one, _element(unpacked, index), value)
            elif isinstance(value, ast.Tuple):
                for number, part in enumerate(value.elts):
                    if index == 0 and part in own:
                        yield Start(method, statement, _element(targets, number, len(value.elts)), part)
            elif index == 0 and (inner := [call for call in own if is_computed(value, call)]):
                yield Start(method, statement, _element(targets, 0), inner[0], as_made=False)
        for call in own if index == 0 else ():
            yield Start(method, None, (), call, as_made=False)


def _taken_apart(
    method: Method, statement: ast.stmt, targets: list[ast.expr], index: int
) -> list[tuple[ast.stmt, list[ast.expr]]]:
    """Where what is given to targets is taken apart for its element, and into what: there, or later."""
    names = {dotted(target) for target in targets} - {""}
    later = [(one, parts) for one, parts, value in assignments(method) if index and dotted(value) in names]
    return later or [(statement, targets)]


def _given_to(start: Start) -> list[ast.expr | ast.keyword]:
    """What is handed over to the call that makes a value."""
    return [*start.call.args, *start.call.keywords] if isinstance(start.call, ast.Call) else []


def drawn(tree: NewtTree) -> Iterator[Start]:
    """Actions that are drawn at random."""
    return made_by(tree, "trainer", 0, "self.env.rand_act")


def widest(tree: NewtTree) -> Iterator[Start]:
    """Deviations of actions that are drawn at random: as wide as the policy's may be."""
    for one in drawn(tree):
        for statement, targets, value in assignments(one.method):
            if any(isinstance(part, ast.Attribute) and part.attr == "log_std_max" for part in walk(value)):
                yield Start(one.method, statement, _element(targets, 0))


def acted(tree: NewtTree) -> Iterator[Start]:
    """Actions that the agent chose, but for evaluations."""
    for start in made_by(tree, "trainer", 0, "self.agent", "self.agent.act", "self.agent.forward"):
        if not any(isinstance(one, ast.keyword) and one.arg == "eval_mode" for one in _given_to(start)):
            yield start


def acted_in_evaluations(tree: NewtTree) -> Iterator[Start]:
    """Actions that the agent chose in evaluations."""
    for start in made_by(tree, "trainer", 0, "self.agent", "self.agent.act", "self.agent.forward"):
        if any(isinstance(one, ast.keyword) and one.arg == "eval_mode" for one in _given_to(start)):
            yield start


def made_rows(tree: NewtTree) -> Iterator[Start]:
    """Rows of what a step did, one for each environment."""
    for start in made_by(tree, "trainer", 0, "self.to_td"):
        if len(_given_to(start)) > 1:
            yield start


def first_made(tree: NewtTree) -> Iterator[Start]:
    """Rows that episodes begin with, where they have a name."""
    for start in made_by(tree, "trainer", 0, "self.to_td"):
        if len(_given_to(start)) == 1:
            yield start


def cut_out(tree: NewtTree) -> Iterator[Start]:
    """Episodes that are cut out of the rows that are kept, but for what `seeding` takes of them."""
    for method in tree.methods("trainer").values():
        if method.name == "_take_segment":
            continue
        names = tree.names("trainer", method)
        for statement, targets, value in assignments(method):
            own = isinstance(value, ast.Call) and dotted(value.func).startswith("self.")
            if _is_episode(names, value) or (own and any(_is_episode(names, part) for part in walk(value))):
                yield Start(method, statement, _element(targets, 0), as_made=not own)


def _is_episode(names: Names, value: ast.AST) -> bool:
    """Whether it is `self._tds[... : end, i]`, in whatever dimensions."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    while isinstance(value, ast.Subscript) and not names.is_(value.value, "self._tds"):
        value = value.value
    if not isinstance(value, ast.Subscript) or not isinstance(value.slice, ast.Tuple):
        return False
    return isinstance(value.slice.elts[0], ast.Slice)


def stepped(tree: NewtTree) -> Iterator[Start]:
    """Observations that the environments returned."""
    return made_by(tree, "trainer", 0, "self.env.step")


def shown(tree: NewtTree) -> Iterator[Start]:
    """Observations that the environments show, after a step or a reset."""
    yield from made_by(tree, "trainer", 0, "self.env.step", "self.env.reset")


def paid(tree: NewtTree) -> Iterator[Start]:
    """Rewards that the environments give."""
    return made_by(tree, "trainer", 1, "self.env.step")


def _unpacked(role: str, name: str, method_name: str) -> Callable[[NewtTree], Iterator[Start]]:
    """What a method unpacks under a name from what is sampled."""

    def find(tree: NewtTree) -> Iterator[Start]:
        method = tree.methods(role).get(method_name)
        for statement, targets, value in assignments(method) if method is not None else ():
            parts = [part for one in targets if isinstance(one, ast.Tuple) for part in one.elts]
            if method is not None and name in map(dotted, parts) and "sample" in ast.unparse(value):
                yield Start(method, statement, (name,))

    return find


def _sampled(index: int) -> Callable[[NewtTree], Iterator[Start]]:
    def find(tree: NewtTree) -> Iterator[Start]:
        method = tree.methods("agent").get("update")
        batches: set[str] = set()
        for statement, targets, value in assignments(method) if method is not None else ():
            drawn = isinstance(value, ast.Call) and dotted(value.func).endswith(".sample")
            if drawn and not any(isinstance(target, ast.Tuple) for target in targets):
                batches |= set(map(dotted, targets))
            elif (drawn or dotted(value) in batches) and method is not None:
                yield Start(method, statement, _element(targets, index))

    return find


def total(tree: NewtTree) -> Iterator[Start]:
    """The total loss of the model, as the update gets it."""
    return made_by(tree, "agent", 0, "self.loss_fn", "self._loss_fn")


def picked(tree: NewtTree) -> Iterator[Start]:
    """The planner's elite action, as the search returned it."""
    return made_by(tree, "agent", 0, "self.mppi", "self._mppi")


def _given(name: str) -> Callable[[NewtTree], Iterator[Start]]:
    """What a row is made of; statistics are given with each other and with the action, or not at all."""
    given_with = ("action", "mu", "std") if name in ("mu", "std") else (name,)

    def find(tree: NewtTree) -> Iterator[Start]:
        method = tree.methods("trainer").get("to_td")
        if method is not None and any(one.arg == name for one in method.node.args.args):
            yield Start(method, None, given_with)

    return find


def inputs(tree: NewtTree) -> Iterator[Start]:
    """What an ensemble is asked about."""
    for method in tree.of_class("layers", "QEnsemble"):
        names = positional(method.node)
        yield from [Start(method, None, (names[0],))] if names and method.name != "__init__" else []


def values(tree: NewtTree) -> Iterator[Start]:
    """The Q values that the policy's loss gives back, or that are computed in its place."""
    for start in (
        *made_by(tree, "agent", 1, "self.pi_loss", "self._pi_loss"),
        *made_by(tree, "agent", 0, "self.model.Q"),
    ):
        if start.method.name == "update_pi":
            yield start


def latents(tree: NewtTree) -> Iterator[Start]:
    """Latents that the policy is asked about, with their task or without."""
    for method in _asking_the_policy(tree):
        names = positional(method.node)
        yield Start(method, None, tuple(names[:1]))
        for statement, targets, value in assignments(method):
            if call_of(value, "self.task_emb", "self.task_embed") is not None:
                yield Start(method, statement, _element(targets, 0))


def _asking_the_policy(tree: NewtTree) -> list[Method]:
    return list(dict.fromkeys(method for method, _ in tree.calls("world_model", "self._pi")))


def squashed(tree: NewtTree) -> Iterator[Start]:
    """The policy's actions, squashed."""
    return made_by(tree, "world_model", 1, "math.squash", "squash")


def means(tree: NewtTree) -> Iterator[Start]:
    """The policy's means as its network gives them."""
    for method in tree.methods("world_model").values():
        for statement, targets, value in assignments(method):
            asks = any(isinstance(n, ast.Call) and dotted(n.func) == "self._pi" for n in walk(value))
            if asks and any(isinstance(target, ast.Tuple) for target in targets):
                yield Start(method, statement, _element(targets, 0))


def rewards(tree: NewtTree) -> Iterator[Start]:
    """The rewards that targets are made of."""
    method = tree.methods("agent").get("_td_target")
    if method is not None and any(one.arg == "reward" for one in method.node.args.args):
        yield Start(method, None, ("reward",))


def planned(tree: NewtTree) -> Iterator[Start]:
    """Actions that the planner chose, where they are given away."""
    return (one for one in made_by(tree, "agent", 0, "self.plan") if one.method.name == "forward")


STARTS: Mapping[str, Callable[[NewtTree], Iterator[Start]]] = {
    "random actions": drawn,
    "deviations of random actions": widest,
    "the agent's actions": acted,
    "evaluated actions": acted_in_evaluations,
    "rows": made_rows,
    "first rows": first_made,
    "episodes": cut_out,
    "observations": stepped,
    "what environments show": shown,
    "rewards": paid,
    "rewards of rows": _given("reward"),
    "rewards of batches": _unpacked("buffer", "reward", "sample"),
    "sampled rewards": _unpacked("agent", "reward", "update"),
    "sampled actions": _sampled(1),
    "elite actions": picked,
    "planned actions": planned,
    "the total loss": total,
    "actions": _given("action"),
    "means of actions": _given("mu"),
    "deviations of actions": _given("std"),
    "inputs": inputs,
    "Q values": values,
    "latents": latents,
    "squashed actions": squashed,
    "means": means,
    "rewards of targets": rewards,
}
