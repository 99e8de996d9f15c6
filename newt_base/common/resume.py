"""Going on with a run: which checkpoint is whole, what of the settings may change, and all that it takes to go on.

A checkpoint STEP.pt is written last, with the digests of the replays of all ranks beside it, so one that is there has
them. A rank's replay also holds what that rank alone has: random states, environments, running episodes.
"""

import copy
import dataclasses
import json
import random
import re
from collections import defaultdict
from pathlib import Path
from time import time

import numpy as np
import torch
from tensordict import TensorDict

from . import files
from .buffer import Buffer
from .checkpoint import load_safely
from .settings import ConfigError, settable, shown

# What a checkpoint was made under stays, since weights, replay or the environments depend on it.
FIXED = frozenset(
    """
    task action_repeat episode_length episodic num_envs obs pad seed finetune use_demos buffer_size horizon
    lr_schedule warmup_steps num_q num_bins vmin vmax model_size latent_dim simnorm_dim enc_dim num_enc_layers
    mlp_dim task_dim
    """.split()
)
# Of no concern to the run itself.
FREE = frozenset({"resume", "checkpoint", "preset", "out_dir", "exp_name", "demo_steps", "random_baseline"})
# What a checkpoint must have to go on from it, and of which kind.
NEEDED = {
    **dict.fromkeys(("model", "optim", "pi_optim", "scale"), dict),
    **{"step": int, "episode": int, "update_tokens": (int, float), "world_size": int, "schedules": list},
    **{"settings": str, "log": str, "replays": list},
}
OWN = ("trainer", "elapsed", "random", "planner", "envs")  # what a replay has beside its rows
PARTS = ("cfg", "env", "agent", "buffer", "logger", "requests")  # of a trainer, which no replay has


class CheckpointError(ConfigError):
    """A checkpoint that was asked for is not there, is damaged, or does not fit."""

    def __init__(self, key, problem, valid=""):
        super().__init__(key, None, problem, valid)


class Finished(Exception):
    """resume=auto finds that nothing is left to do; its text says so."""


def replay_file(checkpoint, rank):
    """Where the replay of one rank is, beside a checkpoint."""
    return Path(checkpoint).with_suffix(".replay" if rank == 0 else f".rank{rank}.replay")


def step_of(path):
    """The environment step in a checkpoint's name, as in 10_000.pt; None for other names."""
    return int(path.stem) if re.fullmatch(r"[0-9]+(_[0-9]+)*", path.stem) else None


def numbered(folder):
    """The checkpoints in a folder that have their step for a name, the newest first."""
    found = {path: step for path in Path(folder).glob("*.pt") if (step := step_of(path)) is not None}
    return sorted(found, key=found.__getitem__, reverse=True)


# ------------------------------------------------------------- the point to go on


def resolved(cfg, say):
    """The settings with the checkpoint that `resume` stands for; read and checked, and nothing else is touched.

    `say` is called with what the user should know. Raises CheckpointError, and Finished where resume=auto leaves
    nothing to do.
    """
    if not cfg.resume:
        return cfg
    path, state = _chosen(cfg, say)
    if path is None:
        say(f"resume=auto: there is nothing to resume in {_folder(cfg)}; a new run begins")
        return dataclasses.replace(cfg, resume=False)
    changed = _changes(cfg, json.loads(state["settings"]))
    refused = [words for name, words in changed.items() if name in FIXED]
    if refused:
        problem = f"resume={shown(cfg.resume)}: {path} was written with other settings"
        raise CheckpointError(
            "resume", problem, f"to go on, give {', '.join(refused)}; or begin a run of another exp_name"
        )
    if state["step"] > cfg.steps:
        problem = f"{path} is at step {state['step']:,} already, beyond steps={cfg.steps:,}"
        if cfg.resume == "auto":
            raise Finished(f"{problem}: nothing is left to do")
        raise CheckpointError("resume", problem, f"steps= more than {state['step']:,}")
    say(f"going on from {path}, at step {state['step']:,}")
    if changed:
        say(f"settings that are new from here on: {', '.join(changed.values())}")
    return dataclasses.replace(cfg, checkpoint=str(path), resume=True)


def _folder(cfg):
    return Path(cfg.work_dir) / "checkpoints"


def _chosen(cfg, say):
    """The checkpoint to go on from, and what it holds; with resume=auto nothing where none is whole."""
    if cfg.checkpoint is not None:
        return Path(cfg.checkpoint), _whole(cfg.checkpoint, cfg)
    damaged = []
    for path in numbered(_folder(cfg)):
        try:
            state = _whole(path, cfg)
        except CheckpointError as error:
            damaged.append(error)
            continue
        if damaged and cfg.resume != "auto":
            raise CheckpointError(
                "resume", f"resume=true: {damaged[0].problem}", f"resume=auto, which goes on from {path}"
            )
        for error in damaged:
            say(f"passed over: {error.problem}")
        return path, state
    if cfg.resume == "auto":
        for error in damaged:
            say(f"passed over: {error.problem}")
        return None, None
    if damaged:
        raise CheckpointError("resume", f"resume=true: {damaged[0].problem}", damaged[0].valid)
    of = f"s of {cfg.world_size} processes" if cfg.world_size > 1 else ""
    raise CheckpointError(
        "resume",
        f"resume=true finds no checkpoint with its replay buffer{of} in {_folder(cfg)}",
        "a run made with save_buffer=true, under the same task, seed and exp_name",
    )


def _whole(path, cfg):
    """What a checkpoint holds, if it and all replays beside it are what was written. Raises CheckpointError."""
    alone = "start from it with checkpoint= alone"
    try:
        sealed = files.digest_of(path)
        state = load_safely(path)
    except OSError as error:
        raise CheckpointError("resume", f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CheckpointError("resume", str(error)) from error
    missing = _missing(state)
    if sealed is None or missing:
        lacks = f"no {missing}" if missing else "no digest"
        raise CheckpointError(
            "resume", f"{path} cannot be resumed: it has {lacks}", f"a run with save_buffer=true; or {alone}"
        )
    if state["world_size"] != cfg.world_size:
        raise CheckpointError(
            "resume",
            f"{path} was made by {state['world_size']} process(es), these are {cfg.world_size}",
            f"torchrun --nproc-per-node {state['world_size']}; or {alone}",
        )
    for rank, digest in enumerate(state["replays"]):
        _check_replay(replay_file(path, rank), digest)
    return state


def _missing(state):
    """The first part of a checkpoint that is not there, or is of another kind than this program writes; or None."""
    if not isinstance(state, dict):
        return next(iter(NEEDED))
    for name, kind in NEEDED.items():
        if not isinstance(state.get(name), kind):
            return f"{name} that can be used" if name in state else name
    for name, parts in (("settings", {}), ("log", {"rows": list, "timed": int})):
        try:
            found = json.loads(state[name])
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(found.get(part), kind) for part, kind in parts.items()):
            return f"{name} that can be used"
    return None if len(state["replays"]) == state["world_size"] else "digest of each replay"


def _check_replay(path, digest):
    try:
        found = files.digest_of(path)
    except FileNotFoundError:
        raise CheckpointError("resume", f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError("resume", f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CheckpointError("resume", str(error)) from error
    if found != digest:
        raise CheckpointError("resume", f"{path} is not the replay that was written with its checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # no rows are read
        Buffer.check_counts(state)
        if missing := [part for part in OWN if part not in state["extra"]]:
            raise ValueError(f"it has no {missing[0]}")
        if odd := [name for name in state["extra"]["trainer"] if name in PARTS]:
            raise ValueError(f"it has a trainer's {odd[0]}")
    except Exception as error:  # torch raises nearly anything for a file that is not its own
        problem = f"{path} cannot be resumed: {type(error).__name__}: {error}"
        raise CheckpointError("resume", problem, "the program that wrote it") from error


def _changes(cfg, before):
    """Settings that differ from those of the checkpoint, or from the default where it has none, each in words."""
    found = {}
    for name, field in settable(type(cfg)).items():
        value, earlier = cfg.get(name), before.get(name, field.default)
        if name not in FREE and value != earlier:
            kept = name in FIXED
            found[name] = f"{name}={shown(earlier)}" if kept else f"{name}={shown(value)} (it was {shown(earlier)})"
    return found


# ------------------------------------------------------- what it takes to go on


def own_progress(trainer):
    """All that this rank has beside weights and replay, in plain values and tensors of its own."""
    state = {
        "trainer": {name: _plain(value) for name, value in vars(trainer).items() if _is_plain(value)},
        "elapsed": time() - trainer._start_time,
        "random": _random_states(trainer.agent.device),
        "planner": trainer.agent._prev_mean,
        "envs": trainer.env.states() if trainer._envs_are_sound else None,
    }
    return copy.deepcopy(state)  # at once: tensors that are one stay one


def take_up(trainer, progress):
    """Put the trainer, its environments and the random streams where `own_progress` found them."""
    state = copy.deepcopy(progress)
    for name, value in state["trainer"].items():
        current = getattr(trainer, name, None)
        if isinstance(current, TensorDict):
            value = TensorDict(value, batch_size=current.batch_size)
        setattr(trainer, name, value)
    trainer._start_time = time() - state["elapsed"]
    trainer._envs_are_sound = True
    trainer.agent._prev_mean.copy_(state["planner"])
    if state["envs"] is None:  # they had failed: their streams go on elsewhere
        trainer._running = None
        trainer.env.reset(seed=trainer.cfg.seed + trainer._step + 1)
    else:
        trainer.env.restore(state["envs"])
    _set_random_states(state["random"], trainer.agent.device)


def _is_plain(value):
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values())) and all(isinstance(key, (str, int)) for key in value)
    return value is None or isinstance(value, (bool, int, float, str, torch.Tensor, TensorDict))


def _plain(value):
    """The same in types that may be loaded without running code."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (dict, TensorDict)):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _random_states(device):
    kind, keys, *rest = np.random.get_state()
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": (kind, keys.tolist(), *rest)}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_states(state, device):
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def running(state):
    """The running episodes as `train` left them: obs, done, lengths, returns and the metrics of this round."""
    *episodes, metrics = state
    return *episodes, defaultdict(list, metrics)
