"""How many kernels an update and a plan launch on a GPU: operations on the meta device, views left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .cases import STEP, Case, Fixed
from .figures import Figure
from .timing import Effort, Spread
from .trees import ALL, NONE, tree

KINDS = {"newt_base": NONE, "with q-ensemble": frozenset(["q-ensemble"]), "patched": ALL}


class Counted(TorchDispatchMode):
    """Counts operations that write memory. One on a list of tensors, such as a fused optimiser's, counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += not (func.is_view or func.namespace == "prim" or "empty" in str(func))
        return func(*args, **(kwargs or {}))


def kernels(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Kernels of one update and one plan of eager code, at size B."""
    made = {name: calls(ids) for name, ids in KINDS.items()}
    for what in ("update", "plan"):
        for name, steps in made.items():
            yield Figure("kernels", f"{what}: {name}", "kernels", Spread.of([count(steps[what])]), 1)


def count(call: Callable[[], object]) -> int:
    """Operations in one call, once it has been called: what is made once isn't counted."""
    call()
    with Counted() as counted:
        call()
    return counted.number


def calls(ids: frozenset[str], size: str = "B") -> dict[str, Callable[[], object]]:
    """An update and a plan of an agent with patches, on the meta device: shapes without numbers."""
    case = Case(size, envs=1)
    cfg = case.cfg(ids)
    device, cfg.device = cfg.device, "meta"
    try:
        agent = tree(ids).tdmpc2.TDMPC2(tree(ids).world_model.WorldModel(cfg), cfg)
    finally:
        cfg.device = device
    batch = tuple(part.to("meta") for part in Fixed(case.cfg()).sample())
    obs = torch.zeros(1, cfg.obs_shape["state"][0], device="meta")
    t0, task = torch.zeros(1, dtype=torch.bool, device="meta"), torch.zeros(1, dtype=torch.int32, device="meta")
    return {
        "update": lambda: agent.update(SimpleNamespace(sample=lambda device: batch)),
        "plan": lambda: agent.plan(obs, t0=t0, step=STEP, eval_mode=False, task=task),
    }
