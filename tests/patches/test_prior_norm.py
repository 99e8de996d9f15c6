"""prior-norm: the prior's weight, scaled by A/61."""

from __future__ import annotations

import math

import pytest
from observed import Tree, policy_update
from specimens import texts
from trees import PATCHES, sources

from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import variant


def test_the_prior_s_weight_beside_another_loss_with_its_own() -> None:
    scaled = ("(self.cfg.prior_coef * self.cfg.action_dim / 61) * prior_loss", "self.cfg.prior_coef * prior_loss")
    patched = plan(variant(texts("planning"), "tdmpc2.py", scaled), ["prior-norm"], PATCHES).after["tdmpc2.py"]
    assert "prior_loss = -(log_prior * prior_norm * self.rho[:-1, None, None]).sum(dim=(0, 2))\n" in patched
    assert patched.count("prior_norm") == 2


def test_a_fix_by_hand_in_code_that_is_replaced_is_pointed_out() -> None:
    alone, both = (
        plan(texts("planning"), wanted, PATCHES).notes for wanted in (["actor-modes"], ["actor-modes", "prior-norm"])
    )
    assert any("'prior-norm' by hand" in note for note in alone)
    assert not any("'prior-norm'" in note for note in both)


def test_a_prior_that_the_tree_scales_itself() -> None:
    text = sources()["tdmpc2.py"]
    line = next(one for one in text.splitlines(keepends=True) if "prior_loss = self._sum_over_time(-log_prior)" in one)
    indent = line[: len(line) - len(line.lstrip())]
    more = f"{line}{indent}prior_loss = prior_loss * self.cfg.action_dim / 21\n"
    with pytest.raises(Refused, match="does not fit"):
        plan({**sources(), "tdmpc2.py": text.replace(line, more)}, ["prior-norm"], PATCHES)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    """The prior's share of the loss shrinks to 2/61 of what it is without the patch."""
    if "actor-modes" in tree.ids:
        return  # its oracle counts the factor
    shares = []
    for ids in (tree.ids, tree.ids - {"prior-norm"}):
        one = Tree(tree.name, ids)
        losses = [float(policy_update(one, prior_coef=coef).metrics["pi_loss"].detach()) for coef in (0.0, 3.0)]
        shares.append(losses[1] - losses[0])
    assert math.isclose(shares[0], shares[1] * 2 / 61, rel_tol=1e-3)
