"""`episode-rows` and `first-obs`: what the rows of a stored episode hold."""

from __future__ import annotations

import pytest
from trees import make_trainer, stored_rewards

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
