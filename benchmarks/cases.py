"""What the trainer is measured on: agents of several sizes for humanoid-walk, and the calls that contestants make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from newt_base.common.buffer import Buffer

from .episodes import episode
from .plain import Plain
from .trees import ALL, NONE, tree

# The cpu preset trains with one thread; "small" is T with as many Q networks as the large sizes have.
SIZES = {
    "cpu": ("preset=cpu",),
    "small": ("model_size=T", "num_q=5"),
    "S": ("model_size=S",),
    "B": ("model_size=B",),
    "L": ("model_size=L",),
}
THREADS = {"cpu": 1}
STEP = 3_000_000  # environment steps so far: the planner mixes its start with the policy's


@dataclass(frozen=True)
class Case:
    """An agent of one size, for `envs` environments; `samples` and `iterations` None: the size's own settings."""

    size: str
    batch: int = 256
    envs: int = 1
    samples: int | None = 512
    iterations: int | None = 6
    compiled: bool = False
    task: str = "humanoid-walk"

    def cfg(self, ids: frozenset[str] = NONE) -> Any:
        """Settings of newt_base with these patches."""
        return _cfg(self, ids)

    @property
    def threads(self) -> int | None:
        return THREADS.get(self.size)


@cache
def _cfg(case: Case, ids: frozenset[str]) -> Any:
    settings = [
        f"task={case.task}",
        *SIZES[case.size],
        "device=cpu",
        "env_mode=sync",
        f"compile={str(case.compiled).lower()}",
        f"batch_size={case.batch}",
        f"num_envs={case.envs}",
    ]
    if case.samples is not None:
        elites, proposed = max(1, case.samples // 8), max(2, case.samples * 24 // 512)
        settings += [f"num_samples={case.samples}", f"num_elites={elites}", f"num_pi_trajs={proposed}"]
    if case.iterations is not None:
        settings.append(f"iterations={case.iterations}")
    config = tree(ids).config
    return config.parse_cfg(config.load_cfg(settings))


class Fixed:
    """A buffer that gives the same batch every time, so that sampling is not part of what is measured."""

    def __init__(self, cfg: Any) -> None:
        buffer = Buffer(capacity=4096, batch_size=cfg.batch_size, horizon=cfg.horizon, device="cpu")
        for seed in range(8):
            buffer.add(episode(cfg.obs_shape["state"][0], cfg.action_dim, rows=256, seed=seed))
        torch.manual_seed(0)
        self._batch = buffer.sample(torch.device("cpu"))

    def sample(self, device: Any = None, batch_size: int | None = None) -> tuple[torch.Tensor, ...]:
        return self._batch


def make_agent(cfg: Any, ids: frozenset[str] = NONE) -> Any:
    """An agent of newt_base with patches; rewards and values differ from state to state, unlike a fresh one's."""
    torch.manual_seed(0)
    agent = tree(ids).tdmpc2.TDMPC2(tree(ids).world_model.WorldModel(cfg), cfg)
    weights = agent.model.state_dict()
    for name, value in weights.items():
        if name.endswith("weight") and not value.any():
            weights[name] = 0.05 * torch.randn_like(value)
    for name in [name for name in weights if "_Qs.target." in name]:
        weights[name] = weights[name.replace("_Qs.target.", "_Qs.online.")]
    agent.model.load_state_dict(weights)
    agent.scale.value.fill_(4.0)  # above the threshold from which the prior term counts
    return agent


def agents(case: Case) -> dict[str, Any]:
    """The agents of the patched tree, of newt_base, and the plain one, with the same weights."""
    base = make_agent(case.cfg())
    return {"patched": make_agent(case.cfg(ALL), ALL), "newt_base": base, "plain": Plain(base)}


def update_call(agent: Any, buffer: Any) -> Callable[[], object]:
    """One update."""
    return lambda: agent.update(buffer)


def plan_call(agent: Any) -> Callable[[], object]:
    """One plan for all environments, in the middle of their episodes."""
    cfg = agent.cfg
    obs = torch.randn(cfg.num_envs, cfg.obs_shape["state"][0], generator=torch.Generator().manual_seed(0))
    t0 = torch.zeros(cfg.num_envs, dtype=torch.bool)
    task = torch.zeros(cfg.num_envs, dtype=torch.int32)
    return lambda: agent.plan(obs, t0=t0, step=STEP, eval_mode=False, task=task)
