"""A study that somebody else made: nothing in it is run unasked, nothing outside of it is read or written."""

import json
import os
import shutil

import pytest

from newtfix.ablate.study import read_plan, subset_digest
from newtfix.ablate.trees import Variants

from .test_commands import call


def change_plan(study, **values):
    path = study / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def some_run(study):
    shown = json.loads(call("ablate", "status", study, "--json").stdout)
    return study / "runs" / shown["runs"][0]["id"]


def test_the_help_says_what_runs_code():
    assert "It runs code" in call("ablate", "run", "--help").stdout
    assert "Runs the tree's code" in " ".join(call("evaluate", "--help").stdout.split())


def test_patches_that_only_a_plan_names_are_not_run(study, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "zz.py").write_text("import pathlib\n\npathlib.Path(__file__).with_name('was_run').touch()\n")
    change_plan(study, folders=[str(folder)])
    refused = call("ablate", "run", study, "--index", 0)
    assert refused.exit_code == 3 and "newtfix trust" in refused.output
    assert not (folder / "was_run").exists() and not list(study.glob("runs/*/log.txt"))


def test_a_variant_that_is_not_what_newtfix_makes_is_made_anew(study):
    plan = read_plan(study)
    made = Variants.of(study, plan).make(plan.all)
    whole = (made / "train.py").read_bytes()
    (made / "train.py").write_bytes(b"raise SystemExit('changed')\n")
    (made / "json.py").write_text("raise SystemExit('brought along')\n")
    assert Variants.of(study, plan).make(plan.all) == made
    assert (made / "train.py").read_bytes() == whole and not (made / "json.py").exists()


@pytest.mark.parametrize("name", ["out", "lock", "log.txt", "run.json"])
def test_a_link_in_a_study_is_refused(study, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    run = some_run(study)
    run.mkdir(parents=True, exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside if name == "out" else outside / "new")
    for words in (("run", study, "--index", 0), ("status", study)):
        refused = call("ablate", *words)
        assert refused.exit_code == 4 and str(run / name) in refused.output and "it is a link" in refused.output
    assert [path.name for path in outside.iterdir()] == ["kept"]


@pytest.mark.parametrize("at", ["trees/{}", "trees/{}/fake", "cache/inductor"])
def test_a_link_above_a_variant_or_in_the_cache_is_refused(study, tmp_path, at):
    outside = tmp_path / "outside"
    (outside / "fake").mkdir(parents=True)
    (outside / "fake/kept").write_text("mine")
    link = study / at.format(subset_digest(read_plan(study).all))
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    refused = call("ablate", "run", study, "--index", 0)
    assert refused.exit_code == 4 and f"{link} cannot be read: it is a link" in refused.output
    assert (outside / "fake/kept").read_text() == "mine"


@pytest.mark.parametrize("name", ["plan.json", "done.json", "attempts.jsonl", "lock"])
def test_a_pipe_in_a_study_is_refused_at_once(study, name):
    path = study / name if name == "plan.json" else some_run(study) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for words in (("ablate", "status", study), ("report", study)):
        refused = call(*words)
        assert refused.exit_code == 4 and f"{path} cannot be read: it is no regular file" in refused.output


@pytest.mark.parametrize(
    "values", [{"factors": [1, 2]}, {"first_seed": "x"}, {"aside": []}, {"on": [["a"]]}, {"pairs": 10**6}, {"new": 1}]
)
def test_what_is_no_plan_is_named(study, values):
    change_plan(study, **values)
    refused = call("ablate", "status", study)
    assert (
        refused.exit_code == 4 and "plan.json is not a plan" in refused.output and next(iter(values)) in refused.output
    )


def test_a_plan_that_is_nested_too_deeply_cannot_be_read(study):
    (study / "plan.json").write_text("[" * 100_000)
    assert "plan.json cannot be read" in call("ablate", "status", study).output


def test_a_done_file_that_says_less_is_damaged(study):
    run = some_run(study)
    run.mkdir(parents=True)
    (run / "done.json").write_text(json.dumps({"id": run.name, "state": "finished"}))
    assert "damaged" in call("ablate", "status", study).stdout
