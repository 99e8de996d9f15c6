"""Where the values of a newt-style tree are used, in the words of facts; code that looks otherwise is no place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping

from newtfix.code.arithmetic import called, operands
from newtfix.code.paths import names_in
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import positional
from newtfix.newt.places import End, assignments, call_of
from newtfix.newt.tree import Method, NewtTree


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


def _inside(tree: NewtTree, role: str, name: str) -> Iterator[tuple[Method, ast.AST]]:
    """The nodes of a method, if the class has it."""
    method = tree.methods(role).get(name)
    yield from ((method, node) for node in walk(method.node)) if method is not None else ()


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


def stored(tree: NewtTree) -> Iterator[End]:
    """The actions that rows hold."""
    return _arguments(tree, "trainer", "self.to_td", 1, "action")


def stepped_with(tree: NewtTree) -> Iterator[End]:
    """The actions that environments take."""
    return _arguments(tree, "trainer", "self.env.step", 0, "action")


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
    for asked in ("self.agent", "self.agent.act", "self.agent.forward"):
        for method, call in tree.calls("trainer", asked):
            if call.args and not any(keyword.arg == "eval_mode" for keyword in call.keywords):
                yield End(method, call.args[0])


def rewarded(tree: NewtTree) -> Iterator[End]:
    """The rewards that rows hold."""
    method = tree.methods("trainer").get("to_td")
    names = positional(method.node) if method is not None else []
    index = names.index("reward") if "reward" in names else len(names)
    return _arguments(tree, "trainer", "self.to_td", index, "reward")


def _returned(role: str, method_name: str, name: str) -> Callable[[NewtTree], Iterator[End]]:
    """What a method returns under a name, perhaps moved."""

    def find(tree: NewtTree) -> Iterator[End]:
        for method, node in _inside(tree, role, method_name):
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                for part in node.value.elts:
                    if dotted(_taken_from(part)) == name:
                        yield End(method, part)

    return find


def targeted(tree: NewtTree) -> Iterator[End]:
    """The rewards that TD targets are computed from."""
    for asked in ("self._td_target", "self.td_target"):
        yield from _arguments(tree, "agent", asked, 1, "reward")


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
    names = positional(method.node)
    calls = (n.func for n in walk(method.node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
    return any(func.attr == "backward" and dotted(func.value) == names[0] for func in calls if names)


def explored(tree: NewtTree) -> Iterator[End]:
    """What the planner's noise is added to."""
    drawn: dict[Method, set[str]] = {}
    for method, node in _inside(tree, "agent", "plan"):
        if method not in drawn:
            drawn[method] = {dotted(one) for _, given, value in assignments(method) if _draws(value) for one in given}
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                sides = [(left, right), (right, left)]
            case ast.Call() if called(node) in ("add", "addcmul"):
                sides = [(operands(node)[0], one) for one in operands(node)[1:]]
            case _:
                continue
        for one, noise in sides:
            if _is_noise(noise, drawn[method]) and not _is_noise(one, drawn[method]):
                yield End(method, one)


def given_beside(tree: NewtTree) -> Iterator[End]:
    """The elite actions that the planner gives beside the action."""
    for method, node in _inside(tree, "agent", "plan"):
        values = [value for _, _, value in assignments(method) if call_of(value, "self.mppi", "self._mppi") is not None]
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and values:
            elite = [targets for _, targets, value in assignments(method) if value in values]
            names = {dotted(one.elts[0]) for targets in elite for one in targets if isinstance(one, ast.Tuple)}
            yield from (End(method, part) for part in node.value.elts[1:] if dotted(part) in names)


def given_away(tree: NewtTree) -> Iterator[End]:
    """The actions that the agent gives."""
    for method, node in _inside(tree, "agent", "forward"):
        if isinstance(node, ast.Return) and node.value is not None:
            yield End(method, _taken_from(node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value))


def _is_noise(node: ast.expr, drawn: set[str]) -> bool:
    return any(_draws(part) or (isinstance(part, ast.Name) and part.id in drawn) for part in walk(node))


def _draws(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node) in ("randn", "randn_like", "normal")


def _entered(name: str) -> Callable[[NewtTree], Iterator[End]]:
    """What goes into a row under a name."""

    def find(tree: NewtTree) -> Iterator[End]:
        for method, node in _inside(tree, "trainer", "to_td"):
            if isinstance(node, ast.keyword) and node.arg == name:
                yield End(method, node.value)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name:
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
        name = dotted(end.expression)
        made = [value for _, given, value in assignments(end.method) if name and name in map(dotted, given)]
        cut = len(made) == 1 and _is_cut(made[0])
        yield End(end.method, _taken_from(made[0] if cut else end.expression))


def _is_cut(node: ast.expr) -> bool:
    """Whether it is a part of something else, perhaps moved."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return isinstance(node, ast.Subscript)


def asked(tree: NewtTree) -> Iterator[End]:
    """What the policy's network gets: latents, with their task or without."""
    for method, node in tree.calls("world_model", "self._pi"):
        if node.args:
            given = node.args[0]
            embeds = call_of(given, "self.task_emb", "self.task_embed")
            yield End(method, embeds.args[0] if embeds is not None and embeds.args else given)


def given(tree: NewtTree) -> Iterator[End]:
    """The actions that the policy gives."""
    for method, node in _inside(tree, "world_model", "pi"):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            yield End(method, node.value.elts[0])


def squashing(tree: NewtTree) -> Iterator[End]:
    """The means that are squashed."""
    return _arguments(tree, "world_model", "math.squash", 0)


def bootstrapped(tree: NewtTree) -> Iterator[End]:
    """What a discounted value is added to."""
    for method, node in _inside(tree, "agent", "_td_target"):
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right) if "self.discount" in names_in(right):
                yield End(method, left)


ENDS: Mapping[str, Callable[[NewtTree], Iterator[End]]] = {
    "stored": stored,
    "taken by environments": stepped_with,
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
    "given beside actions": given_beside,
    "given away": given_away,
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
