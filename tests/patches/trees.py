"""newt_base with any set of patches, imported under a name of its own; and fakes to run its trainer with."""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from newtfix.plan.engine import plan
from newtfix.work.load import load_patches

ROOT = Path(__file__).parents[2]
PATCHES = load_patches([ROOT / "patches"])
_WORK = tempfile.TemporaryDirectory(prefix="newtfix-trees-")
sys.path.insert(0, _WORK.name)


@cache
def sources() -> dict[str, str]:
    base = ROOT / "newt_base"
    return {p.relative_to(base).as_posix(): p.read_bytes().decode() for p in sorted(base.rglob("*.py"))}


@cache
def patched(ids: frozenset[str]) -> dict[str, str]:
    """The text of every file of newt_base with these patches."""
    return {**sources(), **plan(sources(), ids, PATCHES).after}


@cache
def _package(ids: frozenset[str]) -> str:
    name = f"tree_{abs(hash(ids)):x}"
    for file, text in patched(ids).items():
        path = Path(_WORK.name, name, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return name


def tree(ids: Iterable[str] = ()) -> SimpleNamespace:
    """The modules of newt_base with these patches."""
    name = _package(frozenset(ids))
    modules = {
        module.rpartition(".")[2]: importlib.import_module(f"{name}.{module}")
        for module in (
            "trainer",
            "tdmpc2",
            "config",
            "common.buffer",
            "common.world_model",
            "common.math",
            "common.layers",
            "common.demos",
        )
    }
    return SimpleNamespace(name=name, **modules)


def import_text(file: str, text: str) -> Any:
    """A module of newt_base with another text, imported beside the others."""
    package = Path(_WORK.name, _package(frozenset()))
    path = package / file
    name = f"{path.stem}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    path.with_stem(name).write_bytes(text.encode())
    return importlib.import_module(".".join([package.name, *Path(file).with_stem(name).with_suffix("").parts]))


def make_cfg(tree: SimpleNamespace, num_envs: int, lengths: list[int], **settings: Any) -> Any:
    """Settings of a small agent (2 actions, 3 observations), as parse_cfg leaves them, without an environment."""
    cfg = tree.config.Config()
    small = dict(  # noqa: C408
        task="fake-task", num_envs=num_envs, device="cpu", batch_size=8, horizon=3, iterations=2, num_samples=16,
        num_elites=4, num_pi_trajs=4, num_enc_layers=2, enc_dim=16, mlp_dim=16, latent_dim=16, task_dim=0, num_q=2,
        obs_shape={"state": (3,)}, action_dim=2, action_dims=[2], tasks=["fake-task"], global_tasks=["fake-task"],
        num_tasks=1, num_global_tasks=1, episode_length=max(lengths), episode_lengths=lengths, discounts=[0.98],
        bin_size=0.2, rank=0, world_size=1, eval_freq=10**9, save_freq=10**9, eval_episodes=1,
    )  # fmt: skip
    for name, value in {**small, **settings}.items():
        setattr(cfg, name, value)
    return cfg


class FakeEnv:
    """N episodes side by side, of fixed lengths; every reward is a number that occurs once.

    Observations are (environment, episode of that environment, steps into the episode).
    """

    def __init__(self, lengths: list[int], action_dim: int = 2) -> None:
        self.lengths, self.action_dim = torch.tensor(lengths), action_dim
        self.num_envs, self.max_episode_steps = len(lengths), max(lengths)
        self.episode = torch.zeros(self.num_envs)
        self.t = torch.zeros(self.num_envs)
        self.transitions = 0
        self.actions: list[torch.Tensor] = []

    def _obs(self) -> torch.Tensor:
        return torch.stack([torch.arange(self.num_envs).float(), self.episode, self.t], dim=1)

    def rand_act(self) -> torch.Tensor:
        return torch.rand(self.num_envs, self.action_dim) * 2 - 1

    def reset(self) -> tuple[torch.Tensor, dict[str, Any]]:
        self.episode += 1
        self.t.zero_()
        return self._obs(), {}

    def step(self, action: torch.Tensor) -> tuple[Any, ...]:
        self.actions.append(action.clone())
        self.t += 1
        reward = torch.arange(self.transitions, self.transitions + self.num_envs).float()
        self.transitions += self.num_envs
        truncated = self.t >= self.lengths
        info: dict[str, Any] = {}
        if truncated.any():
            info["final_observation"] = self._obs()[truncated]
            info["final_info"] = {name: torch.zeros(self.num_envs) for name in ("success", "score")}
            self.episode += truncated
            self.t[truncated] = 0
        return self._obs(), reward, torch.zeros_like(truncated), truncated, info


class CountingAgent:
    """Acts with a constant and notes when it is asked to act and to update, and what the buffer held then."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.acted_at: list[int] = []
        self.updated_at: list[int] = []
        self.stored_at_first_update: list[float] | None = None

    def __call__(self, obs: torch.Tensor, **_: Any) -> tuple[torch.Tensor, ...]:
        self.acted_at.append(self.trainer._step)
        action = torch.full((len(obs), 2), 0.5)
        return action, action / 2, action / 4

    def update(self, buffer: Any) -> dict[str, torch.Tensor]:
        if self.stored_at_first_update is None:
            self.stored_at_first_update = stored_rewards(buffer)
            buffer.sample("cpu")
        self.updated_at.append(self.trainer._step)
        return {"total_loss": torch.tensor(1.0)}


class SilentLogger:
    """Keeps nothing but the log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def log(self, metrics: dict[str, Any], category: str) -> None:
        self.lines.append((category, dict(metrics)))

    def save_agent(self, *_: Any, **__: Any) -> None: ...

    def finish(self, *_: Any) -> None: ...


def stored_rewards(buffer: Any) -> list[float]:
    """The rewards of all transitions in a buffer, in the order they were stored."""
    rewards = buffer._storage["reward"][: len(buffer)]
    return [float(r) for r in rewards if not r.isnan()]


def make_trainer(
    ids: Iterable[str],
    lengths: list[int],
    steps: int,
    agent: Any = None,
    capacity: int = 50_000,
    evaluate: bool = False,
    **settings: Any,
) -> Any:
    """The real trainer and buffer of a patched tree around a fake environment and (unless given) a counting agent.

    With `evaluate`, what `eval-modes` adds to an evaluation is run.
    """
    modules = tree(ids)
    cfg = make_cfg(modules, len(lengths), lengths, steps=steps, **settings)
    agent = agent(modules, cfg) if agent else CountingAgent()
    buffer = modules.buffer.Buffer(capacity=capacity, batch_size=8, horizon=cfg.horizon)
    trainer = modules.trainer.Trainer(cfg, FakeEnv(lengths), agent, buffer, SilentLogger())
    agent.trainer = trainer
    trainer.eval = dict  # an evaluation would only move the fake environment on
    if hasattr(trainer, "eval_policy") and not evaluate:
        trainer.eval_policy = dict
    return trainer
