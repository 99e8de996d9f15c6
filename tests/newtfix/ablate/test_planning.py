"""Plans: which patches take part and in which role, what the budget buys, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from newtfix import testing
from newtfix.ablate import planning
from newtfix.ablate.planning import allocated, extended, make
from newtfix.ablate.runs import Folder
from newtfix.ablate.settings import Resolved
from newtfix.ablate.study import PLAN, label, read_plan, save_plan, write_json, write_lines
from newtfix.ablate.trees import Variants
from newtfix.ablate.wish import Wish, find_parts, must_be_possible
from newtfix.ablate.words import plan_lines
from newtfix.errors import NewtfixError, Refused, UsageError

from .studies import plan

PATCHES = testing.load()
SETTINGS = ("task=cartpole-swingup", "preset=cpu")


@pytest.fixture
def variants(planned, tmp_path):
    return Variants(tmp_path / "study", planned / "fake", ())


@pytest.fixture
def asked(planned, monkeypatch):
    """A wish for that tree, whose settings are not asked."""
    resolved = Resolved("cartpole-swingup", 6_000, 1, 1_000, True)
    monkeypatch.setattr(planning, "resolve", lambda tree, kind, settings: resolved)
    return lambda **changes: Wish(SETTINGS, tree=str(planned / "fake"), **changes)


def truth(on):
    """burst and mu-std act together only; all others but rho do nothing."""
    return 10.0 + 5 * ("rho" in on) - 3 * ({"burst", "mu-std"} <= on)


def worker(study, seen):
    """Makes runs in no time."""

    def work(_, runs):
        for run in runs:
            seen.append(run)
            row = {"category": "train", "step": 3_000, "episode_reward": truth(set(run.patches)), "pi_loss": 0.1}
            folder = Folder(study, run)
            write_lines(folder.path / "out" / "metrics.jsonl", [row])
            said = {"reason": "", "steps": 0, "scores": {}, "training": []}
            write_json(folder.path / "done.json", {"id": run.id, "state": "finished", "seconds": 60.0, **said})

    return work


def planned_for(study, wish, rate=60.0):
    seen, said = [], []
    return make(study, wish, worker(study, seen), lambda _: rate, said.append), seen, said


def test_patches_of_newt_base_have_their_roles(variants):
    parts = find_parts(Wish(SETTINGS), variants)
    assert parts.gates == ("seeding",) and parts.on == ()
    assert parts.aside == {"planner-stats": "already in the code"}
    assert parts.factors == tuple(name for name in PATCHES if name not in ("planner-stats", "seeding"))


@pytest.mark.parametrize(
    "hold, gates, gone",
    ((("rho=on",), ("seeding", "rho"), ()), (("seeding=free",), (), ()), (("seeding=off", "rho=off"), (), ("rho",))),
)
def test_any_patch_can_be_held(variants, hold, gates, gone):
    parts = find_parts(Wish(SETTINGS, hold=hold), variants)
    assert set(parts.gates) == set(gates)
    assert all(parts.aside[name] == "held off" for name in gone)
    assert ("seeding" in parts.factors) == ("seeding=free" in hold)


@pytest.mark.parametrize(
    "wish, says",
    (
        (Wish(SETTINGS, factors=("rhoo",)), "Did you mean rho"),
        (Wish(SETTINGS, factors=("planner-stats",)), "already in the code"),
        (Wish(SETTINGS, hold=("burts=on",)), "Did you mean burst"),
        (Wish(SETTINGS, hold=("burst=maybe",)), "ID=on, ID=off or ID=free"),
        (Wish(SETTINGS, hold=("planner-stats=off",)), "takes no part"),
        (Wish(SETTINGS, tree="$x", hold=("planner-stats=off",)), r"`newtfix status --tree '\$x'`"),
    ),
)
def test_unknown_factors_are_named(variants, wish, says):
    with pytest.raises(UsageError, match=says):
        find_parts(wish, variants)


@pytest.mark.parametrize(
    "wish, says",
    (
        (Wish(SETTINGS, design="latin"), "both, screen"),
        (Wish(SETTINGS, outcome="speed"), "training, evaluation, final"),
        (Wish(SETTINGS, budget=24, hours=1.0), "Give one of them"),
        (Wish(SETTINGS, budget=0), "nothing to spend"),
        (Wish(SETTINGS, delta=0.0), "--delta"),
        (Wish((*SETTINGS, "seed=3")), "--seed"),
        (Wish((*SETTINGS, "out_dir=logs")), "--dir"),
    ),
)
def test_options_that_make_no_sense_are_refused(wish, says):
    with pytest.raises(UsageError, match=says):
        must_be_possible(wish)


def test_patches_that_change_nothing_cost_no_further_runs(asked, tmp_path):
    made, seen, said = planned_for(tmp_path, asked(budget=24))
    assert set(made.factors) == {"rho", "burst", "mu-std"}
    assert made.aside["first-obs"] == "inert" and list(made.aside.values()).count("inert") == len(PATCHES) - 5
    assert "  burst: acts only together with others" in said and "  target-q: inert at these settings" in said
    assert all(run.steps == 3_000 and "seeding" in run.patches for run in seen)
    assert (made.blocks, made.pairs, made.confirm) == (1, 0, 0)
    assert any(line.startswith("Power: screen: supports no verdict") for line in plan_lines(made))


def test_short_runs_are_kept_until_settings_change(asked, tmp_path):
    planned_for(tmp_path, asked(budget=24))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("inert/*/done.json")}
    planning._keep_only_of(tmp_path, planned_for(tmp_path, asked(budget=24))[0], Resolved("t", 6_000, 1, 1_000, True))
    assert kept and all(path.exists() for path in kept)
    planning._keep_only_of(tmp_path, plan(24), Resolved("t", 9_000, 1, 3_000, True))
    assert not any(path.exists() for path in kept)


def test_hours_are_as_many_runs_as_this_machine_makes(asked, tmp_path):
    assert planned_for(tmp_path / "a", asked(hours=2.0, inert=False), rate=30.0)[0].budget == 60
    with pytest.raises(UsageError, match="5 hours are enough for 15 runs here") as refused:
        planned_for(tmp_path / "b", asked(hours=0.5, inert=False), rate=30.0)
    assert "--hours 1.3" in refused.value.hint


@pytest.mark.parametrize(
    "design, smallest", (("both", 24), ("screen", 24), ("one-at-a-time", 11), ("full", 257), ("pairs", 2))
)
def test_a_budget_that_is_too_small_says_the_smallest(design, smallest):
    with pytest.raises(UsageError, match=f"at least {smallest}\n") as refused:
        plan(smallest - 1, design)
    assert f"--budget {smallest}" in refused.value.hint
    assert plan(smallest, design).budget == smallest


def test_a_folder_of_another_plan_is_refused_and_a_larger_budget_is_not(asked, tmp_path):
    wish = asked(budget=24)
    made, _, _ = planned_for(tmp_path, wish)
    assert extended(made, wish) == made
    with pytest.raises(Refused, match="another plan") as refused:
        extended(made, replace(wish, settings=("task=walker-walk",)))
    assert "settings: task=cartpole-swingup preset=cpu there, task=walker-walk now" in refused.value.where
    more = extended(made, replace(wish, budget=48))
    assert more.blocks == 2 and more.extended == (24,)
    with pytest.raises(Refused, match="can grow, not shrink"):
        extended(more, wish)


def test_the_power_of_three_pairs_is_none():
    assert "supports no verdict" in " ".join(plan_lines(plan(6, "pairs")))


def test_a_plan_is_read_as_it_was_written(tmp_path):
    made = allocated(plan(150, "both"), 150)
    save_plan(tmp_path, made)
    assert read_plan(tmp_path) == made


@pytest.mark.parametrize("text", ("", "[]", '{"schema": 99}', '{"schema": 1, "task": 3}', '{"schema": 1, "no": 3}'))
def test_a_plan_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(NewtfixError, match=PLAN):
        read_plan(tmp_path)


def test_a_tree_that_has_changed_since_is_refused_with_the_file(planned, tmp_path):
    import shutil

    study = Path(shutil.copytree(planned / "study", tmp_path / "study"))
    tree = Path(shutil.copytree(planned / "fake", tmp_path / "fake"))
    made = replace(read_plan(study), tree=str(tree))
    Variants.of(study, made)
    (tree / "trainer.py").write_text((tree / "trainer.py").read_text() + "\n# edited\n")
    with pytest.raises(Refused, match=r"since this study was planned: trainer\.py"):
        Variants.of(study, made)
    with pytest.raises(Refused, match="since this study was planned: rho"):
        Variants.of(study, replace(read_plan(study), patches={**made.patches, "rho": "another"}))


def test_variants_have_the_patches_that_they_should(planned):
    made = read_plan(planned / "study")
    applied = [
        set(json.loads(ledger.read_text())["applied"])
        for ledger in planned.glob("study/trees/*/fake/.newtfix/ledger.json")
    ]
    assert applied == [set(made.all)]  # the base has no record
    assert not (planned / "fake" / ".newtfix").exists()  # the tree itself is never touched
    assert label(made, made.all) == "all"
