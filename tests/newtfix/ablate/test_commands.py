"""The commands as they are typed."""

import json

import pytest
from typer.testing import CliRunner

from newtfix.ablate.runs import Folder
from newtfix.ablate.study import Run, read_plan
from newtfix.cli import app

from .studies import plan, simulate


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_study_is_planned_run_and_reported_in_one_command(planned, tmp_path, monkeypatch):
    words = ("task=cartpole-swingup", "preset=cpu", "--tree", planned / "fake", "--design", "pairs", "--budget", 4)
    done = call("ablate", *words, "--dir", tmp_path / "study", "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["answer"].startswith("On cartpole-swingup, the mean return is 12")
    assert "whether all patches together help is not decided" in data["answer"]
    assert [run["state"] for run in data["runs"]] == ["finished"] * 4
    again = call("ablate", *words, "--dir", tmp_path / "study")
    assert again.exit_code == 0 and "all without" not in again.stdout
    shown = call("ablate", *words, "--dir", tmp_path / "study", "--plan-only", "--json")
    assert shown.exit_code == 0 and "4 runs are known. Run them here: newtfix ablate run" in shown.output
    assert [run["label"] for run in json.loads(shown.stdout)["runs"]] == ["base", "all"] * 2
    other = call("ablate", "task=walker-walk", *words[1:], "--dir", tmp_path / "study")
    assert other.exit_code == 3 and "another plan" in other.output
    monkeypatch.setenv("FAKE_FAILS", "rho")
    monkeypatch.setenv("FAKE_HOW", "memory")
    lost = call("ablate", *words, "--dir", tmp_path / "other")
    assert lost.exit_code == 1 and "without a score: seed 1 all (out of memory or disk)" in lost.output


def test_runs_too_short_for_a_score_are_named(planned, tmp_path):
    words = ("task=cartpole-swingup", "preset=cpu", "steps=500", "--tree", planned / "fake", "--design", "pairs")
    done = call("ablate", *words, "--budget", 4, "--no-inertness", "--dir", tmp_path / "study")
    assert done.exit_code == 1 and "nothing is shown: no run has a score" in done.output
    assert "4 runs ended without a score, as no episode ended in time to be logged: give more steps" in done.output
    assert call("ablate", "run", tmp_path / "study").exit_code == 1


def test_a_plan_can_be_run_one_by_one(study):
    shown = json.loads(call("ablate", "status", study, "--json").stdout)
    assert shown["counts"] == {"waiting": 8} and len(shown["runs"]) == 8
    assert call("ablate", "run", study, "--index", 5).exit_code == 0
    shown = json.loads(call("ablate", "status", study, "--json").stdout)
    assert [one["index"] for one in shown["runs"] if one["state"] == "finished"] == [5]
    assert "7 waiting" in call("ablate", "status", study).output
    wrong = call("ablate", "run", study, "--index", 8)
    assert wrong.exit_code == 2 and "they are 0 to 7" in wrong.output


def test_a_damaged_done_file_is_named_and_the_run_made_again(study):
    call("ablate", "run", study, "--index", 0)
    (file,) = study.glob("runs/*/done.json")
    whole = json.loads(file.read_text())
    file.write_text(file.read_text()[:30])
    assert "damaged" in call("ablate", "status", study).stdout
    assert call("ablate", "run", study, "--index", 0).exit_code == 0
    again = json.loads(file.read_text())
    assert again["scores"] == whole["scores"]


def test_a_full_disk_is_named_and_what_is_finished_kept(study, monkeypatch):
    call("ablate", "run", study, "--index", 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("newtfix.ablate.study.os.fsync", full)
    refused = call("ablate", "run", study, "--index", 1)
    assert refused.exit_code == 4 and "No space left on device" in refused.output and "lost" in refused.output
    monkeypatch.undo()
    states = [one["state"] for one in json.loads(call("ablate", "status", study, "--json").stdout)["runs"]]
    assert states.count("finished") == 1
    assert call("ablate", "run", study, "--index", 1).exit_code == 0


@pytest.mark.parametrize(
    "words, code, says",
    (
        (("task",), 2, "not of the form key=value"),
        (("task=x", "--design", "latin"), 2, "there is no design 'latin'"),
        (("status", "nowhere"), 2, "there is no study in nowhere"),
        (("run", "nowhere"), 2, "there is no study in nowhere"),
        (("task=x", "--budget", "5"), 2, "too small for the design both: it takes at least 24"),
    ),
)
def test_what_is_wrong_is_said(words, code, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("newtfix.ablate.planning.resolve", lambda *_: _resolved())
    refused = call("ablate", *words)
    assert refused.exit_code == code and says in refused.output
    assert not (tmp_path / "ablation" / "plan.json").exists()


def test_a_larger_budget_extends_the_plan_that_is_there(study, planned):
    words = ("task=cartpole-swingup", "--tree", planned / "fake", "--design", "pairs", "--dir", study, "--plan-only")
    assert "8 runs are known" in call("ablate", *words, "--budget", 8).output
    assert read_plan(study).extended == ()
    more = call("ablate", *words, "--budget", 12)
    assert more.exit_code == 0 and "12 runs are known" in more.output and more.stdout == ""
    assert (read_plan(study).budget, read_plan(study).extended) == (12, (8,))


def test_hours_are_turned_into_runs_by_the_time_that_one_takes(planned, tmp_path, monkeypatch):
    """A run takes ten minutes, so that an hour is enough for six, one after the other."""
    made = []
    monkeypatch.setattr("newtfix.ablate.planning.resolve", lambda *_: _resolved())
    monkeypatch.setattr("newtfix.ablate.conduct.make_runs", lambda *given: made.extend(given[-1]))
    monkeypatch.setattr("newtfix.ablate.conduct.seconds_per_run", lambda *_: 600.0)
    words = ("task=x", "--tree", planned / "fake", "--design", "pairs", "--no-inertness", "--jobs", 1, "--plan-only")
    done = call("ablate", *words, "--hours", 1, "--dir", tmp_path / "study")
    assert done.exit_code == 0 and read_plan(tmp_path / "study").budget == 6
    assert [(run.stage, run.steps) for run in made] == [("timing", 3_000)]
    few = call("ablate", *words, "--hours", 0.1, "--dir", tmp_path / "other")
    assert few.exit_code == 2 and "0.1 hours are enough for 0 runs here, and the design takes at least" in few.output
    least = call("ablate", *words, "--dir", tmp_path / "least")
    assert least.exit_code == 0 and read_plan(tmp_path / "least").budget == 2


@pytest.fixture
def made(monkeypatch):
    """Runs are made by nobody; those in it are lost."""
    lost = set()
    monkeypatch.setattr("newtfix.ablate.conduct.make_runs", lambda *_: frozenset(lost))
    return lost


def test_a_run_that_ended_without_a_result_is_said(study, made):
    elsewhere = call("ablate", "run", study, "--index", 2)
    assert elsewhere.exit_code == 4 and "run 2 is under way elsewhere" in elsewhere.output
    made.add("s2-base")
    lost = call("ablate", "run", study, "--index", 2)
    assert lost.exit_code == 1 and "s2-base: ended by the machine twice; it has no score." in lost.output


def test_a_run_that_would_show_what_is_decided_is_not_made(tmp_path, made, monkeypatch):
    monkeypatch.setattr("newtfix.commands.ablate_run.Variants.of", lambda *_: None)
    wide = plan(60, "pairs")
    study = simulate(tmp_path / "study", wide, noise=0.1)
    done = call("ablate", "run", study, "--index", 59)
    assert done.exit_code == 0 and "Run 59 is not needed" in done.output
    assert "decided" in call("ablate", "status", study).output


def test_runs_that_are_under_way_and_what_others_wait_for_are_shown(tmp_path):
    screened = plan(150, "both")
    study = simulate(tmp_path / "study", screened, most=1)
    with Folder(study, Run(screened.first_seed, ("seeding",))).lock():
        shown = call("ablate", "status", study)
    assert "1 finished, 126 waiting, 1 running\n" in shown.output and "More runs are known after: " in shown.output


def test_a_file_is_no_folder_for_a_study(tmp_path):
    (tmp_path / "notes").write_text("")
    refused = call("ablate", "task=x", "--budget", "24", "--dir", tmp_path / "notes")
    assert refused.exit_code == 2 and "notes is a file" in refused.output


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    refused = call("ablate", "task=cartpole-swingup", "--budget", "24", "--dir", tmp_path)
    assert refused.exit_code == 2 and "thesis.tex" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def _resolved():
    from newtfix.ablate.settings import Resolved

    return Resolved("x", 6_000, 1, 1_000, True)
