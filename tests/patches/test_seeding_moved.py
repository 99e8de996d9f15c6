"""seeding in a tree whose updates are a method of their own, which has no count of the episodes' steps."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from specimens import Run, import_tree, texts
from trees import PATCHES

from newtfix.errors import Refused
from newtfix.plan.engine import plan

LENGTHS, STEPS = [250] * 4, 1_400


def moved(counted: str = "ep_len += 1") -> dict[str, str]:
    text = texts("plain")["trainer.py"].replace("ep_len += 1", counted)
    start = text.index("\t\t\tif self._step >= self.cfg.seeding_coef * self._update_freq:\n\t\t\t\tself._upd")
    end = text.index("\t\t\t\t\tself._update_tokens -= rounds\n") + len("\t\t\t\t\tself._update_tokens -= rounds\n")
    method = f"\tdef _learn(self, train_metrics):\n{indent(dedent(text[start:end]), 2 * chr(9))}\n"
    text = f"{text[:start]}\t\t\tself._learn(train_metrics)\n{text[end:]}"
    return {**texts("plain"), "trainer.py": text.replace("\tdef train(self):\n", f"{method}\tdef train(self):\n")}


def run(tree: dict[str, str], *ids: str) -> Run:
    after = {**tree, **plan(tree, ids, PATCHES).after}
    return Run(import_tree(after), LENGTHS, steps=STEPS).train()


@pytest.mark.parametrize("ids", [("seeding",), ("seeding", "burst")])
@pytest.mark.parametrize("counted", ["ep_len += 1", "ep_len = ep_len + 1"])
def test_it_hands_over_the_same_as_where_they_stand_in_the_loop(ids, counted):
    ours, theirs = run(moved(counted), *ids), run(dict(texts("plain")), *ids)
    assert ours.updated == theirs.updated
    assert 1_252 <= ours.updated[0] < 1_280  # max(1000, 5 L) by fours, and until tokens make an update
    assert sorted(ours.first_batch) == sorted(theirs.first_batch)
    assert ours.rewards() == theirs.rewards()


def test_a_count_that_is_another_tensor_each_step_is_refused():
    with pytest.raises(Refused, match="'seeding' does not fit"):
        plan(moved("ep_len = (ep_len + 1).clone()"), ["seeding"], PATCHES)
