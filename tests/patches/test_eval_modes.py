"""`eval-modes`: the policy without planner, and its return against Q."""

from __future__ import annotations

import pytest
import torch
from trees import SilentLogger, make_trainer

KEYS = {"episode_reward_pi", "episode_success_pi", "mc_value", "q_value"}


class Model:
    """Encodes an observation as itself, and values it at ten times its environment's number plus its step."""

    def encode(self, obs, task):
        return obs

    def Q(self, z, a, task, return_type):
        assert return_type == "avg"
        assert a.shape == (len(z), 2)
        return 10 * z[:, :1] + 1000 * z[:, 2:]


class Agent:
    """Acts with a constant, notes how it was asked, and returns what agents of different trees return."""

    def __init__(self, returns):
        self.returns, self.calls = returns, []
        self.device = torch.device("cpu")
        self.model = Model()
        self.discount = torch.tensor([0.9])

    def __call__(self, obs, **how):
        self.calls.append(how)
        action = torch.full((len(obs), 2), 0.5)
        return {"alone": action, "statistics": (action, action, action), "info": (action, {})}[self.returns]


def evaluate(lengths, returns="statistics", reward=1.0, **settings):
    agent = Agent(returns)
    trainer = make_trainer(
        ["eval-modes"], lengths, steps=0, agent=lambda modules, cfg: agent, evaluate=True, num_q=2, **settings
    )
    step = trainer.env.step

    def constant_reward(action):
        obs, _, terminated, truncated, info = step(action)
        if truncated.any():
            info["final_info"]["success"] = torch.arange(len(lengths)).float()
        return obs, torch.full((len(lengths),), reward), terminated, truncated, info

    trainer.env.step = constant_reward
    return trainer, agent


@pytest.mark.parametrize("returns", ["alone", "statistics", "info"])
@pytest.mark.parametrize("episodes", [1, 3])
def test_numbers_of_a_policy_evaluation(returns, episodes):
    """Rewards of 1 in episodes of 2, 5 and 5 steps, a discount of 0.9, and a Q that tells where it was asked."""
    trainer, agent = evaluate([2, 5, 5], returns, eval_episodes=episodes)
    metrics = trainer.eval_policy()
    assert set(metrics) == KEYS
    assert metrics["episode_reward_pi"] == pytest.approx((2 + 5 + 5) / 3)
    assert metrics["episode_success_pi"] == pytest.approx(1.0)
    returns_of = [sum(0.9**t for t in range(length)) for length in (2, 5, 5)]
    assert metrics["mc_value"] == pytest.approx(sum(returns_of) / 3)
    assert metrics["q_value"] == pytest.approx(10.0), "asked at first observations only"
    assert all(how["mpc"] is False and how["eval_mode"] for how in agent.calls), "the planner was asked"
    assert len(agent.calls) == 5 * episodes, "all environments are stepped at once"


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"eval_pi": False}, {"mc_value", "q_value"}),
        ({"eval_value": False}, {"episode_reward_pi", "episode_success_pi"}),
        ({"eval_pi": False, "eval_value": False}, set()),
    ],
    ids=["no policy", "no value", "neither"],
)
def test_each_half_has_a_switch(settings, keys):
    trainer, agent = evaluate([3, 3], **settings)
    assert set(trainer.eval_policy()) == keys
    assert bool(agent.calls) == bool(keys)


def test_a_success_that_is_not_defined_does_not_count():
    trainer, _ = evaluate([3, 3])
    step = trainer.env.step

    def undefined(action):
        result = step(action)
        if "final_info" in result[-1]:
            result[-1]["final_info"]["success"] = torch.tensor([float("nan"), 1.0])
        return result

    trainer.env.step = undefined
    assert trainer.eval_policy()["episode_success_pi"] == 1.0


def test_each_task_has_its_own_discount():
    trainer, agent = evaluate([4, 4], num_global_tasks=2, discounts=[0.5, 1.0], action_dims=[2, 2])
    trainer._tasks = torch.tensor([0, 1], dtype=torch.int32)
    agent.discount = torch.tensor([0.5, 1.0])
    assert trainer.eval_policy()["mc_value"] == pytest.approx(((1 + 0.5 + 0.25 + 0.125) + 4) / 2)


def test_it_is_logged_beside_the_planner_s_evaluation_under_names_of_its_own():
    """newt's table of tasks sums every key that starts with episode_score and has a plus sign."""
    trainer, _ = evaluate([3, 3])
    trainer.logger = SilentLogger()
    trainer.eval = lambda: {"episode_reward": 7.0}
    trainer.cfg.steps, trainer.cfg.eval_freq = 5, 6
    trainer.train()
    evaluations = [metrics for category, metrics in trainer.logger.lines if category == "eval"]
    assert evaluations
    for metrics in evaluations:
        assert set(metrics) >= KEYS | {"episode_reward"}
        assert metrics["episode_reward"] == 7.0
        assert not [name for name in KEYS if name.startswith("episode_score") or "+" in name]


def test_without_the_patch_there_is_none():
    trainer = make_trainer([], [3], steps=0)
    assert not hasattr(trainer, "eval_policy")
    assert not hasattr(trainer.cfg, "eval_pi")
