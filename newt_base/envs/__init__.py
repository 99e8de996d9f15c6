"""Environments: from a task's name to a batch of running simulators."""

import difflib
from dataclasses import dataclass
from functools import partial
from typing import Optional

import gymnasium as gym

from . import dmcontrol, mujoco
from .wrappers.timeout import Timeout
from .wrappers.vectorized import VecEnv

RANK_SEED_STRIDE = 1000  # distance between the seeds of two processes that train one agent together


class UnknownTaskError(ValueError):
    """No simulator here has a task of that name."""

    def __init__(self, task: str, suggestions: list[str]):
        self.task = task
        self.suggestions = suggestions
        hint = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"unknown task '{task}'{hint}")


@dataclass(frozen=True)
class TaskInfo:
    """Sizes of a task: observation entries, action dimensions, episode length in agent steps."""

    obs_dim: int
    action_dim: int
    episode_length: int


def all_tasks() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted([*dmcontrol.tasks(), *mujoco.TASKS]))


def task_name(task: str) -> str:
    """newt's name of a task, from that name or the simulator's own spelling of it (walker_walk, ball_in_cup_catch)."""
    dashed = task.replace("_", "-")
    by_spelling = {name.replace("_", "-"): name for name in all_tasks()} | dmcontrol.spellings()
    if dashed in by_spelling:
        return by_spelling[dashed]
    close = difflib.get_close_matches(dashed, by_spelling, n=3, cutoff=0.6)
    raise UnknownTaskError(task, list(dict.fromkeys(by_spelling[name] for name in close)))


def make_single_env(task: str, seed: int, action_repeat: Optional[int], episode_length: Optional[int]) -> gym.Env:
    """One environment with episodes of fixed length; `None` takes the task's own action repeat and length."""
    name = task_name(task)
    if name in mujoco.TASKS:
        env, length = mujoco.make_env(name, action_repeat)
    else:
        env, length = dmcontrol.make_env(name, seed, action_repeat)
    return Timeout(env, length if episode_length is None else episode_length)


def task_info(cfg, task: str) -> TaskInfo:
    """The sizes of `task` under these settings; builds one environment, reads it and closes it."""
    env = make_single_env(task, cfg.seed, cfg.action_repeat, cfg.episode_length)
    try:
        return TaskInfo(env.observation_space.shape[0], env.action_space.shape[0], env.max_episode_steps)
    finally:
        env.close()


def make_env(cfg) -> VecEnv:
    """`cfg.num_envs` environments of `cfg.task`; number i is seeded with seed + i (+ 1000 times the rank)."""
    make = partial(make_single_env, cfg.task, cfg.seed, cfg.action_repeat, cfg.episode_length)
    first = cfg.seed + RANK_SEED_STRIDE * cfg.rank
    return VecEnv([make] * cfg.num_envs, [first + i for i in range(cfg.num_envs)], cfg.env_mode)


__all__ = [
    "TaskInfo",
    "UnknownTaskError",
    "VecEnv",
    "all_tasks",
    "make_env",
    "make_single_env",
    "task_info",
    "task_name",
]
