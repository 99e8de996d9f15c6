"""target-q: the target networks' own weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import torch
from observed import Tree, ensemble_of
from specimens import texts
from tables import left_alone, name_of, refused, rewritten
from trees import PATCHES, make_cfg, sources, tree

from newtfix import testing
from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import plan
from newtfix.testing import variant

COMPILED = (
    "        if cfg.compile:\n            self._forward = torch.compile(self._forward_impl)\n"
    "        else:\n            self._forward = self._forward_impl\n"
)


def test_a_method_compiled_over_itself_is_compiled_anew_for_the_copy() -> None:
    over = "        if cfg.compile:\n            self.forward = torch.compile(self.forward)\n"
    tree = variant(sources(), "common/layers.py", (COMPILED, over), everywhere=True)
    patched = plan(tree, ["target-q"], PATCHES).after["common/layers.py"]
    assert "self.target.forward = torch.compile(type(self.target).forward.__get__(self.target))\n" in patched


def test_critics_in_a_file_of_their_own_are_not_taken_for_repaired() -> None:
    tree = sources()
    layers = tree["common/layers.py"]
    start = layers.index("class QOnlineTargetEnsemble")
    moved = {"common/layers.py": layers[:start], "common/critic.py": f"from .layers import *\n\n\n{layers[start:]}"}
    with pytest.raises(Refused, match="does not fit"):
        plan({**tree, **moved}, ["target-q"], PATCHES)


@pytest.mark.parametrize("more", [".requires_grad_(False)", ".eval()"])
def test_copies_that_do_not_learn(more: str) -> None:
    tree = variant(sources(), "common/layers.py", ("deepcopy(self.online)", f"deepcopy(self.online){more}"))
    assert "self.target._forward = torch.compile(" in plan(tree, ["target-q"], PATCHES).after["common/layers.py"]


COPY_IN_PLAIN = "\t\tself.target = deepcopy(self.online)\t# follows\n"


def test_a_target_that_is_copied_compiled_is_not_taken_for_fixed():
    tree = texts("plain")
    layers = tree["common/layers.py"]
    start, end = layers.index("\t\t# compile where asked to\n"), layers.index("\n\tdef _forward_impl")
    own = "\t\tself._forward = self._forward_impl\n\n"
    own += "\tdef compile_forward(self):\n\t\tself._forward = torch.compile(self._forward_impl)\n"
    layers = layers[:start] + own + layers[end:]
    assert layers.count(COPY_IN_PLAIN) == 1
    late = "\t\tif cfg.compile:\n\t\t\tself.online.compile_forward()\n"
    patched = testing.apply(
        {**tree, "common/layers.py": layers.replace(COPY_IN_PLAIN, late + COPY_IN_PLAIN)}, "target-q", patches=PATCHES
    )
    assert "self.target._forward = torch.compile(self.target._forward_impl)" in patched["common/layers.py"]


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


PATCHED = ["q-dropout", "q-ensemble", "target-q"]


def test_a_real_compilation_agrees():
    """The batched ensemble with dropout goes through Dynamo without a graph break, forward and backward."""
    both, x = ensemble(PATCHED)
    both.eval()
    compiled = torch.compile(both.online._forward_impl, backend="aot_eager", fullgraph=True)
    got = compiled(x)
    got.square().mean().backward()
    assert torch.allclose(got, both(x), rtol=1e-5, atol=1e-5)
    assert all(p.grad is not None for p in both.online.parameters())


REFUSED = {
    "a forward pass that is compiled by another name": (
        "common/layers.py",
        COMPILED,
        "        compiled = partial(torch.compile) if cfg.compile else (lambda f: f)\n"
        "        self._forward = compiled(self._forward_impl)\n",
        "does not fit",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("target-q", *REFUSED[case])


REWRITES = [
    (
        "common/layers.py",
        [("        if cfg.compile:\n", "        if cfg.compile or cfg.fast:\n")],
        ["        if cfg.compile or cfg.fast:\n            self.target._forward = torch.compile("],
        [],
    ),
    (
        "common/layers.py",
        [(COMPILED, "        self._forward = torch.compile(self._forward_impl)\n")],
        ["(self.online)\n        self.target._forward = torch.compile(self.target._forward_impl)\n"],
        ["if cfg.compile"],
    ),
    (
        "common/layers.py",
        [("torch.compile(self._forward_impl)", "torch.compile(self._forward_impl, mode='reduce-overhead')")],
        ["            self.target._forward = torch.compile(self.target._forward_impl, mode='reduce-overhead')\n"],
        [],
    ),
    (
        "common/layers.py",
        [
            (COMPILED, "        self._run = torch.compile(self._impl) if cfg.compile else self._impl\n"),
            ("_forward_impl(", "_impl("),
        ],
        ["        if cfg.compile:\n            self.target._run = torch.compile(self.target._impl)\n"],
        [],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("target-q", *row)


COPY = "        self.target = deepcopy(self.online)\n"


ALONE = [
    (
        "common/layers.py",
        [("        if cfg.compile:\n", "        if self.wanted:\n")],
        None,
    ),
    (
        "common/layers.py",
        [(COMPILED, "        self._forward = self._forward_impl\n")],
        State.ABSENT,
    ),
    (
        "common/layers.py",
        [(COPY, "        self.target = QEnsemble(cfg)\n")],
        State.ABSENT,
    ),
    (
        "common/layers.py",
        [(COPY, COPY + "        self.target._forward = torch.compile(self.target._forward_impl)\n")],
        State.APPLIED,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("target-q", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""

    def compiled(fn: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: fn(*args, **kwargs)

    with patch.object(torch, "compile", compiled):
        both, x = ensemble_of(tree, compile=True, dropout=0.0)
    online = both(x)
    with torch.no_grad():
        for parameter in both.target.parameters():
            parameter.zero_()
    assert not both(x, target=True).any()
    assert torch.equal(both(x), online)
