"""Runs in a process of its own: trains a tree on a task and writes down what every update did.

`python -m newtfix.verify.training.worker FOLDER`: reads FOLDER/job.json, appends to FOLDER/seen.jsonl.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.verify.fakes import Log
from newtfix.verify.libraries import replaced
from newtfix.verify.runs import Clock
from newtfix.verify.subject import Subject, seed, words
from newtfix.verify.training.tasks import Tasks, UnknownTask, single, sizes
from newtfix.verify.worker import Diary
from newtfix.verify.world import without_cuda

# Small networks and plans that learn something within a few hundred updates.
_SMALL: Mapping[str, Any] = {
    "batch_size": 64,
    "iterations": 1,
    "num_samples": 24,
    "num_elites": 8,
    "num_pi_trajs": 4,
    "enc_dim": 32,
    "mlp_dim": 32,
    "latent_dim": 32,
    "simnorm_dim": 8,
    "num_q": 3,
    "num_bins": 101,
    "bin_size": 0.2,
    "dropout": 0.01,
    "buffer_size": 50_000,
}
_TOLD = ("num_envs", "world_size", "utd", "scale_threshold", "actor_mode")


def main(folder: Path) -> None:
    """Do the job in `folder`: train once."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    say = Diary(folder / "seen.jsonl")
    torch.set_num_threads(1)
    say(begun=True)
    root = Path(job["root"])
    with without_cuda():
        try:
            subject = Subject(root, job["modules"], job["classes"], job["files"], job["sources"])
            say(end=_train(subject, job, say), notes=replaced(subject.libraries.places))
        except (Unobservable, UnknownTask) as problem:
            say(end={"error": str(problem)})
        except (Exception, SystemExit) as problem:
            import traceback

            traceback.print_exc()
            say(end={"error": words(problem, root)})


def _train(subject: Subject, job: Mapping[str, Any], say: Diary) -> dict[str, Any]:
    lengths, settings = [int(job["length"])] * int(job["num_envs"]), job["settings"]
    seed(int(job["seed"]))
    envs = [single(job["task"], int(job["seed"]) + i) for i in range(len(lengths))]
    size = sizes(envs[0], int(job["padding"]))
    env = Tasks(envs, max(lengths), size.width, float(job["reward_scale"]))
    widths = {
        "obs_dim": size.obs,
        "obs_shape": {"state": (size.obs,)},
        "obs_shapes": [(size.obs,)] * len(lengths),
        "action_dim": size.width,
        "action_dims": [size.action] * len(lengths),
        "steps": int(job["steps"]),
    }
    cfg = subject.config(lengths, **{**_SMALL, **widths, **settings})
    clock, log = Clock(), Log()
    agent = subject.agent(cfg, {"update": _telling(subject.cls("agent").update, clock, say)})
    trainer = subject.trainer({}, cfg=cfg, env=env, agent=agent, buffer=subject.buffer(cfg), logger=log)
    clock.trainer = trainer
    trainer.train()
    broken = [name for name, one in agent.model.state_dict().items() if not torch.as_tensor(one).isfinite().all()]
    return {
        "step": clock(),
        "not_finite": broken,
        "settings": {name: getattr(cfg, name) for name in _TOLD if hasattr(cfg, name)},
        "evaluations": [_numbers(line) for category, line in log.lines if category == "eval"],
    }


def _telling(update: Callable[..., Any], clock: Clock, say: Diary) -> Callable[..., Any]:
    """`update` that tells the trainer's step, the running scale before and after, and the metrics."""

    @functools.wraps(update)
    def call(agent: Any, *args: Any, **kwargs: Any) -> Any:
        before = _scale(agent)
        metrics = update(agent, *args, **kwargs)
        say(step=clock(), scale=[before, _scale(agent)], metrics=_numbers(metrics))
        return metrics

    return call


def _scale(agent: Any) -> float | None:
    value = getattr(getattr(agent, "scale", None), "value", None)
    return None if value is None else float(torch.as_tensor(value).float().mean())


def _numbers(metrics: Any) -> dict[str, float]:
    """What is a number, or the mean of some; what is not finite stays what it is: NaN, Infinity."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, (int, float, Tensor)):
            found[str(name)] = float(torch.as_tensor(value).float().mean())
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
