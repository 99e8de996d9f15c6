"""`burst`: how many updates, when, and how often."""

from __future__ import annotations

import pytest
from trees import make_trainer


def at(trainer, step):
    return trainer.agent.updated_at.count(step)


@pytest.mark.parametrize(
    ("ids", "when", "size"),
    [(["burst"], 25_000, 25_000), (["burst", "seeding"], 1_260, 1_250)],
    ids=["newt's threshold", "seeding"],
)
def test_one_burst_of_as_many_updates_as_seed_steps(ids, when, size):
    trainer = make_trainer(ids, [250] * 20, steps=when + 400)
    trainer.train()
    assert trainer.agent.updated_at[0] == when
    assert at(trainer, when) == size
    after = [step for step in trainer.agent.updated_at if step > when]
    assert after and len(after) == pytest.approx(400 * trainer.cfg.utd, abs=2)


@pytest.mark.parametrize(("setting", "size"), [(7, 7), (1, 1)])
def test_the_size_is_a_setting(setting, size):
    trainer = make_trainer(["burst", "seeding"], [250] * 20, steps=1_300, burst_updates=setting)
    trainer.train()
    assert at(trainer, 1_260) == size


def test_zero_means_a_run_like_one_without_the_patch():
    runs = [
        make_trainer(["seeding"], [250] * 20, steps=3_000),
        make_trainer(["burst", "seeding"], [250] * 20, steps=3_000, burst_updates=0),
    ]
    for trainer in runs:
        trainer.train()
    assert runs[0].agent.updated_at == runs[1].agent.updated_at


@pytest.mark.parametrize(("start", "bursts"), [(30_000, 0), (900, 1)], ids=["resumed past", "resumed before"])
def test_resumed_runs(start, bursts):
    trainer = make_trainer(["burst", "seeding"], [250] * 20, steps=start + 1_200)
    trainer._step = start
    trainer.train()
    sizes = [trainer.agent.updated_at.count(step) for step in set(trainer.agent.updated_at)]
    assert sum(size >= 1_250 for size in sizes) == bursts


def test_the_burst_waits_until_there_is_something_to_sample():
    trainer = make_trainer(["burst", "seeding"], [50] * 1_000, steps=5_000, burst_updates=9)
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_000
    assert at(trainer, 3_000) == 9


def test_it_says_what_it_did(capsys):
    make_trainer(["burst", "seeding"], [250] * 20, steps=1_300, burst_updates=3).train()
    said = capsys.readouterr()
    assert "burst of 3 updates at step 1,260: total_loss 1" in said.out + said.err


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_does_the_same_number(rank):
    trainer = make_trainer(
        ["burst", "seeding"], [250] * 4, steps=1_300, world_size=2, num_global_tasks=2, rank=rank, burst_updates=11
    )
    trainer.train()
    assert at(trainer, trainer.agent.updated_at[0]) == 11
