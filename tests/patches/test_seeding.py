"""`seeding`: when learning starts, and on what."""

from __future__ import annotations

import pytest
import torch
from trees import make_trainer, stored_rewards

SEEDING = ["seeding"]


def segments(trainer):
    """What was added to the buffer, one list of (observation, reward) rows per call."""
    added = []
    add = trainer.buffer.add

    def record(td, *args):
        rows = td[0]
        added.append([(tuple(o.tolist()), float(r)) for o, r in zip(rows["obs"], rows["reward"], strict=True)])
        return add(td, *args)

    trainer.buffer.add = record
    return added


@pytest.mark.parametrize(("ids", "first_update"), [([], 25_000), (SEEDING, 1_260)], ids=["newt", "seeding"])
def test_first_update_of_20_environments_with_250_steps(ids, first_update):
    trainer = make_trainer(ids, [250] * 20, steps=first_update)
    trainer.train()
    assert min(trainer.agent.updated_at) == first_update
    assert trainer.agent.stored_at_first_update is not None
    assert sorted(trainer.agent.stored_at_first_update) == list(range(first_update))


@pytest.mark.parametrize("length", [250, 500])
def test_one_environment_starts_exactly_at_the_threshold(length):
    trainer = make_trainer(SEEDING, [length], steps=5 * length, utd=1.0)
    trainer.train()
    assert trainer.agent.updated_at[0] == 5 * length


def test_short_episodes_seed_a_thousand_steps():
    trainer = make_trainer(SEEDING, [10] * 4, steps=1_100, utd=1.0)
    trainer.train()
    assert trainer.agent.updated_at[0] == 1_000


@pytest.mark.parametrize(
    "lengths",
    [[250] * 20, [50] * 7, [21] * 16, [5] * 3, [4] * 300, [17] * 999],
    ids=lambda lengths: f"{len(lengths)}x{lengths[0]}",
)
def test_nothing_is_lost_or_stored_twice_and_no_segment_is_too_short(lengths):
    trainer = make_trainer(SEEDING, lengths, steps=2_500 + 40 * len(lengths))
    added = segments(trainer)
    trainer.train()
    stored = [reward for segment in added for _, reward in segment[1:]]
    assert len(stored) == len(set(stored))
    running = trainer.env.t.sum().item() - trainer._segment_start.sum().item()
    assert len(stored) + running == trainer.env.transitions
    assert min(len(segment) for segment in added) >= trainer.cfg.horizon + 1


def test_segments_are_contiguous_and_start_where_the_last_one_ended():
    trainer = make_trainer(SEEDING, [250] * 20, steps=6_000)
    added = segments(trainer)
    trainer.train()
    for segment in added:
        times = [obs[2] for obs, _ in segment]
        assert times[1:] == [times[0] + k for k in range(1, len(times))]
        assert len({obs[0] for obs, _ in segment}) == 1
        assert segment[0][1] != segment[0][1], "the first row of a segment carries no reward"
    handed_over = [segment for segment in added if segment[-1][0][2] == 63]
    rests = [segment for segment in added if segment[0][0][2] == 63]
    assert len(handed_over) == len(rests) == 20
    assert all(segment[-1][0][2] == 250 for segment in rests)


def test_no_sampled_slice_crosses_from_one_segment_into_another():
    trainer = make_trainer(SEEDING, [250] * 20, steps=6_000)
    trainer.train()
    trainer.buffer._batch_size = 4_000
    _, _, _, _, reward, _ = trainer.buffer.sample("cpu")
    assert not reward.isnan().any()
    assert torch.equal(reward[1:], reward[:-1] + 20)


@pytest.mark.parametrize(("lengths", "held_back"), [([418] * 5, 2), ([419] * 5, 0)], ids=["two left", "none left"])
def test_a_rest_that_would_be_too_short_keeps_what_it_needs(lengths, held_back):
    """5 * 418 = 2,090 seed steps are 418 each, a whole episode; 2,095 are 419. One step earlier leaves a short rest."""
    trainer = make_trainer(SEEDING, lengths, steps=4 * sum(lengths), utd=1.0)
    trainer._seed_steps -= 5 * (1 if held_back else 0)
    added = segments(trainer)
    trainer.train()
    assert len(trainer.agent.stored_at_first_update) == trainer._seed_steps - 5 * held_back
    assert min(map(len, added)) >= 4


def test_every_place_that_asks_asks_the_same_question():
    from trees import patched

    assert "seeding_coef" not in patched(frozenset(SEEDING))["trainer.py"]


def test_a_run_that_starts_past_the_threshold_waits_for_data():
    trainer = make_trainer(SEEDING, [250] * 20, steps=31_000)
    trainer._step = 30_000
    trainer.train()
    assert trainer.agent.updated_at[0] == 30_060
    assert stored_rewards(trainer.buffer)


def test_ranks_count_their_steps_together():
    trainer = make_trainer(SEEDING, [250] * 4, steps=1_400, world_size=2, num_global_tasks=2)
    trainer.train()
    assert trainer.agent.updated_at[0] >= 1_250
    assert trainer.agent.acted_at[1] - trainer.agent.acted_at[0] == 8


def test_an_episode_too_short_to_sample_does_not_start_the_training():
    trainer = make_trainer(SEEDING, [250] * 999, steps=5_000)
    step = trainer.env.step

    def first_ends_early(action):
        out = step(action)
        if trainer.env.t[0] == 2:
            out[3][0] = True
            trainer.env.t[0] = 0
            out[4]["final_observation"] = out[0][:1]
            out[4]["final_info"] = {name: torch.zeros(999) for name in ("success", "score")}
            trainer.env.step = step
        return out

    trainer.env.step = first_ends_early
    trainer.train()
    assert trainer.agent.updated_at[0] == 2_997


@pytest.mark.parametrize("ids", [["seeding", "episode-rows"], ["seeding", "episode-rows", "first-obs", "burst"]])
def test_an_evaluation_in_the_middle_of_an_episode_loses_no_seed_transition(ids):
    """Where lengths differ, the shorter episodes are running when an evaluation starts all of them anew."""
    trainer = make_trainer(ids, [200, 300], steps=1_600, eval_freq=600, **{"num_global_tasks": 1})
    trainer.train()
    first = trainer.agent.stored_at_first_update
    assert sorted(first) == list(range(len(first)))
    assert len(first) >= 1_500
    rewards = stored_rewards(trainer.buffer)
    assert len(rewards) == len(set(rewards))


def test_a_resumed_run_goes_on_at_once_with_the_replay_that_it_loaded():
    earlier = make_trainer(SEEDING, [250] * 4, steps=3_000, utd=0.5)
    earlier.train()
    trainer = make_trainer(SEEDING, [250] * 4, steps=3_600, utd=0.5)
    trainer.buffer, trainer._step = earlier.buffer, 3_000
    added = segments(trainer)
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_004
    assert all(len(segment) == 251 for segment in added), "no episode was cut"


def test_a_run_resumed_past_the_threshold_without_replay_trains_as_soon_as_it_can():
    trainer = make_trainer(SEEDING, [250] * 4, steps=3_200, utd=0.5)
    trainer._step = 3_000
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_000 + 3 * 4
