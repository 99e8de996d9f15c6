"""Runs in a process of its own: a tree's own training on a CPU, where it needs CUDA otherwise.

`python -m newtfix.ablate.practice JOB METRICS key=value ...`: JOB says where the tree's classes are; METRICS gets a
line for everything that the trainer tells its logger. Settings are the tree's own; `task` is one of dm_control or
Gymnasium, `episode_length` may be given too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from newtfix.ablate.shim import plain
from newtfix.model import Unobservable
from newtfix.verify.fakes import Log
from newtfix.verify.subject import Subject, seed
from newtfix.verify.training.tasks import Tasks, UnknownTask, single, sizes
from newtfix.verify.world import without_cuda

# A small agent and a short run, as newt_base's preset `cpu`.
SMALL: Mapping[str, Any] = {
    "steps": 6_000,
    "num_envs": 4,
    "episode_length": 250,
    "eval_freq": 2_000,
    "eval_episodes": 1,
    "batch_size": 128,
    "utd": 0.5,
    "buffer_size": 100_000,
    "iterations": 4,
    "num_samples": 64,
    "num_elites": 8,
    "num_pi_trajs": 8,
    "num_enc_layers": 2,
    "enc_dim": 128,
    "mlp_dim": 128,
    "latent_dim": 64,
    "simnorm_dim": 8,
    "num_q": 5,
    "num_bins": 101,
    "bin_size": 0.2,
}


class Told(Log):
    """A logger that writes down what it is told."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def log(self, metrics: Any, category: str = "train", *args: Any, **kwargs: Any) -> None:
        # Clocks differ between runs that are the same.
        told = {name: one for name, one in plain(metrics).items() if not name.endswith(("_time", "_per_second"))}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"category": category, **told}) + "\n")


def main(job: str, metrics: str, *arguments: str) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    settings = {**SMALL, **dict(map(setting, arguments))}
    known = json.loads(Path(job).read_text("utf-8"))
    with without_cuda():
        try:
            subject = Subject(
                Path(known["root"]), *(known[name] for name in ("modules", "classes", "files", "sources"))
            )
            _train(subject, settings, Path(metrics))
        except (Unobservable, UnknownTask) as problem:
            sys.exit(f"Error: {problem}")


def setting(text: str) -> tuple[str, Any]:
    """A setting with its value as a number, a truth value or nothing where it looks like one."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads({"none": "null"}.get(value.lower(), value.lower()))
    except ValueError:
        return name, value


def _train(subject: Subject, settings: Mapping[str, Any], metrics: Path) -> None:
    number, length, count = (int(settings[name]) for name in ("seed", "episode_length", "num_envs"))
    seed(number)
    envs = [single(str(settings["task"]), 1_000 * number + i) for i in range(count)]
    size = sizes(envs[0], 0)
    given = {
        **{name: value for name, value in settings.items() if name not in ("task", "num_envs", "episode_length")},
        "steps": int(settings["steps"]),
        "obs_dim": size.obs,
        "obs_shape": {"state": (size.obs,)},
        "obs_shapes": [(size.obs,)] * count,
        "action_dim": size.action,
        "action_dims": [size.action] * count,
        "discounts": [_discount(subject.default_config(), length)] * count,
    }
    cfg = subject.config([length] * count, **given)
    env = Tasks(envs, length, size.width, 1.0)
    trainer = subject.trainer(
        {}, cfg=cfg, env=env, agent=subject.agent(cfg), buffer=subject.buffer(cfg), logger=Told(metrics)
    )
    trainer.train()


def _discount(cfg: Any, length: int) -> float:
    """newt's heuristic, with the tree's own bounds."""
    fraction = length / float(getattr(cfg, "discount_denom", 5))
    low, high = float(getattr(cfg, "discount_min", 0.95)), float(getattr(cfg, "discount_max", 0.995))
    return min(max((fraction - 1) / fraction, low), high)


if __name__ == "__main__":
    main(*sys.argv[1:])
