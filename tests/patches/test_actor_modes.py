"""`actor-modes` and `prior-norm`: every loss and its gradient against an oracle written from the formulas.

The oracle works in float64 on the raw outputs of the networks, with its own G, squashing and means; it shares no
function with the tree beyond the layers of the networks themselves.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from observed import LENGTHS, STATS, Tree, Update, noise, pinned, planned_rows, stored, update, usual_run
from observed import H as OBSERVED_H
from specimens import make_agent
from specimens import make_cfg as specimen_cfg
from trees import PATCHES, make_cfg, tree

MODES = ("sac", "awac", "residual", "bc_sac", "bc")
H, B, WIDTH, LATENT = 3, 6, 4, 16


def build(ids, mode, dims, scale, **settings):
    """An agent in float64 with random weights, three tasks' worth of action masks, and pinned draws."""
    modules = tree(ids)
    torch.manual_seed(0)
    given = {"actor_mode": mode, "entropy_coef": 0.03, "prior_coef": 1.7, **settings}
    if "actor-modes" not in ids:
        del given["actor_mode"]
    cfg = make_cfg(
        modules, 1, [250] * len(dims), action_dim=WIDTH, action_dims=list(dims), discounts=[0.98] * len(dims), **given
    )
    agent = modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)
    agent.double()
    agent.rho = agent.rho.double()
    for parameter in agent.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    agent.scale.value.fill_(scale)
    return agent


def batch(mask):
    torch.manual_seed(1)
    zs = torch.rand(H + 1, B, LATENT, dtype=torch.float64)
    action = (torch.rand(H, B, WIDTH, dtype=torch.float64) * 1.9 - 0.95) * mask
    mu = (torch.rand(H, B, WIDTH, dtype=torch.float64) * 2 - 1) * mask
    std = torch.rand(H, B, WIDTH, dtype=torch.float64) * 0.5 * mask  # zero where padded, as the planner leaves it
    return zs, action, mu, std, torch.randn(H, B, WIDTH, dtype=torch.float64)


def pin(monkeypatch, eps):
    """Fix the policy noise, and both draws of two Q networks out of two."""
    monkeypatch.setattr(torch, "randn_like", lambda x, **_: eps.expand_as(x))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))


def oracle(agent, mode, zs, action, mu, std, eps, mask, norm, advantage=1.0):
    cfg, scale = agent.cfg, agent.scale.value.item()
    zs = zs[:H]
    dims = mask.sum(-1)
    head = agent.model._pi(zs)
    m, raw = head[..., :WIDTH], head[..., WIDTH:]
    log_sigma = -10 + 12 * (torch.tanh(raw) + 1) / 2
    pi = torch.tanh(m + eps * torch.exp(log_sigma)) * mask

    def G(e, log_s):
        total = torch.zeros(e.shape[:-1], dtype=e.dtype)
        for i in range(WIDTH):
            total = total + mask[..., i] * (-0.5 * e[..., i] ** 2 - log_s[..., i])
        return dims * (total - 0.5 * math.log(2 * math.pi))

    def Q(a):
        bins = torch.linspace(-10, 10, 101, dtype=torch.float64)
        out = 0.0
        for network in agent.model._Qs.online._Qs:
            symlogged = (torch.softmax(network(torch.cat([zs, a], -1)), -1) * bins).sum(-1)
            out = out + 0.5 * torch.sign(symlogged) * (torch.exp(symlogged.abs()) - 1)
        return out / scale

    rho = torch.tensor([0.5**t for t in range(H + 1)], dtype=torch.float64)
    rho = rho / rho.sum()  # newt's; the patch `rho` changes that

    def T(x):
        return sum(rho[t] * x[t].mean() for t in range(H)) / H

    log_pi = G(eps, log_sigma) - (mask * torch.log(torch.relu(1 - pi**2) + 1e-6)).sum(-1)
    q_loss = T(cfg.entropy_coef * log_pi - Q(pi))
    s = torch.clamp(std, min=cfg.min_std)
    P = G((pi - mu) / s, torch.log(s))
    if mode == "sac":
        return q_loss
    if mode == "residual":
        prior = P / scale if scale > cfg.scale_threshold else torch.zeros_like(P)
        return q_loss + cfg.prior_coef * T(-prior * (dims / 61 if norm else 1.0))
    if mode == "bc_sac":
        return q_loss + cfg.prior_coef * T(((pi - action) ** 2).sum(-1))
    if mode == "bc":
        return T(-torch.clamp(P, -50000.0, 0.0) / scale)
    weight = torch.exp(advantage * (Q(pi) - Q(action)).detach() / cfg.awac_lambda)
    weight = torch.clamp(weight, cfg.exp_adv_min, cfg.exp_adv_max)
    return T(-weight * G((action - m) / (torch.exp(raw) + 1e-8), raw))


def compare(agent, expected, actual):
    parameters = list(agent.model._pi.parameters())
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    got = torch.autograd.grad(actual, parameters, allow_unused=True)
    torch.testing.assert_close(actual.squeeze(), expected.squeeze(), rtol=1e-6, atol=1e-9)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


CASES = {"whole": ((4,), None), "padded": ((3,), None), "several tasks": ((4, 2, 3), [0, 1, 2, 1, 0, 2])}


@pytest.mark.parametrize("norm", [False, True], ids=["prior_coef alone", "A/61"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_loss_and_gradient_equal_the_formulas(mode, case, scale, norm, monkeypatch):
    dims, tasks = CASES[case]
    ids = ["actor-modes", "prior-norm"] if norm else ["actor-modes"]
    agent = build(ids, mode, dims, scale)
    task = torch.tensor(tasks or [0] * B).unsqueeze(0)
    mask = agent.model._action_masks[task].expand(H, B, WIDTH)
    zs, action, mu, std, eps = batch(mask)
    pin(monkeypatch, eps)
    loss, qs, info = agent._pi_loss(zs, action, mu, std, task)
    expected = oracle(agent, mode, zs, action, mu, std, eps, mask, norm)
    compare(agent, expected, loss)
    assert qs.shape == (B, 1)
    assert not qs.requires_grad
    assert info["pi_loss"] is loss


def test_the_paper_s_advantage_has_the_other_sign(monkeypatch):
    agent = build(["actor-modes"], "awac", (4,), 1.0, awac_advantage="paper")
    task = torch.zeros(1, B, dtype=torch.int64)
    mask = torch.ones(H, B, WIDTH, dtype=torch.float64)
    zs, action, mu, std, eps = batch(mask)
    pin(monkeypatch, eps)
    loss, _, _ = agent._pi_loss(zs, action, mu, std, task)
    compare(agent, oracle(agent, "awac", zs, action, mu, std, eps, mask, False, advantage=-1.0), loss)


def test_awac_weights_meet_both_bounds(monkeypatch):
    """With a tiny temperature every weight is at a bound; a missing clamp would show."""
    agent = build(["actor-modes"], "awac", (4,), 1.0, awac_lambda=1e-6)
    task = torch.zeros(1, B, dtype=torch.int64)
    mask = torch.ones(H, B, WIDTH, dtype=torch.float64)
    zs, action, mu, std, eps = batch(mask)
    pin(monkeypatch, eps)
    loss, _, _ = agent._pi_loss(zs, action, mu, std, task)
    expected = oracle(agent, "awac", zs, action, mu, std, eps, mask, False)
    assert loss.isfinite()
    compare(agent, expected, loss)


def test_the_prior_waits_for_the_scale():
    agents = [build(["actor-modes"], "residual", (4,), scale) for scale in (1.9, 2.1)]
    task = torch.zeros(1, B, dtype=torch.int64)
    zs, action, mu, std, _ = batch(torch.ones(H, B, WIDTH, dtype=torch.float64))
    priors = [agent._pi_loss(zs, action, mu, std, task)[2]["pi_prior_loss"].item() for agent in agents]
    assert priors[0] == 0.0 != priors[1]


@pytest.mark.parametrize("setting", ["actor_mode", "awac_advantage"])
def test_an_unknown_setting_is_refused_before_training(setting):
    with pytest.raises(ValueError, match=f"{setting}='sca' is none of"):
        build(["actor-modes"], "sac", (4,), 1.0, **{setting: "sca"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"awac_lambda": 0.0}, "awac_lambda=0.0 is not above 0"), ({"exp_adv_min": 20.0}, "is above exp_adv_max=10.0")],
    ids=["lambda", "bounds"],
)
def test_awac_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(["actor-modes"], "awac", (4,), 1.0, **settings)


def test_residual_is_the_default():
    assert tree(["actor-modes"]).config.Config().actor_mode == "residual"


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_update_moves_the_policy(mode):
    agent = build(["actor-modes"], mode, (4,), 3.0)
    before = [p.clone() for p in agent.model._pi.parameters()]
    zs, action, mu, std, _ = batch(torch.ones(H, B, WIDTH, dtype=torch.float64))
    metrics = agent.update_pi(zs, action, mu, std, torch.zeros(1, B, dtype=torch.int64))
    assert all(value.isfinite().all() for value in metrics.values())
    assert any(not torch.equal(p, q) for p, q in zip(agent.model._pi.parameters(), before, strict=True))


@pytest.mark.parametrize("pretraining", [False, True], ids=["", "pretraining"])
@pytest.mark.parametrize("ids", [["actor-modes", "prior-norm"], PATCHES], ids=["two", "all"])
@pytest.mark.parametrize("mode", MODES)
def test_a_whole_update_stays_on_one_device(mode, ids, pretraining):
    """On the meta device torch refuses nearly every mix of devices, and every synchronisation with the host."""
    modules = tree(ids)
    tasks = {"global_tasks": ["one", "two"], "num_global_tasks": 2, "action_dims": [1, 2], "discounts": [0.9, 0.95]}
    cfg = make_cfg(modules, 2, [250, 250], actor_mode=mode, device="meta", task_dim=4, **tasks)
    agent = modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)
    shapes = [(H + 1, B, 3), (H, B, 2), (H, B, 2), (H, B, 2), (H, B, 1)]
    rows = [torch.rand(shape, device="meta") for shape in shapes]
    rows.append(torch.zeros(H, B, dtype=torch.int32, device="meta"))
    agent.maxq_pi = not pretraining

    class Replay:
        def sample(self, device):
            return rows

    metrics = agent.update(Replay())
    assert {value.device.type for value in metrics.values()} == {"meta"}


class TestPriorNormAlone:
    """On a tree without `actor-modes`, the constrained mode's own prior term is scaled."""

    @pytest.mark.parametrize("dims", [(4,), (3,)], ids=["whole", "padded"])
    def test_the_prior_shrinks_by_a_61st_of_the_true_action_dimension(self, dims, monkeypatch):
        task = torch.zeros(1, B, dtype=torch.int64)
        mask = (torch.arange(WIDTH) < dims[0]).double().expand(H, B, WIDTH)
        zs, action, mu, std, eps = batch(mask)
        pin(monkeypatch, eps)
        terms = {}
        for ids in ((), ("prior-norm",)):
            agent = build(list(ids), None, dims, 3.0, constrained_planning=2)
            loss, _, info = agent._pi_loss(zs, action, mu, std, task)
            terms[ids] = (loss - info["pi_q_loss"]).item()
        assert terms[("prior-norm",)] == pytest.approx(terms[()] * dims[0] / 61, rel=1e-9)


@torch.no_grad()
def _oracle(tree: Tree, agent: Any, mode: str, done: Update, rows: dict[float, Any]) -> float:
    """The policy's loss by its formula, from the tree's networks and temporal weights."""
    cfg, model, scale = agent.cfg, agent.model, float(agent.scale.value)
    zs, task = done.arguments[0][:OBSERVED_H], done.arguments[-1]
    action, mu, std = (done.expected(rows, name) for name in ("action", *STATS))
    std = std.clamp(min=cfg.min_std)

    def logprob(eps: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        return 2 * ((-0.5 * eps**2 - log_std).sum(-1) - 0.5 * math.log(2 * math.pi))

    def mean(x: torch.Tensor) -> torch.Tensor:
        return (agent.rho[:OBSERVED_H] * x.mean(1)).mean()

    with pinned():
        pi, info = model.pi(zs, task)
        q = model.Q(zs, pi, task, return_type="avg").squeeze(-1) / scale
        q_data = model.Q(zs, action, task, return_type="avg").squeeze(-1) / scale
    volume = torch.log(torch.relu(1 - pi**2) + 1e-6).sum(-1)
    loss = mean(cfg.entropy_coef * (logprob(noise(pi.shape), info["log_std"]) - volume) - q)
    prior = logprob((pi - mu) / std, std.log())
    if mode == "residual" and scale > 2.0:
        loss = loss + cfg.prior_coef * (2 / 61 if "prior-norm" in tree.ids else 1.0) * mean(-prior / scale)
    if mode == "bc_sac":
        loss = loss + cfg.prior_coef * mean(((pi - action) ** 2).sum(-1))
    if mode == "bc":
        loss = mean(-prior.clamp(-50000, 0) / scale)
    if mode == "awac":
        head, raw = model._pi(zs).chunk(2, dim=-1)
        weight = ((q - q_data) / cfg.awac_lambda).exp().clamp(cfg.exp_adv_min, cfg.exp_adv_max)
        loss = mean(-weight * logprob((action - head) / (raw.exp() + 1e-8), raw))
    return float(loss)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = usual_run(tree)
    rows = stored(run)
    for scale, modes in ((1.0, ("sac", "residual")), (3.0, MODES)):
        losses = {}
        for mode in modes:
            cfg = specimen_cfg(
                tree.modules, LENGTHS, actor_mode=mode, entropy_coef=0.03, lr=0.0, **tree.settings(dropout=0.0)
            )
            agent = make_agent(tree.modules, cfg)
            agent.scale.value.fill_(scale)
            agent.scale.update = lambda *_: None
            done = update(agent, planned_rows(run))
            losses[mode] = float(done.metrics["pi_loss"].detach())
            assert math.isclose(losses[mode], _oracle(tree, agent, mode, done, rows), rel_tol=1e-4), mode
        distinct = {round(loss, 6) for loss in losses.values()}
        assert len(distinct) == (5 if scale > 2 else 1), "the prior counts above the threshold alone"
    try:
        make_agent(tree.modules, specimen_cfg(tree.modules, LENGTHS, actor_mode="sca"))
    except ValueError as error:
        assert "residual" in str(error)
    else:
        raise AssertionError("an unknown mode passes")
