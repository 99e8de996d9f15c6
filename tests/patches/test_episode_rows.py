"""episode-rows: each environment writes its own row."""

from __future__ import annotations

from typing import Any

import pytest
from observed import Tree
from specimens import Run
from tables import left_alone, name_of, rewritten
from trees import PATCHES, make_trainer, sources, stored_rewards

from newtfix.model import State
from newtfix.plan.engine import plan
from newtfix.testing import variant


@pytest.mark.parametrize("common", ["ep_len.max()", "ep_len[0]"])
def test_one_row_for_all_becomes_each_its_own(common: str) -> None:
    tree = variant(sources(), "trainer.py", ("self._tds[ep_len] = td", f"self._tds[{common}] = td"))
    patched = plan(tree, ["episode-rows"], PATCHES).after["trainer.py"]
    assert "self._tds[ep_len.long(), torch.arange(ep_len.shape[0])] = td\n" in patched


LENGTHS = [2, 6]


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


@pytest.mark.parametrize(("ids", "long"), [([], [5, 6, 3, 4, 5, 6]), (["episode-rows"], [1, 2, 3, 4, 5, 6])])
def test_steps_stored_of_an_episode_beside_a_shorter_one(ids, long):
    _, stored = episodes(ids, LENGTHS, steps=10)
    first = next(rows for rows in stored if rows[0][0] == 1 or len(rows) == 7)
    assert [step for _, _, step in first][1:] == long


@pytest.mark.parametrize("extra", [[], ["first-obs"], ["seeding"], ["seeding", "burst", "mu-std", "first-obs"]])
@pytest.mark.parametrize("lengths", [[2, 6], [3, 5, 4], [7, 7, 2, 3]], ids=str)
def test_with_any_lengths_every_row_is_its_environment_s_own(lengths, extra):
    trainer, stored = episodes(["episode-rows", *extra], lengths, steps=1_200)
    assert len(stored) > 20
    for rows in stored:
        environment = rows[0][0]
        steps = [step for _, _, step in rows][1:]
        assert {row[0] for row in rows} == {environment}
        assert len({row[1] for row in rows[1:]}) == 1
        assert steps == list(range(steps[0], steps[0] + len(steps)))
    rewards = stored_rewards(trainer.buffer)
    assert len(rewards) == len(set(rewards))


def test_with_one_length_the_rows_were_right_before():
    before, after = (episodes(ids, [5, 5, 5], steps=90)[1] for ids in ([], ["episode-rows"]))
    assert before == after


ROW = "                self._tds[ep_len] = td\n"


TD = "                td = self.to_td(_obs, action, mu, std, reward, terminated)\n"


OWN_ROW = "self._tds[ep_len.long(), torch.arange(ep_len.shape[0])] = "


REWRITES = [
    (
        "trainer.py",
        [],
        [f"                {OWN_ROW}td\n"],
        [ROW],
    ),
    (
        "trainer.py",
        [(TD + ROW, TD.replace(" td =", " self._tds[ep_len] ="))],
        [f"                {OWN_ROW}self.to_td(_obs, action, mu, std, reward, terminated)\n"],
        [],
    ),
    (
        "trainer.py",
        [
            (
                TD + ROW,
                TD.replace("td =", "row =") + "                # store\n                self._tds[t] = row  # t\n",
            )
        ],
        ["                # store\n                self._tds[t.long(), torch.arange(t.shape[0])] = row  # t\n"],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("episode-rows", *row)


_TRAINER = sources()["trainer.py"]


CHECK = _TRAINER[_TRAINER.index("    def _check_in_step(") : _TRAINER.index("    def _round_is_over(")]


IN_STEP = [("                self._check_in_step(ep_len)\n", ""), (CHECK, "")]


ALONE = [
    (
        "trainer.py",
        [(ROW, "                self._tds[ep_len, torch.arange(4)] = td\n"), *IN_STEP],
        State.APPLIED,
    ),
    (
        "trainer.py",
        [(ROW, f"                # self._tds[ep_len] = td\n                {OWN_ROW}td\n"), *IN_STEP],
        State.APPLIED,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("episode-rows", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = Run(tree.modules, [2, 6], steps=40).train()
    for rows in run.episodes:
        times = rows["obs"][1:, 2].tolist()
        assert times == list(range(1, len(times) + 1))
        assert len(times) == (2, 6)[int(rows["obs"][1, 0])]
        assert (rows["reward"][2:] - rows["reward"][1:-1] == 2).all()
