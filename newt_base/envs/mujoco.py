"""Gymnasium's MuJoCo tasks, by newt's names."""

import math
from dataclasses import dataclass
from typing import Optional

import gymnasium as gym
import numpy as np

from . import rendering


@dataclass(frozen=True)
class Task:
    """What the fixed-length version of one Gymnasium task needs to know."""

    env_id: str
    action_repeat: int = 2
    score_range: Optional[tuple[float, float]] = None  # returns that mean score 0 and 1; None: no agreed range
    has_health: bool = False  # takes terminate_when_unhealthy
    falls: bool = False  # rewards at least 0 while upright and -1 afterwards, since a fall doesn't end the episode
    ends: bool = False  # after a termination no more reward, since it doesn't end the episode either


TASKS = {
    "mujoco-ant": Task("Ant-v5", score_range=(0, 5000), has_health=True),
    "mujoco-halfcheetah": Task("HalfCheetah-v5", action_repeat=1, score_range=(0, 15000)),
    "mujoco-hopper": Task("Hopper-v5", score_range=(0, 5000), has_health=True, falls=True),
    "mujoco-humanoid": Task("Humanoid-v5", has_health=True),
    "mujoco-humanoid-standup": Task("HumanoidStandup-v5"),
    "mujoco-inverted-double-pendulum": Task("InvertedDoublePendulum-v5", ends=True),
    "mujoco-inverted-pendulum": Task("InvertedPendulum-v5", score_range=(0, 1000), ends=True),
    "mujoco-pusher": Task("Pusher-v5", action_repeat=1),
    "mujoco-reacher": Task("Reacher-v5", action_repeat=1, score_range=(-50, 0)),
    "mujoco-swimmer": Task("Swimmer-v5"),
    "mujoco-walker": Task("Walker2d-v5", score_range=(0, 5000), has_health=True, falls=True),
}


class MuJoCo(gym.Wrapper):
    """A Gymnasium task with actions in [-1, 1], float32 observations and action repeat, which never ends by itself."""

    def __init__(self, env: gym.Env, task: Task, action_repeat: int):
        super().__init__(env)
        self._task = task
        self._repeat = action_repeat
        self._low = env.action_space.low.astype(np.float64)
        self._high = env.action_space.high.astype(np.float64)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, env.observation_space.shape, np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)
        self._return = 0.0
        self._ended = False

    def reset(self, **kwargs):
        obs, _ = self.env.reset(**kwargs)
        self._return, self._ended = 0.0, False
        return obs.astype(np.float32), self._info({})

    def step(self, action):
        unit = (np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0) + 1.0) / 2.0
        scaled = self._low + unit * (self._high - self._low)
        total = 0.0
        for _ in range(self._repeat):
            obs, reward, terminated, _, info = self.env.step(scaled)
            total += self._reward(float(reward), terminated)
        self._return += total
        return obs.astype(np.float32), total, False, False, self._info(info)

    def _reward(self, reward: float, terminated: bool) -> float:
        if self._task.falls:
            return max(0.0, reward) if self.env.unwrapped.is_healthy else -1.0
        self._ended = self._ended or (self._task.ends and terminated)
        return 0.0 if self._ended else reward

    def _info(self, info: dict) -> dict:
        score = float("nan")
        if self._task.score_range is not None:
            low, high = self._task.score_range
            score = (min(max(self._return, low), high) - low) / (high - low)
        return {"success": float(info.get("success", 0.0)), "score": score}


def make_env(task: str, action_repeat: Optional[int] = None, render: bool = False) -> tuple[gym.Env, int]:
    """The environment of `task` and its usual length in agent steps."""
    rendering.settle()
    spec = TASKS[task]
    repeat = spec.action_repeat if action_repeat is None else action_repeat
    health = {"terminate_when_unhealthy": False} if spec.has_health else {}
    limit = gym.spec(spec.env_id).max_episode_steps
    mode = {"render_mode": "rgb_array"} if render else {}
    env = gym.make(spec.env_id, max_episode_steps=-1, disable_env_checker=True, **health, **mode)
    return MuJoCo(env, spec, repeat), math.ceil(limit / repeat)
