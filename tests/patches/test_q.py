"""`q-dropout`, `target-q`, and the two with `q-ensemble`: the Q networks."""

from __future__ import annotations

import itertools

import pytest
import torch
from trees import make_cfg, tree

PATCHED = ["q-dropout", "q-ensemble", "target-q"]


@pytest.fixture
def eager():
    """Compiled functions run eagerly: what they are bound to is the same, and nothing is compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


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


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compile"])
@pytest.mark.parametrize("ids", [[], ["target-q"], ["target-q", "q-ensemble", "q-dropout"]], ids="+".join)
def test_zeroed_target_networks_answer_with_zero(ids, compiled, eager):
    """newt's compiled target still answers with the online networks."""
    both, x = ensemble(ids, compile=compiled)
    both.eval()
    with torch.no_grad():
        for parameter in both.target.parameters():
            parameter.zero_()
    online, target = both(x), both(x, target=True)
    assert online.abs().max() > 0
    if compiled and "target-q" not in ids:
        assert torch.equal(target, online)
    else:
        assert not target.any()


def test_the_target_compiles_once_more_with_the_tree_s_own_options(eager, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda fn, **options: compiled.append((fn.__self__, options)) or fn)
    both, _ = ensemble(["target-q"], compile=True)
    assert [owner for owner, _ in compiled] == [both.online, both.target]
    assert compiled[0][1] == compiled[1][1]


def test_without_compilation_the_defect_is_not_there():
    both, x = ensemble([], compile=False)
    with torch.no_grad():
        for parameter in both.target.parameters():
            parameter.zero_()
    assert not both(x, target=True).any()


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


def test_a_real_compilation_agrees():
    """The batched ensemble with dropout goes through Dynamo without a graph break, forward and backward."""
    both, x = ensemble(PATCHED)
    both.eval()
    compiled = torch.compile(both.online._forward_impl, backend="aot_eager", fullgraph=True)
    got = compiled(x)
    got.square().mean().backward()
    assert torch.allclose(got, both(x), rtol=1e-5, atol=1e-5)
    assert all(p.grad is not None for p in both.online.parameters())
