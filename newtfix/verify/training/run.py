"""Has a tree trained in a process of its own, and says whether what its updates did is what training should do."""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from newtfix.files.tree import Tree
from newtfix.newt.roles import find_roles
from newtfix.running import importable
from newtfix.verify.launch import Limits, Process, job_of, lines_of

_PRIOR = "pi_prior_loss"  # newt's name, which the patches keep


@dataclass(frozen=True)
class Practice:
    """What a tree is trained on, and how long: `settings` are the tree's own.

    `padding` action dimensions are added that the task does not have, as newt pads. N environments with episodes of
    `length` steps train to step `steps`; `seconds` is how long they may take.
    """

    task: str = "Pendulum-v1"
    num_envs: int = 8
    length: int = 30
    steps: int = 1_600
    padding: int = 2
    reward_scale: float = 10.0
    seed: int = 1
    seconds: float = 600.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def own_settings(self) -> dict[str, Any]:
        """What the tree is configured with: it evaluates, all that it can, in the beginning and when it has learned."""
        every = self.num_envs * self.length
        often = {"eval_freq": 5 * every, "save_freq": 10**9, "eval_episodes": 1, "eval_pi": True, "eval_value": True}
        fast = {"utd": 0.5, "burst_updates": 100, "seeding_coef": 5, "tau": 0.1, "lr": 1e-3}
        return {**often, **fast, **self.settings}


@dataclass(frozen=True)
class Updated:
    """One update: the trainer's step, the running scale before and after it, and its metrics."""

    step: int
    scale: tuple[float | None, float | None]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Check:
    """Something that training should do, and what it did."""

    what: str
    good: bool
    seen: str


@dataclass(frozen=True)
class Trained:
    """What a training run came to: `error` is empty if it reached its end, `notes` say what was replaced."""

    practice: Practice
    updates: tuple[Updated, ...]
    end: Mapping[str, Any]
    error: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def checks(self) -> tuple[Check, ...]:
        """All of what is asked of a run that reached its end."""
        if self.error:
            return (Check("runs", False, self.error),)
        return (
            Check("runs", True, f"to step {self.end['step']:,}, {len(self.end['evaluations'])} evaluations"),
            _finite(self),
            _counted(self),
            _scale(self),
            *_prior(self),
        )

    @property
    def good(self) -> bool:
        return all(check.good for check in self.checks)


def train(tree: Tree, practice: Practice) -> Trained:
    """Train a tree once; it is best a copy. Raises TreeError if there is no newt-style tree."""
    roles = find_roles(tree.sources)
    limits = Limits(probe=practice.seconds, total=practice.seconds)
    begun = time.monotonic()
    text = "\n".join(tree.sources[found.file] for found in roles.values())
    with importable(tree.root, text) as found, tempfile.TemporaryDirectory(prefix="newtfix-train-") as name:
        folder = Path(name)
        job = {**job_of(tree, roles, found, limits), **_asked(practice)}
        (folder / "job.json").write_text(dumps(job), "utf-8")
        ended = Process(folder, found, "newtfix.verify.training.worker").run(limits, begun + practice.seconds)
        lines = lines_of(folder / "seen.jsonl")
    end = next((line for line in lines if "end" in line), {})
    updates = tuple(Updated(one["step"], tuple(one["scale"]), one["metrics"]) for one in lines if "step" in one)
    error = end.get("end", {}).get("error", "") or ("" if end else ended or "it ended without a word")
    took = time.monotonic() - begun
    return Trained(practice, updates, end.get("end", {}), error, tuple(end.get("notes", ())), took)


def _asked(practice: Practice) -> dict[str, Any]:
    names = ("task", "num_envs", "length", "steps", "padding", "reward_scale", "seed")
    return {**{name: getattr(practice, name) for name in names}, "settings": practice.own_settings()}


# --- what training should do ------------------------------------------------------------------------------------------


def _finite(trained: Trained) -> Check:
    names = {name for one in trained.updates for name, value in one.metrics.items() if not math.isfinite(value)}
    bad = sorted(names | set(trained.end["not_finite"]))
    losses = sorted({name for one in trained.updates for name in one.metrics if name.endswith("loss")})
    return Check("losses finite", bool(losses) and not bad, f"not: {', '.join(bad)}" if bad else ", ".join(losses))


def _counted(trained: Trained) -> Check:
    """One burst at most, and tokens from then on to the end: N W utd of them an iteration."""
    count = Counter(one.step for one in trained.updates)
    if not count:
        return Check("updates counted", False, "none")
    settings = trained.end["settings"]
    stride = int(settings["num_envs"]) * int(settings.get("world_size", 1))
    tokens = stride * float(settings["utd"])
    first = min(count)
    at_once = count[first]
    due = at_once + (trained.end["step"] - first) // stride * tokens
    seen = f"{len(trained.updates):,}, the first {at_once:,} at step {first:,}"
    return Check("updates counted", abs(len(trained.updates) - due) <= 1, seen)


def _scale(trained: Trained) -> Check:
    values = [one.scale[1] for one in trained.updates if one.scale[1] is not None]
    if not values:
        return Check("scale moves", False, "there is none")
    return Check("scale moves", max(values) - min(values) > 0.5, f"{values[0]:.2f} to {values[-1]:.2f}")


def _prior(trained: Trained) -> Sequence[Check]:
    """Where the tree has a threshold: 0 below, not above, both seen; a tree without actor modes may do otherwise."""
    settings = trained.end["settings"]
    threshold, mode = settings.get("scale_threshold"), settings.get("actor_mode")
    known = [one for one in trained.updates if _PRIOR in one.metrics and one.scale[0] is not None]
    if threshold is None or not known or mode not in (None, "residual"):
        return ()
    below = [one.metrics[_PRIOR] for one in known if max(_both(one)) <= threshold]
    above = [one.metrics[_PRIOR] for one in known if min(_both(one)) > threshold]
    good = bool(below) and bool(above) and not any(below) and all(above)
    seen = f"on in {_share(below)} up to {threshold:g}, in {_share(above)} above"
    return (Check("prior", good or mode is None, seen),)


def _both(one: Updated) -> tuple[float, float]:
    return float(one.scale[0] or 0), float(one.scale[1] or 0)


def _share(values: Sequence[float]) -> str:
    return f"{sum(value != 0 for value in values)} of {len(values)}"
