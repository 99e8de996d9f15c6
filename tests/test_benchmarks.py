"""The benchmarks measure what they say: plain computes what newt_base computes, and a run writes what it found."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from trees import make_cfg

import newt_base.config
from benchmarks import kernels, study
from benchmarks.__main__ import GROUPS, main
from benchmarks.cases import make_agent
from benchmarks.plain import Plain
from benchmarks.timing import Effort, Spread, Times, alternate

TASK = torch.zeros(2, dtype=torch.int32)


class Drawn(TorchFunctionMode):
    """Noise that depends on the last two dimensions of a draw alone, and always the same permutation."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        drawn = func(*args, **(kwargs or {}))
        if func in (torch.randn, torch.randn_like):
            last = drawn.shape[-2:]
            generator = torch.Generator().manual_seed(sum(last))
            return torch.randn(last, generator=generator).expand(drawn.shape).clone()
        if func is torch.randperm:
            return drawn.sort().values.roll(1)
        return torch.ones_like(drawn) if func is torch.Tensor.exponential_ else drawn


class Fixed:
    def __init__(self, cfg, size=8):
        torch.manual_seed(1)
        A, H = cfg.action_dim, cfg.horizon
        obs, reward = torch.randn(H + 1, size, 3), 3 * torch.randn(H, size, 1)
        action, mu = torch.rand(H, size, A) * 2 - 1, torch.rand(H, size, A) * 2 - 1
        task = torch.zeros(H, size, dtype=torch.int32)
        self.batch = obs, action, mu, 0.01 + torch.rand(H, size, A), reward, task

    def sample(self, device):
        return self.batch


def pair(**settings):
    cfg = make_cfg(SimpleNamespace(config=newt_base.config), 2, [50], num_q=4, **settings)
    agent = make_agent(cfg)
    return agent, Plain(agent)


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("updates", [1, 3])
def test_plain_updates_as_newt_base_does(mode, updates):
    agent, plain = pair(constrained_planning=mode)
    buffer = Fixed(agent.cfg)
    for _ in range(updates):
        with Drawn():
            ours, theirs = agent.update(buffer), plain.update(buffer)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5, msg=name)
    weights = agent.model.state_dict()
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize("mode", [0, 2])
def test_the_gradients_are_the_same(mode):
    agent, plain = pair(constrained_planning=mode)
    obs, action, mu, std, reward, task = Fixed(agent.cfg).batch
    with Drawn():
        for who in (agent, plain):
            loss = who.model_loss if who is plain else who.loss_fn
            total, zs, _ = loss(obs, action, reward, task)
            policy = who.policy_loss if who is plain else who.pi_loss
            (total + policy(zs, action, mu, std, task[:1])[0]).backward()
    gradients = {name: each.grad for name, each in agent.model.named_parameters()}
    for name, each in plain.model.named_parameters():
        if each.requires_grad:
            torch.testing.assert_close(gradients[name], each.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("step", [None, 0, 3_000_000])
def test_plain_plans_as_newt_base_does(step):
    agent, plain = pair()
    obs = torch.randn(2, 3)
    for t0 in (torch.tensor([True, True]), torch.tensor([True, False])):
        with Drawn():
            ours, theirs = (each.plan(obs, t0=t0, step=step, task=TASK) for each in (agent, plain))
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(agent._prev_mean, plain.prev_mean, rtol=1e-4, atol=1e-5)


def test_plain_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="one task"):
        pair(task_dim=4)


def test_every_contestant_has_as_many_rounds():
    turns = []
    calls = {name: lambda name=name: turns.append(name) for name in "ab"}
    times = alternate(calls, Effort(rounds=4, turn=0.0, limit=60))
    assert [len(each.seconds) for each in times.values()] == [4, 4]
    assert turns[4:] == list("abbaabba")


def test_ratios_are_taken_round_by_round():
    slow_machine = Times((2.0, 20.0, 2.0)), Times((4.0, 40.0, 4.0))
    assert slow_machine[0].faster_than(slow_machine[1]) == Spread(2.0, 2.0, 2.0)


def test_a_quick_run_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "new" / "bench.json"
    assert main(["update", "plan", "replay", "--quick", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    assert set(written) == {"schema", "machine", "options", "figures", "notes"}
    assert {"cpu", "cores", "threads", "torch", "gemm_gflops"} <= set(written["machine"])
    assert {figure["group"] for figure in written["figures"]} == {"update", "plan", "replay"}
    for figure in written["figures"]:
        assert figure["value"]["low"] <= figure["value"]["median"] <= figure["value"]["high"]
        assert figure["rounds"] >= 1 and figure["unit"]
    trained = [figure for figure in written["figures"] if figure["ratio_to"] == "plain"]
    assert [figure["name"].rpartition(": ")[2] for figure in trained] == 2 * ["patched", "newt_base"]
    assert all(figure["gflop"] > 0 and figure["roofline"] > 0 and figure["ratio"] for figure in trained)
    assert "updates/s" in capsys.readouterr().out


def test_a_stacked_ensemble_launches_fewer_kernels():
    loop, stacked = (kernels.calls(frozenset(ids), "small") for ids in ((), ("q-ensemble",)))
    assert kernels.count(stacked["update"]) < 0.75 * kernels.count(loop["update"])
    assert kernels.count(stacked["plan"]) < kernels.count(loop["plan"])


def test_processes_are_known_by_whose_children_they_are():
    table = dict(study._processes())
    assert os.getppid() in study._ancestors(os.getpid(), table) and table[os.getpid()][2] > 0
    assert os.getpid() not in study._ancestors(os.getpid(), table) | study._ancestors(os.getppid(), table)


def test_an_unknown_group_is_refused():
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "update" in GROUPS
