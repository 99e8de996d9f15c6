"""Environments of one's own, by their names in Gymnasium's registry."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict

from newt_base.common.buffer import Buffer, row_of
from newt_base.common.folder import name_of, title_of
from newt_base.config import ConfigError, load_cfg, parse_cfg
from newt_base.envs import EnvironmentFailed, make_env, make_single_env, own, spelled, task_info
from newt_base.envs.own import EndedEarly
from newt_base.train import build

SMALL = ["device=cpu", "model_size=T", "env_mode=sync", "batch_size=8", "iterations=1", "num_samples=16"]
SMALL += ["num_elites=4", "num_pi_trajs=4", "threads=1", "plot=false", "save_agent=false"]


class Slope(gym.Env):
    """A point that rolls until it falls off at 1: actions in [0, 4] x [-2, 2], observations [2, 2] of float64."""

    action_space = spaces.Box(np.array([0.0, -2.0]), np.array([4.0, 2.0]), dtype=np.float64)
    observation_space = spaces.Box(-np.inf, np.inf, (2, 2), np.float64)

    def __init__(self, speed: float = 0.5):
        self.speed, self.taken = speed, []

    def _obs(self):
        return np.array([[self.x, self.t], [0.0, 1.0]])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t, self.over = -1.0 + float(self.np_random.uniform(0, 0.1)), 0, False
        return self._obs(), {"of": "no interest"}

    def step(self, action):
        assert not self.over, "an environment that has ended is stepped on"
        self.taken.append(action)
        self.x, self.t = self.x + self.speed, self.t + 1
        self.over = self.x >= 1.0
        return self._obs(), np.float64(self.t), self.over, False, {"is_success": self.over, "more": {"deep": 1}}


def stub(observations, actions):
    """The class of an environment with these spaces."""
    return type("Stub", (gym.Env,), {"observation_space": observations, "action_space": actions})


BOX = spaces.Box(-1, 1, (3,), np.float32)
REFUSED = {
    "Discrete": (stub(BOX, spaces.Discrete(3)), "actions of the kind Discrete"),
    "DictObs": (stub(spaces.Dict({"a": BOX}), BOX), "observations of the kind Dict"),
    "Image": (stub(spaces.Box(0, 255, (8, 8, 3), np.uint8), BOX), "images have no encoder"),
    "Grey": (stub(spaces.Box(0, 255, (8, 8), np.uint8), BOX), "images have no encoder"),
    "Infinite": (stub(BOX, spaces.Box(-np.inf, np.inf, (2,), np.float32)), "finite bounds"),
    "Spaceless": (type("Stub", (gym.Env,), {"action_space": BOX}), "has no observation_space"),
    "Whole": (stub(BOX, spaces.Box(0, 3, (2,), np.int64)), "float32 or float64"),
}


@pytest.fixture(autouse=True, scope="module")
def registered():
    gym.register("test/Slope-v0", Slope, max_episode_steps=10)
    gym.register("Flat-v0", lambda: Slope(speed=0.0), max_episode_steps=6)
    gym.register("Endless-v0", Slope)
    for name, (cls, _) in REFUSED.items():
        gym.register(f"{name}-v0", cls, max_episode_steps=5)


def test_actions_get_bounds_as_the_page_says():
    infinite, _ = REFUSED["Infinite"]
    bounded = gym.wrappers.TransformAction(infinite(), lambda a: a, spaces.Box(-1, 1, (2,)))
    gym.register("Bounded-v0", lambda: bounded, max_episode_steps=5)
    assert make_single_env("gym:Bounded-v0", 1, None, None, episodic=True).action_space.shape == (2,)


@pytest.mark.parametrize(("reward", "taken"), [(np.array([2.0]), 2.0), (np.array([1.0, 2.0]), None)])
def test_a_reward_is_one_number(reward, taken, monkeypatch):
    monkeypatch.setattr(Slope, "step", lambda self, action: (self._obs(), reward, False, False, {}))
    env = make_single_env("gym:test/Slope-v0", 1, None, None, episodic=True)
    env.reset(seed=1)
    if taken is not None:
        assert env.step(np.zeros(2, np.float32))[1] == taken
    else:
        with pytest.raises(Exception, match=r"its reward has the shape \(2,\), and must be one number"):
            env.step(np.zeros(2, np.float32))


def settings(*arguments):
    return parse_cfg(load_cfg([*SMALL, *arguments]))


def test_bounds_become_minus_one_to_one_and_observations_one_vector():
    env = make_single_env("gym:test/Slope-v0", 1, None, None, episodic=True)
    assert env.observation_space.shape == (4,) and env.action_space == spaces.Box(-1.0, 1.0, (2,), np.float32)
    obs, info = env.reset(seed=1)
    assert obs.shape == (4,) and obs.dtype == np.float32 and set(info) == {"success", "score"}
    for action, own_action in (([-1, -1], [0, -2]), ([0, 0], [2, 0]), ([1, 1], [4, 2]), ([9, -9], [4, -2])):
        env.step(np.array(action, np.float32))
        assert env.unwrapped.taken[-1].tolist() == own_action
    assert env.max_episode_steps == 10


def test_an_action_is_repeated_until_the_episode_ends_and_no_longer():
    env = make_single_env("gym:test/Slope-v0", 1, 3, None, episodic=True)
    assert env.max_episode_steps == 4
    env.reset(seed=1)
    _, reward, terminated, truncated, _ = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated) == (1 + 2 + 3, False, False)
    _, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated, info["success"]) == (4, True, False, 1.0)


def test_time_limit_is_a_truncation_and_a_fall_a_termination():
    with make_env(settings("task=gym:test/Slope-v0", "num_envs=2", "episode_length=3", "steps=10")) as env:
        env.reset()
        ends = [env.step(torch.zeros(2, 2))[2:4] for _ in range(3)]
        assert [(bool(a.any()), bool(b.all())) for a, b in ends] == [(False, False), (False, False), (False, True)]
    with make_env(settings("task=gym:test/Slope-v0", "num_envs=2")) as env:
        env.reset()
        for _ in range(25):  # episodes of four steps, started anew by themselves
            *_, terminated, truncated, info = env.step(torch.zeros(2, 2))
            assert not truncated.any() and terminated.all() == ("final_observation" in info)


def test_an_end_before_its_time_is_no_surprise_only_where_it_is_expected():
    flat = make_single_env("gym:Flat-v0", 1, None, None, episodic=False)
    flat.reset(seed=1)
    assert [flat.step(np.zeros(2, np.float32))[3] for _ in range(6)] == [False] * 5 + [True]
    env = make_single_env("gym:test/Slope-v0", 1, None, None, episodic=False)
    env.reset(seed=1)
    with pytest.raises(EndedEarly, match="leave episodic out, or say episodic=true"):
        for _ in range(5):
            env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("name", REFUSED)
def test_spaces_without_a_vector_of_numbers_are_refused_in_words(name):
    with pytest.raises(ValueError, match=REFUSED[name][1]):
        own.make_env(f"gym:{name}-v0", None, None, episodic=True)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("gym:Pendulum-v9", "did you mean task=gym:Pendulum-v1"),
        ("gym:not_there:X-v0", "importing not_there failed"),
        ("gym:Endless-v0", "say episode_length=1000"),
    ],
)
def test_names_that_lead_nowhere(task, words):
    with pytest.raises(ValueError, match=words):
        settings(f"task={task}")


def test_a_module_is_imported_from_where_the_user_is(tmp_path, monkeypatch):
    (tmp_path / "my_module_of_envs.py").write_text(
        "import gymnasium as gym\ngym.register('Mine-v0', entry_point='gymnasium.envs.classic_control:PendulumEnv',"
        " max_episode_steps=7)\n"
    )
    monkeypatch.chdir(tmp_path)
    cfg = settings("task=gym:my_module_of_envs:Mine-v0")
    assert (cfg.episode_length, cfg.action_dim, cfg.episodic) == (7, 1, True)
    assert name_of(cfg.task) == "gym-my_module_of_envs-Mine-v0" and title_of(cfg.task, [cfg.task]) == cfg.task
    assert spelled(f"walker_walk,{cfg.task}") == f"walker-walk,{cfg.task}"
    assert task_info(cfg, cfg.task).obs_dim == 3


@pytest.mark.parametrize("code", ["1 / 0", "def (", "raise RuntimeError('no licence')"])
def test_a_module_that_cannot_be_imported(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken_envs.py").write_text(code)
    with pytest.raises(ConfigError, match=r"importing broken_envs failed: (ZeroDivision|Syntax|Runtime)Error"):
        own.check("gym:broken_envs:X-v0")


def test_an_environment_that_cannot_be_made():
    class Bare(Slope):
        def __init__(self):
            raise FileNotFoundError("no such model")

    gym.register("newtfix-test/Bare-v0", entry_point=Bare, max_episode_steps=5)
    with pytest.raises(ConfigError, match="cannot be made: FileNotFoundError: no such model"):
        own.make_env("gym:newtfix-test/Bare-v0", None, None, True)
    gym.registry.pop("newtfix-test/Bare-v0")


def test_a_preset_shortens_episodes_and_never_lengthens_them():
    assert settings("task=gym:test/Slope-v0", "preset=cpu").episode_length == 10
    assert settings("task=cartpole-swingup", "preset=cpu").episode_length == 250


def test_replay_keeps_where_episodes_terminate_and_says_so():
    cfg = settings("task=gym:test/Slope-v0")
    assert row_of(cfg)["terminated"] == ((), torch.bool)
    assert "terminated" not in row_of(settings("task=gym:test/Slope-v0", "episodic=false"))
    buffer = Buffer(100, 64, horizon=3, episodic=True)
    for length, ends in ((5, True), (6, False)):
        rows = {name: torch.zeros(length, 2) for name in ("obs", "action", "mu", "std")}
        rows["obs"][:, 0] = torch.arange(length) + 100 * ends
        rows |= {"reward": torch.zeros(length), "task": torch.zeros(length, dtype=torch.int32)}
        rows["terminated"] = torch.zeros(length, dtype=torch.bool).index_fill(0, torch.tensor([length - 1]), ends)
        buffer.add(TensorDict(rows, batch_size=(length,)).unsqueeze(0))
    obs, *_, terminated = buffer.sample("cpu")
    assert terminated.shape == (3, 64, 1)
    assert torch.equal(terminated[..., 0] == 1, obs[1:, :, 0] == 104)
    assert terminated.sum() > 0 and terminated[:-1].sum() == 0, "a slice ends where its episode does"


def test_the_target_stops_at_a_termination(tmp_path):
    trainer = build(settings("task=gym:test/Slope-v0", "num_envs=1", f"out_dir={tmp_path}"))
    trainer.env.close()
    agent, reward, task = trainer.agent, torch.ones(3, 2, 1), torch.zeros(3, 2, dtype=torch.int64)
    z, ends = torch.rand(3, 2, agent.cfg.latent_dim), torch.zeros(3, 2, 1)
    ends[2, 1] = 1
    agent.model.Q = lambda z, *_, **__: torch.full((*z.shape[:2], 1), 10.0)  # a new network's values are all zero
    through, stopped = agent._td_target(z, reward, task), agent._td_target(z, reward, task, ends)
    assert (through == 1 + 10 * agent.discount[0]).all()
    assert stopped[2, 1] == 1 and torch.equal(stopped[ends == 0], through[ends == 0])


def test_an_agent_learns_in_one_environment_and_says_where_it_could_not(tmp_path):
    common = ["task=gym:test/Slope-v0", "seeding_coef=1", "eval_episodes=1", "utd=0.2", f"out_dir={tmp_path}"]
    trainer = build(settings(*common, "num_envs=1", "steps=20", "eval_freq=1000"))
    trainer.train()
    trainer.env.close()
    assert any(row["episode_terminated"] == 1.0 for row in trainer.logger.rows if row["category"] == "train")
    assert torch.isfinite(trainer.agent.update(trainer.buffer)["total_loss"])
    two = build(settings(*common, "num_envs=2", "steps=30", "eval_freq=1000", "exp_name=two"))
    two.env._vec.envs[0].unwrapped.speed = 0.7
    with pytest.raises(EnvironmentFailed, match="num_envs=1, or apply episode-rows"):
        two.train()
    two.env.close()


def test_the_example_of_the_page_is_an_environment_that_trains():
    page = (Path(__file__).parents[2] / "docs/own-environment.md").read_text("utf-8")
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    cfg = settings("task=gym:Reach-v0", "num_envs=2")
    with make_env(cfg) as env:
        env.reset()
        ended = [env.step(torch.ones(2, 1))[2] for _ in range(12)]
    assert cfg.episode_length == 100 and len(ended) == 12
