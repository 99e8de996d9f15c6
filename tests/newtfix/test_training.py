"""Training of a tree for real: the tasks it is given, what is asked of the updates, and one short run."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from newtfix.files.tree import read_tree
from newtfix.parity.standin import Anything
from newtfix.verify.training.run import Practice, Trained, Updated, train
from newtfix.verify.training.tasks import Tasks, UnknownTask, single
from newtfix.verify.training.worker import _numbers

ROOT = Path(__file__).parents[2]
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools/train_trees.py"))
GOOD_END = {"step": 1_020, "not_finite": [], "evaluations": [{}], "settings": {"num_envs": 4, "utd": 0.5}}


# --- tasks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["Pendulum-v1", "cartpole-swingup"])
def test_a_task_is_seen_as_newts_trainers_see_theirs(task: str) -> None:
    envs = [single(task, seed) for seed in (1, 2)]
    width = envs[0].action_dim + 2
    tasks = Tasks(envs, length=3, width=width, reward_scale=10.0)
    first, _ = tasks.reset()
    assert first.shape == (2, envs[0].obs_dim)
    assert first.dtype == torch.float32
    for step in range(1, 5):
        obs, reward, terminated, truncated, info = tasks.step(tasks.rand_act())
        assert (obs.shape, reward.shape) == (first.shape, (2,))
        assert truncated.tolist() == [step == 3] * 2
        assert not terminated.any()
        assert ("final_observation" in info) is (step == 3)
        if step == 3:
            assert info["final_observation"].shape == first.shape
            assert not torch.equal(info["final_observation"], obs)
            assert info["final_info"]["success"].shape == (2,)
    assert tasks.steps == 8


def test_actions_that_are_none_are_refused() -> None:
    tasks = Tasks([single("Pendulum-v1", 1)], length=3, width=1, reward_scale=1.0)
    tasks.reset()
    for action in (torch.zeros(1, 2), torch.full((1, 1), float("nan"))):
        with pytest.raises(ValueError, match="no actions"):
            tasks.step(action)


def test_a_task_that_nobody_has() -> None:
    with pytest.raises(UnknownTask, match="no-such-task"):
        single("no-such-task", 1)


# --- what is asked of a run -------------------------------------------------------------------------------------------


def trained(end: dict[str, Any] | None = None, prior: Sequence[float] = (0.0, 0.0, 5.0), **settings: Any) -> Trained:
    """20 updates of 2 an iteration of 4 steps, from step 984 on, in which the scale grows past 2."""
    updates = []
    for number in range(20):
        scale = 1.0 + 0.1 * number
        metrics = {"pi_loss": 1.0, "pi_prior_loss": prior[min(2, number // 8)]}
        updates.append(Updated(984 + 4 * (number // 2), (scale, scale + 0.1), metrics))
    done = {**GOOD_END, **(end or {})}
    return Trained(Practice(), tuple(updates), {**done, "settings": {**done["settings"], **settings}}, "")


def bad(found: Trained) -> list[str]:
    return [check.what for check in found.checks if not check.good]


RESIDUAL = {"actor_mode": "residual", "scale_threshold": 2.5}


def test_a_run_that_does_everything_rightly() -> None:
    found = trained(**RESIDUAL, prior=(0.0, 0.0, 5.0))
    assert (found.good, bad(found)) == (True, [])
    assert [check.what for check in found.checks] == [
        "runs",
        "losses finite",
        "updates counted",
        "scale moves",
        "prior",
    ]


@pytest.mark.parametrize(
    ("end", "more", "what"),
    [
        ({"not_finite": ["_pi.0.weight"]}, {}, "losses finite"),
        ({"step": 1_060}, {}, "updates counted"),
        ({}, {**RESIDUAL, "prior": (5.0, 5.0, 5.0)}, "prior"),
        ({}, {**RESIDUAL, "prior": (0.0, 0.0, 0.0)}, "prior"),
    ],
)
def test_what_a_run_does_wrongly_is_named(end: dict[str, Any], more: dict[str, Any], what: str) -> None:
    assert bad(trained(end, **more)) == [what]


def test_a_loss_that_is_not_finite_and_a_scale_that_stays() -> None:
    found = trained()
    updates = tuple(Updated(one.step, (1.0, 1.0), {**one.metrics, "pi_loss": float("nan")}) for one in found.updates)
    still = Trained(found.practice, updates, found.end, "")
    assert bad(still) == ["losses finite", "scale moves"]


def test_a_run_without_updates_or_without_a_scale_is_no_good() -> None:
    found = trained()
    assert bad(replace(found, updates=())) == ["losses finite", "updates counted", "scale moves"]
    unscaled = tuple(replace(one, scale=(None, None)) for one in found.updates)
    assert bad(replace(found, updates=unscaled)) == ["scale moves"]


def test_of_what_an_update_reports_the_numbers_are_told() -> None:
    told = _numbers({"pi_loss": torch.tensor([1.0, 3.0]), "n": 2, "name": "text", "none": None})
    assert told == {"pi_loss": 2.0, "n": 2.0}


def test_tasks_take_whatever_else_a_trainer_asks_of_them() -> None:
    tasks: Any = Tasks([single("Pendulum-v1", 1)], length=3, width=1, reward_scale=1.0)
    tasks.close()
    assert isinstance(tasks.spec.whatever(1), Anything) and not hasattr(tasks, "__array__")


def test_a_tree_without_modes_may_weigh_its_prior_otherwise() -> None:
    assert trained(scale_threshold=2.5, prior=(5.0, 5.0, 5.0)).good


def test_a_run_that_broke_off_says_why() -> None:
    found = Trained(Practice(), (), {}, "UnboundLocalError: mu (tdmpc2.py:151)")
    assert [(check.what, check.seen) for check in found.checks] == [("runs", "UnboundLocalError: mu (tdmpc2.py:151)")]


# --- a run ------------------------------------------------------------------------------------------------------------


def test_a_tree_trains_and_its_updates_are_told() -> None:
    practice = Practice(num_envs=2, length=8, steps=40, settings={"seeding_coef": 1, "eval_freq": 32, "batch_size": 8})
    found = train(read_tree(ROOT / "newt_base"), practice)
    assert found.error == ""
    assert (found.end["step"], len(found.end["evaluations"])) == (42, 2)
    assert [one.step for one in found.updates] == list(range(16, 43, 2))
    assert all("pi_loss" in one.metrics for one in found.updates)
    assert not {"runs", "losses finite", "updates counted"} & set(bad(found))


# --- the tool ---------------------------------------------------------------------------------------------------------


def test_the_tools_arguments() -> None:
    args = TOOL["_arguments"](["tree", "--vary", "constrained_planning=0,2", "--set", "lr=0.1"])
    assert [TOOL["_setting"](text) for text in args.set] == [("lr", 0.1)]
    plain = ROOT / "tests/specimens/plain"
    assert TOOL["_variants"](plain, "as it is", args) == [{"constrained_planning": 0}, {"constrained_planning": 2}]


def test_the_tools_table() -> None:
    row = TOOL["_row"](Path("tree"), "patched", {"actor_mode": "sac"}, trained(), {"rho": "it does not fit"})
    assert TOOL["_table"]([row]).splitlines()[-1].startswith("| tree | patched, actor_mode=sac | 20, the first 2 at")
    assert "  refused: rho: it does not fit" in list(TOOL["_lines"](row))
    assert TOOL["_why"]("Traceback (most recent call last):\n  x\nNameError: y\n") == "NameError: y"
