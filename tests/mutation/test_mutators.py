"""Mutators keep the behaviour, undo takes them back, and the oracle tells a wrong edit from a right one."""

from __future__ import annotations

import ast
import random

import behave
import pytest
from canon import canonical
from mutant import Mutant, mutated
from mutators import MUTATORS, STACK
from oracle import Outcome, judge, untouched
from rate import mutant_of
from shipped import shipped

from newtfix.model import Edit, Patch, Severity, Shape
from newtfix.plan.engine import plan

MAIN_FILES = frozenset(["trainer.py", "tdmpc2.py", "common/buffer.py", "common/layers.py"])
NOT_IN_PLAIN = ("nested-tests",)
HALVES = [STACK[::2], STACK[1::2]]


def test_a_mutated_newt_base_trains_bit_identically():
    case = shipped("newt_base")
    mutant = mutant_of(case, STACK[::4], 7, MAIN_FILES)
    assert all(mutant.texts[file] != case.sources[file] for file in MAIN_FILES)

    def run(texts):
        with behave.silence():
            return behave.newt_run(behave.package(texts), [8] * 12, 1_160)

    assert run(mutant.texts) == run(case.sources)


@pytest.mark.parametrize("names", HALVES, ids=lambda names: names[0])
def test_a_mutated_specimen_trains_bit_identically(names):
    case = shipped("plain")
    assert case.behave(case.sources, mutant_of(case, names, seed=3).texts)


@pytest.mark.parametrize("name", MUTATORS)
def test_a_mutation_changes_the_tree_and_is_seen_through(name):
    """Taken back, the tree has the normal form that it had, so that what differs later is due to a patch."""
    case = shipped("newt_base" if name in NOT_IN_PLAIN else "plain")
    mutant = mutant_of(case, [name], seed=1)
    assert dict(mutant.texts) != dict(case.sources)
    assert not untouched(mutant, case.sources)


def test_a_seed_makes_one_mutant():
    case = shipped("plain")
    first, again, other = (mutant_of(case, ["rename-some", "insert-prints"], seed) for seed in (1, 1, 2))
    assert first.texts == again.texts != other.texts


SAME = [
    ("x = a\nif b <= x:\n    y = 1", "x = a\nif not x < b:\n    y = 1"),
    ("x = 1\ny = 2", "y, x = 2, 1"),
    ("x, y = x * a, y * a", "x = x * a\ny = y * a"),
    ("if a and (b and f):\n    g()", "if a:\n    if b and f:\n        g()"),
    ("self.n += 2", "self.n = self.n + 2"),
    ("x = 1 if a else 2", "if not a:\n    x = 2\nelse:\n    x = 1"),
    ("if a and b:\n    f()", "if a:\n    if b:\n        f()"),
    ("if a:\n    return 1\nreturn 2", "if a:\n    return 1\nelse:\n    return 2"),
    ("n = f(a)\nif n >= 1:\n    g(n)", "if (n := f(a)) >= 1:\n    g(n)"),
    ("y = f(a, k=1, b=2)", "y = f(a, b=2, k=1)"),
    ("for i in a:\n    f(i)", "for j in a:\n    f(j)"),
]
DIFFERENT = [
    ("if b <= a:\n    f()", "if b < a:\n    f()"),
    ("x = 1\ny = x", "y = x\nx = 1"),
    ("x, y = a, b\ny = f(x, y)", "x, y = b, a\ny = f(x, y)"),
    ("a, b = b, a", "a = b\nb = a"),
    ("self.n += 2", "self.n = self.n - 2"),
    ("x = 1 if a else 2", "x = 2 if a else 1"),
    ("if a and b:\n    f()\nelse:\n    g()", "if a:\n    if b:\n        f()\n    else:\n        g()\nelse:\n    f()"),
    ("if a:\n    return 1\nreturn 2", "if a:\n    return 2\nreturn 1"),
    ("y = f(a)\nz = g(a)", "z = g(a)\ny = f(a)"),
    ("x = f(a)\ny = a\ng(x)", "x = f(a)\ny = a\ng(y)"),
    ("y = f(a, k=1, b=2)", "y = f(a, k=2, b=1)"),
    ("y = f(x=a)", "y = f(z=a)"),
    ("for i in a:\n    f(i)", "for i in a:\n    f(a)"),
    ("x = a * b", "x = a / b"),
    ("x = y - b", "x = b - y"),
]


def form(body):
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return canonical(ast.parse(f"class T:\n    def method(self, a, b, f, g):\n{lines}"))


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_normal_form_sees_through(one, other):
    assert form(one) == form(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_the_normal_form_keeps_apart(one, other):
    assert form(one) != form(other)


TRAINER = """
class Trainer:
    def train(self): ...
    def eval(self): ...
    def to_td(self, obs, action=None): ...
    def common_metrics(self):
        action = self.act()
        count = 1
        self.store(action)
        return count
"""
AGENT = "class TDMPC2:\n" + "".join(f"    def {n}(self): ...\n" for n in ("plan", "update", "update_pi", "_td_target"))


def patch(before, after):
    edit = Edit("edit", "trainer", "Trainer", (Shape(before, after),))
    return {"it": Patch(title="", severity=Severity.MINOR, edits=(edit,), id="it")}


def verdict(patch, mutate, trainer=TRAINER, behave=None):
    """What is said of a patch of a small trainer, mutated with the seed 1."""
    sources = {"trainer.py": trainer, "tdmpc2.py": AGENT}
    reference = {**sources, **plan(sources, ["it"], patch).after}
    mutant = mutated(Mutant(sources, frozenset(["trainer.py"])), mutate, MUTATORS[mutate], random.Random(1))
    assert mutant.texts != sources
    return judge(mutant, sources, reference, ["it"], patch, behave)


def test_a_patch_that_follows_the_names_is_right():
    assert verdict(patch("self.store($x)", "self.store($x, $x)"), "rename").outcome is Outcome.RIGHT


def test_a_patch_that_takes_names_for_granted_is_not_right():
    """It writes `action`, whatever the tree calls it: here nothing defines that name."""
    found = verdict(patch("self.store($x)", "self.store($x, action)"), "rename")
    assert found.outcome in (Outcome.WRONG, Outcome.REFUSED)
    assert "'action'" in found.reason or "`action`" in found.reason


def test_a_patch_that_looks_for_names_is_refused():
    found = verdict(patch("self.store(action)", "self.store(action, 1)"), "rename")
    assert found.outcome is Outcome.REFUSED
    assert "edit 'edit'" in found.reason


def optional(before, after):
    """An edit that is left out, without a word, where its code is not found."""
    return Edit(before, "trainer", "Trainer", (Shape(before, after),), optional=True)


def test_a_patch_that_does_nothing_without_saying_so_is_missed():
    edits = (optional("self.store(action)", "self.store(action, 1)"),)
    changed = {"it": Patch(title="", severity=Severity.MINOR, edits=edits, id="it")}
    assert verdict(changed, "rename").outcome is Outcome.MISSED


@pytest.mark.parametrize(("alike", "outcome"), [(True, "right"), (False, "wrong"), (None, "undecided")])
def test_where_a_patch_wrote_other_code_behaviour_decides(alike, outcome):
    edits = (optional("self.store(action)", "self.store(action, 1)"), optional("return $n", "return $n + 1"))
    changed = {"it": Patch(title="", severity=Severity.MINOR, edits=edits, id="it")}
    found = verdict(changed, "rename", behave=lambda reference, texts: alike)
    assert found.outcome.value == outcome
    assert "common_metrics" in found.reason


def test_comments_of_the_tree_that_a_patch_drops_are_counted():
    commented = TRAINER.replace("self.store(action)", "self.store(  # dbg\n            action)")
    found = verdict(patch("self.store($x)", "self.keep(1, $x)"), "rename", commented)
    assert found.outcome is Outcome.RIGHT
    assert found.lost == 1
