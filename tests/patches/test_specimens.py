"""Shapes in the wild: what each patch makes of each specimen, and whether the tree then does what the patch says."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from observed import LENGTHS, Tree, usual_run
from specimens import NAMES, PATCHES, Run, load, make_agent, make_cfg, patched, planned, texts, write
from trees import FakeEnv, SilentLogger

from newtfix.errors import Refused, TreeError
from newtfix.files.tree import read_tree
from newtfix.model import State
from newtfix.plan.engine import inspect, plan

# What each patch promises stands in its own module.
PROMISES = {name: import_module(f"test_{name.replace('-', '_')}").promise for name in PATCHES}
APPLIED, HALF, BY_HAND, NOTHING, REFUSED = "applied", "half present", "present by hand", "nothing to fix", "refused"
ANSWERS = {State.AVAILABLE: APPLIED, State.PARTIAL: HALF, State.APPLIED: BY_HAND, State.ABSENT: NOTHING}


def answer_of(name, patch):
    """What asking for one patch comes to, what is there in part being completed, and why it was refused, if it was."""
    try:
        return ANSWERS[planned(name, frozenset([patch])).reports[patch].state], ""
    except Refused as reason:
        return REFUSED, str(reason)


# Where nothing else is said, the code to fix is there, and the patch is applied.
SPECIAL = {
    "plain": {"prior-norm": NOTHING},
    "planning": {"planner-stats": HALF, "prior-norm": BY_HAND},
    "threeway": {"prior-norm": NOTHING},
    "helpers": {"prior-norm": NOTHING},
    "inline": {"prior-norm": NOTHING},
    "byhand": dict.fromkeys(PROMISES, BY_HAND) | {"actor-modes": APPLIED, "first-obs": APPLIED},
    "halfway": {
        **dict.fromkeys(["planner-stats", "seeding", "burst", "rho", "scale-order", "q-dropout"], HALF),
        "prior-norm": NOTHING,
        "plan-anneal": REFUSED,
    },
    "idioms": {"prior-norm": NOTHING},
    "twoagents": {
        "prior-norm": NOTHING,
        **dict.fromkeys(("planner-stats", "mu-std", "actor-modes"), REFUSED),  # the other agent could not go on
    },
    "mixed": {"planner-stats": BY_HAND},
}
# A patch without a promise here has its tests elsewhere; what it comes to is right, but has to leave the rest alone.
EXPECTED = {
    name: {patch: special.get(patch, APPLIED) if patch in PROMISES else answer_of(name, patch)[0] for patch in PATCHES}
    for name, special in SPECIAL.items()
}
PAIRS = [(name, patch, answer) for name, answers in EXPECTED.items() for patch, answer in answers.items()]
FITTING = (APPLIED, HALF, BY_HAND)
# Promises that code of other patches can break, and those that break nothing.
ENTANGLED = (
    "planner-stats",
    "seeding",
    "mu-std",
    "burst",
    "actor-modes",
    "rho",
    "scale-order",
    "q-ensemble",
    "first-obs",
)


def test_every_specimen_is_in_the_table():
    assert set(EXPECTED) == set(NAMES)


@pytest.mark.parametrize(("name", "patch", "expected"), PAIRS, ids=lambda value: value.replace(" ", "-"))
def test_the_answer_is_right_and_the_tree_does_what_it_says(name, patch, expected):
    answer, reason = answer_of(name, patch)
    assert (answer, reason if answer == REFUSED else "") == (expected, reason if expected == REFUSED else "")
    if expected == REFUSED:
        assert f"patch '{patch}' does not fit" in reason or "would break code that" in reason
        assert "nothing was written" in reason
    elif expected == NOTHING:
        assert patched(name, frozenset([patch])) == texts(name)
    elif expected == BY_HAND:
        assert patched(name, frozenset([patch])) == texts(name)
        assert any(edit.places for edit in inspect(texts(name), PATCHES, [patch])[patch].edits)
    alone = (patch, expected) != ("prior-norm", BY_HAND)  # that one compares with and without
    if patch in PROMISES and expected in FITTING and alone:
        PROMISES[patch](Tree(name, frozenset([patch])))
    if expected in (APPLIED, HALF):
        replaces_bodies = patch in ("actor-modes", "q-ensemble")
        compare_surroundings(name, patched(name, frozenset([patch])), comments_stay=not replaces_bodies)


def compare_surroundings(name, after, comments_stay):
    """Comments on lines of their own, newlines and the indentation of every class are those of the tree."""
    for file, text in texts(name).items():
        kept = set(map(str.strip, after[file].splitlines()))
        comments = {line.strip() for line in text.splitlines() if line.strip().startswith("#")}
        assert not comments_stay or comments <= kept
        if "\r\n" in text:
            assert not re.search(r"(?<!\r)\n", after[file])
        assert {cls: kinds for cls, kinds in indents(after[file]).items() if cls in indents(text)} == indents(text)


def indents(text):
    """The characters that every class is indented with."""
    classes = re.findall(r"^class (\w+).*\n((?:(?:[ \t].*)?\n)*)", text.replace("\r", ""), flags=re.MULTILINE)
    return {name: {line[0] for line in body.splitlines() if line} for name, body in classes}


@pytest.mark.parametrize("name", EXPECTED)
def test_all_that_fit_together(name):
    """Every promise that another patch could break is kept, and the tree trains."""
    ids = frozenset(patch for patch, answer in EXPECTED[name].items() if answer != REFUSED)
    tree = Tree(name, ids)
    for patch in ENTANGLED:
        if EXPECTED[name][patch] != REFUSED:
            PROMISES[patch](tree)
    short = Run(
        tree.modules, [12] * 40, steps=1100, learn=True, evaluate=True, **tree.settings(burst_updates=3)
    ).train()
    assert short.updated
    assert all(p.isfinite().all() for p in short.agent.parameters())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_specimen_trains_as_it_stands(name):
    run = Run(load(name), [4] * 4, steps=120, learn=True, evaluate=True, **Tree(name).settings(eval_pi=False)).train()
    assert run.acted
    assert run.updated or name == "byhand"


@pytest.mark.parametrize("patch", [patch for patch in PROMISES if EXPECTED["plain"][patch] == APPLIED])
def test_an_unpatched_tree_does_not_do_what_the_patch_promises(patch):
    """Otherwise the promise would prove nothing."""
    with pytest.raises((AssertionError, AttributeError, KeyError, TypeError)):
        PROMISES[patch](Tree("plain"))


@pytest.mark.parametrize(("name", "patch"), [(n, p) for n, p, answer in PAIRS if answer == HALF])
def test_what_is_there_in_part_is_completed(name, patch):
    done = plan(texts(name), [patch], PATCHES)
    assert done.reports[patch].state is State.PARTIAL
    assert inspect({**texts(name), **done.after}, PATCHES, [patch])[patch].state is State.APPLIED


def test_an_agent_that_could_not_go_on_is_a_refusal_and_the_other_patches_leave_it_alone():
    with pytest.raises(Refused) as refused:
        plan(texts("twoagents"), ["planner-stats"], PATCHES)
    with pytest.raises(Refused, match=r"^patch 'planner-stats' would break code"):
        plan(texts("twoagents"), ["mu-std", "prior-coef"], PATCHES)
    assert "sac.py" in refused.value.where
    ids = frozenset(["seeding"])
    assert any("OfflineTrainer" in note for note in plan(texts("twoagents"), ids, PATCHES).notes)
    modules = load("twoagents", ids)
    run = Run(modules, LENGTHS, steps=1200, agent_class=modules.sac.SAC).train()
    assert run.updated[0] == 1000


def test_a_trainer_of_its_own_still_works_with_the_patched_agent():
    modules = load("twoagents", frozenset(["seeding"]))
    run = usual_run(Tree("twoagents", frozenset(["seeding"])))
    cfg = make_cfg(modules, LENGTHS, steps=3)
    agent = make_agent(modules, cfg)
    trainer = modules.offline.OfflineTrainer(cfg, FakeEnv(LENGTHS), agent, run.buffer, SilentLogger())
    trainer.train()
    assert trainer.try_out(2).shape == (2, len(LENGTHS), 2)


@pytest.mark.parametrize("name", ["mixed", "inline"])
def test_a_specimen_is_read_from_the_disk_as_it_is_composed(name, tmp_path):
    tree = read_tree(write(name, tmp_path))
    assert tree.sources == texts(name)
    assert tree.foreign == ({"notes.py"} if name == "mixed" else set())


def test_files_that_do_not_parse_or_are_not_utf_8_are_no_obstacle_and_stay():
    after = patched("mixed", frozenset(["seeding", "prior-coef"]))
    with pytest.raises(SyntaxError):
        compile(after["scratch.py"], "scratch.py", "exec")
    assert {file for file in after if after[file] != texts("mixed")[file]} == {"trainer.py", "config.py"}


def test_a_folder_that_is_no_newt_tree_is_said_to_be_none(tmp_path):
    (tmp_path / "train.py").write_text("class Trainer:\n    def train(self):\n        pass\n")
    with pytest.raises(TreeError, match="no newt-style tree here"):
        inspect(read_tree(tmp_path).sources, PATCHES)
