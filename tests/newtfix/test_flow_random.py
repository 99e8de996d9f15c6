"""Of random functions, run with tensors: what is said to be unchanged was not changed, on any path."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import operator
import re
import textwrap
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newtfix.code.flow import Flow

HELPERS = """
def same(x):
    return x
def doubled(x):
    return x * 2
def doubling(x):
    x *= 2
    return x
def copied(x):
    x = x.clone()
    x.zero_()
    return x
def copied_before(x):
    y = x.clone()
    x.zero_()
    return y
def first(a, b):
    return a
def second_changed(a, b):
    b = b.add_(1)
    return a
def starred(*a):
    return a[0].zero_()
def by_name(a=None):
    return a
def perhaps(a, change=False):
    if change:
        a.zero_()
    return a
def again(a, n):
    return again(a, n - 1) if n else a
def pair(a):
    return a, a.neg()
def swapped(a, b):
    return b, a
def closing(a):
    def inner():
        a[0] = 9
        return a
    return inner()
def by_key(a):
    kept = {"a": a}
    return kept["a"]
"""
METHODS = """
class Holder:
    def same(self, a):
        return a
    def doubling(self, a):
        a.mul_(2)
        return a
    def touch(self):
        self.a.zero_()
    def keep(self, a):
        self.a = a
"""
FUNCTIONS = {node.name: node for node in ast.parse(HELPERS).body if isinstance(node, ast.FunctionDef)}
OWN = {f"self.{node.name}": node for node in ast.walk(ast.parse(METHODS)) if isinstance(node, ast.FunctionDef)}
MADE = torch.arange(4.0) + 100

NAMES = st.sampled_from(["x", "y", "z", "self.a"])
VARIABLES = st.sampled_from(["x", "y", "z"])
OF_ONE = """
{}.clone() | {}.mul_(2) | {}.neg_() | {}.view(-1) | {}[:] | ({} + 1) | {}.detach() | {}.float() | {}.data | {}.T
same({}) | doubled({}) | doubling({}) | copied({}) | copied_before({}) | self.same({}) | self.doubling({}) | closing({})
{}.copy_(t) | {}.clone().fill_(3) | {}.unsqueeze(0)[0] | torch.clamp({}, -1, 1) | torch.as_tensor({}) | {}.add(1)
starred(*({},)) | by_name(a={}) | by_name(**{{"a": {}}}) | perhaps({}) | perhaps({}, flag) | again({}, 1) | by_key({})
(w := {}) | min([{}], key=lambda v: v.zero_().sum()) | [r.mul_(2) for r in [{}]][0] | [r for r in [{}]][0]
(lambda v: v)({}) | (lambda v: v.zero_())({}) | next(iter([{}]))
list(map(same, [{}]))[0] | list(map(doubling, [{}]))[0] | operator.imul({}, 2) | {}.__imul__(2)
torch.Tensor.mul_({}, 2) | torch.mul({}, 2) | torch.neg({})
copy.copy({}) | copy.deepcopy({}) | functools.partial(same, {})() | functools.partial(doubling, {})()
SimpleNamespace(a={}).a | {}.requires_grad_(False) | {}.contiguous() | {}.to(torch.float32) | {}.where(t > 0, t)
pair({})[0] | pair({})[1] | [*[{}]][0] | {{"a": {}}}["a"] | dict(a={})["a"] | dict([("a", {})]).get("a")
"""
OF_TWO = """
({} if flag else {}) | ({}, {})[0] | ({}, {})[flag] | [{}, {}][1] | first({}, {}) | second_changed({}, {})
second_changed(a={}, b={}) | second_changed(b={}, a={}) | second_changed(*[{}, {}])
"""
OF_NAMES = """
{0} += 1 | {0}[0] = 7 | {0}[{1}.sum() > 0] = 7 | held = [{0}, {1}] # held[0][0] = 5 | held = [{0}, {1}] # held[0] = t
held.append({0}) | held[-1].zero_() | {0} = held[-1] | {0} = held.pop() | held = [{0}, t] # held[flag] *= 2
box["a"] = {0} | {0} = box["a"] | box["a"].zero_() | box.update(a={0}) | row = box.get("a", t) # row.fill_(5)
self.b = {0} | {0} = self.b | self.b.zero_() | self.touch() | self.keep({0}) | setattr(self, "a", {0}) | self.a[0] = 3
torch.neg({0}, out={0}) | torch.add({0}, 1, out={1}) | np.copyto({0}.numpy(), 3) | {0} = torch.from_numpy({1}.numpy())
torch._foreach_mul_([{0}], 2) | torch.nn.init.zeros_({0}) | torch.nn.functional.relu({0}, inplace=True)
[r.zero_() for r in ({0}, t)] | any(r.zero_() is None for r in [{0}]) | {0} = {{0: {1}, 1: {2}}}[flag]
{0} = swapped({1}, {2})[0] | {0}, {1} = swapped({1}, {2}) | view = {0}[1:] # view.mul_(3) | {0}[1:] = {1}[:-1].clone()
{0}.data[0] = 4 | {0}.data = t | {0} = fresh() | use({0}) | g() | {0} = g() if flag else {1}
"""
OF_VARIABLES = """
def g(): #     {0}.zero_() # g() | g = lambda: {0}.zero_() | g = {0}.zero_ | mul = {0}.mul_ # mul(2) | del {0}
"""
OF_VALUES = """
{0} = {2} | {0} = {3} | {2} | use({2}) | {0}, {1} = {2}, {3} | {0}, *rest = {2}, {3} | {0} = {1} = {2}
({0}, {1}) = pair({2}) | assert {2} is not None | copied({2}) | doubling({2})
"""


def _forms(text: str) -> list[str]:
    return [form.strip().replace(" # ", "\n") for line in text.strip().split("\n") for form in line.split(" | ")]


def _built(forms: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of([st.builds(form.format, *parts) for form in _forms(forms)])


VALUES = st.recursive(NAMES, lambda inner: _built(OF_ONE, inner) | _built(OF_TWO, inner, inner), max_leaves=3)
STATEMENTS = st.one_of(
    _built(OF_VALUES, NAMES, NAMES, VALUES, VALUES),
    _built(OF_NAMES, NAMES, NAMES, NAMES),
    _built(OF_VARIABLES, VARIABLES),
)
Lines = list[str]
BLOCKS = (
    "if flag:\n{0}\nelse:\n{1}",
    "if not flag:\n{0}",
    "for i in range(2):\n{0}",
    "for i in range(3):\n    if i == flag:\n        break\n{0}",
    "for i in range(3):\n    if i == flag:\n        continue\n{0}",
    "for {2} in [t, {2}]:\n{0}",
    "for i, {2} in enumerate([{3}]):\n{0}",
    "for {2}, r in zip([{3}], [{2}]):\n{0}",
    "k = 0\nwhile k < 2:\n    k += 1\n{0}",
    "try:\n{0}\n    fail(flag)\nexcept ValueError:\n{1}\nfinally:\n    {2} = {3}",
    "with suppress(ValueError):\n    fail(flag)\n{0}",
    "with nullcontext({3}) as {2}:\n{0}",
    "if flag == 0:\n{0}\nelif {2} is not None:\n{1}",
    "match {3}:\n    case None:\n        pass\n    case {2}:\n        pass\n{1}",
)


def _compound(bodies: st.SearchStrategy[Lines]) -> st.SearchStrategy[str]:
    indented = bodies.map(lambda lines: textwrap.indent("\n".join(lines), "    "))
    deeper = st.sampled_from(BLOCKS)
    return st.builds(lambda form, *parts: form.format(*parts), deeper, indented, indented, VARIABLES, NAMES)


BODIES = st.recursive(
    st.lists(STATEMENTS, min_size=1, max_size=3),
    lambda inner: st.lists(_compound(inner) | STATEMENTS, min_size=1, max_size=3),
    max_leaves=4,
)


def _helper(call: ast.Call) -> ast.FunctionDef | None:
    return {**FUNCTIONS, **OWN}.get(ast.unparse(call.func))


def _follow(code: str) -> tuple[set[str], bool]:
    """The uses in `f` that, as is told, get what `make` returned, and whether it is told that nothing writes to it."""
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    nodes = list(ast.walk(function))
    start = next(n for n in nodes if isinstance(n, ast.Assign) and ast.unparse(n.value) == "make()")
    calls = {
        call.func.id: call.args[0]
        for call in nodes
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("use_")
    }
    flow = Flow(function, _helper)
    told = flow.uses(start, ["x"], calls.values())
    return {name for name, node in calls.items() if node in told and told[node] is None}, start not in flow.mutated


def _run(code: str, flag: int, intact: set[str], never_written: bool) -> None:
    made: list[torch.Tensor] = []

    def make() -> torch.Tensor:
        made.append(MADE.clone())
        return made[-1]

    def fail(flag: int) -> None:
        if flag:
            raise ValueError

    def user(name: str, value: Any) -> None:
        if made and name in intact:
            assert isinstance(value, torch.Tensor) and torch.equal(value, MADE), (name, flag, code)

    space: dict[str, Any] = {"make": make, "fail": fail, "fresh": lambda: torch.zeros(4), "np": np, "torch": torch}
    space |= {"copy": copy, "functools": functools, "operator": operator, "SimpleNamespace": SimpleNamespace}
    space |= {"suppress": contextlib.suppress, "nullcontext": contextlib.nullcontext}
    space |= {name: functools.partial(user, name) for name in re.findall(r"\buse_\d+", code)}
    exec(HELPERS + METHODS + code, space)
    holder = space["Holder"]()
    holder.a, holder.b = torch.full((4,), 5.0), torch.full((4,), 6.0)
    given = [torch.full((4,), float(number)) for number in range(4)]
    try:
        space["f"](holder, flag, *given, {"a": torch.zeros(4)}, [torch.zeros(4)])
    except AssertionError:
        raise
    except Exception:  # bodies may be nonsense; what they did before still counts
        pass
    for one in made if never_written else ():
        assert torch.equal(one, MADE), ("written to", flag, code)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(STATEMENTS, max_size=1), body=BODIES)
def test_what_is_said_to_be_unchanged_was_not_changed(before: Lines, body: Lines) -> None:
    text = "\n".join([*(one for one in before if "use(" not in one), "x = make()", *body, "use(x)"])
    numbers = iter(range(1000))
    text = re.sub(r"\buse\(", lambda _: f"use_{next(numbers)}(", text)
    code = f"def f(self, flag, x, y, z, t, box, held):\n{textwrap.indent(text, '    ')}\n"
    try:
        compile(code, "f", "exec")
    except SyntaxError:
        return
    intact, never_written = _follow(code)
    for flag in (0, 1) if intact or never_written else ():
        _run(code, flag, intact, never_written)
