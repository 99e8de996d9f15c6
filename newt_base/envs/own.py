"""Any environment that is registered with Gymnasium: `gym:ID`, or `gym:MODULE:ID` with the module that registers it."""

import difflib
import importlib
import math
import os
import sys
from typing import Optional

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ..common.settings import ConfigError
from . import rendering

PREFIX = "gym:"
PIXELS = 2  # dimensions above which an observation counts as an image
DOCS = "docs/own-environment.md shows a wrapper for each"


class EndedEarly(RuntimeError):
    """An episode ended before its time where that was not asked for."""


def is_own(task: str) -> bool:
    """Whether a task is named in this way."""
    return task.startswith(PREFIX)


def module_of(task: str) -> str:
    """The module that registers its environment, which making one imports; "" for none."""
    return task.removeprefix(PREFIX).rpartition(":")[0]


def check(task: str) -> str:
    """The task itself, once its environment is found in the registry. Raises ConfigError."""
    _spec(task)
    return task


def _spec(task: str):
    module, name = module_of(task), task.rpartition(":")[2]
    if module:
        _import(task, module)
    try:
        return gym.spec(name)
    except gym.error.Error as error:
        close = difflib.get_close_matches(name, gym.registry, n=1, cutoff=0.6)
        hint = f"task={PREFIX}{module + ':' if module else ''}{close[0]}" if close else None
        valid = f"gym:MODULE:ID, with the module that registers it; {str(error).rstrip('.')}"
        raise ConfigError("task", task, f"task={task}: Gymnasium knows no environment '{name}'", valid, hint) from error


def _import(task: str, module: str) -> None:
    """Import the module that registers an environment, also from the folder where the user is."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except Exception as error:
        valid = f"a module that is installed, or that lies in {here}"
        said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError("task", task, f"task={task}: importing {module} failed: {said}", valid) from error


def make_env(
    task: str, action_repeat: Optional[int], episode_length: Optional[int], episodic: bool, render: bool = False
) -> tuple[gym.Env, int]:
    """The environment of `task` and the length of its episodes in agent steps. Raises ConfigError in words."""
    rendering.settle()
    spec = _spec(task)
    repeat = 1 if action_repeat is None else action_repeat
    if episode_length is None and spec.max_episode_steps is None:
        problem = f"task={task} has no time limit, so its episodes have no longest length"
        raise ConfigError("episode_length", None, problem, "say episode_length=1000, say, in agent steps")
    length = math.ceil(spec.max_episode_steps / repeat) if episode_length is None else episode_length
    mode = {"render_mode": "rgb_array"} if render else {}
    try:
        env = gym.make(spec, max_episode_steps=length * repeat, disable_env_checker=True, **mode)
    except (TypeError, gym.error.Error) as error:
        problem = f"task={task} {'draws no frames' if render else 'cannot be made'}: {error}"
        valid = "an environment that takes render_mode='rgb_array'" if render else "one that needs no arguments"
        raise ConfigError("task", task, problem, valid) from error
    except Exception as error:
        problem = f"task={task} cannot be made: {type(error).__name__}: {error}"
        raise ConfigError("task", task, problem, "an environment that is made without arguments") from error
    try:
        for space in ("observation_space", "action_space"):
            if getattr(env.unwrapped, space, None) is None:
                problem = f"task={task} has no {space}"
                raise ConfigError("task", task, problem, f"an environment that sets its {space} ({DOCS})")
        return Own(env, task, repeat, episodic), length
    except ConfigError:
        env.close()
        raise


class Own(gym.Wrapper):
    """A registered environment with actions in [-1, 1], one flat float32 observation, and action repeat.

    Its own bounds of actions are reached at -1 and 1. Once it ends it is not stepped on: the rest of an action repeat
    is left out. Without `episodic`, ending before the time limit raises EndedEarly.
    """

    def __init__(self, env: gym.Env, task: str, action_repeat: int, episodic: bool):
        super().__init__(env)
        self._task, self._repeat, self._episodic = task, action_repeat, episodic
        _check_observations(task, env.observation_space)
        _check_actions(task, env.action_space)
        self._low = env.action_space.low.astype(np.float64)
        self._high = env.action_space.high.astype(np.float64)
        size = (math.prod(env.observation_space.shape),)
        self.observation_space = spaces.Box(-np.inf, np.inf, size, np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (self._low.size,), np.float32)

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        return _flat(obs), _info(info)

    def step(self, action):
        unit = (np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0) + 1.0) / 2.0
        scaled = self._low + unit.reshape(self._low.shape) * (self._high - self._low)
        total = 0.0
        for _ in range(self._repeat):
            obs, reward, terminated, truncated, info = self.env.step(scaled.astype(self.env.action_space.dtype))
            total += _number(reward)
            if terminated or truncated:
                break
        if (terminated or truncated) and not self._episodic:
            self._must_be_time(bool(truncated))
        return _flat(obs), total, bool(terminated), bool(truncated), _info(info)

    def _must_be_time(self, truncated: bool) -> None:
        limit = self.env.get_wrapper_attr("_max_episode_steps")
        if not truncated or self.env.get_wrapper_attr("_elapsed_steps") < limit:
            raise EndedEarly(
                f"an episode of task={self._task} ended before its time, and episodic=false expects {limit} steps of "
                "each: leave episodic out, or say episodic=true"
            )


def _number(reward) -> float:
    reward = np.asarray(reward)
    if reward.size != 1:
        raise TypeError(f"its reward has the shape {reward.shape}, and must be one number")
    return float(reward.item())


def _flat(obs) -> np.ndarray:
    return np.asarray(obs, dtype=np.float32).reshape(-1)


def _info(info: dict) -> dict:
    """Success where the environment says something of that name; it has no score that others would agree on."""
    success = info.get("success", info.get("is_success", np.nan))
    return {"success": float(np.asarray(success, dtype=np.float64).mean()), "score": float("nan")}


def _check_observations(task: str, space: gym.Space) -> None:
    if not isinstance(space, spaces.Box):
        raise _refusal(task, "observations", space, "one Box of numbers: wrap it in FlattenObservation")
    if len(space.shape) > PIXELS or space.dtype == np.uint8:
        raise _refusal(task, "observations", space, "a vector of numbers: images have no encoder here")


def _check_actions(task: str, space: gym.Space) -> None:
    if not isinstance(space, spaces.Box):
        raise _refusal(task, "actions", space, "one Box of numbers: the planner searches continuous actions")
    if not np.issubdtype(space.dtype, np.floating):
        raise _refusal(task, "actions", space, "a Box of float32 or float64")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise _refusal(task, "actions", space, "finite bounds, which are scaled to [-1, 1]: wrap it in TransformAction")


def _refusal(task: str, what: str, space: gym.Space, needed: str) -> ConfigError:
    shown = f"{type(space).__name__} {space.shape}" if isinstance(space, spaces.Box) else str(space)
    return ConfigError("task", task, f"task={task} has {what} of the kind {shown}", f"{needed} ({DOCS})")
