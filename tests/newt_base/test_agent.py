"""The agent of newt_base: shapes, planner, losses of its constraint modes, checkpoints, and the defects it keeps."""

import math

import pytest
import torch
from trees import make_cfg, tree

BASE = tree()


def build(**settings):
    torch.manual_seed(0)
    cfg = make_cfg(BASE, settings.pop("num_envs", 3), [50], **settings)
    return BASE.tdmpc2.TDMPC2(BASE.world_model.WorldModel(cfg), cfg)


def batch(agent, size=8):
    torch.manual_seed(1)
    A, H = agent.cfg.action_dim, agent.cfg.horizon
    obs = torch.randn(H + 1, size, 3)
    action, mu = torch.rand(H, size, A) * 2 - 1, torch.rand(H, size, A) * 2 - 1
    return obs, action, mu, torch.rand(H, size, A), torch.rand(H, size, 1), torch.zeros(H, size, dtype=torch.int32)


class FixedBuffer:
    def __init__(self, agent):
        self.batch = batch(agent)

    def sample(self, device):
        return tuple(part.to(device) for part in self.batch)


@pytest.mark.parametrize("mpc", [True, False])
@pytest.mark.parametrize("eval_mode", [True, False])
def test_acting(mpc, eval_mode):
    agent = build()
    t0, task = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int32)
    action, mu, std = agent(torch.randn(3, 3), t0, step=0, eval_mode=eval_mode, task=task, mpc=mpc)
    assert action.shape == mu.shape == std.shape == (3, 2)
    assert action.abs().max() <= 1
    if eval_mode:
        assert torch.equal(action, mu.clamp(-1, 1))
    if mpc:
        assert std.min() >= agent.cfg.min_std
        assert std.max() <= agent.cfg.max_std
        assert not torch.equal(agent._prev_mean, torch.zeros_like(agent._prev_mean))


def test_the_warm_start_is_shifted_and_forgotten_at_the_start_of_an_episode(monkeypatch):
    agent = build(constrained_planning=0)
    seen = []
    monkeypatch.setattr(
        agent, "mppi", lambda z, pi, task, mean, std: seen.append(mean) or (mean[:, 0], mean, std[:, 0])
    )
    agent._prev_mean = torch.arange(18.0).view(3, 3, 2)
    agent.plan(torch.randn(3, 3), torch.tensor([True, False, False]), 0, True, torch.zeros(3, dtype=torch.int32))
    assert torch.equal(seen[0][0], torch.zeros(3, 2))
    assert torch.equal(seen[0][1], torch.tensor([[8.0, 9.0], [10.0, 11.0], [0.0, 0.0]]))


def test_planning_finds_the_better_action(monkeypatch):
    """With a value that peaks at 0.6 in every dimension and step, the planner's mean goes there."""
    agent = build(iterations=8, num_samples=256, num_elites=16)
    monkeypatch.setattr(agent, "_estimate_value", lambda z, a, task: -40 * (a - 0.6).square().sum((1, 3)).unsqueeze(-1))
    _, mu, _ = agent.plan(torch.randn(3, 3), torch.ones(3, dtype=torch.bool), None, True, torch.zeros(3).int())
    assert (agent._prev_mean - 0.6).abs().max() < 0.15
    assert (mu - 0.6).abs().max() < 0.3


def test_padded_dimensions_stay_zero():
    agent = build(action_dim=4, action_dims=[2])
    _, mu, std = agent(torch.randn(3, 3), torch.ones(3, dtype=torch.bool), 0, True, torch.zeros(3).int(), True)
    assert not mu[:, 2:].any()
    assert not std[:, 2:].any()


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_an_update_moves_every_part(mode):
    agent = build(constrained_planning=mode)
    agent.scale.value.fill_(3.0)
    before = {name: value.clone() for name, value in agent.model.state_dict().items()}
    for _ in range(2):
        metrics = agent.update(FixedBuffer(agent))
    assert all(value.isfinite() for value in metrics.values())
    after = agent.model.state_dict()
    still = [n for n in before if torch.equal(before[n], after[n]) and "log_std" not in n and "masks" not in n]
    assert not still


def test_constraint_modes_use_what_they_should():
    """Mode 0 ignores stored actions and statistics, 1 reads the action, 2 the statistics once the scale is large."""

    def loss(mode, scale, change):
        agent = build(constrained_planning=mode)
        for p in agent.model._Qs.parameters():
            torch.nn.init.normal_(p, std=0.3)
        agent.scale.value.fill_(scale)
        zs = torch.rand(4, 8, 16)
        _, action, mu, std, _, task = batch(agent)
        torch.manual_seed(5)
        zs = torch.rand(4, 8, 16)
        values = {"action": action, "mu": mu, "std": std}
        if change:
            values[change] = values[change] * 0.5
        torch.manual_seed(2)
        return agent._pi_loss(zs, values["action"], values["mu"], values["std"], task[:1])[0].item()

    def reacts(mode, scale):
        return [name for name in ("action", "mu", "std") if loss(mode, scale, name) != loss(mode, scale, None)]

    assert reacts(0, 3.0) == []
    assert reacts(1, 3.0) == ["action"]
    assert reacts(2, 1.0) == []
    assert reacts(2, 3.0) == ["mu", "std"]


def test_the_scale_is_the_percentile_range_updated_after_use():
    agent = build(constrained_planning=0, tau=1.0)
    agent.scale.value.fill_(7.0)
    used, pi_loss = [], agent.pi_loss
    agent.pi_loss = lambda *args: used.append(agent.scale.value.item()) or pi_loss(*args)
    metrics = agent.update(FixedBuffer(agent))
    assert used == [7.0]
    assert metrics["pi_scale"] == 1.0, "the Q values of fresh networks span less than 1"
    x = torch.arange(101.0).unsqueeze(1)
    agent.scale.update(x)
    assert agent.scale.value.item() == pytest.approx(90.0)


def test_two_hot_and_back():
    cfg = make_cfg(BASE, 1, [50])
    x = torch.tensor([[-30_000.0], [-3.3], [0.0], [0.71], [25.0], [30_000.0]])
    spread = BASE.math.two_hot(x, cfg)
    assert torch.allclose(spread.sum(-1), torch.ones(6))
    back = BASE.math.two_hot_inv((spread + 1e-30).log(), cfg)
    limit = math.expm1(10)
    torch.testing.assert_close(back, x.clamp(-limit, limit), rtol=1e-3, atol=1e-4)


def test_nan_goes_through_the_distributional_regression():
    """It must reach the loss, where it is noticed, not end in an index error."""
    cfg = make_cfg(BASE, 1, [50])
    assert BASE.math.two_hot(torch.tensor([[float("nan")], [0.0]]), cfg).isnan().any(-1).tolist() == [True, False]


@pytest.mark.parametrize("num_pi_trajs", [0, 1])
def test_few_policy_trajectories(num_pi_trajs):
    """Their spread is unknown; the planner then starts from its own last mean."""
    agent = build(num_pi_trajs=num_pi_trajs)
    t0, task = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int32)
    assert all(part.isfinite().all() for part in agent(torch.randn(3, 3), t0, 0, False, task, True))


def test_checkpoints(tmp_path):
    agent, other = build(), build()
    agent.update(FixedBuffer(agent))
    agent.save(tmp_path / "a.pt", step=7)
    assert other.load(tmp_path / "a.pt", resume=True) == {"step": 7}
    torch.manual_seed(3)
    one = agent.update(FixedBuffer(agent))
    torch.manual_seed(3)
    two = other.update(FixedBuffer(other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    wide = build(latent_dim=24)
    with pytest.raises(ValueError, match=r"does not fit this agent: _\w+\.\S+ is \(.*\) there and \(.*\) here"):
        wide.load(tmp_path / "a.pt")
    state = {f"module.{name}": value for name, value in agent.model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "ddp.pt")
    build().load(tmp_path / "ddp.pt")


class TestDefects:
    """What newt_base stands for: defects that every newt tree carries, kept until their patches come."""

    def test_annealing_ends_later_than_it_says(self):
        one, zero = torch.ones(1), torch.zeros(1)
        mean, _ = BASE.math.interp_dist(zero, zero, one, one, 10_000_000, 2_000_000, 10_000_000)
        assert mean.item() == pytest.approx(0.2)

    def test_the_compiled_target_ensemble_evaluates_the_online_weights(self, monkeypatch):
        monkeypatch.setattr(torch, "compile", lambda fn, **_: lambda *args: fn(*args))
        model = BASE.world_model.WorldModel(make_cfg(BASE, 1, [50], compile=True))
        for p in model._Qs.online.parameters():
            torch.nn.init.normal_(p)
        for p in model._Qs.target.parameters():
            torch.nn.init.zeros_(p)
        x = torch.randn(5, 18)
        assert torch.equal(model._Qs(x, target=True), model._Qs(x))


def test_the_whole_update_and_plan_stay_on_one_device():
    """On the meta device torch refuses nearly every mix of devices and every synchronisation with the host."""
    agent = build(device="meta")
    meta = [part.to("meta") for part in batch(agent)]
    agent.update(type("Meta", (), {"sample": lambda self, device: meta})())
    obs = torch.randn(3, 3, device="meta")
    agent.plan(
        obs, torch.ones(3, dtype=torch.bool, device="meta"), 0, False, torch.zeros(3, dtype=torch.int32, device="meta")
    )
