"""Demonstrations: files of recorded episodes in newt's layout, read into a replay buffer of their own.

A file TASK.pt holds one TensorDict (or dict of tensors) with a row per time step, episode after episode: obs [R, O],
action [R, A], reward [R], episode [R] (numbers from 0), and perhaps mu and std [R, A] and terminated [R]. Row t of an
episode holds the observation after t steps and the action and reward that led to it, so the first row's action and
reward are NaN. Observations and actions are as wide as the task's own, or padded as newt pads them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from tensordict import TensorDict
from tqdm import tqdm

from . import padded_widths
from .buffer import Buffer
from .checkpoint import load_safely
from .files import opened_anew
from .folder import file_name
from .settings import ConfigError

NEEDED = ("obs", "action", "reward", "episode")


class DemoError(ValueError):
    """A file of demonstrations that cannot be used: which one, why, and what to do."""


def demo_path(cfg, task):
    """The file of a task's demonstrations."""
    return Path(cfg.data_dir) / f"{file_name(task)}.pt"


def check_there_are(cfg):
    """Raise ConfigError where no task of `cfg` has demonstrations."""
    paths = [demo_path(cfg, name) for name in dict.fromkeys(cfg.global_tasks)]
    if not any(path.is_file() for path in paths):
        problem = f"use_demos=true finds no demonstrations: there is no {' and no '.join(map(str, paths[:3]))}"
        raise ConfigError("use_demos", True, problem, "record some with generate_demos, or set data_dir=FOLDER")


def demo_buffer(cfg, device):
    """A buffer with the demonstrations of all tasks of `cfg` that have some; says which have none."""
    episodes = []
    for index, task in enumerate(dict.fromkeys(cfg.global_tasks)):
        path = demo_path(cfg, task)
        if path.is_file():
            episodes += load_demos(cfg, path, index)
        elif cfg.rank == 0:
            tqdm.write(f"no demonstrations of {task}: there is no {path}")
    if not episodes:
        raise DemoError(f"there are no demonstrations in data_dir={cfg.data_dir} for task={cfg.task}")
    rows = sum(len(episode) for episode in episodes)
    if cfg.rank == 0:
        tqdm.write(f"{len(episodes)} demonstrations with {rows:,} rows from {cfg.data_dir}")
    sizes = {"capacity": max(rows, cfg.horizon + 1), "batch_size": cfg.batch_size, "horizon": cfg.horizon}
    buffer = Buffer(**sizes, device=device, episodic=cfg.episodic)
    for episode in episodes:
        buffer.add(episode.unsqueeze(0))
    if buffer.num_slices == 0:
        raise DemoError(f"all demonstrations in {cfg.data_dir} are shorter than horizon={cfg.horizon}")
    return buffer


def load_demos(cfg, path, index):
    """The episodes in a file, as a list of TensorDicts [T+1] that are as wide as the agent.

    Rows without planner statistics get mu = action and std = exp(log_std_max), a distribution that says nothing.

    Args:
        path: the file. index: the number of its task in `cfg`.
    """
    rows = _read(path)
    (own_obs,), own_action = cfg.obs_shapes[index], cfg.action_dims[index]
    padded_obs, padded_action = padded_widths(own_obs, own_action)
    if rows["obs"].shape[1] == padded_obs and rows["obs"][:, own_obs:].any():
        raise DemoError(f"{path}: this task has {own_obs} observations, the rows have more; is it another task's file?")
    obs = _own_part(path, "obs", rows["obs"], own_obs, padded_obs)
    unknown = torch.full_like(rows["action"], torch.nan)
    action, mu, std = (
        _own_part(path, name, rows.get(name, unknown), own_action, padded_action) for name in ("action", "mu", "std")
    )
    mu = torch.where(mu.isnan(), action, mu)
    std = torch.where(std.isnan(), torch.full_like(std, cfg.log_std_max).exp(), std)
    demos = {"obs": _widen(obs, cfg.obs_shape[cfg.obs][0])}
    demos |= {name: _widen(x, cfg.action_dim) for name, x in (("action", action), ("mu", mu), ("std", std))}
    demos["reward"] = rows["reward"].float()
    demos["terminated"] = rows.get("terminated", torch.zeros_like(rows["reward"])).bool()
    demos["task"] = torch.full_like(rows["episode"], index, dtype=torch.int32)
    _, lengths = rows["episode"].unique_consecutive(return_counts=True)
    _check_known(path, demos, starts=lengths.cumsum(0) - lengths)
    return list(TensorDict(demos, batch_size=(len(obs),)).split(lengths.tolist()))


def _read(path):
    try:
        rows = load_safely(path)
    except ValueError as error:
        raise DemoError(
            f"{error}\n  if you trust the file, convert it once: d = torch.load(FILE, weights_only=False); "
            "torch.save(dict(d.items()), FILE)"
        ) from error
    names = rows.keys() if isinstance(rows, (Mapping, TensorDict)) else ()
    if any(name not in names for name in NEEDED):
        raise DemoError(f"{path} holds no demonstrations: it should be a TensorDict with {', '.join(NEEDED)}")
    rows = {name: rows[name] for name in (*NEEDED, "mu", "std", "terminated") if name in names}
    for name, value in rows.items():
        if not torch.is_tensor(value) or value.ndim != (1 if name in ("reward", "episode", "terminated") else 2):
            raise DemoError(f"{path}: {name} is not one row per time step")
        if len(value) != len(rows["obs"]):
            raise DemoError(f"{path}: {name} has {len(value)} rows and obs {len(rows['obs'])}")
    return rows


def _own_part(path, name, x, own, padded):
    """The task's own columns of x, [R, own or padded]."""
    if x.shape[1] not in (own, padded):
        raise DemoError(f"{path}: {name} is {x.shape[1]} wide; this task's own width is {own}, padded {padded}")
    return x[:, :own].float()


def _widen(x, width):
    """x, [R, own], filled up with zeros to the agent's width."""
    return torch.nn.functional.pad(x, (0, width - x.shape[1]))


def _check_known(path, demos, starts):
    """Nothing may be NaN or infinite, but for actions and rewards in the rows `starts`, where episodes begin."""
    for name, value in demos.items():
        bad = ~value.flatten(1).isfinite().all(1) if value.ndim > 1 else ~value.isfinite()
        if name != "obs":
            bad[starts] = False
        if bad.any():
            raise DemoError(f"{path}: {name} is not finite in row {int(bad.nonzero()[0])}")


def save_demos(path, episodes):
    """Write episodes, TensorDicts [T+1] without their numbers, as one file; it appears when it is complete."""
    numbered = [
        episode.clone().set("episode", torch.full((len(episode),), number, dtype=torch.int64))
        for number, episode in enumerate(episodes)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with opened_anew(partial) as file:
            torch.save(torch.cat(numbered), file)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
