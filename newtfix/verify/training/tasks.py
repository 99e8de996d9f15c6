"""Tasks of dm_control and Gymnasium as newt's trainers see their environments: N side by side, tensors in and out."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from newtfix.parity.standin import Anything
from newtfix.verify.fakes import FinalInfo

_REPEAT = 2  # simulator steps per action, as newt has it for dm_control


class UnknownTask(Exception):
    """No simulator here has the task."""


class _Single(Protocol):
    """One environment: float32 observations [O], actions [A] in [-1, 1]."""

    obs_dim: int
    action_dim: int

    def reset(self) -> np.ndarray[Any, Any]: ...

    def step(self, action: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float, bool]: ...


class _Suite:
    """A task of dm_control; its episodes end where the caller ends them."""

    def __init__(self, suite: Any, domain: str, task: str, seed: int) -> None:
        self._env = suite.load(domain, task, task_kwargs={"random": seed, "time_limit": float("inf")})
        spec = self._env.action_spec()
        self._low, self._high = np.maximum(spec.minimum, -1e3), np.minimum(spec.maximum, 1e3)
        self.action_dim = int(np.prod(spec.shape))
        self.obs_dim = len(self.reset())

    def reset(self) -> np.ndarray[Any, Any]:
        return _flat(self._env.reset().observation)

    def step(self, action: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float, bool]:
        scaled = self._low + (action + 1) / 2 * (self._high - self._low)
        steps = [self._env.step(scaled) for _ in range(_REPEAT)]
        return _flat(steps[-1].observation), float(sum(one.reward or 0.0 for one in steps)), False


class _Gymnasium:
    """An environment of Gymnasium with continuous actions."""

    def __init__(self, env: Any, seed: int) -> None:
        self._env, self._seed = env.unwrapped, seed
        space = env.action_space
        self._low, self._high = space.low, space.high
        self.action_dim = int(np.prod(space.shape))
        self.obs_dim = int(np.prod(env.observation_space.shape))

    def reset(self) -> np.ndarray[Any, Any]:
        self._seed += 1
        return np.asarray(self._env.reset(seed=self._seed)[0], dtype=np.float32).flatten()

    def step(self, action: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float, bool]:
        scaled = self._low + (action + 1) / 2 * (self._high - self._low)
        obs, reward, terminated, *_ = self._env.step(scaled.astype(self._low.dtype))
        return np.asarray(obs, dtype=np.float32).flatten(), float(reward), bool(terminated)


def _flat(observation: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([np.ravel(value) for value in observation.values()]).astype(np.float32)


def single(task: str, seed: int) -> _Single:
    """One environment of a task: `cartpole-swingup` of dm_control, `Pendulum-v1` of Gymnasium."""
    suite = _suite()
    names = {f"{domain}-{name}".replace("_", "-"): (domain, name) for domain, name in suite.ALL_TASKS}
    if task in names:
        return _Suite(suite, *names[task], seed)
    import gymnasium

    try:
        return _Gymnasium(gymnasium.make(task), seed)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise UnknownTask(f"neither dm_control nor Gymnasium has a task {task}: {error}") from None


def _suite() -> Any:
    """dm_control's suite; nothing is rendered, so that a machine without OpenGL will do."""
    os.environ.setdefault("MUJOCO_GL", "disabled")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("dm_control.suite")


@dataclass(frozen=True)
class Sizes:
    """Observation entries, action dimensions, and as many as the agent is to have, which are more: newt pads."""

    obs: int
    action: int
    width: int


def sizes(env: _Single, padding: int) -> Sizes:
    return Sizes(env.obs_dim, env.action_dim, env.action_dim + padding)


class Tasks:
    """N environments of one task, with episodes of `length` steps.

    Rewards are multiplied by `reward_scale`, so that Q values spread within few updates.
    """

    def __init__(self, envs: Sequence[_Single], length: int, width: int, reward_scale: float) -> None:
        self._envs, self._length, self._reward_scale = envs, length, reward_scale
        self.num_envs, self.max_episode_steps, self.action_dim = len(envs), length, width
        self._t = torch.zeros(self.num_envs, dtype=torch.int64)
        self.steps = 0

    def rand_act(self) -> Tensor:
        return torch.rand(self.num_envs, self.action_dim) * 2 - 1

    def reset(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Any]]:
        self._t.zero_()
        return torch.from_numpy(np.stack([env.reset() for env in self._envs])), {}

    def step(self, action: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take actions [N, width]; of the last observation of an episode `info` tells, as in newt's own wrapper."""
        chosen = torch.as_tensor(action[0] if isinstance(action, tuple) else action).detach().cpu().double()
        if chosen.shape != (self.num_envs, self.action_dim) or not chosen.isfinite().all():
            raise ValueError(f"no actions [{self.num_envs}, {self.action_dim}]: {chosen}")
        acted = chosen.clamp(-1, 1).numpy()
        seen = [env.step(act[: env.action_dim]) for env, act in zip(self._envs, acted, strict=True)]
        self._t += 1
        self.steps += self.num_envs
        obs = torch.from_numpy(np.stack([one[0] for one in seen]))
        reward = torch.tensor([one[1] * self._reward_scale for one in seen], dtype=torch.float32)
        terminated = torch.tensor([one[2] for one in seen])
        truncated = (self._t >= self._length) & ~terminated
        return (*self._over(obs, reward, terminated, truncated),)

    def _over(self, obs: Tensor, reward: Tensor, terminated: Tensor, truncated: Tensor) -> Any:
        done = terminated | truncated
        nothing = torch.zeros(self.num_envs)
        info: dict[str, Any] = {"success": nothing}
        if done.any():
            info["final_observation"] = obs[done].clone()
            info["final_info"] = FinalInfo({name: nothing.clone() for name in ("success", "score")})
            for i in done.nonzero().flatten().tolist():
                obs[i] = torch.from_numpy(self._envs[i].reset())
            self._t[done] = 0
        return obs, reward, terminated, truncated, info

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()
