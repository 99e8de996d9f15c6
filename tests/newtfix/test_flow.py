"""A value is unchanged, changed, or that cannot be told, whatever stands between its making and its use."""

from __future__ import annotations

import ast
import textwrap

import pytest

from newtfix.code.flow import Flow
from newtfix.code.values import Change

HELPERS = """
def reads(x, y=None):
    z = x * 2
    return z
def doubles(x):
    x *= 2
def fills(x, value):
    for row in x:
        row[:] = value
def itself(x):
    return x
def pair(x):
    return x, x + 1
def copied(x):
    x = x.clone()
    x.zero_()
    return x
def deep(x):
    doubles(x)
def either(x, flag=None):
    if flag:
        return x, x[0]
    return x, x
def counts(x):
    if x:
        return 1, 2
    return 3
def swapped(x, y):
    return y, x
def again(x):
    return again(x)
"""
FUNCTIONS = {node.name: node for node in ast.parse(HELPERS).body if isinstance(node, ast.FunctionDef)}


def _helper(call: ast.Call) -> ast.FunctionDef | None:
    return FUNCTIONS.get(call.func.id) if isinstance(call.func, ast.Name) else None


def followed(body: str, keys: frozenset[str] | None = None) -> list[Change | None]:
    """What becomes of `x`, made by `x = make()`, at every `use(...)`."""
    code = f"def f(self, t, flag, values):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    nodes = list(ast.walk(function))
    start = next(n for n in nodes if isinstance(n, ast.Assign) and ast.unparse(n.value) == "make()")
    uses = [n.args[0] for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == "use"]
    found = Flow(function, _helper, keys).uses(start, ["x"], uses)
    return [found[use] for use in uses if use in found]


HOLDS = {
    "nothing in between": "x = make()\nuse(x)",
    "reads": "x = make()\ny = x + 1\ny += 1\nz = x[0] * 2\nuse(x)",
    "logging": 'x = make()\nself.logger.log({"x": x})\nprint(x)\nuse(x)',
    "another name": "x = make()\ny = x\nuse(y)",
    "a cast": "x = make()\nx = x.float().cpu()\nuse(x.to(t))",
    "a copy is changed": "x = make()\ny = x.clone()\ny.zero_()\nuse(x)",
    "the copy is used": "x = make()\ny = x.clone()\nx.zero_()\nuse(y)",
    "deepcopy": "x = make()\ny = deepcopy(x)\ny[0] = 1\nuse(x)",
    "a with block": "with t as y:\n    x = make()\nwith profile('step'):\n    use(x)",
    "a guard": "x = make()\nif flag:\n    return\nuse(x)",
    "another branch has its own": "if flag:\n    x = t\nelse:\n    x = make()\nuse(x)",
    "a loop around": "while flag:\n    if t:\n        x = self.agent(t)\n    else:\n        x = make()\n    use(x)",
    "a loop in between": "x = make()\nfor i in range(3):\n    y = x[i]\nuse(x)",
    "try and finally": "x = make()\ntry:\n    y = x.sum()\nfinally:\n    self.n += 1\nuse(x)",
    "an assertion": "x = make()\nassert x.isfinite().all(), x\nuse(x)",
    "a function that reads": "x = make()\ny = reads(x)\nreads(x, y=1)\nuse(x)",
    "a function that gives it back": "x = make()\nx = itself(x)\nuse(x)",
    "a pair that is unpacked": "x = make()\na, b = pair(x)\nuse(a)",
    "a function that changes a copy": "x = make()\ny = copied(x)\nuse(x)",
    "tuples": "x = make()\na, b = x, t\nuse(a)",
    "a function that gives one pair or another": "x = make()\na, b = either(x)\nuse(a)",
    "a function that gives numbers": "x = make()\nn = counts(x)\nuse(x)",
    "a function that is given it twice": "x = make()\na, b = swapped(x, x)\nuse(b)",
    "a call that Python refuses": "x = make()\ny = itself(x, x)\nuse(x)",
    "an import": "x = make()\nimport math\nuse(x)",
    "what is never reached": "x = make()\nuse(x)\nreturn\nmatch t:\n    case 1:\n        x.zero_()",
    "kept in a container": 'x = make()\nrow = {"a": x}\nrow["b"] = t\nrow.update(c=t)\nuse(x)',
    "walrus": "x = make()\nif (y := x) is not None:\n    use(y)",
    "one thing or the other, which is the same": "x = make()\ny = x if flag else x.clone()\nuse(y)",
    "match": "x = make()\nmatch t:\n    case 1:\n        y = x\n    case _:\n        y = x\nuse(y)",
    "an attribute": "x = make()\nself.kept = x\nuse(self.kept)",
    "a comprehension": "x = make()\ny = [row.sum() for row in x]\nuse(x)",
    "a function within that reads": "x = make()\ndef g():\n    return x + 1\ny = g()\nuse(x)",
    "another key": None,
    "a key of another name, augmented": 'x = make()\nrow = {"x": x}\nrow["n"] += 1\nuse(x)',
    "copied into something": "x = make()\nt[0].copy_(x)\nuse(x)",
    "a size of something": "x = make()\nself.rows = t.view(len(x), x.shape[1])\nself.rows.zero_()\nuse(x)",
    "a lambda that reads": "x = make()\ny = sorted(values, key=lambda i: x[i])\nuse(x)",
    "augmented on another name": "x = make()\ny = x.sum()\ny += x.sum()\nuse(x)",
    "moved by a setting": "x = make()\nif flag:\n    x = x.to(t)\nuse(x)",
    "annotated": "x = make()\ny: object = x\nuse(y)",
    "read by a generator": "x = make()\ntotal = sum(row.sum() for row in x)\nuse(x)",
    "a loop that only a break ends": "x = make()\nwhile True:\n    if flag:\n        break\nuse(x)",
    "a function within that has its own x": "x = make()\ndef g(x):\n    x = t\n    return x\ng(t)\nuse(x)",
    "deleted other name": "x = make()\ny = x\ndel y\nuse(x)",
}
BROKEN = {
    "another value": "x = make()\nx = x * 0.5\nuse(x)",
    "what is used is something else": "x = make()\nuse(x.clamp(-1, 1))",
    "in a branch": "x = make()\nif flag:\n    x = t\nuse(x)",
    "in a nested branch": "x = make()\nif flag:\n    if t:\n        x = t\nuse(x)",
    "augmented": "x = make()\nx *= 2\nuse(x)",
    "item": "x = make()\nx[0] = 0\nuse(x)",
    "slice": "x = make()\nx[:, 1:] += 1\nuse(x)",
    "item in a loop": "x = make()\nfor i in range(3):\n    if flag:\n        x[i] = 0.0\nuse(x)",
    "in-place method": "x = make()\nx.neg_()\nuse(x)",
    "the result of an in-place method": "x = make()\nx = x.neg_()\nuse(x)",
    "the result of an in-place method by another name": "x = make()\ny = x.mul_(2)\nuse(y)",
    "the result of an in-place method, used at once": "x = make()\nuse(x.mul_(2))",
    "a copy that is changed and used": "x = make()\nuse(x.clone().fill_(0))",
    "a lambda": "x = make()\ng = lambda: x.zero_()\ng()\nuse(x)",
    "a lambda from before": "g = lambda: x.zero_()\nx = make()\ng()\nuse(x)",
    "a lambda that is called at once": "x = make()\n(lambda y: y.zero_())(x)\nuse(x)",
    "map": "x = make()\nlist(map(doubles, [x]))\nuse(x)",
    "a function as an argument": "x = make()\ny = min([x], key=lambda y: y.zero_().sum())\nuse(x)",
    "a partial": "x = make()\npartial(doubles, x)()\nuse(x)",
    "an item of a list, augmented": "x = make()\nrows = [x, t]\nrows[flag] *= 2\nuse(x)",
    "a list that grows": "x = make()\nrows = []\nrows.append(x)\nrows[-1].zero_()\nuse(x)",
    "taken from a list": "x = make()\nrows = [x]\ny = rows.pop()\ny += 1\nuse(x)",
    "setattr": "x = make()\nsetattr(self, 'kept', x)\nself.kept[0] = 3\nuse(x)",
    "starred arguments": "x = make()\nfills(*[x, 1])\nuse(x)",
    "a dictionary of arguments": "x = make()\ny = itself(**{'x': x})\ny.zero_()\nuse(x)",
    "what a context gives": "x = make()\nwith t(x) as y:\n    y[0] = 7\nuse(x)",
    "a later argument": "x = make()\nuse(swapped(x.zero_(), x))",
    "in-place method of an item": "x = make()\nx[0].zero_()\nuse(x)",
    "in-place method of a view": "x = make()\nx.view(-1).mul_(2)\nuse(x)",
    "a view by name": "x = make()\nrow = x[0]\nrow += 1\nuse(x)",
    "an alias": "x = make()\ny = x\ny.clamp_(-1, 1)\nuse(x)",
    "an alias of an attribute": "x = make()\nself.kept = x\nself.kept.zero_()\nuse(x)",
    "rows of a loop": "x = make()\nfor row in x:\n    row.zero_()\nuse(x)",
    "enumerated rows": "x = make()\nfor i, row in enumerate(x):\n    row[0] = i\nuse(x)",
    "out": "x = make()\ntorch.clamp(t, -1, 1, out=x)\nuse(x)",
    "a tuple": "x = make()\nx, y = t, x\nuse(x)",
    "a swap": "x = make()\ny = t\nx, y = y, x\nuse(x)",
    "with": "x = make()\nwith t:\n    x = t\nuse(x)",
    "bound by with": "x = make()\nwith t as x:\n    pass\nuse(x)",
    "bound by for": "x = make()\nfor x in values:\n    pass\nuse(x)",
    "try": "x = make()\ntry:\n    x = t\nexcept ValueError:\n    pass\nuse(x)",
    "except": "x = make()\ntry:\n    t()\nexcept ValueError:\n    x = t\nuse(x)",
    "finally": "x = make()\ntry:\n    t()\nfinally:\n    x.zero_()\nuse(x)",
    "suppressed": "x = make()\nwith suppress(ValueError):\n    x = t\nuse(x)",
    "match": "x = make()\nmatch t:\n    case 1:\n        x = t\nuse(x)",
    "walrus": "x = make()\nif (x := t) is not None:\n    use(x)",
    "a function that changes": "x = make()\ndoubles(x)\nuse(x)",
    "a function that changes rows": "x = make()\nfills(x, 0)\nuse(x)",
    "a function of a function": "x = make()\ndeep(x)\nuse(x)",
    "by way of what a function gives back": "x = make()\ny = itself(x)\ny.zero_()\nuse(x)",
    "a function within": "x = make()\ndef g():\n    x.zero_()\ng()\nuse(x)",
    "data": "x = make()\nx.data.copy_(t)\nuse(x)",
    "data of an item": "x = make()\nx[0].data = t\nuse(x)",
    "another object of that name": "x = make()\nbox.kept = x\nbox = t\nuse(box.kept)",
    "a default of a function within": "x = make()\ndef g(*, n, y=x):\n    y.zero_()\ng(n=1)\nuse(x)",
    "the item of a pair": "x = make()\na, b = either(x)\nb.zero_()\nuse(x)",
    "data itself": "x = make()\nx.data = t\nuse(x)",
    "numpy": "x = make()\ny = x.numpy()\ny[0] = 1\nuse(x)",
    "copyto": "x = make()\nnp.copyto(x, t)\nuse(x)",
    "inplace=True": "x = make()\nF.relu(x, inplace=True)\nuse(x)",
    "in what holds it": 'x = make()\nrow = {"a": x}\nrow["a"].zero_()\nuse(x)',
    "all that is held": 'x = make()\nrow = TensorDict({"a": x})\nrow.zero_()\nuse(x)',
    "a comprehension": "x = make()\n[row.zero_() for row in x]\nuse(x)",
    "conditional expression": "x = make()\nx = x if flag else t\nuse(x)",
    "deleted rows": "x = make()\ndel x[0]\nuse(x)",
    "one of a pair": "x = make()\na, b = pair(x)\nuse(b)",
    "zipped": "x = make()\nfor a, b in zip(x, t):\n    a.copy_(b)\nuse(x)",
    "an entry that matters": None,
    "a while loop": "x = make()\nwhile flag:\n    x = x + 1\nuse(x)",
    "a loop that only a break ends": "x = make()\nwhile True:\n    if flag:\n        x.zero_()\n        break\nuse(x)",
    "a function within that takes its name for its own": "x = make()\ndef g(y):\n    y[0] = 1\ng(x)\nuse(x)",
    "starred": "x = make()\nx, *rest = values\nuse(x)",
    "a name that a comprehension has as well": (
        "x = make()\nfor row in x:\n    [row.fill(2) for row in [t]]\n    row[1] = 9\nuse(x)"
    ),
}
CANNOT_TELL = {
    "a method that has a name": "x = make()\nzero = x.zero_\nzero()\nuse(x)",
    "an unknown function": "x = make()\nclip_to_bounds(x)\nuse(x)",
    "a function that calls itself": "x = make()\nagain(x)\nuse(x)",
    "an unknown method": "x = make()\nself.shield.project(x)\nuse(x)",
}


@pytest.mark.parametrize("case", [name for name, body in HOLDS.items() if body])
def test_a_value_holds(case: str) -> None:
    found = followed(HOLDS[case])
    assert found and not any(found)


@pytest.mark.parametrize("case", [name for name, body in BROKEN.items() if body])
def test_a_value_is_changed(case: str) -> None:
    found = followed(BROKEN[case])
    assert any(change is not None and change.is_certain and change.code for change in found)


@pytest.mark.parametrize("case", CANNOT_TELL)
def test_what_an_unknown_call_does_cannot_be_told(case: str) -> None:
    (change,) = followed(CANNOT_TELL[case])
    assert change is not None and not change.is_certain


def test_only_the_entries_asked_for_count() -> None:
    keys = frozenset({"action"})
    assert followed('x = make()\nx["priority"] = t\nx["age"] += 1\nx.set("age", t)\nuse(x)', keys) == [None]
    assert followed('x = make()\nx["action"] = t\nuse(x)', keys) != [None]
    assert followed('x = make()\nx["action"][0] = t\nuse(x)', keys) != [None]
    assert followed('x = make()\nuse(x.set("age", t))', keys) == [None]
    assert followed('x = make()\nuse(x.set("action", t))', keys) != [None]
    assert followed('x = make()\nx["mu"] = x["action"]\nuse(x)', keys) == [None]
    assert followed('x = make()\nx["mu"] = x["action"]\nx["mu"].clamp_(-1, 1)\nuse(x)', keys) != [None]
    assert followed('x = make()\nfor k in ("age",):\n    x[k] = t\nuse(x)', keys) == [None]
    assert followed('x = make()\nfor k in ("age",):\n    pass\nfor k in t:\n    x[k] = t\nuse(x)', keys) != [None]


def test_the_first_statement_that_changes_a_value_is_named() -> None:
    (change,) = followed("x = make()\ny = x[0]\ny.zero_()\nx = t\nuse(x)")
    assert change is not None and (change.line, change.code) == (4, "y.zero_()")
