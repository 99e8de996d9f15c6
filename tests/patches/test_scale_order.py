"""scale-order: the scale that a policy update divides by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from observed import Tree, update, usual_run
from specimens import make_agent
from tables import left_alone, name_of, refused, refused_in_plain, rewritten
from trees import make_cfg, tree

from newtfix.model import State

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


REFUSED = {
    "a loss that is also computed to validate": (
        "tdmpc2.py",
        "    def update(self, buffer):",
        "    def validate(self, zs, action, mu, std, task):\n"
        "        return self._pi_loss(zs, action, mu, std, task)[0]\n\n"
        "    def update(self, buffer):",
        "self._pi_loss($*_)",
    ),
    "values of all ranks": (
        "tdmpc2.py",
        "            self.scale.update(qs)\n",
        "            if self.cfg.world_size > 1:\n                qs = self._gathered(qs)\n"
        "            self.scale.update(qs)\n",
        "does not fit",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("scale-order", *REFUSED[case])


SCALE_UPDATED_IN_PLAIN = "\t\tself.scale.update(qs)\n"


GUARDED_IN_PLAIN = {
    "an update that depends": (
        "tdmpc2.py",
        SCALE_UPDATED_IN_PLAIN,
        "\t\tif self.cfg.finetune:\n\t" + SCALE_UPDATED_IN_PLAIN,
        "'before-use'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("scale-order", *GUARDED_IN_PLAIN[case])


Q_VALUES = '        qs = self.model.Q(zs, pi_action, task, return_type="avg")\n'


UPDATE = "        with torch.no_grad():\n            self.scale.update(qs)\n"


REWRITES = [
    (
        "tdmpc2.py",
        [(UPDATE, "        self.scale.update(qs)\n")],
        [Q_VALUES + "        with torch.no_grad():\n            self.scale.update(qs[0])\n"],
        ["self.scale.update(qs)"],
    ),
    (
        "tdmpc2.py",
        [(UPDATE, UPDATE + "            self.all_reduce(self.scale.value)  # ranks agree\n")],
        [
            Q_VALUES
            + "        with torch.no_grad():\n            self.scale.update(qs[0])\n"
            + "            self.all_reduce(self.scale"
        ],
        ["self.scale.update(qs)"],
    ),
    (
        "tdmpc2.py",
        [
            (Q_VALUES, Q_VALUES.replace("qs", "values")),
            ("- self.scale(qs))", "- self.scale(values))"),
            ("qs[0].d", "values[0].d"),
        ],
        ["            self.scale.update(values[0])\n"],
        ["self.scale.update(qs)"],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("scale-order", *row)


ALONE = [
    (
        "tdmpc2.py",
        [("        return pi_loss, qs[0].detach(), info\n", "        return pi_loss, qs.detach(), info\n")],
        None,
    ),
    (
        "tdmpc2.py",
        [(Q_VALUES, Q_VALUES + "        self.scale.update(qs[0].detach())\n"), (UPDATE, "")],
        State.APPLIED,
    ),
    (
        "tdmpc2.py",
        [(UPDATE, "")],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("scale-order", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
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
