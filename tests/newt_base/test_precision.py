"""Settings of precision: bf16 makes the networks' products and nothing else in bfloat16; tf32 is torch's own switch."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import pytest
import torch
from test_device import ONCE, STEPS, THOROUGH, agent_of, batch_on, step
from torch.utils._python_dispatch import TorchDispatchMode
from trees import tree

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "linear", "mv", "addmv"}
BASE, PATCHED = STEPS[2], STEPS[5]


class Products(TorchDispatchMode):
    """Notes what types matrices are multiplied in."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.split(".")[0] in PRODUCTS:
            self.types |= {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def lively(ids: tuple[str, ...], settings: dict[str, Any], **more: Any) -> Any:
    """An agent in whose losses every network counts; the noise of its next step is pinned."""
    agent = agent_of(ids, settings, **more)
    for parameter in agent.model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    agent.scale.value.fill_(3.0)
    torch.manual_seed(2)
    return agent


def losses(agent: Any) -> dict[str, torch.Tensor]:
    """Both losses on the same batch, with gradients; their metrics."""
    obs, action, mu, std, reward, task = batch_on("cpu", size=32)
    total, zs, info = agent.loss_fn(obs, action, reward, task)
    policy, _, more = agent.pi_loss(zs, action, mu, std, task[:1])
    (total + policy).backward()
    return {**info, **more}


@pytest.mark.parametrize(("ids", "settings"), STEPS)
def test_losses_and_gradients_are_near_those_of_float32(ids, settings):
    """bfloat16 has 8 bits, so a product is off by up to 0.4%; here losses by 2% and gradients by 5% at most."""
    exact, rounded = (lively(ids, settings, bf16=bf16) for bf16 in (False, True))
    torch.manual_seed(2)
    expected = losses(exact)
    torch.manual_seed(2)
    found = losses(rounded)
    assert {value.dtype for value in found.values()} == {torch.float32}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0.02, atol=0.02, msg=lambda text, n=name: f"{n}: {text}")
    gradients = dict(exact.model.named_parameters())
    for name, parameter in rounded.model.named_parameters():
        if (gradient := gradients[name].grad) is not None:
            assert (parameter.grad - gradient).norm() <= 0.05 * gradient.norm(), name


@pytest.mark.parametrize(("ids", "settings"), [BASE, PATCHED])
@pytest.mark.parametrize("bf16", [False, True])
def test_every_product_is_made_in_the_chosen_type(ids, settings, bf16):
    agent = lively(ids, settings, bf16=bf16)
    with Products() as products:
        step(agent, "cpu")
    assert products.types == {torch.bfloat16 if bf16 else torch.float32}


@pytest.mark.parametrize(("ids", "settings"), STEPS)
def test_what_is_kept_and_what_is_given_out_is_float32(ids, settings):
    agent = lively(ids, settings, bf16=True)
    metrics = step(agent, "cpu")
    acted = [
        agent(torch.randn(3, 3), torch.ones(3, dtype=torch.bool), 0, task=torch.tensor([0, 1, 1]), mpc=mpc)
        for mpc in (True, False)
    ]
    kept = [*agent.model.parameters(), agent.scale.value, agent._prev_mean]
    kept += [value for state in agent.optim.state.values() for value in state.values()]
    given = [*metrics.values(), *(part for parts in acted for part in parts)]
    assert {value.dtype for value in [*kept, *given]} == {torch.float32}
    assert all(value.isfinite().all() for value in given)


@pytest.mark.parametrize(("ids", "settings"), [BASE, PATCHED] if THOROUGH else [PATCHED])
def test_bf16_on_one_device_and_as_one_graph(ids, settings, monkeypatch):
    metrics = step(agent_of(ids, settings, bf16=True, device="meta"), "meta")
    assert {value.device.type for value in metrics.values()} == {"meta"}
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiler(function, backend="eager", fullgraph=True))
    torch._dynamo.reset()
    agent = lively(ids, settings, bf16=True, compile=True, **ONCE)
    assert all(value.isfinite().all() for value in step(agent, "cpu").values())


def test_a_device_without_bfloat16_is_named(monkeypatch):
    def refuse(kind, **_):
        raise RuntimeError(f"no bfloat16 on {kind}")

    monkeypatch.setattr(torch, "autocast", refuse)
    with pytest.raises(ValueError, match=r"bf16=true does not work on device cpu: no bfloat16 on cpu; use bf16=false"):
        agent_of((), {}, bf16=True)


@pytest.mark.parametrize(("setting", "precision"), [(True, "high"), (False, "highest")])
def test_tf32_is_set_before_anything_is_built(setting, precision, monkeypatch):
    train = import_module(f"{tree().name}.train")
    monkeypatch.setattr(train, "make_env", lambda *_, **__: sys.exit(3))
    before = torch.get_float32_matmul_precision()
    try:
        with pytest.raises(SystemExit):
            train.build(train.load_cfg(["task=cartpole-swingup", "preset=cpu", f"tf32={setting}", "threads=none"]))
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
