"""Methods that are shown where they are called, and variables as what they are set to; and the way back."""

import ast

import pytest

from newtfix.code.view.once import once
from newtfix.code.view.placed import in_place
from newtfix.code.view.unnamed import unnamed
from newtfix.errors import Refused
from newtfix.model import State
from newtfix.newt.usual import METHODS
from newtfix.plan.engine import inspect, plan
from newtfix.testing import apply, load, variant
from tests.edits.judging import tree

TREES = "newt_base plain byhand idioms inline helpers halfway mixed planning threeway twoagents".split()
PATCHES = load()


def _in_place(text: str) -> str:
    shown = in_place(text, once("a.py", {"a.py": text}) - METHODS)
    return text if shown is None else shown.text


def _code(text: str) -> str:
    return ast.unparse(ast.parse(text))


@pytest.mark.parametrize("name", TREES)
def test_texts_come_back_and_each_line_has_its_owner(name: str) -> None:
    texts = tree(name)
    for file, text in texts.items():
        for shown in (in_place(text, once(file, texts) - METHODS), unnamed(text, frozenset())):
            if shown is None:
                continue
            compile(shown.text, file, "exec")
            assert shown.back(shown.text) == text
            assert len(shown.lines) == len(shown.text.split("\n"))
            assert list(shown.lines[: shown.text.split("\n").index("")]) != []


def test_something_is_shown_otherwise_in_most_trees() -> None:
    texts = [(tree(name), file) for name in TREES for file in tree(name)]
    assert sum(in_place(of[file], once(file, of) - METHODS) is not None for of, file in texts) >= 5
    assert sum(unnamed(of[file], frozenset()) is not None for of, file in texts) >= 30


CALLED = {
    "statement": ("self.h()", "        self.n += 1\n", "self.n += 1\nself.k(b)"),
    "value": ("x = self.h(b)", "        y = b + 1\n        return y * 2\n", "y = b + 1\nx = y * 2\nself.k(b)"),
    "several": (
        "x, y = self.h()",
        "        y = self.n\n        return y * 2, y\n",
        "y = self.n\nx = y * 2\nself.k(b)",
    ),
    "attribute": (
        "self.m = self.h()",
        "        v = self.n\n        return v / v.sum()\n",
        "v = self.n\nself.m = v / v.sum()\nself.k(b)",
    ),
    "other name": ("self.h(b + 1)", "        self.n += c\n", "c = b + 1\nself.n += c\nself.k(b)"),
    "by keyword": ("self.h(c=b)", "        self.n += c\n", "c = b\nself.n += c\nself.k(b)"),
    "order matters": ("x, z = self.h()", "        return z, x\n", "x, z = z, x\nself.k(b)"),
}


def _class(call: str, body: str, parameters: str = "", before: str = "", behind: str = "self.k(b)") -> str:
    return (
        f"class T:\n    def f(self, b):\n{before}        {call}\n        {behind}\n\n"
        f'    def h(self{parameters}):\n        """Say."""\n{body}'
    )


def _parameters(call: str) -> str:
    return {"self.h(b + 1)": ", c", "self.h(c=b)": ", c", "x = self.h(b)": ", b"}.get(call, "")


@pytest.mark.parametrize("kind", CALLED)
def test_a_method_is_shown_where_it_is_called(kind: str) -> None:
    call, body, shown = CALLED[kind]
    text = _class(call, body, _parameters(call))
    lines = "\n".join(f"        {line}" for line in shown.split("\n"))
    wanted = f"class T:\n    def f(self, b):\n{lines}\n"
    assert _code(_in_place(text)) == _code(wanted)


KEEPS = {
    "twice": _class("self.h()", "        self.n += 1\n", behind="self.h()"),
    "in another class": _class("other.h()", "        self.n += 1\n"),
    "left early": _class("self.h()", "        if self.n:\n            return\n        self.n += 1\n"),
    "decorated": _class("self.h()", "        self.n += 1\n").replace("    def h", "    @no_grad()\n    def h"),
    "its variables are the caller's": _class("self.h()", "        b = 1\n        self.n += b\n"),
    "any number": _class("self.h(*b)", "        self.n += 1\n", ", *c"),
    "one of several": _class("x = self.h()", "        return 1\n", before="        x = self.g()\n"),
    "newt's own": _class("x = self.pi()", "        return 1\n").replace("def h", "def pi"),
    "a generator": _class("x = self.h()", "        yield 1\n"),
    "a text of several lines": _class("self.h()", '        self.n = """a\n  b"""\n'),
    "by a name": _class("self.h()", "        self.n += 1\n", behind="getattr(self, 'h')()"),
}


@pytest.mark.parametrize("kind", KEEPS)
def test_other_methods_stay_where_they_are(kind: str) -> None:
    assert _in_place(KEEPS[kind]) == KEEPS[kind]


def test_what_a_patch_makes_of_the_lines_goes_into_the_method() -> None:
    text = _class("x = self.h(b + 1)", "        y = c * 2  # twice\n        return y + 1\n", ", c")
    shown = in_place(text, once("a.py", {"a.py": text}) - METHODS)
    assert shown is not None
    assert shown.back(shown.text.replace("c * 2", "c * 3")) == text.replace("c * 2", "c * 3")
    assert shown.back(shown.text.replace("x = y + 1", "x = y + 2")) == text.replace("y + 1", "y + 2")
    assert shown.back(shown.text.replace("        self.k(b)", "        self.k(x)")) == text.replace("k(b)", "k(x)")
    behind = shown.text.replace("        x = y + 1\n", "        x = y + 1\n        x = x / b\n")
    assert shown.back(behind) == text.replace("        self.k(b)", "        x = x / b\n        self.k(b)")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("c * 2", "c * b", "share b"),
        ("        self.k(b)", "        self.k(y)", "share y"),
        ("c = b + 1", "c = b + 2", "take h apart"),
        ("        #~placed~back~h\n", "", "take h apart"),
    ],
)
def test_methods_cannot_do_everything(old: str, new: str, why: str) -> None:
    text = _class("x = self.h(b + 1)", "        y = c * 2\n        return y + 1\n", ", c")
    shown = in_place(text, once("a.py", {"a.py": text}) - METHODS)
    assert shown is not None and old in shown.text
    with pytest.raises(Refused, match=why):
        shown.back(shown.text.replace(old, new))


def _function(*lines: str) -> str:
    return "\n".join(["def f(a, b):", *(f"    {line}" for line in lines), ""])


def _unnamed(text: str) -> str:
    shown = unnamed(text, frozenset({"known"}))
    return text if shown is None else shown.text


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["w = a.x[0]", "b(w)", "b(w + 1)"], ["b(a.x[0])", "b(a.x[0] + 1)"]),
        (["w, v = a.x, b(1)", "b(w, v)"], ["v = b(1)", "b(a.x, v)"]),
        (["w = a.x", "v = w * 2", "b(v)"], ["b(a.x * 2)"]),
        (["w = a.x > 1", "if w:", "    b()"], ["if a.x > 1:", "    b()"]),
        (["w = a.x > 1", "b(w)", "if w:", "    a.x = 2"], ["b(a.x > 1)", "if a.x > 1:", "    a.x = 2"]),
    ],
)
def test_a_variable_is_shown_as_what_it_is_set_to(lines: list[str], shown: list[str]) -> None:
    text = _function(*lines)
    assert _code(_unnamed(text)) == _code(_function(*shown))
    back = unnamed(text, frozenset())
    assert back is not None and back.back(back.text) == text


@pytest.mark.parametrize(
    "lines",
    [
        ["w = b(a)", "b(w)"],
        ["known = a.x", "b(known)"],
        ["w = a.x", "a.x = 2", "b(w)"],
        ["w = a.x > 1", "if b:", "    a.x = 2", "    b(w)"],
        ["w = a.x", "a.x.add_(2)", "b(w)"],
        ["w = a[0]", "a[1] = 2", "b(w)"],
        ["w = a.x", "w = w + 1", "b(w)"],
        ["w = a.x", "b(lambda: w)"],
        ["if b:", "    w = a.x", "b(w)"],
        ["for i in b:", "    b(w)", "    w = i.x"],
        ["w = [a.x]", "w.append(1)", "b(w)"],
        ["w = a", "b(w)"],
    ],
)
def test_other_variables_stay(lines: list[str]) -> None:
    assert _unnamed(_function(*lines)) == _function(*lines)


ASKED = "class T:\n    def f(self, x):\n        return {} + 1\n\n{}    def g(self):\n        pass\n"


@pytest.mark.parametrize(
    ("asked", "method", "shown"),
    [
        ("self.h()", "    def h(self):\n        return self.n * 2\n\n", "self.n * 2"),
        ("self.h(x)", "    def h(self, x):\n        return self.n[x]\n\n", "self.n[x]"),
        ("self.h(x)", '    def h(self, y):\n        """Say."""\n        return y - y\n\n', "(x - x)"),
        ("self.h(y=x.sum())", "    def h(self, y):\n        return self.n(y)\n\n", "self.n(x.sum())"),
        ("self.h", "    @property\n    def h(self):\n        return self.n\n\n", "self.n"),
    ],
)
def test_a_method_that_is_an_expression_is_shown_as_that(asked: str, method: str, shown: str) -> None:
    text = ASKED.format(asked, method)
    seen = unnamed(text, frozenset(), once("a.py", {"a.py": text}))
    assert seen is not None and _code(seen.text) == _code(ASKED.format(shown, ""))
    assert seen.back(seen.text) == text
    assert seen.back(seen.text.replace(" + 1", " + 2")) == text.replace(" + 1", " + 2")
    left = seen.text.replace("self.n", "self.o")
    assert "self.n" not in seen.text or seen.back(left) == ASKED.format(shown.replace("self.n", "self.o"), "").replace(
        "(self.o) +", "self.o +"
    ).replace("(x - x)", "x - x")


@pytest.mark.parametrize(
    ("asked", "method"),
    [
        ("self.h() + self.h()", "    def h(self):\n        return self.n\n\n"),
        ("self.h(x())", "    def h(self, y):\n        return y - y\n\n"),
        ("self.h(x)", "    def h(self, y):\n        return [x + y for x in self.n]\n\n"),
        ("self.h()", "    @cache\n    def h(self):\n        return self.n\n\n"),
        ("self.h()", "    def h(self, y=1):\n        return y\n\n"),
        ("self.h()", "    def h(self):\n        self.m()\n        return self.n\n\n"),
        ("other.h()", "    def h(self):\n        return self.n\n\n"),
    ],
)
def test_other_answers_stay_where_they_are(asked: str, method: str) -> None:
    text = ASKED.format(asked, method)
    assert unnamed(text, frozenset(), once("a.py", {"a.py": text})) is None


def test_what_grows_with_every_step_does_not_grow_for_ever() -> None:
    steps = [f"x{n} = x{n - 1} * a.y + x{n - 1}" for n in range(2, 60)]
    text = _function("x1 = a.x + b.x", *steps, "b(x59)")
    seen = unnamed(text, frozenset())
    assert seen is not None and len(seen.text) < 100_000 and seen.back(seen.text) == text


def test_what_methods_of_its_own_may_change_stays() -> None:
    text = "class T:\n    def f(self):\n        w = self.n > 2\n        self.g()\n        self.k(w)\n"
    other = "    def g(self):\n        self.n += 1\n"
    assert _unnamed(text + other) == text + other
    assert "w = self.n" not in _unnamed(text + other.replace("self.n", "self.o"))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("b(", "c(", ["w = a.x  # why", "c(w)", "c(w + 1)"]),
        ("a.x", "a.y", ["w = a.y", "b(w)", "b(w + 1)"]),
        ("a.x) +", "a.y) +", ["w = a.x  # why", "b(w)", "b(a.y + 1)"]),
    ],
)
def test_the_variable_stands_again_where_it_means_the_same(old: str, new: str, lines: list[str]) -> None:
    shown = unnamed(_function("w = a.x  # why", "b(w)", "b(w + 1)"), frozenset())
    assert shown is not None and old in shown.text
    assert shown.back(shown.text.replace(old, new)) == _function(*lines)


def test_a_variable_that_nothing_needs_any_more_goes() -> None:
    shown = unnamed(_function("w = a.x", "b(w)", "b(1)"), frozenset())
    assert shown is not None
    kept = "\n".join(line for line in shown.text.split("\n") if "a.x)" not in line)
    assert shown.back(kept) == _function("b(1)")


# --- whole patches ----------------------------------------------------------------------------------------------------


def _weights_by_method() -> dict[str, str]:
    set_here = "        self.rho = self.rho / self.rho.sum()\n"
    method = "    def _normalised(self):\n        return self.rho / self.rho.sum()\n\n"
    define = "    def _make_optimisers(self)"
    return variant(
        tree("newt_base"),
        "tdmpc2.py",
        (set_here, "        self.rho = self._normalised()\n"),
        (define, method + define),
    )


def test_a_patch_is_seen_in_a_tree_whose_method_it_changes() -> None:
    texts = _weights_by_method()
    before = inspect(texts, PATCHES, ["rho"])["rho"]
    assert before.state is State.AVAILABLE
    lines = texts["tdmpc2.py"].split("\n")
    places = [place for edit in before.edits for place in edit.places if place.file == "tdmpc2.py"]
    assert places and all(lines[place.line - 1].strip() == place.text for place in places)
    after = {**texts, **plan(texts, ["rho"], PATCHES).after}
    assert "_normalised" not in after["tdmpc2.py"] and "rho.sum()" not in after["tdmpc2.py"]
    assert after == {**texts, **apply(tree("newt_base"), "rho", patches=PATCHES)}
    assert inspect(after, PATCHES, ["rho"])["rho"].state is State.APPLIED
    assert plan(after, ["rho"], PATCHES).after == {}


def test_a_method_by_the_name_of_one_that_a_patch_brings_is_not_hidden() -> None:
    texts = variant(
        tree("newt_base"),
        "trainer.py",
        ("eval_metrics = self.eval()\n", "eval_metrics = self.eval() | self.eval_policy()\n"),
        ("    def to_td(", "    def eval_policy(self):\n        return {}\n\n    def to_td("),
    )
    with pytest.raises(Refused):
        plan(texts, ["eval-modes"], PATCHES)


def test_a_tree_with_other_newlines_keeps_them() -> None:
    texts = {file: text.replace("\n", "\r\n") for file, text in _weights_by_method().items()}
    after = plan(texts, ["rho"], PATCHES).after["tdmpc2.py"]
    plain = {**_weights_by_method(), **plan(_weights_by_method(), ["rho"], PATCHES).after}["tdmpc2.py"]
    assert after == plain.replace("\n", "\r\n")


def test_a_method_that_hides_what_a_patch_must_not_change_does_not_help() -> None:
    texts = _weights_by_method()
    broken = texts["tdmpc2.py"].replace("return self.rho / self.rho.sum()", "return self.rho / self.rho.sum() * 2")
    with pytest.raises(Refused, match="rho"):
        plan({**texts, "tdmpc2.py": broken}, ["rho"], PATCHES)
