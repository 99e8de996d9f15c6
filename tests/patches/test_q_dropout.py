"""q-dropout: dropout in the Q networks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from observed import Tree, ensemble_of
from specimens import texts
from tables import left_alone, name_of, refused, rewritten
from trees import PATCHES, make_cfg, tree

from newtfix.plan.engine import plan
from newtfix.testing import variant


def test_dropout_that_is_there_and_off_is_switched_on() -> None:
    tree = dict(texts("plain"))
    on = plan(tree, ["q-dropout"], PATCHES).after
    off = variant({**tree, **on}, "config.py", ("dropout: float = 0.01", "dropout: float = 0.0"))
    assert plan(off, ["q-dropout"], PATCHES).after == {"config.py": on["config.py"]}


def ensemble(ids, **settings):
    """Online and target Q networks with random weights, and inputs [5, B, F]."""
    modules = tree(ids)
    cfg = make_cfg(modules, 1, [250], num_q=4, mlp_dim=64, **settings)
    torch.manual_seed(0)
    both = modules.layers.QOnlineTargetEnsemble(cfg)
    with torch.no_grad():
        for parameter in both.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return both, torch.randn(5, 32, 18)


@pytest.mark.parametrize("extra", [[], ["q-ensemble"]], ids=["loop", "stacked"])
def test_dropout_acts_in_training_and_on_the_online_networks_alone(extra):
    both, x = ensemble(["q-dropout", *extra], dropout=0.5)
    both.train()
    assert not torch.equal(both(x), both(x))
    assert torch.equal(both(x, target=True), both(x, target=True))
    both.eval()
    assert torch.equal(both(x), both(x))


def test_no_dropout_without_the_patch():
    both, x = ensemble([])
    both.train()
    assert torch.equal(both(x), both(x))


@pytest.mark.parametrize("extra", [[], ["q-ensemble"]], ids=["loop", "stacked"])
def test_dropout_drops_what_the_first_layer_puts_out_in_front_of_its_normalisation(extra, monkeypatch):
    """The rate is the setting's; each network draws its own units; nothing is dropped elsewhere."""
    both, x = ensemble(["q-dropout", *extra], dropout=0.25)
    both.train()
    seen = []
    dropout, norm = torch.nn.functional.dropout, torch.native_layer_norm
    monkeypatch.setattr(
        torch.nn.functional, "dropout", lambda v, p, training: seen.append(("dropout", p)) or dropout(v, p, training)
    )
    monkeypatch.setattr(torch, "native_layer_norm", lambda *a, **k: seen.append(("norm", None)) or norm(*a, **k))
    both(x)
    runs = 1 if extra else 4
    assert [kind for kind, _ in itertools.groupby(seen)] == runs * [("dropout", 0.25), ("norm", None)]
    monkeypatch.undo()
    for network in both.online._Qs:
        network.load_state_dict(both.online._Qs[0].state_dict())
    outputs = both(x)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(outputs, 2))


def test_the_default_rate_is_the_reference_s():
    modules = tree(["q-dropout"])
    assert modules.config.Config().dropout == 0.01
    both, _ = ensemble(["q-dropout"])
    assert [network[0].dropout for network in both.online._Qs] == 4 * [0.01]
    assert [layer.dropout for network in both.online._Qs for layer in list(network)[1:-1]] == 4 * [0.0]


HIDDEN = "    hidden = [NormedLinear(a, b) for a, b in pairwise(widths)]\n"


LINEAR = "    hidden = [nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), Mish()) for a, b in pairwise(widths)]\n"


REFUSED = {
    "hidden layers of another kind": (
        "common/layers.py",
        HIDDEN,
        LINEAR,
        "`NormedLinear(…)`",
    ),
    "a model that never trains": (
        "tdmpc2.py",
        "        self.model.train()\n",
        "",
        "self.model.train()",
    ),
    "a model that plans in training mode": (
        "tdmpc2.py",
        "        self._step_schedules()\n        self.model.eval()\n",
        "        self._step_schedules()\n",
        "self.model.eval()",
    ),
    "a rate of dropout that other networks have, too": (
        "common/world_model.py",
        "        self.cfg = cfg\n",
        "        self.cfg = cfg\n        self._noise = nn.Dropout(cfg.dropout)\n",
        "dropout means something else here",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("q-dropout", *REFUSED[case])


FORWARD = "        return self.activated(super().forward(x))\n"


NETWORKS = (
    "        self._Qs = nn.ModuleList("
    "[mlp(in_dim, 2 * [cfg.mlp_dim], max(cfg.num_bins, 1)) for _ in range(cfg.num_q)])\n"
)


REWRITES = [
    (
        "common/layers.py",
        [(FORWARD, "        x = super().forward(x)  # affine\n        return self.act(self.ln(x))\n")],
        [
            "        x = self._drop(super().forward(x))  # affine\n",
            "            network[0].dropout = cfg.dropout\n",
        ],
        [],
    ),
    (
        "common/layers.py",
        [
            (
                NETWORKS,
                "        networks = [mlp(in_dim, [8, 8], 1)]\n        self._Qs = nn.ModuleList(networks)\n",
            )
        ],
        ["        self._Qs = nn.ModuleList(networks)\n        for network in self._Qs:\n"],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("q-dropout", *row)


ALONE = [
    (
        "common/layers.py",
        [(FORWARD, "        return self.act(super().forward(x))\n"), (NETWORKS, "        self._Qs = make(cfg)\n")],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("q-dropout", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    assert tree.modules.config.Config().dropout == 0.01
    both, x = ensemble_of(tree, dropout=0.5)
    both.train()
    assert not torch.equal(both(x), both(x))
    assert torch.equal(both(x, target=True), both(x, target=True))
    both.eval()
    assert torch.equal(both(x), both(x))
