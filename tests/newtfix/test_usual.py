"""Attributes by other names than newt's: planned as newt's, written as the tree's."""

from __future__ import annotations

import re

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.newt.roles import find_roles
from newtfix.newt.usual import names
from newtfix.plan.engine import inspect, plan

TRAINER = {
    "_tds": "_episodes",
    "_update_tokens": "_budget",
    "_update_freq": "_round",
    "_step": "_env_steps",
    "_tasks": "_task_ids",
}
TREES = {"newt_base": sources, "plain": lambda: texts("plain")}
FITTING = {"newt_base": list(PATCHES), "plain": [name for name in PATCHES if name != "prior-norm"]}


def renamed(text: str, pairs: dict[str, str]) -> str:
    for old, new in pairs.items():
        text = re.sub(rf"(self\.|def ){old}\b", rf"\g<1>{new}", text)
    return text


@pytest.mark.parametrize("tree", TREES)
def test_the_plan_is_that_of_newt_s_names_in_the_tree_s_own(tree: str) -> None:
    there = TREES[tree]()
    pairs = {name: other for name, other in TRAINER.items() if f"self.{name}" in there["trainer.py"]}
    assert set(pairs) >= {"_tds", "_update_tokens", "_step"}
    own = {**there, "trainer.py": renamed(there["trainer.py"], pairs)}
    done = plan(own, FITTING[tree], PATCHES)
    expected = plan(there, FITTING[tree], PATCHES).after
    assert done.after == {**expected, "trainer.py": renamed(expected["trainer.py"], pairs)}
    assert done.before["trainer.py"] == own["trainer.py"]
    again = inspect({**own, **done.after}, PATCHES)
    assert {again[name].state for name in FITTING[tree]} <= {State.APPLIED, State.ABSENT}


def test_a_policy_loss_by_another_name() -> None:
    there = texts("plain")
    pairs = {"_pi_loss": "_actor_loss", "pi_loss": "actor_loss"}
    own = {**there, "tdmpc2.py": renamed(there["tdmpc2.py"], pairs)}
    after = plan(own, ["actor-modes", "scale-order"], PATCHES).after["tdmpc2.py"]
    assert after == renamed(plan(there, ["actor-modes", "scale-order"], PATCHES).after["tdmpc2.py"], pairs)
    assert "def _actor_loss(self, zs, action, mu, std, task):\n" in after


def test_what_is_said_of_the_tree_is_in_its_own_words() -> None:
    own = dict(texts("plain"))
    text = renamed(own["trainer.py"], {"_tds": "_episodes"})
    own["trainer.py"] = text.replace("self._episodes[ep_len] = td", "self._episodes.set_at_(ep_len, td)")
    with pytest.raises(Refused) as refused:
        plan(own, ["episode-rows"], PATCHES)
    assert "self._episodes[" in refused.value.where
    assert "_tds" not in refused.value.where


@pytest.mark.parametrize(
    "more",
    [
        "\t\tself._tds = self._episodes\n",  # newt's name means something else as well
        "\t\tself._others = TensorDict({}, batch_size=(3, 2))\n",  # which one is it?
    ],
)
def test_names_that_cannot_be_told_stay(more: str) -> None:
    own = dict(texts("plain"))
    text = renamed(own["trainer.py"], {"_tds": "_episodes"})
    made = next(line for line in text.splitlines(keepends=True) if "self._episodes = TensorDict(" in line)
    own["trainer.py"] = text.replace(made, made + more)
    assert not names(own, find_roles(own)).files
    with pytest.raises(Refused):
        plan(own, ["episode-rows"], PATCHES)
