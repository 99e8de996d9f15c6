"""What each patch promises, checked on any specimen by what it does: `PROMISES[id](tree)` raises where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from observed import (
    END,
    ENVS,
    LENGTHS,
    STATS,
    WIDE,
    H,
    Tree,
    Update,
    noise,
    pinned,
    planned_rows,
    stored,
    update,
    usual_run,
)
from specimens import Run, make_agent, make_cfg
from tensordict import TensorDict
from trees import FakeEnv

MODES = ("sac", "awac", "residual", "bc_sac", "bc")


def planner_stats(tree: Tree) -> None:
    run = usual_run(tree)
    _callers_get_what_they_got(tree, run)
    rows = stored(run)
    for iteration, (picked, spread) in run.picked.items():
        for i in (0, 7):
            row = rows.get(iteration * ENVS + i)
            if row is not None:
                torch.testing.assert_close(row["mu"], picked[i])
                torch.testing.assert_close(row["std"], spread[i])
    done = update(make_agent(tree.modules, run.cfg), planned_rows(run))
    assert not torch.allclose(done.expected(rows, "mu"), done.expected(rows, "action"))
    for name in STATS:
        assert _among(done.expected(rows, name), done.arguments), f"{name} does not reach the policy's update"
    _demonstrations_count_as_wide(tree, run, rows)


def _among(wanted: torch.Tensor, values: tuple[Any, ...]) -> bool:
    tensors = [x for x in values if isinstance(x, torch.Tensor) and x.shape == wanted.shape]
    return any(torch.allclose(x, wanted) for x in tensors)


def _callers_get_what_they_got(tree: Tree, run: Run) -> None:
    first = torch.ones(ENVS, dtype=torch.bool)
    obs, task = torch.zeros(ENVS, 3), torch.zeros(ENVS, dtype=torch.int64)
    before = make_agent(Tree(tree.name).modules, make_cfg(Tree(tree.name).modules, LENGTHS))(obs, t0=first, task=task)
    agent = make_agent(tree.modules, run.cfg)
    after = agent(obs, t0=first, task=task)
    assert type(before) is type(after)
    assert not isinstance(after, tuple) or len(before) == len(after)
    for script in ("rollout", "record"):
        if hasattr(tree.modules, script):
            assert len(getattr(getattr(tree.modules, script), script)(FakeEnv(LENGTHS), agent, task, 3)) == 3


def _demonstrations_count_as_wide(tree: Tree, run: Run, rows: dict[float, Any]) -> None:
    buffers = tree.modules.buffer
    offline = buffers.Buffer(batch_size=4)
    count = 2 * (H + 2)
    demos = {"obs": torch.zeros(count, 3), "action": torch.rand(count, 2), "reward": -1.0 - torch.arange(count)}
    demos |= {"task": torch.zeros(count, dtype=torch.int64), "episode": torch.arange(2).repeat_interleave(count // 2)}
    td = TensorDict(demos, batch_size=count)
    if hasattr(offline, "load_demos"):
        offline.load_demos(td.clone())
    else:
        for episode in td.split(count // 2):
            offline.add(episode.unsqueeze(0))
    mixed = buffers.EnsembleBuffer(offline, batch_size=8)
    mixed._buffer.episodes.extend(run.episodes[-ENVS:])
    done = update(make_agent(tree.modules, run.cfg), mixed)
    wide = {
        float(r): {"mu": a, "std": torch.full_like(a, WIDE)} for r, a in zip(td["reward"], td["action"], strict=True)
    }
    for name in STATS:
        assert _among(done.expected({**rows, **wide}, name), done.arguments), f"{name} of demonstrations"


def seeding(tree: Tree) -> None:
    run = usual_run(tree)
    assert run.updated[0] == 1000
    assert run.acted[0] in (0, 1000)
    assert sorted(run.first_batch) == list(range(1000))
    assert len(run.rewards()) == len(set(run.rewards()))
    assert min(len(rows) for rows in run.episodes) > H
    long = Run(tree.modules, [250] * 40, steps=1300).train()
    assert long.updated[0] == 1280
    assert sorted(long.first_batch) == list(range(1280))


# Here the agent acts after fewer steps than learning starts.
OWN_THRESHOLD = {"halfway"}


def mu_std(tree: Tree) -> None:
    run = usual_run(tree)
    threshold = run.acted[0]
    assert threshold == (1000 if tree.name in OWN_THRESHOLD else run.updated[0])
    assert run.acted == list(range(threshold, END + 1, ENVS))
    for rows in run.episodes:
        row = rows[1:]
        seed = row["reward"] < threshold
        assert torch.equal(row["mu"][seed], row["action"][seed])
        assert torch.allclose(row["std"][seed], torch.tensor(WIDE))
        assert (row["std"][~seed] < WIDE).all()
    for early in ({"finetune": True}, {"use_demos": True, "demo_steps": 1}):
        short = Run(tree.modules, LENGTHS, steps=100, **tree.settings(**early)).train()
        assert short.acted[0] == 0


def burst(tree: Tree) -> None:
    run = usual_run(tree)
    first = run.updated[0]
    assert first in (1000, 2000)
    assert run.updated.count(first) == first
    later = [step for step in run.updated if step > first]
    assert len(later) == int((END + ENVS - first) * 0.05), "tokens earn the updates after it"
    few = Run(tree.modules, LENGTHS, steps=2100, **tree.settings(burst_updates=7)).train()
    assert few.updated.count(few.updated[0]) in (7, first)
    resumed = Run(tree.modules, LENGTHS, steps=6500, start=6000, eval_freq=6000).train()
    assert 0 < len(resumed.updated) < 50
    assert max(map(resumed.updated.count, resumed.updated)) <= 3


def actor_modes(tree: Tree) -> None:
    run = usual_run(tree)
    rows = stored(run)
    for scale, modes in ((1.0, ("sac", "residual")), (3.0, MODES)):
        losses = {}
        for mode in modes:
            cfg = make_cfg(
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
        make_agent(tree.modules, make_cfg(tree.modules, LENGTHS, actor_mode="sca"))
    except ValueError as error:
        assert "residual" in str(error)
    else:
        raise AssertionError("an unknown mode passes")


@torch.no_grad()
def _oracle(tree: Tree, agent: Any, mode: str, done: Update, rows: dict[float, Any]) -> float:
    """The policy's loss by its formula, from the tree's networks and temporal weights."""
    cfg, model, scale = agent.cfg, agent.model, float(agent.scale.value)
    zs, task = done.arguments[0][:H], done.arguments[-1]
    action, mu, std = (done.expected(rows, name) for name in ("action", *STATS))
    std = std.clamp(min=cfg.min_std)

    def logprob(eps: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        return 2 * ((-0.5 * eps**2 - log_std).sum(-1) - 0.5 * math.log(2 * math.pi))

    def mean(x: torch.Tensor) -> torch.Tensor:
        return (agent.rho[:H] * x.mean(1)).mean()

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


def prior_norm(tree: Tree) -> None:
    """The prior's share of the loss shrinks to 2/61 of what it is without the patch."""
    if "actor-modes" in tree.ids:
        return  # its oracle counts the factor
    shares = []
    for ids in (tree.ids, tree.ids - {"prior-norm"}):
        one = Tree(tree.name, ids)
        losses = [float(_policy_update(one, prior_coef=coef).metrics["pi_loss"].detach()) for coef in (0.0, 3.0)]
        shares.append(losses[1] - losses[0])
    assert math.isclose(shares[0], shares[1] * 2 / 61, rel_tol=1e-3)


def _policy_update(tree: Tree, **settings: Any) -> Update:
    """An update on stored rows in which no weights move, with a Q scale of 3."""
    cfg = make_cfg(tree.modules, LENGTHS, lr=0.0, **tree.settings(dropout=0.0), **settings)
    agent = make_agent(tree.modules, cfg)
    agent.scale.value.fill_(3.0)
    return update(agent, planned_rows(usual_run(tree)))


def prior_coef(tree: Tree) -> None:
    assert tree.modules.config.Config().prior_coef == 1


# What becomes of a loss: sums with normalised weights; a mean with normalised weights; sums with weights as they are.
SHRINKS = {"consistency_loss": 0.625, "reward_loss": 0.625, "value_loss": 0.625, "pi_loss": 0.625}
OTHERWISE = {"inline": {"pi_loss": 1.875}, "halfway": dict.fromkeys(SHRINKS, 1 / 3)}


def rho(tree: Tree) -> None:
    cfg = make_cfg(tree.modules, LENGTHS)
    agent = make_agent(tree.modules, cfg)
    assert torch.allclose(agent.rho[:H].flatten(), torch.tensor([1.0, 0.5, 0.25]))
    done = _policy_update(tree)
    obs, action = done.batch[0], done.expected(stored(usual_run(tree)), "action")
    model = make_agent(tree.modules, make_cfg(tree.modules, LENGTHS, lr=0.0)).model
    task = torch.zeros(H + 1, obs.shape[1], dtype=torch.int64)
    z, total = model.encode(obs[0], task[0]), 0.0
    for t in range(H):
        z = model.next(z, action[t], task[t])
        total += 0.5**t * float((z - model.encode(obs[t + 1], task[t])).square().mean()) / H
    assert math.isclose(float(done.metrics["consistency_loss"]), total, rel_tol=1e-4)
    if "actor-modes" in tree.ids or not tree.changed:
        return  # the policy's loss has an oracle of its own there, or there is nothing to compare with
    before = _policy_update(Tree(tree.name, tree.ids - {"rho"})).metrics
    for name, ratio in {**SHRINKS, **OTHERWISE.get(tree.name, {})}.items():
        assert math.isclose(float(done.metrics[name].detach()), ratio * float(before[name].detach()), rel_tol=1e-3), (
            name
        )


def scale_order(tree: Tree) -> None:
    run = usual_run(tree)
    agent = make_agent(tree.modules, run.cfg)
    events: list[Any] = []
    scale_update = agent.scale.update
    agent.scale.update = lambda x: events.append(x) or scale_update(x)
    agent.scale.register_forward_pre_hook(lambda *_: events.append("use"))
    update(agent, run.buffer)
    assert isinstance(events[0], torch.Tensor)
    assert not agent.scale.value.requires_grad
    assert events[0].numel() == 8, "the values at the first latents alone"
    assert {*events[1:]} == {"use"}


def _ensemble(tree: Tree, **settings: Any) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    cfg = make_cfg(tree.modules, LENGTHS, **tree.settings(**settings))
    return tree.modules.layers.QOnlineTargetEnsemble(cfg), torch.randn(H, 8, cfg.latent_dim + cfg.action_dim)


def q_dropout(tree: Tree) -> None:
    assert tree.modules.config.Config().dropout == 0.01
    both, x = _ensemble(tree, dropout=0.5)
    both.train()
    assert not torch.equal(both(x), both(x))
    assert torch.equal(both(x, target=True), both(x, target=True))
    both.eval()
    assert torch.equal(both(x), both(x))


def q_ensemble(tree: Tree) -> None:
    both, x = _ensemble(tree, dropout=0.0)
    expected = torch.stack([network(x) for network in both.online._Qs])
    calls: list[int] = []
    for network in both.online._Qs:
        network.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(both(x), expected, rtol=1e-5, atol=1e-5)
    assert len(calls) <= 1
    both(x).square().mean().backward()
    assert all(p.grad is not None for p in both.online.parameters())


def eval_modes(tree: Tree) -> None:
    run = Run(tree.modules, [6] * 4, steps=8, evaluate=True)
    asked: list[Any] = []
    run.agent.register_forward_pre_hook(lambda _, args, kwargs: asked.append(kwargs.get("mpc")), with_kwargs=True)
    run.train()
    (line,) = (metrics for category, metrics in run.logger.lines if category == "eval")
    for name in ("episode_reward_pi", "episode_success_pi", "mc_value", "q_value"):
        assert math.isfinite(line[name])
    assert asked.count(False) >= 6
    assert not any(name.startswith("episode_score") and "+" in name for name in line)


def target_q(tree: Tree) -> None:
    def compiled(fn: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: fn(*args, **kwargs)

    with patch.object(torch, "compile", compiled):
        both, x = _ensemble(tree, compile=True, dropout=0.0)
    online = both(x)
    with torch.no_grad():
        for parameter in both.target.parameters():
            parameter.zero_()
    assert not both(x, target=True).any()
    assert torch.equal(both(x), online)


def episode_rows(tree: Tree) -> None:
    run = Run(tree.modules, [2, 6], steps=40).train()
    for rows in run.episodes:
        times = rows["obs"][1:, 2].tolist()
        assert times == list(range(1, len(times) + 1))
        assert len(times) == (2, 6)[int(rows["obs"][1, 0])]
        assert (rows["reward"][2:] - rows["reward"][1:-1] == 2).all()


def first_obs(tree: Tree) -> None:
    run = Run(tree.modules, [5, 5], steps=40).train()
    assert len(run.episodes) == 8
    for rows in run.episodes:
        assert rows["obs"][0, 2] == 0
        assert (rows["obs"][:, 1] == rows["obs"][1, 1]).all()


def plan_anneal(tree: Tree) -> None:
    zero, one = torch.zeros(2, 2), torch.ones(2, 2)
    for step, weight in ((50, 1.0), (100, 1.0), (150, 0.5), (200, 0.0), (250, 0.0)):
        mean, std = tree.modules.math.interp_dist(zero, zero, one, one, step, 100, 200)
        assert torch.allclose(mean, one * weight)
        assert torch.allclose(std, one * weight)


PROMISES: dict[str, Callable[[Tree], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(planner_stats, seeding, mu_std, burst, actor_modes, prior_norm, prior_coef, rho, scale_order, q_dropout),
        *(q_ensemble, eval_modes, target_q, episode_rows, first_obs, plan_anneal),
    )
}
