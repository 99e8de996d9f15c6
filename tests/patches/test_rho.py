"""rho: temporal weights, and means over the horizon."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from observed import LENGTHS, Tree, policy_update, stored, usual_run
from observed import H as OBSERVED_H
from specimens import make_agent, texts
from specimens import make_cfg as specimen_cfg
from tables import left_alone, name_of, refused, refused_in_plain, rewritten
from trees import PATCHES, make_cfg, sources, tree

from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import apply, variant


def test_weights_under_a_name_of_their_own_stay_under_it() -> None:
    clone = "clone = (F.mse_loss(pi_action[:-1], action, reduction='none').mean(2) * self.rho[:-1, None]).sum(0)"
    named = "w = self.rho[:-1, None]\n\t\t" + clone.replace("self.rho[:-1, None]", "w")
    after = apply(variant(texts("plain"), "tdmpc2.py", (clone, named)), "rho", patches=PATCHES)["tdmpc2.py"]
    assert f"{named} / self.cfg.horizon\n" in after and after.count("self.rho[t] / self.cfg.horizon") == 3


def test_another_loss_is_averaged_as_the_three_are_and_one_without_weights_is_not() -> None:
    tree = variant(
        texts("plain"),
        "tdmpc2.py",
        ("\t\treward_loss, value_loss = 0, 0\n", "\t\treward_loss, value_loss = 0, 0\n\t\tending = 0\n"),
        ("\t\t\tfor q in qs:\n", "\t\t\tending = ending + zs[t].mean() * self.rho[t]\n\t\t\tfor q in qs:\n"),
        (
            "\t\t\tself.cfg.reward_coef * reward_loss +\n",
            "\t\t\t0.5 * zs[-1].square().mean() + self.cfg.end_coef * ending +\n"
            "\t\t\tself.cfg.reward_coef * reward_loss +\n",
        ),
    )
    divided = {
        line.split(" = ")[0].strip()
        for line in plan(tree, ["rho"], PATCHES).after["tdmpc2.py"].splitlines()
        if line.endswith(" * self.rho[t] / self.cfg.horizon")
    }
    assert divided == {"consistency", "reward_loss", "value_loss", "ending"}


@pytest.mark.parametrize("cut", ["obs, action = obs[: h + 1], action[:h]", "reward = reward[: self._unrolled]"])
def test_losses_over_the_first_steps_of_the_horizon(cut: str) -> None:
    text = texts("plain")["tdmpc2.py"]
    start = text.index("\tdef _loss_fn(")
    end = text.index("\n", start) + 1
    tree = {**texts("plain"), "tdmpc2.py": f"{text[:end]}\t\t{cut}\n{text[end:]}"}
    with pytest.raises(Refused, match="'rho' does not fit"):
        plan(tree, ["rho"], PATCHES)


H, B, NUM_Q = 3, 6, 4


def build(ids, **settings):
    """An agent with random weights in every layer, and a batch for it."""
    modules = tree(ids)
    torch.manual_seed(0)
    cfg = make_cfg(modules, 1, [250], num_q=NUM_Q, rho=0.6, entropy_coef=0.03, **settings)
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
            value_loss += weights[t] * F.cross_entropy(logits, spread) / NUM_Q
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


REFUSED = {
    "weights of a loss apart from the method for all": (
        "tdmpc2.py",
        "        info = dict(consistency_loss",
        "        total_loss = total_loss + (self.rho[:-1] * zs.diff(dim=0).square().mean((1, 2))).sum()\n"
        "        info = dict(consistency_loss",
        "the patch does not go with this code of TDMPC2._loss_fn: total_loss = total_loss + ",
    ),
    "a loss that is weighed and summed up otherwise": (
        "tdmpc2.py",
        "        info = dict(consistency_loss",
        "        total_loss = total_loss + torch.dot(self.rho[:-1], zs.diff(dim=0).square().mean((1, 2)))\n"
        "        info = dict(consistency_loss",
        "the patch does not go with this code of TDMPC2._loss_fn: total_loss = total_loss + ",
    ),
    "weights of another horizon": (
        "tdmpc2.py",
        "torch.arange(self.cfg.horizon + 1",
        "torch.arange(self.cfg.train_horizon + 1",
        "$other_horizon",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("rho", *REFUSED[case])


AVERAGED = "\t\tvalue_loss = value_loss / self.cfg.num_q\n"


REFUSED_IN_PLAIN = {
    "losses that are averages": (
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\treward_loss = reward_loss / action.shape[0]\n",
        "the patch does not go with this code of ",
    ),
    "values that are averages": (
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\tvalue_loss = value_loss / len(action)\n",
        "the patch does not go with this code of ",
    ),
    "losses that are averaged by a factor": (
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\treward_loss = reward_loss * self._share\n",
        "the patch does not go with this code of ",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("rho", *REFUSED_IN_PLAIN[case])


GUARDED_IN_PLAIN = {
    "weights that something else uses": (
        "tdmpc2.py",
        "\tdef update_pi(self",
        "\tdef _returns(self, values):\n\t\treturn (values * self.rho[:, None]).sum(0)\n\n\tdef update_pi(self",
        "'weights'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("rho", *GUARDED_IN_PLAIN[case])


RHO = "        self.rho = self.rho / self.rho.sum()\n"


REWRITES = [
    (
        "tdmpc2.py",
        [(RHO, "        self.rho /= self.rho.sum()  # one\n")],
        ["_mean_over_time(self, x)"],
        ["rho.sum"],
    ),
    (
        "tdmpc2.py",
        [
            (RHO, ""),
            (
                "self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1, device=self.device))",
                "rho = self.cfg.rho ** torch.arange(self.cfg.horizon + 1)\n        self.rho = rho / rho.sum()",
            ),
        ],
        ["        self.rho = rho\n", "return (weights * x).mean()"],
        ["rho / rho", "_sum_over_time"],
    ),
    (
        "tdmpc2.py",
        [(RHO, "        # normalise\n" + RHO)],
        ["(weights * x).mean()"],
        ["self.rho / "],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("rho", *row)


SUM = "        return (weights * x).sum(0).mean()\n"


ALONE = [
    (
        "tdmpc2.py",
        [(RHO, "        self.rho = F.normalize(self.rho, p=1, dim=0)\n")],
        None,
    ),
    (
        "tdmpc2.py",
        [(SUM, SUM.replace(".sum(0).mean()", ".sum()"))],
        None,
    ),
    (
        "tdmpc2.py",
        [(RHO, "        self.rho = self.rho / self.rho.amax()\n")],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("rho", *row)


def test_the_method_has_one_docstring() -> None:
    patched = plan(sources(), ["rho"], PATCHES).after["tdmpc2.py"]
    method = patched[patched.index("    def _mean_over_time(") :].partition("\n\n")[0]
    assert method.count('"""') == 2 and "weighed by rho^t" in method


# What becomes of a loss: sums with normalised weights; a mean with normalised weights; sums with weights as they are.
SHRINKS = {"consistency_loss": 0.625, "reward_loss": 0.625, "value_loss": 0.625, "pi_loss": 0.625}


OTHERWISE = {"inline": {"pi_loss": 1.875}, "halfway": dict.fromkeys(SHRINKS, 1 / 3)}


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    cfg = specimen_cfg(tree.modules, LENGTHS)
    agent = make_agent(tree.modules, cfg)
    assert torch.allclose(agent.rho[:OBSERVED_H].flatten(), torch.tensor([1.0, 0.5, 0.25]))
    done = policy_update(tree)
    obs, action = done.batch[0], done.expected(stored(usual_run(tree)), "action")
    model = make_agent(tree.modules, specimen_cfg(tree.modules, LENGTHS, lr=0.0)).model
    task = torch.zeros(OBSERVED_H + 1, obs.shape[1], dtype=torch.int64)
    z, total = model.encode(obs[0], task[0]), 0.0
    for t in range(OBSERVED_H):
        z = model.next(z, action[t], task[t])
        total += 0.5**t * float((z - model.encode(obs[t + 1], task[t])).square().mean()) / OBSERVED_H
    assert math.isclose(float(done.metrics["consistency_loss"]), total, rel_tol=1e-4)
    if "actor-modes" in tree.ids or not tree.changed:
        return  # the policy's loss has an oracle of its own there, or there is nothing to compare with
    before = policy_update(Tree(tree.name, tree.ids - {"rho"})).metrics
    for name, ratio in {**SHRINKS, **OTHERWISE.get(tree.name, {})}.items():
        assert math.isclose(float(done.metrics[name].detach()), ratio * float(before[name].detach()), rel_tol=1e-3), (
            name
        )
