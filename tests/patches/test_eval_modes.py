"""`eval-modes`: the policy without planner, and its return against Q."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from observed import Tree
from specimens import Run, texts
from tables import left_alone, name_of, refused, refused_in_plain, rewritten
from trees import PATCHES, SilentLogger, make_trainer, sources

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import inspect, plan
from newtfix.testing import variant

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


@pytest.mark.parametrize(
    ("used", "extended"),
    [
        ("{**self.eval(), **self.common_metrics()}", "{**self.eval(), **self.eval_policy(), **self.common_metrics()}"),
        ("self.eval() | self.common_metrics()", "self.eval() | self.eval_policy() | self.common_metrics()"),
    ],
)
def test_metrics_of_an_evaluation_that_are_joined_at_once(used: str, extended: str) -> None:
    tree = variant(sources(), "trainer.py", ("eval_metrics = self.eval()\n", f"eval_metrics = {used}\n"))
    patched = plan(tree, ["eval-modes"], PATCHES)
    assert f"eval_metrics = {extended}\n" in patched.after["trainer.py"]
    again = inspect({**tree, **patched.after}, PATCHES, ["eval-modes"])
    assert again["eval-modes"].state is State.APPLIED


def test_actions_that_the_trainer_brings_to_the_cpu() -> None:
    tree = variant(sources(), "trainer.py", ("self.env.step(action)", "self.env.step(action.cpu())"), everywhere=True)
    assert (
        "self.env.step(action.cpu())" in plan(tree, ["eval-modes"], PATCHES).after["trainer.py"].split("eval_policy")[1]
    )


def test_rewards_that_are_scaled_where_they_are_drawn() -> None:
    tree = texts("plain")
    scaled = "\n\ndef scaled(td):\n\treward = 0.1 * td.get('reward')[1:].unsqueeze(-1)\n\treturn reward\n"
    with pytest.raises(Refused) as refused:
        plan({**tree, "common/buffer.py": tree["common/buffer.py"] + scaled}, ["eval-modes"], PATCHES)
    assert "reward is changed" in refused.value.where


def test_settings_in_a_part_of_the_settings_are_no_settings() -> None:
    config = sources()["config.py"]
    line = next(line for line in config.splitlines(keepends=True) if line.startswith("    eval_episodes: "))
    nested = "@dataclass\nclass Evaluation:\n" + line + "\n\n@dataclass\nclass Config:\n"
    config = config.replace(line, "    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)\n")
    config = config.replace("@dataclass\nclass Config:\n", nested, 1).replace('after="eval_episodes"', "")
    trainer = sources()["trainer.py"].replace("cfg.eval_episodes", "cfg.evaluation.eval_episodes")
    with pytest.raises(Refused, match="eval_episodes, which this tree does not have"):
        plan({**sources(), "config.py": config, "trainer.py": trainer}, ["eval-modes"], PATCHES)


ACT = "self.agent(obs, t0=done, step=self._step"


REFUSED = {
    "results of one environment after the other": (
        "trainer.py",
        "            episode_len += 1\n",
        "            episode_len += 1\n            self._note(info['final_info'][first])\n",
        "$variable]",
    ),
    "observations that are normalised where they are used": (
        "trainer.py",
        ACT,
        ACT.replace("(obs,", "(self._norm(obs),"),
        "self.agent(self.$_($*_), $*_)",
    ),
    "rewards that are scaled": (
        "trainer.py",
        "mu, std, reward, terminated)",
        "mu, std, reward * self.cfg.reward_scale, terminated)",
        "$_ * $_",
    ),
    "a discount over several steps": (
        "tdmpc2.py",
        "dtype=torch.float32)\n",
        "dtype=torch.float32)\n        self.discount = self.discount**self.cfg.n_step\n",
        "self.discount = $_ ** $_",
    ),
    "rewards that are clipped behind the step": (
        "trainer.py",
        "                self._step += self.cfg.num_envs",
        "                reward = reward.clamp(-1, 1)\n                self._step += self.cfg.num_envs",
        "$paid = $_",
    ),
    "observations that the agent prepares": (
        "tdmpc2.py",
        "        obs = obs.to(self.device, non_blocking=True)\n",
        "        obs = self.stats.normalize(obs.to(self.device))\n",
        "code of TDMPC2.forward: obs = self.stats.normalize(",
    ),
    "environments for evaluation alone": (
        "trainer.py",
        "        obs, _ = self.env.reset()\n        episode_reward",
        "        obs, _ = self._others.reset()\n        episode_reward",
        "Trainer.eval has nothing like `… = self.env.reset()`",
    ),
    "actions that are cut for the environments": (
        "trainer.py",
        "            obs, reward, terminated, truncated, info = self.env.step(action)\n            episode_len",
        "            obs, reward, terminated, truncated, info = self.env.step(action[:, :2])\n            episode_len",
        "code of Trainer.eval: obs, reward, terminated, truncated, info = self.env.step(action[:, :2])",
    ),
    "an encoder of more than observations": (
        "common/world_model.py",
        "def encode(self, obs, task):",
        "def encode(self, obs, context, task):",
        "def encode(self, $_, $_)",
    ),
    "observations that are normalised where they are encoded": (
        "tdmpc2.py",
        "self.model.encode(obs, task)",
        "self.model.encode(self.normalize(obs), task)",
        "self.model.encode($_, $*_)",
    ),
    "environments that are stepped by a method": (
        "trainer.py",
        "            obs, reward, terminated, truncated, info = self.env.step(action)\n            episode_len",
        "            obs, reward, terminated, truncated, info = self._act(action)\n            episode_len",
        "code of Trainer.eval: ",
    ),
    "targets of another reward": (
        "tdmpc2.py",
        "        return reward + self.discount[task]",
        "        return self.cfg.reward_scale * reward + self.discount[task]",
        "code of TDMPC2._td_target: return self.cfg.reward_scale",
    ),
    "goals that are added to observations": (
        "trainer.py",
        "            torch.compiler.cudagraph_mark_step_begin()\n            action, _, _ = self.agent(\n",
        "            obs = torch.cat([obs, self.env.goal()], -1)\n"
        "            torch.compiler.cudagraph_mark_step_begin()\n            action, _, _ = self.agent(\n",
        "$obs = $_($*_)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("eval-modes", *REFUSED[case])


STEPPED = "\t\t\tobs, reward, terminated, truncated, info = self.env.step(action)\n"


PLANS = "action = self.plan(obs, "


REFUSED_IN_PLAIN = {
    "observations that are normalised on the way": (
        "tdmpc2.py",
        PLANS,
        "action = self.plan(self.normalised(obs), ",
        "the patch does not go with this code of TDMPC2.forward: action = self.plan(",
    ),
    "rewards under another name": (
        "trainer.py",
        STEPPED,
        f"{STEPPED}\t\t\tpaid = symlog(reward)\n",
        "the patch does not go with this code of ",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("eval-modes", *REFUSED_IN_PLAIN[case])


GUARDED_IN_PLAIN = {
    "observations that an evaluation normalises": (
        "trainer.py",
        "\t\tobs, _ = self.env.reset()\n",
        "\t\tobs, _ = self.env.reset()\n\t\tobs = self.normalised(obs)\n",
        "'beside-the-planner'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("eval-modes", *GUARDED_IN_PLAIN[case])


EVAL = "                    eval_metrics = self.eval()\n"


REWRITES = [
    (
        "trainer.py",
        [(EVAL, EVAL.replace("eval_metrics", "numbers")), ("eval_metrics.update(", "numbers.update(")],
        ["                    numbers.update(self.eval_policy())\n"],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("eval-modes", *row)


ALONE = [
    (
        "trainer.py",
        [
            (EVAL, EVAL + "                    eval_metrics.update(self.eval_policy())\n"),
            ("    def to_td(", "    def eval_policy(self):\n        return {}\n\n    def to_td("),
        ],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("eval-modes", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = Run(tree.modules, [6] * 4, steps=8, evaluate=True)
    asked: list[Any] = []
    run.agent.register_forward_pre_hook(lambda _, args, kwargs: asked.append(kwargs.get("mpc")), with_kwargs=True)
    run.train()
    (line,) = (metrics for category, metrics in run.logger.lines if category == "eval")
    for name in ("episode_reward_pi", "episode_success_pi", "mc_value", "q_value"):
        assert math.isfinite(line[name])
    assert asked.count(False) >= 6
    assert not any(name.startswith("episode_score") and "+" in name for name in line)
