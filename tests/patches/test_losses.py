"""`prior-coef`, `rho`, `scale-order`, `plan-anneal`: numbers that losses and planner are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from trees import make_cfg, tree

H, B, Q = 3, 6, 4


def build(ids, **settings):
    """An agent with random weights in every layer, and a batch for it."""
    modules = tree(ids)
    torch.manual_seed(0)
    cfg = make_cfg(modules, 1, [250], num_q=Q, rho=0.6, entropy_coef=0.03, **settings)
    agent = modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)
    for parameter in agent.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    batch = {
        "obs": torch.randn(H + 1, B, 3),
        "action": torch.rand(H, B, 2) * 1.9 - 0.95,
        "mu": torch.rand(H, B, 2) * 1.9 - 0.95,
        "std": torch.rand(H, B, 2) * 0.5 + 0.05,
        "reward": torch.randn(H, B, 1),
        "task": torch.zeros(H, B, dtype=torch.int32),
    }
    return modules, agent, batch


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    """The same policy noise and the same two Q networks in every draw."""
    monkeypatch.setattr(torch, "randn_like", lambda x, **_: torch.linspace(-1, 1, x.numel()).view_as(x))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))


@pytest.mark.parametrize(("ids", "default"), [([], 10.0), (["prior-coef"], 1.0)], ids=["newt", "patched"])
def test_the_default_prior_coefficient(ids, default):
    config = tree(ids).config
    assert config.Config().prior_coef == default
    assert config.load_cfg([]).prior_coef == default
    assert config.load_cfg(["prior_coef=3"]).prior_coef == 3.0


def expected_losses(modules, agent, batch, weights):
    """The losses by their formulas, step by step, with the temporal weights given; summed, not averaged."""
    model, cfg = agent.model, agent.cfg
    obs, action, reward, task = (batch[name] for name in ("obs", "action", "reward", "task"))
    z, zs, consistency = model.encode(obs[0], task[0]), [], 0.0
    encoded = model.encode(obs[1:], task)
    for t in range(H):
        zs.append(z)
        z = model.next(z, action[t], task[t])
        consistency += weights[t] * F.mse_loss(z, encoded[t])
    target = agent._td_target(encoded, reward, task)
    reward_loss = value_loss = 0.0
    for t in range(H):
        spread = modules.math.two_hot(reward[t], cfg)
        logits = model.reward(zs[t], action[t], task[t])
        reward_loss += weights[t] * F.cross_entropy(logits, spread)
        spread = modules.math.two_hot(target[t], cfg)
        for logits in model.Q(zs[t], action[t], task[t], return_type="all"):
            value_loss += weights[t] * F.cross_entropy(logits, spread) / Q
    return {"consistency_loss": consistency, "reward_loss": reward_loss, "value_loss": value_loss}


@pytest.mark.parametrize("ids", [[], ["rho"], ["rho", "q-ensemble", "q-dropout"]], ids="+".join)
def test_weights_and_means_of_the_model_losses(ids):
    modules, agent, batch = build(ids)
    agent.model.eval()
    powers = 0.6 ** torch.arange(H + 1.0)
    weights = powers / H if "rho" in ids else powers / powers.sum()
    total, _, info = agent._loss_fn(*(batch[name] for name in ("obs", "action", "reward", "task")))
    expected = expected_losses(modules, agent, batch, weights)
    for name, value in expected.items():
        assert torch.allclose(info[name], value, rtol=1e-5), name
    by_hand = 20 * expected["consistency_loss"] + 0.1 * expected["reward_loss"] + 0.1 * expected["value_loss"]
    assert torch.allclose(total, by_hand, rtol=1e-5)


@pytest.mark.parametrize("modes", [[], ["actor-modes"]], ids=["own loss", "actor modes"])
def test_weights_of_the_policy_loss(modes):
    """With rho the Q term is the mean over the steps of rho^t times the batch mean."""
    _, agent, batch = build(["rho", *modes], **({} if modes else {"constrained_planning": 1}))
    agent.model.eval()
    zs = torch.rand(H + 1, B, 16)
    _, _, info = agent._pi_loss(zs, *(batch[name] for name in ("action", "mu", "std")), batch["task"][:1])
    pi_action, policy = agent.model.pi(zs[:H], batch["task"][:1])
    q = agent.model.Q(zs[:H], pi_action, batch["task"][:1], return_type="avg")
    entropy = -policy["log_pi"] if modes else policy["scaled_entropy"]
    per_step = (-0.03 * entropy - q).mean((1, 2))
    assert torch.allclose(info["pi_q_loss"], (0.6 ** torch.arange(3.0) * per_step).mean(), rtol=1e-5)


@pytest.mark.parametrize("modes", [[], ["actor-modes", "prior-norm", "rho"]], ids=["own loss", "actor modes"])
@pytest.mark.parametrize("patch", [[], ["scale-order"]], ids=["newt", "patched"])
def test_the_scale_that_a_policy_update_divides_by(patch, modes):
    """Both end with the same scale; newt divides by the scale of before, the patched tree by that of afterwards."""
    batch_keys = ("action", "mu", "std")
    losses, ends = {}, {}
    for start in (2.5, "after"):
        _, agent, batch = build([*patch, *modes], tau=0.25)
        zs = torch.rand(H + 1, B, 16, generator=torch.Generator().manual_seed(3))
        arguments = (zs, *(batch[name] for name in batch_keys), batch["task"][:1])
        if start == "after":
            agent.scale.value.fill_(ends[2.5])
            agent.scale.update = lambda x: None
        else:
            agent.scale.value.fill_(start)
            pi_action, _ = agent.model.pi(zs[:1], batch["task"][:1])
            q = agent.model.Q(zs[:1], pi_action, batch["task"][:1], return_type="avg")
        losses[start] = agent.update_pi(*arguments)["pi_loss"].item()
        ends[start] = agent.scale.value.item()
    low, high = torch.quantile(q.flatten(), torch.tensor([0.05, 0.95]))
    assert ends[2.5] == pytest.approx(0.75 * 2.5 + 0.25 * max(1.0, (high - low).item()), rel=1e-3)
    assert abs(ends[2.5] - 2.5) > 0.1
    assert (losses[2.5] == pytest.approx(losses["after"], rel=1e-6)) == bool(patch)


@pytest.mark.parametrize(
    ("step", "newt", "patched"),
    [(0, 1.0, 1.0), (2_000_000, 1.0, 1.0), (6_000_000, 0.6, 0.5), (10_000_000, 0.2, 0.0), (12_000_000, 0.0, 0.0)],
)
def test_the_policy_s_weight_in_the_planner_s_start(step, newt, patched):
    for ids, weight in (([], newt), (["plan-anneal"], patched)):
        interp_dist = tree(ids).math.interp_dist
        base, policy = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
        mean, std = interp_dist(base, base + 2, policy, policy, step, 2_000_000, 10_000_000)
        assert torch.allclose(mean, torch.full_like(mean, weight))
        assert torch.allclose(std, torch.full_like(std, 2 - weight))


def test_an_annealing_without_duration_ends_at_once():
    interp_dist = tree(["plan-anneal"]).math.interp_dist
    base, policy = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    for step, weight in ((4, 1.0), (5, 1.0), (6, 0.0)):
        assert interp_dist(base, base, policy, policy, step, 5, 5)[0].unique().tolist() == [weight]
