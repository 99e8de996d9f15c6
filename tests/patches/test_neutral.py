"""A setting that a patch adds has a value with which a run is the one that it would be without the patch."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from trees import PATCHES, make_trainer

from newtfix.model import Add

NEUTRAL = {
    "burst": {"burst_updates": 0},
    "q-dropout": {"dropout": 0.0},
    "eval-modes": {"eval_pi": False, "eval_value": False},
}
CLOCKS = ("elapsed_time", "steps_per_second")
CASES = [
    (name, others)
    for name in NEUTRAL
    for others in (frozenset(), frozenset(["seeding", "mu-std", "actor-modes"]), frozenset(PATCHES) - {name})
]


@cache
def run(ids, **settings):
    """All that a run computes: every logged number, what is stored, the weights, optimisers and random state after."""

    def agent(modules, cfg):
        torch.manual_seed(0)
        return modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)

    torch.manual_seed(5)
    trainer = make_trainer(ids, [8] * 12, steps=1_300, agent=agent, evaluate=True, utd=0.03, eval_freq=480, **settings)
    trainer.train()
    lines = [
        (category, {name: float(value) for name, value in metrics.items() if name not in CLOCKS})
        for category, metrics in trainer.logger.lines
    ]
    state = {"model": trainer.agent.model.state_dict(), "scale": trainer.agent.scale.state_dict()}
    moments = [entry for optim in (trainer.agent.optim, trainer.agent.pi_optim) for entry in optim.state.values()]
    tensors = [value for part in (*state.values(), *moments) for value in part.values()]
    stored = [values[: len(trainer.buffer)] for values in trainer.buffer._storage.values()]
    return lines, [*tensors, *stored, torch.get_rng_state()]


def same(a, b):
    return (
        repr(a[0]) == repr(b[0])
        and len(a[1]) == len(b[1])
        and all(torch.equal(x.nan_to_num(7.5), y.nan_to_num(7.5)) for x, y in zip(a[1], b[1], strict=True))
    )


@pytest.mark.parametrize(("name", "others"), CASES, ids=lambda v: v if isinstance(v, str) else f"with {len(v)}")
def test_the_neutral_value_leaves_a_run_bit_identical(name, others):
    elsewhere = {key: value for other in others & NEUTRAL.keys() for key, value in NEUTRAL[other].items()}
    without = run(others, **elsewhere)
    assert len(without[0]) > 10
    assert same(run(others | {name}, **elsewhere, **NEUTRAL[name]), without)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("burst", {"burst_updates": 2}), ("q-dropout", {"dropout": 0.1}), ("eval-modes", {"eval_value": False})],
    ids=NEUTRAL,
)
def test_another_value_does_not(name, settings):
    assert not same(run(frozenset([name]), **settings), run(frozenset()))


def test_every_setting_that_a_patch_adds_is_here_or_has_no_old_behaviour():
    """The actor's settings choose between losses that newt does not have."""
    added = {name: [edit for edit in patch.edits if isinstance(edit, Add)] for name, patch in PATCHES.items()}
    adding = {name for name, edits in added.items() if any(edit.role == "config" for edit in edits)}
    assert adding == {*NEUTRAL, "actor-modes"}
