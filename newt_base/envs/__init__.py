"""Environments: from the names of tasks to a batch of running simulators."""

import contextlib
import difflib
from dataclasses import dataclass
from functools import partial
from typing import Optional

import gymnasium as gym

from ..common import ABSENT_SETS, TASK_SET, env_tasks
from ..common.habits import SIMULATORS
from ..common.settings import ConfigError
from . import dmcontrol, mujoco, own
from .wrappers.guard import EnvironmentFailed, Late, time_limit
from .wrappers.pad import Pad
from .wrappers.timeout import Timeout
from .wrappers.vectorized import VecEnv

RANK_SEED_STRIDE = 1000  # distance between the seeds of two processes that train one agent together


class UnknownTaskError(ConfigError):
    """No simulator here has a task of that name."""

    def __init__(self, task: str, suggestions: list[str]):
        self.task, self.suggestions = task, suggestions
        hint = " or ".join(f"task={name}" for name in suggestions) or None
        super().__init__("task", task, f"unknown task '{task}'", ", ".join([*TASK_SET, *all_tasks()]), hint)


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
    """newt's name of a task, from that name or the simulator's own spelling of it (walker_walk, ball_in_cup_catch).

    The name of a registered environment, gym:ID, stays as it is.
    """
    if own.is_own(task):
        return own.check(task)
    if task in mujoco.TASKS:
        return task
    dashed = task.replace("_", "-")
    by_spelling = {name.replace("_", "-"): name for name in all_tasks()} | dmcontrol.spellings()
    if dashed in by_spelling:
        return by_spelling[dashed]
    _raise_if_elsewhere(task)
    close = difflib.get_close_matches(dashed, by_spelling, n=3, cutoff=0.6)
    raise UnknownTaskError(task, list(dict.fromkeys(by_spelling[name] for name in close)))


def _raise_if_elsewhere(task: str) -> None:
    """Raise ConfigError for a task of newt's or of Gymnasium's that is to be had otherwise, or not here."""
    simulator = next((whose for prefix, whose in SIMULATORS.items() if task.startswith(f"{prefix}-")), None)
    if simulator:
        problem = f"task={task} is a {simulator} task of newt's, and this tree does not have its simulator"
        raise ConfigError(
            "task", task, problem, "gym:ID for an environment that is installed (docs/own-environment.md)"
        )
    stem = task.rpartition("-v")[0] or task
    ours = next((name for name, one in mujoco.TASKS.items() if one.env_id.rpartition("-v")[0] == stem), None)
    if ours or task in gym.registry:
        same = f"task={ours} (newt's, with episodes of one length) or " if ours else ""
        registered = mujoco.TASKS[ours].env_id if ours else task
        problem = f"task={task} is a name of Gymnasium's"
        raise ConfigError("task", task, problem, suggestion=f"{same}task={own.PREFIX}{registered}")


def task_names(task: str) -> list[str]:
    """newt's names of the tasks in `task`: a task, the name of a set, or several of both with commas between."""
    names = [name for item in task.split(",") for name in _names_of(item.strip())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError("task", task, f"task={task} names {', '.join(twice)} twice", "each task once")
    return names


def spelled(task: str) -> str:
    """The setting `task` with every task under newt's name; names of sets stay. Raises ConfigError."""
    task_names(task)
    items = [item.strip() for item in task.split(",")]
    return ",".join(item if item in TASK_SET else task_name(item) for item in items)


def _names_of(item: str) -> list[str]:
    if item in TASK_SET:
        known = all_tasks()
        return [name for name in TASK_SET[item] if name in known]
    if item in ABSENT_SETS:
        raise ConfigError(
            "task",
            item,
            f"task={item} is a set of newt's whose simulators this tree does not have",
            f"the sets {', '.join(TASK_SET)}, or names of tasks with commas between",
        )
    if not item:
        raise ConfigError("task", item, "task= has an empty name in its list", "names with one comma between each two")
    return [task_name(item)]


def make_single_env(
    task: str,
    seed: int,
    action_repeat: Optional[int],
    episode_length: Optional[int],
    episodic: bool = False,
    render: bool = False,
) -> gym.Env:
    """One environment; `None` takes the task's own action repeat and length; `episodic`: episodes may terminate."""
    name = task_name(task)
    if own.is_own(name):
        env, length = own.make_env(name, action_repeat, episode_length, episodic, render)
    elif name in mujoco.TASKS:
        env, length = mujoco.make_env(name, action_repeat, render)
    else:
        env, length = dmcontrol.make_env(name, seed, action_repeat)
    return Timeout(env, length if episode_length is None else episode_length, episodic)


def task_info(cfg, task: str) -> TaskInfo:
    """The sizes of `task` under these settings; builds one environment, reads it and closes it."""
    try:
        with time_limit(cfg.env_timeout):
            env = make_single_env(task, cfg.seed, cfg.action_repeat, cfg.episode_length, cfg.episodic)
    except Late as error:
        problem = f"task={task} was not made within env_timeout={cfg.env_timeout:g} seconds"
        raise ConfigError("task", task, problem, "one that is made sooner, or a larger env_timeout") from error
    try:
        return TaskInfo(env.observation_space.shape[0], env.action_space.shape[0], env.max_episode_steps)
    finally:
        with contextlib.suppress(Exception):  # those that are trained in say it
            env.close()


def make_env(cfg, render: bool = False) -> VecEnv:
    """`cfg.num_envs` environments of `cfg.global_tasks`, all as wide as the agent; with `render` they draw frames.

    Number i is seeded with seed + i (+ 1000 times the rank).
    """
    makers = [
        partial(
            _make_wide_env,
            (cfg.obs_shape[cfg.obs][0], cfg.action_dim),
            task=cfg.global_tasks[task],
            seed=cfg.seed,
            action_repeat=cfg.action_repeat,
            episode_length=cfg.episode_lengths[task],
            episodic=cfg.episodic,
            render=render,
        )
        for task in env_tasks(cfg)
    ]
    first = cfg.seed + RANK_SEED_STRIDE * cfg.rank
    names = [f"environment {i} ({cfg.global_tasks[task]})" for i, task in enumerate(env_tasks(cfg))]
    return VecEnv(makers, [first + i for i in range(cfg.num_envs)], cfg.env_mode, names, cfg.env_timeout)


def _make_wide_env(widths: tuple[int, int], **task) -> gym.Env:
    env = make_single_env(**task)
    if widths == (env.observation_space.shape[0], env.action_space.shape[0]):
        return env
    return Pad(env, *widths)


__all__ = [
    "EnvironmentFailed",
    "TaskInfo",
    "UnknownTaskError",
    "VecEnv",
    "all_tasks",
    "make_env",
    "make_single_env",
    "spelled",
    "task_info",
    "task_name",
    "task_names",
]
