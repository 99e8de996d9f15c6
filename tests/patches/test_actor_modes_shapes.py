"""actor-modes: trees that it refuses, and what it keeps of others."""

from __future__ import annotations

import pytest
from specimens import texts
from tables import refused, refused_in_plain
from trees import PATCHES, sources

from newtfix import testing
from newtfix.errors import Refused


def changed(file, *changes):
    return testing.variant(sources(), file, *changes)


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_a_loss_with_another_contract_is_refused():
    tree = changed(
        "tdmpc2.py",
        ("        return pi_loss, qs[0].detach(), info\n", "        return pi_loss, info\n"),
        ("        pi_loss, qs, info = self.pi_loss(", "        qs = None\n        pi_loss, info = self.pi_loss("),
    )  # fmt: skip
    with pytest.raises(Refused, match="'actor-modes' does not fit"):
        apply(tree, "actor-modes")


def test_a_helper_that_something_else_uses_stays():
    used = "    def prior_of(self, action, mu, std, task):\n        return self._log_prior(action, mu, std, task)\n\n"
    tree = changed("tdmpc2.py", ("    def _pi_loss(", used + "    def _pi_loss("))
    assert "def _log_prior(" in apply(tree, "actor-modes")["tdmpc2.py"]
    assert "def _log_prior(" not in apply(sources(), "actor-modes")["tdmpc2.py"]


SCALE_UPDATED = "        with torch.no_grad():\n            self.scale.update(qs)\n"


VALUES = '        qs = self.model.Q(zs, pi_action, task, return_type="avg")\n'


def test_a_loss_that_updates_the_scale_itself_still_does_with_the_actor_modes():
    own = (
        VALUES
        + "        with torch.no_grad():\n            self.scale.update(qs[0])\n            self.note(qs)  # mine\n"
    )
    after = apply(changed("tdmpc2.py", (VALUES, own), (SCALE_UPDATED, "")), "actor-modes")["tdmpc2.py"]
    assert own in after
    assert "self._residual_loss(" in after


@pytest.mark.parametrize(
    "changes",
    [
        [(VALUES, VALUES + "        self.scale.update(qs[0].detach())\n"), (SCALE_UPDATED, "")],
        [("qs[0].detach(), info", "qs.detach(), info"), ("self.scale.update(qs)", "self.scale.update(qs[0])")],
    ],
    ids=["in the loss", "of all values"],
)
def test_a_scale_that_the_actor_modes_would_leave_without_updates_is_refused(changes):
    with pytest.raises(Refused, match="'actor-modes' does not fit"):
        apply(changed("tdmpc2.py", *changes), "actor-modes")


def test_calls_are_made_as_the_tree_makes_them():
    tree = changed(
        "trainer.py",
        ("self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)", "self.buffer.add(_td)"),
        (
            "update_metrics = self.agent.update(self.buffer)",
            "update_metrics = self.agent.update(self.buffer, self._step)",
        ),
    )
    after = apply(tree, "seeding", "burst")["trainer.py"]
    assert "self.buffer.add(segment.unsqueeze(0))" in after
    assert "metrics = self.agent.update(self.buffer, self._step)\n        if" in after


SCALE_UPDATED_IN_PLAIN = "\t\tself.scale.update(qs)\n"


def test_a_metric_that_would_be_gone_where_it_is_read_is_refused():
    agent = texts("plain")["tdmpc2.py"]
    agent = agent.replace("{'pi_loss': loss}", "{'pi_loss': loss, 'pi_clone': clone.mean()}")
    reads = agent.replace(SCALE_UPDATED_IN_PLAIN, "\t\tself.clones = info['pi_clone'] + 1\n" + SCALE_UPDATED_IN_PLAIN)
    testing.apply({**texts("plain"), "tdmpc2.py": agent}, "actor-modes", patches=PATCHES)
    with pytest.raises(Refused, match="reads the entry 'pi_clone', which nothing sets any more"):
        testing.apply({**texts("plain"), "tdmpc2.py": reads}, "actor-modes", patches=PATCHES)


TOTAL = "            pi_loss = q_loss\n"


NORMALISED = "        self.rho = self.rho / self.rho.sum()\n"


REFUSED = {
    "a term of the policy's loss with a setting of its own": (
        "tdmpc2.py",
        TOTAL,
        "            pi_loss = q_loss + self.cfg.smooth_coef * pi_action.diff(dim=0).square().mean()\n",
        "_pi_loss has something of its own",
    ),
    "values that are asked for by another name": (
        "tdmpc2.py",
        'return_type="avg"',
        'return_type="mean"',
        'self.model.Q($*_, return_type="avg")',
    ),
    "a policy that gives no scaled entropy": (
        "common/world_model.py",
        '"scaled_entropy"',
        '"entropy_times_dims"',
        '"scaled_entropy"',
    ),
    "a loss that keeps something": (
        "tdmpc2.py",
        TOTAL,
        f"{TOTAL}            self._average.lerp_(pi_loss.detach(), 0.01)\n",
        "self.$_.lerp_($*_)",
    ),
    "weights that have the shape of losses": (
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        self.rho = self.rho.view(-1, 1, 1)\n",
        "self.rho = $_.view($*_)",
    ),
    "a term of the policy's loss with a number for its weight": (
        "tdmpc2.py",
        TOTAL,
        "            pi_loss = q_loss + 0.05 * pi_action.diff(dim=0).square().mean()\n",
        "$_ + $number * $_",
    ),
    "a policy that needs to be told more": (
        "common/world_model.py",
        "    def pi(self, z, task):",
        "    def pi(self, z, task, temperature):",
        "def pi(self, $z, $task)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("actor-modes", *REFUSED[case])


POLICY_LOSS = "\t\tloss = (clone + best).mean()\n"


REFUSED_IN_PLAIN = {
    "a mask of the tree's own": (
        "common/world_model.py",
        "class WorldModel(nn.Module):\n",
        "class WorldModel(nn.Module):\n\tdef action_mask(self, task):\n\t\treturn self._action_masks[task]\n\n",
        "another action_mask, with other parameters",
    ),
    "a policy loss with a term more": (
        "tdmpc2.py",
        POLICY_LOSS,
        f"{POLICY_LOSS}\t\tloss = loss + SMOOTH * pi_action.diff(dim=0).square().mean()\n",
        "the patch does not go with this code of ",
    ),
    "a policy loss in low precision": (
        "tdmpc2.py",
        POLICY_LOSS,
        f"\t\twith torch.autocast('cuda'):\n\t{POLICY_LOSS}",
        "the patch does not go with this code of ",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("actor-modes", *REFUSED_IN_PLAIN[case])


GUARDED_IN_PLAIN = {
    "a library under the name of the tree's own": (
        "tdmpc2.py",
        "from common import math\n",
        "import math\n\nfrom common import math as tdmath\n",
        "'loss'",
    ),
    "a temperature that is learnt": (
        "tdmpc2.py",
        "-self.cfg.entropy_coef * info",
        "-self.alpha * info",
        "'loss'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("actor-modes", *GUARDED_IN_PLAIN[case])
