"""What a GPU asks of the step, without one: one device throughout, no waiting for it, and no choice by its values."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trees import PATCHES, make_cfg, tree

MODES = ("sac", "awac", "residual", "bc_sac", "bc")
# Patches, and the settings that say which losses the policy has.
STEPS = [
    *(pytest.param((), {"constrained_planning": mode}, id=f"base-{mode}") for mode in (0, 1, 2)),
    *(pytest.param(tuple(PATCHES), {"actor_mode": mode}, id=f"patched-{mode}") for mode in MODES),
]
COMPILED = ("base-2", "patched-residual")  # the others take a minute more
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
SEVERAL = {"num_q": 5, "task_dim": 4, "action_dim": 4, "action_dims": [2, 4], "discounts": [0.98, 0.99]}
TASKS = {"num_global_tasks": 2, "global_tasks": ["fake-task", "other-task"]}


ONCE = {"iterations": 1}  # of the planner: as many as there are would be unrolled into one graph, of copies


def agent_of(ids: tuple[str, ...], settings: dict[str, Any], **more: Any) -> Any:
    modules = tree(ids)
    cfg = make_cfg(modules, 3, [50, 40], **{**SEVERAL, **TASKS, **settings, **more})
    torch.manual_seed(0)
    return modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)


def batch_on(device: str, size: int = 6) -> tuple[torch.Tensor, ...]:
    """obs [4, B, 3], action, mu and std [3, B, 4], reward [3, B, 1], task [3, B]."""
    torch.manual_seed(1)
    action, mu, std = (torch.rand(3, size, 4) * 1.8 - 0.9 for _ in range(3))
    task = (torch.arange(size) % 2).int().expand(3, -1)
    batch = (torch.randn(4, size, 3), action, mu, std.abs() + 0.05, torch.rand(3, size, 1), task)
    return tuple(part.to(device) for part in batch)


def step(agent: Any, device: str) -> dict[str, torch.Tensor]:
    """Two updates, and two plans with every start that there is; the metrics of the last update."""
    batch = batch_on(device)
    buffer = SimpleNamespace(sample=lambda device: batch)
    metrics = [agent.update(buffer) for _ in range(2)][-1]
    obs, task = torch.randn(3, 3, device=device), torch.tensor([0, 1, 1], dtype=torch.int32, device=device)
    for first in (True, False):
        agent.plan(obs, torch.full((3,), first, device=device), step=5_000_000, eval_mode=False, task=task)
    return metrics


@pytest.mark.parametrize(("ids", "settings"), STEPS)
def test_the_whole_step_stays_on_one_device_and_waits_for_nothing(ids, settings):
    """On the meta device torch refuses nearly every mix of devices, and every synchronisation with the host."""
    metrics = step(agent_of(ids, settings, device="meta"), "meta")
    assert {value.device.type for value in metrics.values()} == {"meta"}


@pytest.mark.parametrize("ids", [(), tuple(PATCHES)], ids=["base", "patched"])
def test_cloning_demonstrations_does_so_too(ids):
    agent = agent_of(ids, {}, device="meta")
    agent.maxq_pi = False
    metrics = step(agent, "meta")
    assert metrics["bc_loss"].device.type == "meta"


def test_a_step_that_waits_is_found():
    agent = agent_of((), {}, device="meta")
    descend = agent._descend
    agent._descend = lambda loss, *rest: (loss.item(), descend(loss, *rest))[1]
    with pytest.raises((RuntimeError, NotImplementedError), match=r"meta|item"):
        step(agent, "meta")


@pytest.mark.parametrize(("ids", "settings"), STEPS if THOROUGH else [one for one in STEPS if one.id in COMPILED])
def test_planner_and_losses_are_one_graph_each(ids, settings, monkeypatch):
    """Compiled without a break, and with the results of eager code where nothing is drawn."""
    compiler, compiled = torch.compile, []

    def whole(function: Any, **_: Any) -> Any:
        compiled.append(function.__name__)
        return compiler(function, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", whole)
    torch._dynamo.reset()
    metrics = step(agent_of(ids, settings, compile=True, **ONCE), "cpu")
    assert {"_loss_fn", "_mppi", "_pi_loss", "_sample_pi_trajs", "_forward_impl"} <= set(compiled)
    assert all(value.isfinite().all() for value in metrics.values())


def test_networks_chosen_on_the_device_answer_as_those_chosen_on_the_host():
    ensemble = agent_of((), {}).model._Qs
    for parameter in ensemble.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(7, 16 + 4 + 4)
    everything, chosen = ensemble(x), ensemble(x, drawn=[3, 1])
    assert torch.equal(chosen, everything[[3, 1]])
    gathered = ensemble(x, drawn=torch.tensor([3, 1]))
    assert torch.allclose(gathered, chosen, rtol=1e-5, atol=1e-6)
