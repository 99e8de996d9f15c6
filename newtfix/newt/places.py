"""Where the values of a newt-style tree are made and used: all knowledge about how such places look.

A start gives a value names; an end is an expression that should have that value. Code in a form that is not known here
is no place; the edits of patches say whether they know the code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from newtfix.code.effects import Gives, of_call
from newtfix.code.names import Names
from newtfix.code.paths import conditions, names_in, path_to
from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import Method, NewtTree


@dataclass(frozen=True, eq=False)
class Start:
    """A statement of a method that gives a value to names; None where they are parameters."""

    method: Method
    statement: ast.stmt | ast.NamedExpr | None
    names: tuple[str, ...]
    call: ast.expr | None = None  # that makes the value
    as_made: bool = True  # and nothing is computed of it at once


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


def same_as(node: ast.expr) -> ast.expr | None:
    """The expression that another one equals where it counts: what is multiplied by a mask."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            for one, other in ((left, right), (right, left)):
                if any("mask" in name for name in names_in(other)):
                    return one
    return None


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
    calls = {call for name in called for _, call in tree.calls(role, name)}
    for method in tree.methods(role).values():
        own = [call for call in walk(method.node) if isinstance(call, ast.Call) and call in calls]
        for node in walk(method.node) if own else ():
            if isinstance(node, ast.NamedExpr) and node.value in own:
                yield Start(method, node, _element([node.target], index), node.value)
        for statement, targets, value in assignments(method) if own else ():
            if value in own:
                yield Start(method, statement, _element(targets, index), value)
            elif isinstance(value, ast.Tuple):
                for number, part in enumerate(value.elts):
                    if index == 0 and part in own:
                        yield Start(method, statement, _element(targets, number, len(value.elts)), part)
            elif index == 0 and (inner := [call for call in own if is_computed(value, call)]):
                yield Start(method, statement, _element(targets, 0), inner[0], as_made=False)
        for call in own if index == 0 else ():
            yield Start(method, None, (), call, as_made=False)


def is_computed(value: ast.expr, call: ast.expr) -> bool:
    """Whether something else is computed of what a call returns."""
    around = path_to(value, call)[:-1]
    return bool(around) and (
        any(isinstance(one, (ast.BinOp, ast.UnaryOp)) for one in around)
        or any(isinstance(one, ast.Call) and _changes_values(one) for one in around)
    )


def _changes_values(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)
    return of_call(call).gives is Gives.NEW and not name.endswith("_like")


def _given_to(start: Start) -> list[ast.expr | ast.keyword]:
    """What is handed over to the call that makes a value."""
    return [*start.call.args, *start.call.keywords] if isinstance(start.call, ast.Call) else []


def _argument(call: ast.Call, index: int, keyword: str) -> ast.expr | None:
    for one in call.keywords:
        if one.arg == keyword:
            return one.value
    plain = not any(isinstance(one, ast.Starred) for one in call.args[: index + 1])
    return call.args[index] if index < len(call.args) and plain else None


def _arguments(tree: NewtTree, role: str, called: str, index: int, keyword: str = "") -> Iterator[End]:
    for method, call in tree.calls(role, called):
        unpacked = [one.value for one in call.args[: index + 1] if isinstance(one, ast.Starred)]
        unpacked += [one.value for one in call.keywords if one.arg is None]
        if (argument := _argument(call, index, keyword)) is not None:
            yield End(method, argument)
        elif unpacked:
            yield End(method, unpacked[0])


# --- starts -----------------------------------------------------------------------------------------------------------


def drawn(tree: NewtTree) -> Iterator[Start]:
    """Actions that are drawn at random."""
    return _starts(tree, "trainer", 0, "self.env.rand_act")


def _stored(name: str) -> Callable[[NewtTree], Iterator[End]]:
    """What is given to a row by this name."""

    def find(tree: NewtTree) -> Iterator[End]:
        return (
            End(method, one.value)
            for method, call in tree.calls("trainer", "self.to_td")
            for one in call.keywords
            if one.arg == name
        )

    return find


def widest(tree: NewtTree) -> Iterator[Start]:
    """Deviations of actions that are drawn at random: as wide as the policy's may be."""
    for one in drawn(tree):
        for statement, targets, value in assignments(one.method):
            if any(isinstance(part, ast.Attribute) and part.attr == "log_std_max" for part in walk(value)):
                yield Start(one.method, statement, _element(targets, 0))


def acted(tree: NewtTree) -> Iterator[Start]:
    """Actions that the agent chose, but for evaluations."""
    for start in _starts(tree, "trainer", 0, "self.agent", "self.agent.act", "self.agent.forward"):
        if not any(isinstance(one, ast.keyword) and one.arg == "eval_mode" for one in _given_to(start)):
            yield start


def made_rows(tree: NewtTree) -> Iterator[Start]:
    """Rows of what a step did, one for each environment."""
    for start in _starts(tree, "trainer", 0, "self.to_td"):
        if len(_given_to(start)) > 1:
            yield start


def first_made(tree: NewtTree) -> Iterator[Start]:
    """Rows that episodes begin with, where they have a name."""
    for start in _starts(tree, "trainer", 0, "self.to_td"):
        if len(_given_to(start)) == 1:
            yield start


def cut_out(tree: NewtTree) -> Iterator[Start]:
    """Episodes that are cut out of the rows that are kept, but for what `seeding` takes of them."""
    for method in tree.methods("trainer").values():
        if method.name == "_take_segment":
            continue
        for statement, targets, value in assignments(method):
            if _is_episode(tree.names("trainer", method), value):
                yield Start(method, statement, _element(targets, 0))


def _is_episode(names: Names, value: ast.expr) -> bool:
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
    return _starts(tree, "trainer", 0, "self.env.step")


def shown(tree: NewtTree) -> Iterator[Start]:
    """Observations that the environments show, after a step or a reset."""
    yield from _starts(tree, "trainer", 0, "self.env.step", "self.env.reset")


def paid(tree: NewtTree) -> Iterator[Start]:
    """Rewards that the environments give."""
    return _starts(tree, "trainer", 1, "self.env.step")


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
    return _starts(tree, "agent", 0, "self.loss_fn", "self._loss_fn")


def picked(tree: NewtTree) -> Iterator[Start]:
    """The planner's elite action, as the search returned it."""
    return _starts(tree, "agent", 0, "self.mppi", "self._mppi")


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
        names = [one.arg for one in method.node.args.args if one.arg != "self"]
        yield from [Start(method, None, (names[0],))] if names and method.name != "__init__" else []


def values(tree: NewtTree) -> Iterator[Start]:
    """The Q values that the policy's loss gives back, or that are computed in its place."""
    for start in (
        *_starts(tree, "agent", 1, "self.pi_loss", "self._pi_loss"),
        *_starts(tree, "agent", 0, "self.model.Q"),
    ):
        if start.method.name == "update_pi":
            yield start


def latents(tree: NewtTree) -> Iterator[Start]:
    """Latents that the policy is asked about, with their task or without."""
    for method in _asking_the_policy(tree):
        names = [one.arg for one in method.node.args.args if one.arg != "self"]
        yield Start(method, None, tuple(names[:1]))
        for statement, targets, value in assignments(method):
            if _call_of(value, "self.task_emb", "self.task_embed") is not None:
                yield Start(method, statement, _element(targets, 0))


def _asking_the_policy(tree: NewtTree) -> list[Method]:
    return list(dict.fromkeys(method for method, _ in tree.calls("world_model", "self._pi")))


def squashed(tree: NewtTree) -> Iterator[Start]:
    """The policy's actions, squashed."""
    return _starts(tree, "world_model", 1, "math.squash", "squash")


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


# --- ends -------------------------------------------------------------------------------------------------------------


def stored(tree: NewtTree) -> Iterator[End]:
    """The actions that rows hold."""
    return _arguments(tree, "trainer", "self.to_td", 1, "action")


def kept_rows(tree: NewtTree) -> Iterator[End]:
    """Rows that are kept until their episode is over; not those that an episode begins with."""
    return (end for end in _written_rows(tree) if not _starts_episodes(end.expression, end.method))


def first_rows(tree: NewtTree) -> Iterator[End]:
    """Rows that all episodes begin with at once."""
    for end in _written_rows(tree):
        if isinstance(end.expression, ast.Call) and _starts_episodes(end.expression, end.method):
            yield end


def _written_rows(tree: NewtTree) -> Iterator[End]:
    for method in tree.methods("trainer").values():
        for _, targets, value in assignments(method):
            if any(isinstance(one, ast.Subscript) and dotted(one.value) == "self._tds" for one in targets):
                yield End(method, value)


def _starts_episodes(value: ast.expr, method: Method) -> bool:
    """Whether it is `self.to_td(obs)`, or some of its rows, perhaps by a name."""
    inner = value.value if isinstance(value, ast.Subscript) else value
    if isinstance(inner, ast.Name):
        made = [one for _, targets, one in assignments(method) if inner.id in map(dotted, targets)]
        return bool(made) and all(not isinstance(one, ast.Name) and _starts_episodes(one, method) for one in made)
    return (
        isinstance(inner, ast.Call)
        and dotted(inner.func) == "self.to_td"
        and len(inner.args) + len(inner.keywords) == 1
    )


def added(tree: NewtTree) -> Iterator[End]:
    """Episodes that go to the buffer."""
    return _arguments(tree, "trainer", "self.buffer.add", 0, "td")


def acted_on(tree: NewtTree) -> Iterator[End]:
    """The observations that the agent acts on, but for evaluations."""
    for called in ("self.agent", "self.agent.act", "self.agent.forward"):
        for method, call in tree.calls("trainer", called):
            if call.args and not any(keyword.arg == "eval_mode" for keyword in call.keywords):
                yield End(method, call.args[0])


def rewarded(tree: NewtTree) -> Iterator[End]:
    """The rewards that rows hold."""
    method = tree.methods("trainer").get("to_td")
    names = [one.arg for one in method.node.args.args if one.arg != "self"] if method is not None else []
    index = names.index("reward") if "reward" in names else len(names)
    return _arguments(tree, "trainer", "self.to_td", index, "reward")


def _returned(role: str, method_name: str, name: str) -> Callable[[NewtTree], Iterator[End]]:
    """What a method returns under a name, perhaps moved."""

    def find(tree: NewtTree) -> Iterator[End]:
        method = tree.methods(role).get(method_name)
        for node in walk(method.node) if method is not None else ():
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and method is not None:
                for part in node.value.elts:
                    if dotted(_taken_from(part)) == name:
                        yield End(method, part)

    return find


def targeted(tree: NewtTree) -> Iterator[End]:
    """The rewards that TD targets are computed from."""
    for called in ("self._td_target", "self.td_target"):
        yield from _arguments(tree, "agent", called, 1, "reward")


def cloned(tree: NewtTree) -> Iterator[End]:
    """The stored actions that the policy's update gets."""
    return _arguments(tree, "agent", "self.update_pi", 1, "action")


def minimised(tree: NewtTree) -> Iterator[End]:
    """The losses whose gradient is taken."""
    for method in tree.methods("agent").values():
        for node in walk(method.node):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
                yield End(method, node.func.value)
            elif node.args and (helper := tree.called("agent", node)) is not None and _takes_gradient(helper):
                yield End(method, node.args[0])


def _takes_gradient(method: Method) -> bool:
    """Whether a method takes the gradient of its first parameter."""
    names = [one.arg for one in method.node.args.args if one.arg != "self"]
    calls = (n.func for n in walk(method.node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
    return any(func.attr == "backward" and dotted(func.value) == names[0] for func in calls if names)


def explored(tree: NewtTree) -> Iterator[End]:
    """What the planner's noise is added to."""
    method = tree.methods("agent").get("plan")
    for node in walk(method.node) if method is not None else ():
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                sides = [(left, right), (right, left)]
            case ast.Call(func=ast.Attribute(value=left, attr="add_"), args=[right, *_]):
                sides = [(left, right)]
            case ast.AugAssign(target=left, op=ast.Add(), value=right):
                sides = []
            case _:
                continue
        for one, noise in sides:
            if method is not None and _is_noise(noise) and not _is_noise(one):
                yield End(method, one)


def _is_noise(node: ast.expr) -> bool:
    calls = (part.func for part in walk(node) if isinstance(part, ast.Call))
    return any(dotted(func).rpartition(".")[2] in ("randn", "randn_like", "normal") for func in calls)


def _entered(name: str) -> Callable[[NewtTree], Iterator[End]]:
    """What goes into a row under a name."""

    def find(tree: NewtTree) -> Iterator[End]:
        method = tree.methods("trainer").get("to_td")
        for node in walk(method.node) if method is not None else ():
            if isinstance(node, ast.keyword) and node.arg == name and method is not None:
                yield End(method, node.value)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name and method is not None:
                        yield End(method, value)

    return find


def evaluated(tree: NewtTree) -> Iterator[End]:
    """What each network of an ensemble gets."""
    for method in tree.of_class("layers", "QEnsemble"):
        loops = (node for node in walk(method.node) if isinstance(node, (ast.For, ast.comprehension)))
        each = {dotted(loop.target) for loop in loops} if method.name != "__init__" else set()
        for node in walk(method.node):
            if isinstance(node, ast.Call) and dotted(node.func) in each and node.args:
                yield End(method, node.args[0])


def _taken_from(node: ast.expr) -> ast.expr:
    """What an expression takes a part of, or moves."""
    match node:
        case ast.Subscript(value=inner) | ast.Call(func=ast.Attribute(value=inner)):
            return _taken_from(inner)
    return node


def followed_by_scale(tree: NewtTree) -> Iterator[End]:
    """The values that the running scale follows."""
    for end in _arguments(tree, "agent", "self.scale.update", 0):
        yield End(end.method, _taken_from(end.expression))


def asked(tree: NewtTree) -> Iterator[End]:
    """What the policy's network gets: latents, with their task or without."""
    for method, node in tree.calls("world_model", "self._pi"):
        if node.args:
            given = node.args[0]
            embeds = _call_of(given, "self.task_emb", "self.task_embed")
            yield End(method, embeds.args[0] if embeds is not None and embeds.args else given)


def given(tree: NewtTree) -> Iterator[End]:
    """The actions that the policy gives."""
    method = tree.methods("world_model").get("pi")
    for node in walk(method.node) if method is not None else ():
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and method is not None:
            yield End(method, node.value.elts[0])


def squashing(tree: NewtTree) -> Iterator[End]:
    """The means that are squashed."""
    return _arguments(tree, "world_model", "math.squash", 0)


def bootstrapped(tree: NewtTree) -> Iterator[End]:
    """What a discounted value is added to."""
    method = tree.methods("agent").get("_td_target")
    for node in walk(method.node) if method is not None else ():
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right) if method and "self.discount" in names_in(right):
                yield End(method, left)


# --- what decides -----------------------------------------------------------------------------------------------------


def finished(tree: NewtTree, role: str) -> set[str]:
    """The names that say which episodes are over, those made of them, and what counts environments."""
    known = {"self.cfg", "range", "enumerate", "int", "bool", "len", "torch", "any", "i"}
    parts = {"terminated", "truncated", *(name for start in _ended(tree, role) for name in start.names)}
    known |= {"done", *parts}
    while True:
        found = {name for method in tree.methods(role).values() for name in _made_of(method, known)} - known
        if not found:
            return known - parts
        known |= found


def _ended(tree: NewtTree, role: str) -> Iterator[Start]:
    for index in (2, 3):
        yield from _starts(tree, role, index, "self.env.step")


def _made_of(method: Method, known: set[str]) -> Iterator[str]:
    """Names for what is made of known names alone."""
    for node in walk(method.node):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, (ast.For, ast.comprehension)):
            targets, value = [node.target], node.iter
        else:
            continue
        names = names_in(value)
        roots = {".".join(name.split(".")[: 2 if name.startswith("self.") else 1]) for name in names}
        if roots and roots <= known and not roots <= {"self.cfg", "torch", "int", "range"}:
            yield from (dotted(target) for target in targets if dotted(target))


def spends_tokens(tree: NewtTree, method: Method, call: ast.Call) -> bool:
    """Whether an update is one that update tokens pay for, or comes before any step is taken."""
    path = path_to(method.node, call)
    tokens = {"self._update_tokens"}
    tokens |= {dotted(one) for _, targets, value in assignments(method) if names_in(value) & tokens for one in targets}
    around = [node.iter for node in path if isinstance(node, ast.For)] + [test for test, _ in conditions(path)]
    if any(names_in(one) & tokens for one in around):
        return True
    callers = list(tree.calls("trainer", f"self.{method.name}"))
    if callers and all(caller is not method and spends_tokens(tree, caller, one) for caller, one in callers):
        return True
    loops = [node for node in path if isinstance(node, ast.While)]
    steps = any(dotted(n.func) == "self.env.step" for loop in loops for n in walk(loop) if isinstance(n, ast.Call))
    return not steps and method.name not in _stepping(tree)


def _stepping(tree: NewtTree) -> set[str]:
    """The methods that are called while steps are taken: in the loop of `train`, directly or not."""
    train = tree.methods("trainer").get("train")
    loops = [node for node in walk(train.node) if isinstance(node, ast.While)] if train is not None else []
    pending = [node for loop in loops for node in walk(loop) if isinstance(node, ast.Call)]
    found: set[str] = set()
    while pending:
        called = tree.called("trainer", pending.pop())
        if called is not None and called.name not in found and called.name in tree.methods("trainer"):
            found.add(called.name)
            pending += [node for node in walk(called.node) if isinstance(node, ast.Call)]
    return found


STARTS: Mapping[str, Callable[[NewtTree], Iterator[Start]]] = {
    "random actions": drawn,
    "deviations of random actions": widest,
    "the agent's actions": acted,
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
ENDS: Mapping[str, Callable[[NewtTree], Iterator[End]]] = {
    "stored": stored,
    "stored as std": _stored("std"),
    "kept": kept_rows,
    "kept first": first_rows,
    "added to the buffer": added,
    "acted on": acted_on,
    "put into rows": rewarded,
    "put into a row as reward": _entered("reward"),
    "handed to the agent": _returned("buffer", "sample", "reward"),
    "handed to TD targets": targeted,
    "handed to the policy": cloned,
    "explored from": explored,
    "minimised": minimised,
    "put into a row": _entered("action"),
    "put into a row as mu": _entered("mu"),
    "put into a row as std": _entered("std"),
    "evaluated": evaluated,
    "followed by the scale": followed_by_scale,
    "given to the policy's network": asked,
    "given by the policy": given,
    "squashed": squashing,
    "added to": bootstrapped,
}
# Conditions under which something happens, and places where something may be called.
GIVEN: Mapping[str, Callable[[NewtTree, str], set[str]]] = {"an episode is over": finished}
CALLERS: Mapping[str, Callable[[NewtTree, Method, ast.Call], bool]] = {"where update tokens are spent": spends_tokens}
