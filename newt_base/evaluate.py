"""Evaluate an agent: `python -m newt_base.evaluate checkpoint=FILE task=walker-walk episodes=20 seeds=1,2,3`.

The agent plans, or with policy=true its policy acts alone; without exploration noise either way. What a run wrote
beside its checkpoint need not be said again: the task, the agent's size, how it plans.
"""

if not __package__:
    import as_package  # noqa: F401

import json
import math
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from .acting import agent_of, of_the_run, settings
from .common import env_tasks, set_seed
from .common.files import words
from .common.video import check_path
from .config import Config, ConfigError
from .envs import EnvironmentFailed, VecEnv, make_env, task_names
from .envs.own import is_own, module_of
from .tdmpc2 import TDMPC2

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
MOST_AT_ONCE = 10  # environments per task
RESAMPLES = 2_000
DEFAULTS = {"episodes": "10", "seeds": "1", "policy": "false", "json": "false", "video": ""}
USAGE = """usage: python -m {package}.evaluate checkpoint=FILE [name=value ...]

  episodes=10    episodes of each task and seed
  seeds=1        seeds of the environments and of the planner, with commas between
  policy=false   true: the policy acts, without planner
  json=false     true: one JSON object on standard output
  video=FILE     the first episode, as .gif, or .mp4 with imageio-ffmpeg

The other settings are those of training (python -m {package}.train --help).
"""


@dataclass(frozen=True)
class Wish:
    """What to measure: episodes of each task and seed, with the planner or with the policy alone."""

    episodes: int
    seeds: list[int]
    policy: bool
    as_json: bool
    video: Optional[Path]


@dataclass
class Episodes:
    """The episodes of one task: return, length and success of each."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    success: list[float] = field(default_factory=list)


def main(argv: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help", "help"} & set(argv):
        sys.stdout.write(USAGE.format(package=__package__ or Path(__file__).parent.name))
        return 0
    as_json = "json=true" in argv
    try:
        wish, cfg = read(argv)
        record = evaluate(cfg, wish)
    except (ValueError, EnvironmentFailed, OSError) as error:
        status = EXIT_USAGE if isinstance(error, ValueError) else EXIT_FAILED
        if as_json:
            print(json.dumps({"schema": 1, "error": words(error), "exit_code": status}))
        else:
            sys.stderr.write(f"error: {words(error)}\n")
        return status
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return EXIT_INTERRUPTED
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        show(record)
    return 0


# ------------------------------------------------------------ the command line


def read(argv: list[str]) -> tuple[Wish, Config]:
    """What to measure, and the settings: the user's, over those of the run that made the checkpoint."""
    given = dict(DEFAULTS)
    rest = []
    for argument in argv:
        name, equals, text = argument.partition("=")
        if equals and name in DEFAULTS:
            given[name] = text
        else:
            rest.append(argument)
    wish = _wish(given)
    if wish.video is not None:
        check_path(wish.video)
        if not os.environ.get("DISPLAY"):
            os.environ.setdefault("MUJOCO_GL", "egl")
    named = dict(argument.partition("=")[::2] for argument in rest)
    saved = of_the_run(named["checkpoint"]) if "checkpoint" in named else {}
    if "task" in named and named["task"] != saved.get("task"):
        saved.pop("episode_length", None)
    if Path(named.get("checkpoint", "")).is_file() and not {"task"} & {*named, *saved}:
        problem = f"nothing beside {named['checkpoint']} says which task it was trained on, or with which settings"
        valid = "task=..., with the preset or sizes of its run; or the checkpoint in the folder of its run"
        raise ConfigError("task", None, problem, valid)
    task = named.get("task", saved.get("task", Config.task))
    if "task" not in named and is_own(task) and (module := module_of(task)):
        problem = f"the settings beside {named['checkpoint']} name a module, {module}, that evaluating would run"
        raise ConfigError("task", None, problem, f"task={task}, if you trust that module")
    saved |= {"env_mode": "sync", "num_envs": str(min(wish.episodes, MOST_AT_ONCE) * len(task_names(task)))}
    return wish, settings([*(f"{k}={v}" for k, v in saved.items() if k not in named), *rest], "evaluating")


def _wish(given: dict[str, str]) -> Wish:
    for name in ("policy", "json"):
        if given[name] not in ("true", "false"):
            raise ConfigError(name, given[name], f"{name}={given[name]} is not available", "true, false")
    if not given["episodes"].isdecimal() or int(given["episodes"]) < 1:
        problem = f"episodes={given['episodes']} is not available"
        raise ConfigError("episodes", given["episodes"], problem, "a whole number, at least 1")
    seeds = [seed.strip() for seed in given["seeds"].split(",")]
    if not all(seed.isdecimal() for seed in seeds):
        problem = f"seeds={given['seeds']} is not available"
        raise ConfigError("seeds", given["seeds"], problem, "whole numbers with commas between")
    if twice := [int(seed) for seed in set(seeds) if seeds.count(seed) > 1]:
        problem = f"seeds={given['seeds']} has {twice[0]} twice, which would count the same episodes twice"
        raise ConfigError("seeds", given["seeds"], problem, "each seed once")
    video = Path(given["video"]) if given["video"] else None
    return Wish(
        int(given["episodes"]), list(map(int, seeds)), given["policy"] == "true", given["json"] == "true", video
    )


# ---------------------------------------------------------------- measurements


def evaluate(cfg: Config, wish: Wish) -> dict:
    """Run the episodes and return what they say, as it is printed with json=true."""
    agent, progress = agent_of(cfg)
    found: dict[int, Episodes] = defaultdict(Episodes)
    with make_env(cfg, render=wish.video is not None) as env:
        env.record(wish.video)
        for seed in wish.seeds:
            set_seed(seed)
            run(cfg, env, agent, wish, seed, progress.get("step"), found)
    tasks = [{"task": cfg.global_tasks[task], **summary(episodes)} for task, episodes in sorted(found.items())]
    return {
        "schema": 1,
        "checkpoint": str(cfg.checkpoint),
        "planner": not wish.policy and cfg.mpc,
        "episodes_per_seed": wish.episodes,
        "seeds": wish.seeds,
        "tasks": tasks,
        "video": str(wish.video) if wish.video else None,
    }


@torch.no_grad()
def run(
    cfg: Config, env: VecEnv, agent: TDMPC2, wish: Wish, seed: int, step: Optional[int],
    found: dict[int, Episodes],
) -> None:  # fmt: skip
    """Run `wish.episodes` episodes of each task from one seed; every environment has its share, whatever they last."""
    tasks = env_tasks(cfg)
    left = torch.tensor(_shares(tasks, wish.episodes))
    index = torch.tensor(tasks, dtype=torch.int32)
    obs, _ = env.reset(seed=[_own_seed(seed, i) for i in range(cfg.num_envs)])
    total, length = torch.zeros(2, cfg.num_envs)
    while (left > 0).any():
        torch.compiler.cudagraph_mark_step_begin()
        action, _, _ = agent(
            obs, t0=length == 0, step=step, eval_mode=True, task=index, mpc=cfg.mpc and not wish.policy
        )
        obs, reward, terminated, truncated, info = env.step(action)
        total += reward
        length += 1
        done = terminated | truncated
        for i in (done & (left > 0)).nonzero().flatten().tolist():
            episodes = found[tasks[i]]
            episodes.returns.append(total[i].item())
            episodes.lengths.append(int(length[i]))
            episodes.success.append(info["final_info"]["success"][i].item())
        left -= done.int()
        total[done] = length[done] = 0.0


def _own_seed(seed: int, number: int) -> int:
    """The seed of one environment: no two of any seeds have the same."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _shares(tasks: list[int], episodes: int) -> list[int]:
    """How many of a task's episodes each environment runs."""
    numbers = {task: tasks.count(task) for task in tasks}
    seen: dict[int, int] = defaultdict(int)
    shares = []
    for task in tasks:
        shares.append(episodes // numbers[task] + (seen[task] < episodes % numbers[task]))
        seen[task] += 1
    return shares


def summary(episodes: Episodes) -> dict:
    """Mean, interquartile mean and a bootstrapped 95% interval of both; success where the task knows one."""
    returns = np.array(episodes.returns)
    success = [value for value in episodes.success if math.isfinite(value)]
    return {
        "episodes": len(returns),
        "mean": float(returns.mean()),
        "mean_interval": _interval(returns, np.mean),
        "iqm": float(stats.trim_mean(returns, 0.25)),
        "iqm_interval": _interval(returns, lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis)),
        "length": float(np.mean(episodes.lengths)),
        "success": float(np.mean(success)) if success else None,
        "returns": returns.tolist(),
    }


def _interval(returns: np.ndarray, statistic) -> Optional[list[float]]:
    """The 95% interval of a statistic, by the percentiles of resampled episodes; None for a single episode."""
    if len(returns) < 2:
        return None
    found = stats.bootstrap(
        (returns,), statistic, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


def show(record: dict, console: Optional[Console] = None) -> None:
    """The table for people."""
    how = "with the planner" if record["planner"] else "the policy alone"
    seeds = ", ".join(map(str, record["seeds"]))
    table = Table(title=f"{how}, seeds {seeds}", title_justify="left")
    for name in ("task", "episodes", "mean", "95% interval", "IQM", "length", "success"):
        is_task = name == "task"
        table.add_column(name, justify="left" if is_task else "right", no_wrap=not is_task, overflow="fold")
    for task in record["tasks"]:
        interval = "{:.1f} {:.1f}".format(*task["mean_interval"]) if task["mean_interval"] else "-"
        success = "-" if task["success"] is None else f"{task['success']:.0%}"
        numbers = (f"{task['mean']:.1f}", interval, f"{task['iqm']:.1f}", f"{task['length']:.0f}")
        table.add_row(task["task"], str(task["episodes"]), *numbers, success)
    console = console or Console()
    console.print(table)
    if record["video"]:
        console.print(f"video: {record['video']}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
