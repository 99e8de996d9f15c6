"""What probes of losses and networks say of trees that do it in a way of their own, or cannot be looked into."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from newtfix.model import AS_PATCHED, DISCREPANCY, NOT_OBSERVED, OTHER, Unobservable
from newtfix.verify.subject import ACTION_DIM, LATENT_DIM
from newtfix.verify.updates import Update
from tests.newtfix.test_probe_parts import probe_file, said, tree

# --- losses -----------------------------------------------------------------------------------------------------------

H, DIMS, WIDTH = 3, 4, 6
POLICY = SimpleNamespace(rho=torch.ones(H), dims=torch.tensor([float(DIMS)]), mask=torch.zeros(2, WIDTH))


@pytest.mark.parametrize(
    ("factor", "verdict", "seen"),
    [
        (DIMS / 61, AS_PATCHED, "0.0656 (A/61)"),
        (H * DIMS / 61, AS_PATCHED, "0.0656 (A/61)"),
        (1 / 61, AS_PATCHED, "0.0656 (A/61)"),
        (1.0, DISCREPANCY, "1"),
        (WIDTH / DIMS, DISCREPANCY, "1"),
        (WIDTH / 61, OTHER, "0.0984 (the padded width/61)"),
        (WIDTH * WIDTH / DIMS / 61, OTHER, "0.0984 (the padded width/61)"),
        (0.123, OTHER, "0.123 times the reference's prior"),
    ],
)
def test_the_weight_of_the_prior_whether_summed_or_averaged_padded_or_not(factor, verdict, seen):
    assert said([probe_file("prior_norm")["_weight"](factor, POLICY, "")]) == [(verdict, seen)]


def test_without_padding_the_width_is_the_dimension():
    policy = SimpleNamespace(rho=torch.ones(H), dims=torch.tensor([4.0]), mask=torch.zeros(2, 4))
    assert said([probe_file("prior_norm")["_weight"](0.123, policy, "")])[0][0] == OTHER


@pytest.mark.parametrize(
    ("added", "found"),
    [
        ([0.0, 0.0], "nothing in this tree's policy loss is weighed with prior_coef"),
        ([1.0, 1.0], "what prior_coef weighs in this tree's policy loss is not the planner's distribution"),
        ([2.0, 0.0], None),
    ],
)
def test_what_prior_coef_weighs_has_to_be_the_prior(added, found):
    """The gradient that it adds has to be that of the prior, times a factor: here 1."""
    norm = probe_file("prior_norm")

    class Rig:
        def __init__(self, _, settings):
            self.gradient = torch.tensor(added) * settings["prior_coef"] + 5

        def update(self, _):
            return SimpleNamespace(policy_loss=lambda: self)

    norm["Rig"], norm["choices"], norm["recompute"] = Rig, (lambda _: [{}]), (lambda *_: POLICY)
    norm["terms"], norm["gradient"] = (lambda *_: {"prior": 0}), (lambda *_: torch.tensor([2.0, 0.0]).double())
    if found is None:
        assert said(norm["probe"](tree("actor_mode"))) == [(DISCREPANCY, "1")]
    else:
        with pytest.raises(Unobservable, match=found):
            norm["probe"](tree())


def test_the_first_loss_with_a_prior_counts_and_else_the_first_reason():
    norm = probe_file("prior_norm")
    reasons = {1: "", 2: "no loss", 3: "no prior"}

    def look(_, choice):
        if (number := choice["mode"]) in reasons:
            raise Unobservable(reasons[number])
        return number

    norm["_prior_norm"], norm["choices"] = look, (lambda _: [{"mode": 1}, {"mode": 2}, {"mode": 3}, {"mode": 4}])
    assert norm["probe"](tree()) == [4]
    norm["choices"] = lambda _: [{"mode": 2}, {"mode": 3}]
    with pytest.raises(Unobservable, match="no loss"):
        norm["probe"](tree())


def test_temporal_weights_that_are_no_tensor_are_not_observed():
    with pytest.raises(Unobservable, match="no tensor rho"):
        probe_file("rho")["_held"](SimpleNamespace(agent=SimpleNamespace(rho=0.5)))


def test_a_policy_that_is_updated_on_one_latent_more_than_there_are_actions_is_weighed_so_too():
    rho = probe_file("rho")
    zs, noise = torch.zeros(4, 2, 5), torch.ones(4, 2, 6)
    rho["recompute"] = lambda *_: SimpleNamespace(q=torch.ones(3, 2, 1))
    draw = torch.zeros(4, 2, 6)
    model = SimpleNamespace(pi=lambda *_: (torch.randn_like(draw),), Q=lambda z, pi, *_, **__: pi[..., :1])
    rig = SimpleNamespace(latents=lambda _: zs, agent=SimpleNamespace(model=model), cfg=SimpleNamespace(action_dim=6))
    three, four = rho["_policy_steps"](rig, Update(policy_noise=[torch.zeros(7), noise]))
    assert (len(three), four.tolist()) == (3, [1.0] * 4)
    assert len(rho["_policy_steps"](rig, Update())) == 1


def test_a_scale_that_no_update_moves_is_something_else():
    order = probe_file("scale_order")
    order["Rig"] = lambda *_: SimpleNamespace(update=lambda scale, moving: Update(scale=scale))
    order["choices"] = lambda _: [{}]
    assert said(order["probe"](tree())) == [(OTHER, "a scale that no update moves: 0.0500")]


# --- networks ---------------------------------------------------------------------------------------------------------


def test_what_drops_units_elsewhere_is_not_observed():
    dropped = probe_file("q_dropout")["_dropped"]
    torch.manual_seed(1)
    x = torch.rand(6_000, 4)
    assert dropped(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8)), x) == 0.0
    share = dropped(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.LayerNorm(8)), x)
    assert share == pytest.approx(0.5, abs=0.02)
    for member in (nn.Linear(4, 8), nn.LayerNorm(4)):
        with pytest.raises(Unobservable, match="no linear layer, or normalises nothing"):
            dropped(member, x)
    with pytest.raises(Unobservable, match="not its first layer's output"):
        dropped(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8)), x)


class Model(nn.Module):
    """Three networks; `stale` ones answer with the weights that they had, `detached` ones teach nothing."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self._Qs, self.how = nn.Module(), how
        self._Qs.online = nn.Module()
        self._Qs.online._Qs = nn.ModuleList(nn.Linear(LATENT_DIM + ACTION_DIM, 1) for _ in range(3))
        self.copies = deepcopy(self._Qs.online._Qs)

    def Q(self, z, action, task, return_type="all", target=False):
        members = self.copies if self.how == "stale" else self._Qs.online._Qs
        found = torch.stack([member(torch.cat([z, action], -1)) for member in members])
        return found.detach() if self.how == "detached" else found


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ("alive", ("gradients of the networks' parameters", AS_PATCHED, "as through one network after the other")),
        ("stale", ("values after the weights have changed", OTHER, "the same")),
        ("detached", ("gradients of the networks' parameters", OTHER, "none")),
    ],
)
def test_an_ensemble_has_to_answer_and_learn_as_its_members_do(how, last):
    ensemble = probe_file("q_ensemble")
    ensemble["model_of"] = lambda _: Model(how)
    found = ensemble["probe"](tree())
    assert (found[-1].what, found[-1].verdict, found[-1].observed) == last


def test_answers_of_another_shape_are_something_else():
    same = probe_file("q_ensemble")["_same"]
    assert said([same("values", torch.ones(3, 2), torch.ones(3, 2, 1))]) == [
        (OTHER, "of the shape [3, 2], not [3, 2, 1]")
    ]


def test_a_tree_that_can_compile_and_does_not_here_is_not_observed():
    target = probe_file("target_q")
    target["model_of"] = lambda *_, **__: Model("alive")
    reason = "with compile=True nothing was compiled here, though its code can compile"
    assert said(target["probe"](tree(text=lambda _: "q = torch.compile(q)"))) == [(NOT_OBSERVED, reason)]
