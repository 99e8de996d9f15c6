"""plan-anneal: when the planner's start is annealed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from observed import Tree
from tables import left_alone, name_of, refused, refused_in_plain, rewritten
from trees import tree

from newtfix.model import State


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    """The same policy noise and the same two Q networks in every draw."""
    monkeypatch.setattr(torch, "randn_like", lambda x, **_: torch.linspace(-1, 1, x.numel()).view_as(x))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))


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


NORMALISED = "        self.rho = self.rho / self.rho.sum()\n"


REFUSED = {
    "a duration in place of a step": (
        "tdmpc2.py",
        "self.cfg.constraint_final_step",
        "self.cfg.constraint_anneal_steps",
        "$duration",
    ),
    "a duration by a name of its own": (
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        self._steps = cfg.constraint_final_step - cfg.constraint_start_step\n",
        "$_.constraint_final_step - $_",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("plan-anneal", *REFUSED[case])


GUARDED_IN_PLAIN = {
    "a duration in place of an end": (
        "tdmpc2.py",
        "*2*[zeros], step, 100, 200)",
        "*2*[zeros], step, 100, 200 - 100)",
        "'duration'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("plan-anneal", *GUARDED_IN_PLAIN[case])


DEN = "    den = max(1, end)\n"


REWRITES = [
    (
        "common/math.py",
        [(DEN, "    den = max(1.0, end)  # steps\n")],
        ["max(1.0, end - start)  # steps"],
        [],
    ),
    (
        "common/math.py",
        [(DEN, ""), ("num / den", "num / max(1, end)")],
        ["1.0 - num / max(1, end - start)"],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("plan-anneal", *row)


ALONE = [
    (
        "common/math.py",
        [(DEN, "    den = max(1, end) - start\n")],
        State.APPLIED,
    ),
    (
        "common/math.py",
        [(DEN, "    den = max(1, end - start)\n")],
        State.APPLIED,
    ),
    (
        "common/math.py",
        [(DEN, "    den = float(end)\n")],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("plan-anneal", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    zero, one = torch.zeros(2, 2), torch.ones(2, 2)
    for step, weight in ((50, 1.0), (100, 1.0), (150, 0.5), (200, 0.0), (250, 0.0)):
        mean, std = tree.modules.math.interp_dist(zero, zero, one, one, step, 100, 200)
        assert torch.allclose(mean, one * weight)
        assert torch.allclose(std, one * weight)
