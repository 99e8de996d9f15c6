"""Trees with edits of their own: the right edit or a refusal, and nothing of theirs lost."""

from __future__ import annotations

import re

import pytest
from trees import PATCHES, sources

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan

TOKEN_IF = "                    if self._update_tokens >= 1.0:\n"
TOKENS = "                    self._update_tokens += self.cfg.num_envs * self.cfg.world_size * self.cfg.utd\n"
SPENT = "                        self._update_tokens %= 1.0\n"
THRESHOLD_IF = "                if self._step >= self.cfg.seeding_coef * self._update_freq:\n"


def variant(file, *changes):
    return testing.variant(sources(), file, *changes)


def dedent(lines, columns):
    return "".join(f"{line[columns:]}\n" for line in lines.splitlines())


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_comments_and_an_else_branch_in_the_update_block_survive_the_burst():
    tree = variant(
        "trainer.py",
        (TOKENS, TOKENS.rstrip() + "  # earn\n"),
        (TOKEN_IF, "                    # spend whole ones\n" + TOKEN_IF.rstrip() + "  # noqa\n"),
        (SPENT, SPENT + "                    else:\n                        self._idle_iterations = 1  # wait\n"),
        ("train_metrics.update(update_metrics)\n", "train_metrics.update(update_metrics)  # last\n"),
    )  # fmt: skip
    for ids in (["burst"], list(PATCHES)):
        after = apply(tree, *ids)["trainer.py"]
        for text in ("# earn", "# spend whole ones", "# last", "self._idle_iterations = 1  # wait"):
            assert after.count(text) == 1, text
        assert "if self._update_tokens >= 1.0:  # noqa" in after or "self._stored_segments > 0:  # noqa" in after
        assert "if self._burst_due:\n" in after


def test_statements_behind_the_token_code_still_run_in_the_burst_s_iteration():
    tree = variant("trainer.py", (SPENT, SPENT + "                    self.logger.note()\n"))
    after = apply(tree, "burst")["trainer.py"].splitlines()
    (note,) = (line for line in after if "self.logger.note()" in line)
    (due,) = (line for line in after if line.strip() == "if self._burst_due:")
    assert len(note) - len(note.lstrip()) == len(due) - len(due.lstrip())


@pytest.mark.parametrize("ids", [["burst"], ["mu-std"]], ids=lambda ids: ids[0])
def test_a_threshold_in_a_local_variable_is_spelled_out_where_the_variable_does_not_exist(ids):
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n"
    tree = variant("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    after = apply(tree, *ids)["trainer.py"]
    assert local + "                if self._step >= seed_until:\n" in after
    spelled = apply(sources(), *ids)["trainer.py"]
    assert (
        after.replace(local, "").replace("seed_until:", f"{THRESHOLD}:").replace("(" + THRESHOLD + ")", THRESHOLD)
        == spelled
    )


def test_seeding_ends_the_threshold_in_a_local_variable():
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n"
    tree = variant("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    after = apply(tree, "seeding")["trainer.py"]
    assert "                seed_until = self._seed_steps\n" in after
    assert "if self._step >= seed_until and self._hand_over_segments(ep_len):\n" in after


def test_a_threshold_in_a_variable_that_changes_is_refused():
    """Its code moves to places where the variable does not exist."""
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n                seed_until += 1\n"
    tree = variant("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    for name in ("burst", "mu-std", "seeding"):
        with pytest.raises(Refused):
            apply(tree, name)


@pytest.mark.parametrize("ids", [["burst"], ["mu-std"]], ids=lambda ids: ids[0])
def test_another_comparison_of_the_step_is_not_the_threshold(ids):
    late = "                if self._step >= self.cfg.steps // 2:\n                    self._late = True\n"
    tree = variant("trainer.py", ("                # Update agent\n", late + "                # Update agent\n"))
    after = apply(tree, *ids)["trainer.py"]
    assert after.count("self.cfg.steps // 2") == 1
    inverted = THRESHOLD_IF.replace("if self._step >= ", "if not self._step < ")
    assert apply(variant("trainer.py", (THRESHOLD_IF, inverted)), *ids)["trainer.py"].count(
        "self.cfg.seeding_coef"
    ) == (apply(sources(), *ids)["trainer.py"].count("self.cfg.seeding_coef"))


def test_a_module_of_the_name_that_a_patch_imports_is_refused():
    tree = variant("trainer.py", ("from time import time\n", "from time import time\n\nimport tqdm\n"))
    with pytest.raises(Refused, match="import tqdm"):
        apply(tree, "burst")


def test_a_loss_with_another_contract_is_refused():
    tree = variant(
        "tdmpc2.py",
        ("        return pi_loss, qs[0].detach(), info\n", "        return pi_loss, info\n"),
        ("        pi_loss, qs, info = self.pi_loss(", "        qs = None\n        pi_loss, info = self.pi_loss("),
    )  # fmt: skip
    with pytest.raises(Refused, match="'actor-modes' does not fit"):
        apply(tree, "actor-modes")


def test_a_helper_that_something_else_uses_stays():
    used = "    def prior_of(self, action, mu, std, task):\n        return self._log_prior(action, mu, std, task)\n\n"
    tree = variant("tdmpc2.py", ("    def _pi_loss(", used + "    def _pi_loss("))
    assert "def _log_prior(" in apply(tree, "actor-modes")["tdmpc2.py"]
    assert "def _log_prior(" not in apply(sources(), "actor-modes")["tdmpc2.py"]


def test_switches_without_the_random_branch_are_not_those_of_the_collection():
    both = "                use_mpc = True\n                use_agent = True\n"
    tree = variant(
        "trainer.py",
        (both, "                use_mpc, use_agent = bool(1), bool(1)\n"),
        ("        results = defaultdict(list)\n", f"        results = defaultdict(list)\n{dedent(both, 8)}"),
    )  # fmt: skip
    with pytest.raises(Refused, match="'who-acts'"):
        apply(tree, "mu-std")


def test_two_trainers_that_are_equally_good_candidates_are_named():
    text = sources()["trainer.py"]
    start = text.index("class Trainer:")
    two = (
        text.replace("class Trainer:", "class OnlineTrainer:")
        + "\n\n"
        + text[start:].replace("Trainer", "DemoTrainer", 1)
    )
    with pytest.raises(Refused, match=r"two classes play the role of trainer(.|\n)*OnlineTrainer(.|\n)*DemoTrainer"):
        apply({**sources(), "trainer.py": two}, "seeding")


def test_a_subclass_with_a_loop_of_its_own_is_pointed_out():
    own = "\n\nclass DemoTrainer(Trainer):\n    def train(self):\n        use_mpc = True\n"
    tree = {**sources(), "trainer.py": sources()["trainer.py"] + own}
    (note,) = set(plan(tree, ["seeding"], PATCHES).notes) - set(plan(sources(), ["seeding"], PATCHES).notes)
    assert note.startswith("trainer.py: DemoTrainer has its own train; the patches changed Trainer alone")


SPELLED = "self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size"
THRESHOLD = "self.cfg.seeding_coef * self._update_freq"


def test_a_threshold_that_is_spelled_out_is_found():
    after = apply(variant("trainer.py", (THRESHOLD, SPELLED)), "seeding", "mu-std")["trainer.py"]
    assert "seeding_coef" not in after
    assert "use_mpc = self._step >= self._seed_steps" in after


def test_a_second_spelling_of_the_threshold_is_refused():
    """It would go on to ask newt's question."""
    second = "                self._late = self._step >= 7 * self.cfg.seeding_coef\n"
    tree = variant("trainer.py", ("                # Update agent\n", second + "                # Update agent\n"))
    with pytest.raises(Refused, match=r"'threshold'(.|\n)*self.cfg.seeding_coef in another place"):
        apply(tree, "seeding")


def test_an_agent_that_acts_from_the_start_is_not_taken_for_one_that_waits():
    both = "                use_mpc = True\n                use_agent = True\n"
    early = "                use_mpc = self._step >= self.cfg.seeding_coef * self._update_freq\n"
    with pytest.raises(Refused, match="'who-acts'"):
        apply(variant("trainer.py", (both, early + "                use_agent = True\n")), "mu-std")
    waits = early + "                use_agent = self.cfg.finetune or use_mpc\n"
    assert "mu = action.clone()" in apply(variant("trainer.py", (both, waits)), "mu-std")["trainer.py"]


UPDATED = "        with torch.no_grad():\n            self.scale.update(qs)\n"
VALUES = '        qs = self.model.Q(zs, pi_action, task, return_type="avg")\n'


def test_a_loss_that_updates_the_scale_itself_still_does_with_the_actor_modes():
    own = (
        VALUES
        + "        with torch.no_grad():\n            self.scale.update(qs[0])\n            self.note(qs)  # mine\n"
    )
    after = apply(variant("tdmpc2.py", (VALUES, own), (UPDATED, "")), "actor-modes")["tdmpc2.py"]
    assert own in after
    assert "self._residual_loss(" in after


@pytest.mark.parametrize(
    "changes",
    [
        [(VALUES, VALUES + "        self.scale.update(qs[0].detach())\n"), (UPDATED, "")],
        [("qs[0].detach(), info", "qs.detach(), info"), ("self.scale.update(qs)", "self.scale.update(qs[0])")],
    ],
    ids=["in the loss", "of all values"],
)
def test_a_scale_that_the_actor_modes_would_leave_without_updates_is_refused(changes):
    with pytest.raises(Refused, match="'actor-modes' does not fit"):
        apply(variant("tdmpc2.py", *changes), "actor-modes")


def test_calls_are_made_as_the_tree_makes_them():
    tree = variant(
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


def test_the_burst_brings_the_import_that_its_setting_needs():
    text = re.sub(r"Optional\[.*?\](?= = )", "Any", sources()["config.py"]).replace("Optional[str]", "Any")
    text = text.replace("import Any, Literal, Optional, Union", "import Any, Literal, Union")
    assert "Optional" not in text
    assert "from typing import Optional\n" in apply({**sources(), "config.py": text}, "burst")["config.py"]


def test_comments_in_an_else_branch_that_a_patch_repeats_stay():
    tree = variant(
        "trainer.py",
        (
            "                    action = self.env.rand_act()\n",
            "                    # at random\n                    action = self.env.rand_act()  # uniform\n",
        ),
    )
    after = apply(tree, "mu-std")["trainer.py"]
    assert "                    # at random\n                    action = self.env.rand_act()  # uniform\n" in after
