"""first-obs: the first observation of an episode."""

from __future__ import annotations

from typing import Any

import pytest
from observed import Tree
from specimens import Run
from tables import left_alone, name_of, refused, refused_in_plain, rewritten
from trees import make_trainer

from newtfix.model import State


def episodes(ids, lengths, steps, **settings):
    """What the trainer stored, one list of observations (environment, episode, step) per call of `add`."""
    trainer = make_trainer(ids, lengths, steps=steps, horizon=1, **settings)
    stored = []
    add = trainer.buffer.add

    def record(td, *arguments):
        stored.append([tuple(int(v) for v in obs) for obs in td[0]["obs"]])
        return add(td, *arguments)

    trainer.buffer.add = record
    trainer.train()
    return trainer, stored


@pytest.mark.parametrize("extra", [[], ["episode-rows"], ["seeding", "episode-rows"]], ids="+".join)
def test_a_later_episode_begins_with_its_own_first_observation(extra):
    lengths = [2, 6] if "episode-rows" in extra else [5, 5]
    _, stored = episodes(["first-obs", *extra], lengths, steps=900)
    assert len(stored) > 20
    beginnings = [rows for rows in stored if rows[1][2] == 1]
    assert len(beginnings) > 20
    for rows in beginnings:
        assert rows[0] == (*rows[1][:2], 0)


def test_newt_keeps_the_first_observation_of_an_older_episode():
    _, stored = episodes([], [5, 5], steps=60)
    assert {rows[0][1] for rows in stored} == {1}
    assert {rows[1][1] for rows in stored} == {1, 2, 3, 4, 5, 6}


UPDATING = "                # Update agent\n"


REFUSED = {
    "environments that are reset by hand": (
        "trainer.py",
        UPDATING,
        f"                if done.any():\n                    obs = self.env.reset_done(done)\n{UPDATING}",
        "$obs = $_",
    ),
    "rows of observations that were scaled": (
        "trainer.py",
        "                td = self.to_td(_obs",
        "                _obs = _obs / 255.0\n                td = self.to_td(_obs",
        "$made = $_ / $_",
    ),
    "first rows with more than observations": (
        "trainer.py",
        "self._tds[ep_len] = self.to_td(obs)",
        "self._tds[ep_len] = self.to_td(obs, goal=self.env.goal)",
        "self.to_td($variable)",
    ),
    "environments that begin an episode a step later": (
        "trainer.py",
        "final_observation",
        "last_seen",
        "final_observation",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("first-obs", *REFUSED[case])


GUARDED_IN_PLAIN = {
    "done that is reset": (
        "trainer.py",
        "\t\t\t\tep_len[i] = 0\n",
        "\t\t\t\tep_len[i] = 0\n\t\t\t\tdone[i] = False\n",
        "'row-0'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("first-obs", *GUARDED_IN_PLAIN[case])


REWRITES = [
    (
        "trainer.py",
        [("                if done.any():\n", "                if done.any():  # some\n")],
        [
            "                if done.any():  # some\n",
            "                    self._tds[0, done] = self.to_td(obs)[done]\n",
        ],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("first-obs", *row)


ROW = "                self._tds[ep_len] = td\n"


ALONE = [
    (
        "trainer.py",
        [(ROW, ROW + "                self._tds[0, done] = self.to_td(obs)[done]\n")],
        State.APPLIED,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("first-obs", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = Run(tree.modules, [5, 5], steps=40).train()
    assert len(run.episodes) == 8
    for rows in run.episodes:
        assert rows["obs"][0, 2] == 0
        assert (rows["obs"][:, 1] == rows["obs"][1, 1]).all()
