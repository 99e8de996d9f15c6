"""`burst`: how many updates, when, and how often."""

from __future__ import annotations

import re

import pytest
from observed import END, ENVS, LENGTHS, Tree, usual_run
from specimens import Run, texts
from tables import refused, refused_in_plain
from trees import PATCHES, make_trainer, sources

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import variant


def at(trainer, step):
    return trainer.agent.updated_at.count(step)


@pytest.mark.parametrize(
    ("ids", "when", "size"),
    [(["burst"], 25_000, 25_000), (["burst", "seeding"], 1_260, 1_250)],
    ids=["newt's threshold", "seeding"],
)
def test_one_burst_of_as_many_updates_as_seed_steps(ids, when, size):
    trainer = make_trainer(ids, [250] * 20, steps=when + 400)
    trainer.train()
    assert trainer.agent.updated_at[0] == when
    assert at(trainer, when) == size
    after = [step for step in trainer.agent.updated_at if step > when]
    assert after and len(after) == pytest.approx(400 * trainer.cfg.utd, abs=2)


@pytest.mark.parametrize(("setting", "size"), [(7, 7), (1, 1)])
def test_the_size_is_a_setting(setting, size):
    trainer = make_trainer(["burst", "seeding"], [250] * 20, steps=1_300, burst_updates=setting)
    trainer.train()
    assert at(trainer, 1_260) == size


def test_zero_means_a_run_like_one_without_the_patch():
    runs = [
        make_trainer(["seeding"], [250] * 20, steps=3_000),
        make_trainer(["burst", "seeding"], [250] * 20, steps=3_000, burst_updates=0),
    ]
    for trainer in runs:
        trainer.train()
    assert runs[0].agent.updated_at == runs[1].agent.updated_at


@pytest.mark.parametrize(("start", "bursts"), [(30_000, 0), (900, 1)], ids=["resumed past", "resumed before"])
def test_resumed_runs(start, bursts):
    trainer = make_trainer(["burst", "seeding"], [250] * 20, steps=start + 1_200)
    trainer._step = start
    trainer.train()
    sizes = [trainer.agent.updated_at.count(step) for step in set(trainer.agent.updated_at)]
    assert sum(size >= 1_250 for size in sizes) == bursts


def test_the_burst_waits_until_there_is_something_to_sample():
    trainer = make_trainer(["burst", "seeding"], [50] * 1_000, steps=5_000, burst_updates=9)
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_000
    assert at(trainer, 3_000) == 9


def test_it_says_what_it_did(capsys):
    make_trainer(["burst", "seeding"], [250] * 20, steps=1_300, burst_updates=3).train()
    said = capsys.readouterr()
    assert "burst of 3 updates at step 1,260: total_loss 1" in said.out + said.err


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_does_the_same_number(rank):
    trainer = make_trainer(
        ["burst", "seeding"], [250] * 4, steps=1_300, world_size=2, num_global_tasks=2, rank=rank, burst_updates=11
    )
    trainer.train()
    assert at(trainer, trainer.agent.updated_at[0]) == 11


def test_a_run_that_can_be_stopped_and_updates_that_are_timed_have_a_burst() -> None:
    tree = variant(
        sources(),
        "trainer.py",
        ("while self._step <= self.cfg.steps:", "while self._step <= self.cfg.steps and not self._stopped:"),
        (
            "                            update_metrics = self.agent.update(self.buffer)\n",
            '                            with record_function("update"):\n'
            "                                update_metrics = self.agent.update(self.buffer)\n",
        ),
    )
    patched = plan(tree, ["burst"], PATCHES).after["trainer.py"]
    assert patched.index("self._burst_due = self.cfg.burst_updates") < patched.index("and not self._stopped:")


SPENDING = "\t\t\t\tself._update_tokens += ", "self._update_tokens -= rounds\n"


SPENDING_IN_PLAIN = (
    texts("plain")["trainer.py"][slice(*(texts("plain")["trainer.py"].index(part) for part in SPENDING))] + SPENDING[1]
)


SPENDER = (
    "\tdef _spend(self) -> dict:\n\t\t_metrics = {}\n"
    + SPENDING_IN_PLAIN.replace("\t\t\t\t\ttrain_metrics.update(_metrics)\n", "").replace("\t\t\t\t", "\t\t")
    + "\t\treturn _metrics\n\n"
)


def spent_by_a_method() -> dict[str, str]:
    changes = (
        (SPENDING_IN_PLAIN, "\t\t\t\ttrain_metrics.update(self._spend())\n"),
        ("\tdef eval(self):\n", f"{SPENDER}\tdef eval(self):\n"),
    )
    return variant(texts("plain"), "trainer.py", *changes)


def test_tokens_that_a_method_of_its_own_spends() -> None:
    tree = spent_by_a_method()
    loop = (
        "\t\t\tif self._step >= self._seed_steps and self._hand_over_segments(ep_len):\n"
        "\t\t\t\tif self._burst_due:\n"
        "\t\t\t\t\ttrain_metrics.update(self._burst())\n"
        "\t\t\t\telse:\n"
        "\t\t\t\t\ttrain_metrics.update(self._spend())\n"
    )
    for first, second in ((["seeding", "burst"], []), (["seeding"], ["burst"]), (["burst"], ["seeding"])):
        then = {**tree, **plan(tree, first, PATCHES).after}
        patched = {**then, **plan(then, second, PATCHES).after}["trainer.py"]
        assert loop in patched
        assert SPENDER in patched


def test_a_method_that_spends_nothing_is_no_place_for_a_burst() -> None:
    tree = spent_by_a_method()
    tree["trainer.py"] = tree["trainer.py"].replace("\t\tself._update_tokens += self.cfg", "\t\ttokens = self.cfg")
    with pytest.raises(Refused, match="'burst' does not fit"):
        plan(tree, ["burst"], PATCHES)


TOKEN_IF = "                    if self._update_tokens >= 1.0:\n"


TOKENS = "                    self._update_tokens += self.cfg.num_envs * self.cfg.world_size * self.cfg.utd\n"


SPENT_ALL = "                        self._update_tokens %= 1.0\n"


def changed(file, *changes):
    return testing.variant(sources(), file, *changes)


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_comments_and_an_else_branch_in_the_update_block_survive_the_burst():
    tree = changed(
        "trainer.py",
        (TOKENS, TOKENS.rstrip() + "  # earn\n"),
        (TOKEN_IF, "                    # spend whole ones\n" + TOKEN_IF.rstrip() + "  # noqa\n"),
        (
            SPENT_ALL,
            SPENT_ALL + "                    else:\n                        self._idle_iterations = 1  # wait\n",
        ),
        ("train_metrics.update(update_metrics)\n", "train_metrics.update(update_metrics)  # last\n"),
    )  # fmt: skip
    for ids in (["burst"], list(PATCHES)):
        after = apply(tree, *ids)["trainer.py"]
        for text in ("# earn", "# spend whole ones", "# last", "self._idle_iterations = 1  # wait"):
            assert after.count(text) == 1, text
        assert "if self._update_tokens >= 1.0:  # noqa" in after or "self._stored_segments > 0:  # noqa" in after
        assert "if self._burst_due:\n" in after


def test_statements_behind_the_token_code_still_run_in_the_burst_s_iteration():
    tree = changed("trainer.py", (SPENT_ALL, SPENT_ALL + "                    self.logger.note()\n"))
    after = apply(tree, "burst")["trainer.py"].splitlines()
    (note,) = (line for line in after if "self.logger.note()" in line)
    (due,) = (line for line in after if line.strip() == "if self._burst_due:")
    assert len(note) - len(note.lstrip()) == len(due) - len(due.lstrip())


THRESHOLD_IF = "                if self._step >= self.cfg.seeding_coef * self._update_freq:\n"


@pytest.mark.parametrize("ids", [["burst"], ["mu-std"]], ids=lambda ids: ids[0])
def test_a_threshold_in_a_local_variable_is_spelled_out_where_the_variable_does_not_exist(ids):
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n"
    tree = changed("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    after = apply(tree, *ids)["trainer.py"]
    assert local + "                if self._step >= seed_until:\n" in after
    spelled = apply(sources(), *ids)["trainer.py"]
    assert (
        after.replace(local, "").replace("seed_until:", f"{THRESHOLD}:").replace("(" + THRESHOLD + ")", THRESHOLD)
        == spelled
    )


THRESHOLD = "self.cfg.seeding_coef * self._update_freq"


@pytest.mark.parametrize("ids", [["burst"], ["mu-std"]], ids=lambda ids: ids[0])
def test_another_comparison_of_the_step_is_not_the_threshold(ids):
    late = "                if self._step >= self.cfg.steps // 2:\n                    self._late = True\n"
    tree = changed("trainer.py", ("                # Update agent\n", late + "                # Update agent\n"))
    after = apply(tree, *ids)["trainer.py"]
    assert after.count("self.cfg.steps // 2") == 1
    inverted = THRESHOLD_IF.replace("if self._step >= ", "if not self._step < ")
    assert apply(changed("trainer.py", (THRESHOLD_IF, inverted)), *ids)["trainer.py"].count(
        "self.cfg.seeding_coef"
    ) == (apply(sources(), *ids)["trainer.py"].count("self.cfg.seeding_coef"))


def test_a_module_of_the_name_that_a_patch_imports_is_refused():
    tree = changed("trainer.py", ("from time import time\n", "from time import time\n\nimport tqdm\n"))
    with pytest.raises(Refused, match="import tqdm"):
        apply(tree, "burst")


def test_the_burst_brings_the_import_that_its_setting_needs():
    text = re.sub(r"Optional\[.*?\](?= = )", "Any", sources()["config.py"]).replace("Optional[str]", "Any")
    text = text.replace("import Any, Literal, Optional, Union", "import Any, Literal, Union")
    assert "Optional" not in text
    assert "from typing import Optional\n" in apply({**sources(), "config.py": text}, "burst")["config.py"]


def test_comments_in_an_else_branch_that_a_patch_repeats_stay():
    tree = changed(
        "trainer.py",
        (
            "                    action = self.env.rand_act()\n",
            "                    # at random\n                    action = self.env.rand_act()  # uniform\n",
        ),
    )
    after = apply(tree, "mu-std")["trainer.py"]
    assert "                    # at random\n                    action = self.env.rand_act()  # uniform\n" in after


UPDATING = "                # Update agent\n"


TOKENS_LEFT = "                        self._update_tokens %= 1.0\n"


REFUSED = {
    "a burst of somebody's own": (
        "trainer.py",
        UPDATING,
        "                if self._step >= self.cfg.pretrain_at and not self._pretrained:\n"
        "                    for _ in range(self.cfg.pretrain_updates):\n"
        "                        self.agent.update(self.buffer)\n"
        f"                    self._pretrained = True\n{UPDATING}",
        "self.agent.update is called not only where update tokens are spent",
    ),
    "resets that count updates": (
        "trainer.py",
        TOKENS_LEFT,
        f"{TOKENS_LEFT}                        if self._updates >= self.cfg.reset_every:\n"
        "                            self.agent.reset_heads()\n",
        "at one step alone",
    ),
    "a burst in a method of its own": (
        "trainer.py",
        UPDATING,
        "                if self._step >= self.cfg.pretrain_at and not self._seeded:\n"
        f"                    self._seeded = True\n                    self._learn_from_seeds()\n{UPDATING}",
        "this trains, or decides on it, at one step alone",
    ),
    "tokens that are given at one step": (
        "trainer.py",
        UPDATING,
        f"                if self._step == 9_000:\n                    self._update_tokens += 500\n{UPDATING}",
        "this trains, or decides on it, at one step alone",
    ),
    "as many updates as seed steps at one step": (
        "trainer.py",
        "for _ in range(int(self._update_tokens)):",
        "for _ in range(1_000 if self._step == 20_000 else int(self._update_tokens)):",
        "this may decide how often the agent is trained",
    ),
    "updates that wait from the start": (
        "trainer.py",
        "        self._update_tokens = 0.0\n",
        "        self._update_tokens = 5 * cfg.episode_length\n",
        "begins with more than nothing",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("burst", *REFUSED[case])


REFUSED_IN_PLAIN = {
    "a burst of the tree's own": (
        "trainer.py",
        "\tdef eval(self):\n",
        "\tdef _burst(self, n):\n\t\treturn n\n\n\tdef eval(self):\n",
        "another _burst, with other parameters",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("burst", *REFUSED_IN_PLAIN[case])


UPDATE_IN_PLAIN = "\t\t\t\t\t\t_metrics = self.agent.update(self.buffer)\n"


GUARDED_IN_PLAIN = {
    "updates with something beside them": (
        "trainer.py",
        UPDATE_IN_PLAIN,
        UPDATE_IN_PLAIN + "\t\t\t\t\t\tself.buffer.refresh()\n",
        "in a loop that does more",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("burst", *GUARDED_IN_PLAIN[case])


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = usual_run(tree)
    first = run.updated[0]
    assert first in (1000, 2000)
    assert run.updated.count(first) == first
    later = [step for step in run.updated if step > first]
    assert len(later) == int((END + ENVS - first) * 0.05), "tokens earn the updates after it"
    few = Run(tree.modules, LENGTHS, steps=2100, **tree.settings(burst_updates=7)).train()
    assert few.updated.count(few.updated[0]) in (7, first)
    resumed = Run(tree.modules, LENGTHS, steps=6500, start=6000, eval_freq=6000).train()
    assert 0 < len(resumed.updated) < 50
    assert max(map(resumed.updated.count, resumed.updated)) <= 3
