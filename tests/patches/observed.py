"""A specimen with patches at work: a run of its trainer, an update of its agent, and what was stored and handed on.

Fifty environments with episodes of 8 steps meet newt's threshold, 5 * 50 * 8 = 2,000 steps, and the reference's,
max(1000, 5 * 8) = 1,000, exactly; the latter in the middle of an episode.
"""

from __future__ import annotations

import math
import random
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from specimens import Run, known_settings, load, make_agent, make_cfg, patched, texts

H, ENVS, LENGTH = 3, 50, 8
LENGTHS = [LENGTH] * ENVS
END = 2450  # one round past newt's threshold, and a step
WIDE = math.exp(2.0)
STATS = ("mu", "std")


@dataclass(frozen=True)
class Tree:
    """A specimen with patches."""

    name: str
    ids: frozenset[str] = frozenset()

    @property
    def modules(self) -> SimpleNamespace:
        return load(self.name, self.ids)

    @property
    def changed(self) -> bool:
        """Whether the patches change anything."""
        return patched(self.name, self.ids) != texts(self.name)

    def settings(self, **wanted: Any) -> dict[str, Any]:
        """Those of the settings wanted that the tree has."""
        return known_settings(self.modules, **wanted)


@cache
def usual_run(tree: Tree) -> Run:
    """A run with the default settings, and what the planner picked in each of its iterations."""
    run = Run(tree.modules, LENGTHS, steps=END)
    mppi, run.picked = run.agent.mppi, {}

    def note(*args: Any, **kwargs: Any) -> Any:
        out = mppi(*args, **kwargs)
        run.picked[run.trainer._step // ENVS] = out[0], out[2]
        return out

    run.agent.mppi = note
    return run.train()


def planned_rows(run: Run) -> Any:
    """A buffer with the last round of episodes, in which the planner acted."""
    buffer = run.modules.buffer.Buffer(batch_size=8, horizon=H)
    buffer._buffer.episodes.extend(run.episodes[-ENVS:])
    return buffer


def pinned() -> ExitStack:
    """The same policy noise and the same two Q networks in every draw."""
    stack = ExitStack()
    stack.enter_context(patch.object(torch, "randn_like", lambda x, **_: noise(x.shape)))
    stack.enter_context(patch.object(torch, "randperm", lambda n, **_: torch.arange(n)))
    return stack


def noise(shape: Any) -> torch.Tensor:
    """What stands in for standard normal numbers."""
    return torch.linspace(-1, 1, math.prod(shape)).view(shape)


def stored(run: Run) -> dict[float, dict[str, torch.Tensor]]:
    """Stored transitions by their rewards; statistics that are not there count as wide around the action."""
    rows = {}
    for row in (row for rows in run.episodes for row in rows if not row["reward"].isnan()):
        values = {name: row[name] if name in row.keys() else torch.full_like(row["action"], math.nan) for name in STATS}  # noqa: SIM118
        fallback = {"mu": row["action"], "std": torch.full_like(row["action"], WIDE)}
        rows[float(row["reward"])] = {
            "action": row["action"],
            **{name: torch.where(value.isnan(), fallback[name], value) for name, value in values.items()},
        }
    return rows


@dataclass
class Update:
    """One real update: what was sampled, what reached the policy's update, and the metrics."""

    batch: tuple[torch.Tensor, ...]
    arguments: tuple[Any, ...]
    metrics: Any

    @property
    def reward(self) -> torch.Tensor:
        (reward,) = (x for x in self.batch if x.ndim == 3 and x.shape[-1] == 1)
        return reward

    def expected(self, rows: dict[float, dict[str, torch.Tensor]], name: str) -> torch.Tensor:
        """What was stored with the transitions of the batch, [H, B, A]."""
        return torch.stack([torch.stack([rows[float(r)][name] for r in step]) for step in self.reward.flatten(1)])


def update(agent: Any, buffer: Any) -> Update:
    """Have an agent make one update on a buffer; which rows are drawn depends on nothing but the buffer."""
    seen: dict[str, Any] = {}
    sample, update_pi = buffer.sample, agent.update_pi

    def note_batch(*args: Any, **kwargs: Any) -> Any:
        seen["batch"] = sample(*args, **kwargs)
        return seen["batch"]

    def note_arguments(*args: Any, **kwargs: Any) -> Any:
        seen["arguments"] = (*args, *kwargs.values())
        return update_pi(*args, **kwargs)

    random.seed(1)
    with patch.object(buffer, "sample", note_batch), patch.object(agent, "update_pi", note_arguments), pinned():
        metrics = agent.update(buffer)
    return Update(seen["batch"], seen["arguments"], metrics)


def ensemble_of(tree: Tree, **settings: Any) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    cfg = make_cfg(tree.modules, LENGTHS, **tree.settings(**settings))
    return tree.modules.layers.QOnlineTargetEnsemble(cfg), torch.randn(H, 8, cfg.latent_dim + cfg.action_dim)


def policy_update(tree: Tree, **settings: Any) -> Update:
    """An update on stored rows in which no weights move, with a Q scale of 3."""
    cfg = make_cfg(tree.modules, LENGTHS, lr=0.0, **tree.settings(dropout=0.0), **settings)
    agent = make_agent(tree.modules, cfg)
    agent.scale.value.fill_(3.0)
    return update(agent, planned_rows(usual_run(tree)))
