"""DeepMind Control Suite: every task of the suite, by newt's names."""

import contextlib
import functools
import logging
import math
from typing import Optional

import gymnasium as gym
import numpy as np

from . import rendering

ACTION_REPEAT = 2
MAX_STEPS = 1000  # simulator steps of an episode where the suite sets no limit
UNBOUNDED = 1e6  # bounds beyond this are MuJoCo's way of saying that there is none
SHORT_DOMAIN = {"ball_in_cup": "cup", "point_mass": "pointmass", "humanoid_CMU": "humanoid_CMU"}


@functools.cache
def _suite():
    """dm_control's suite; nothing is rendered in training, so a missing OpenGL is no obstacle."""
    return rendering.imported("dm_control.suite")


@functools.cache
def tasks() -> dict[str, tuple[str, str]]:
    """newt's task name -> (domain, task) of the suite: walker-walk -> ("walker", "walk")."""
    return {_name(domain, task): (domain, task) for domain, task in _suite().ALL_TASKS}


def spellings() -> dict[str, str]:
    """The suite's own spelling, dashes for underscores -> newt's name: ball-in-cup-catch -> cup-catch."""
    return {f"{domain}-{task}".replace("_", "-"): name for name, (domain, task) in tasks().items()}


def _name(domain: str, task: str) -> str:
    short = SHORT_DOMAIN.get(domain, domain.replace("_", "-"))
    return f"{short}-{task.replace('_', '-')}"


class DMControl(gym.Env):
    """One suite task as a Gymnasium environment with actions in [-1, 1] and a flat float32 observation.

    The episode never ends by itself. The physics are stepped directly rather than through the suite's own
    environment, which would start over at its time limit.
    """

    def __init__(self, env, action_repeat: int):
        spec = env.action_spec()
        self._env = env
        self._repeat = action_repeat
        self._substeps = round(env.control_timestep() / env.physics.timestep())
        self._low, self._high = _bounds(spec)
        size = sum(int(np.prod(entry.shape)) for entry in env.observation_spec().values())
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, spec.shape, np.float32)
        self._return = 0.0

    def reset(self, *, seed: Optional[int] = None, options: Optional[dict] = None):
        if seed is not None:
            self._env.task.random.seed(seed)
        self._return = 0.0
        return _flatten(self._env.reset().observation), self._info()

    def step(self, action):
        task, physics = self._env.task, self._env.physics
        unit = (np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0) + 1.0) / 2.0
        scaled = self._low + unit * (self._high - self._low)
        reward = 0.0
        for _ in range(self._repeat):
            task.before_step(scaled, physics)
            physics.step(self._substeps)
            task.after_step(physics)
            reward += task.get_reward(physics)
        self._return += reward
        return _flatten(task.get_observation(physics)), float(reward), False, False, self._info()

    @property
    def random_stream(self) -> list:
        """Where the suite's random stream is, in plain values."""
        kind, keys, *rest = self._env.task.random.get_state()
        return [kind, keys.tolist(), *rest]

    @random_stream.setter
    def random_stream(self, state: list) -> None:
        kind, keys, *rest = state
        self._env.task.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))

    def _info(self) -> dict:
        # The suite knows no success; its returns lie in [0, 1000].
        return {"success": float("nan"), "score": float(self._return) / 1000}

    def render(self) -> np.ndarray:
        """A frame, [240, 320, 3] bytes."""
        return self._env.physics.render(240, 320, camera_id=0)

    def close(self) -> None:
        self._env.close()


def _bounds(spec) -> tuple[np.ndarray, np.ndarray]:
    low = np.broadcast_to(np.asarray(spec.minimum, dtype=np.float64), spec.shape)
    high = np.broadcast_to(np.asarray(spec.maximum, dtype=np.float64), spec.shape)
    free = (low < -UNBOUNDED) | (high > UNBOUNDED)
    return np.where(free, -1.0, low), np.where(free, 1.0, high)


def _flatten(observation) -> np.ndarray:
    return np.concatenate([np.ravel(entry) for entry in observation.values()]).astype(np.float32)


@contextlib.contextmanager
def _quiet_absl():
    """Loading some models makes MuJoCo warn about deprecated attributes in the suite's own files."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)


def make_env(task: str, seed: int, action_repeat: Optional[int] = None) -> tuple[gym.Env, int]:
    """The environment of `task` and its usual length in agent steps.

    `seed` also draws the model where a task randomises it (lqr), so environments that should share their dynamics
    are made with one seed and told apart by `reset(seed=...)`.
    """
    domain, name = tasks()[task]
    repeat = ACTION_REPEAT if action_repeat is None else action_repeat
    with _quiet_absl():
        env = _suite().load(domain, name, task_kwargs={"random": seed})
    limit = env._step_limit if math.isfinite(env._step_limit) else MAX_STEPS
    return DMControl(env, repeat), math.ceil(round(limit) / repeat)
