"""Reports: verdicts that the runs support, none that they don't, in words, Markdown, JSON and a page."""

import json
import re

import pytest
from typer.testing import CliRunner

from newtfix.ablate.figures import as_svg, forest
from newtfix.ablate.findings import find
from newtfix.ablate.markdown import document
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.stages import proof_runs, screen_runs
from newtfix.cli import app
from newtfix.commands.report import draw

from .studies import additive, end, plan, simulate


def report(*words):
    return CliRunner().invoke(app, ["report", *(str(word) for word in words)])


def verdicts(study, made):
    return {one.patch: one for one in find(study, made).verdicts}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Three blocks, pairs and a confirmation of a truth that adds up."""
    made = plan(150, "both")
    return simulate(tmp_path_factory.mktemp("large") / "study", made), made


def test_every_patch_gets_the_verdict_of_the_truth(large):
    found = verdicts(*large)
    assert {name: one.kind for name, one in found.items()} == {
        **dict.fromkeys(("prior-coef", "rho", "seeding"), "explains"),
        "burst": "hurts",
        **dict.fromkeys(("actor-modes", "first-obs", "mu-std", "q-dropout", "scale-order"), "small"),
        "target-q": "inert",
        "planner-stats": "aside",
    }
    for name, share in (("prior-coef", 40 / 50), ("rho", 25 / 50), ("burst", -15 / 50)):
        assert found[name].share.low <= share <= found[name].share.high
    assert sum(one.share.size for one in found.values() if one.share and one.patch != "seeding") == pytest.approx(1)


def test_the_answer_is_one_sentence_that_is_true(large):
    said = answer(find(*large))
    assert said.startswith("On cartpole-swingup, all patches together raise the return: +") and said.count(". ") == 0
    assert re.search(r"prior-coef explains \d+% of the gap \[\d+%, \d+%\]", said)
    assert "burst hurts" in said and "target-q changes nothing" in said


def test_it_says_when_in_a_run_a_patch_matters(large):
    found = find(*large)
    assert [moment.step for moment in found.along] == [1_000, 2_000, 3_000, 4_000, 6_000]
    for moment in found.along:  # returns grow with the steps, to twice their mean
        assert moment.effects["prior-coef"] == pytest.approx(80 * moment.step / 6_000, abs=1.5 * moment.half)
        assert moment.half < 30 * moment.step / 6_000
    assert re.search(r"^\| rho \| \+8\.\d+ ± \d", report(large[0], "--markdown").stdout, re.MULTILINE)


def test_three_seeds_support_no_verdict(tmp_path):
    for design, budget in (("pairs", 6), ("one-at-a-time", 33)):
        made = plan(budget, design)
        study = simulate(tmp_path / design, made, noise=0.1)
        found = find(study, made)
        assert made.pairs == 3
        assert "3 seeds support no verdict" in notes(found)[0]
        assert not any(pair.decided for pair in found.pairs)
        assert {one.kind for one in found.verdicts} <= {"undecided", "inert", "aside"}


def test_eight_seeds_of_a_clear_difference_do(tmp_path):
    made = plan(20, "pairs")
    found = find(simulate(tmp_path / "study", made), made)
    assert found.pairs[0].decided and "raise the return" in answer(found)


def test_nothing_is_claimed_of_noise(tmp_path):
    made = plan(72)
    found = find(simulate(tmp_path / "study", made, lambda on: 100.0, noise=30.0), made)
    assert {one.kind for one in found.verdicts} <= {"undecided", "small", "inert", "aside"}
    assert "no gap between none and all of the patches is shown" in answer(found)
    assert all(one.share is None for one in found.verdicts)
    assert any("more runs" in one.words for one in found.verdicts)


def test_what_acts_only_with_others_is_said_to(tmp_path):
    made = plan(150, "both")
    study = simulate(tmp_path / "study", made, lambda on: 60 + 60 * ({"rho", "burst"} <= on), noise=4.0)
    found = verdicts(study, made)
    confirmed = [name for name in ("rho", "burst") if found[name].kind == "together"]
    assert confirmed, {name: one.words for name, one in found.items()}


def test_arms_alone_are_judged_from_six_seeds(tmp_path):
    made = plan(11 * 8, "one-at-a-time")
    found = verdicts(simulate(tmp_path / "study", made, noise=4.0), made)
    assert found["prior-coef"].kind == found["rho"].kind == "explains"
    assert found["burst"].kind == "hurts"


def test_all_subsets_of_a_few_are_judged(tmp_path):
    made = plan(9 * 4, "full", factors=("prior-coef", "rho", "burst"))
    found = verdicts(simulate(tmp_path / "study", made, noise=4.0), made)
    assert [found[name].kind for name in made.factors] == ["explains", "explains", "hurts"]


def test_a_study_that_is_still_running_has_a_report(tmp_path):
    made = plan(24)
    study = simulate(tmp_path / "study", made, most=0)
    assert "nothing is shown yet" in answer(find(study, made))
    simulate(study, made, most=7)
    assert "7 runs so far, more to come" in answer(find(study, made))
    assert "7 runs so far" in document(find(study, made), study)
    assert {one.kind for one in find(study, made).verdicts} <= {"undecided", "inert", "aside"}
    with_pairs = find(tmp_path / "other", plan(96, "both"))
    gates = [
        next(one.words for one in found.verdicts if one.patch == "seeding") for found in (find(study, made), with_pairs)
    ]
    assert "a larger budget has some" in gates[0] and "still to come" in gates[1]


def test_failed_runs_count_and_are_named(tmp_path):
    made = plan(24)
    study = simulate(tmp_path / "study", made)
    run = screen_runs(made)[3]
    end(study, run, 5.0, "failed", steps=3_000)
    found = find(study, made)
    assert [row["id"] for row in found.failed] == [run.id]
    assert "1 run failed; what they had reached counts" in " ".join(notes(found)) and "diverged" in document(
        found, study
    )
    assert sum(row["score"] is not None for row in found.runs) == 24


def test_a_done_file_that_is_cut_off_is_named_and_the_rest_counts(tmp_path):
    made = plan(24)
    study = simulate(tmp_path / "study", made)
    file = study / "runs" / screen_runs(made)[0].id / "done.json"
    file.write_text(file.read_text()[:40])
    (file.parent / "attempts.jsonl").write_text('{"why": "killed by SIGKILL"}\n')
    found = find(study, made)
    assert [row["state"] for row in found.failed] == ["damaged"]
    assert "its done-file cannot be read" in (said := " ".join(notes(found))) and "SIGKILL" not in said
    assert sum(row["score"] is not None for row in found.runs) == 23


@pytest.mark.parametrize(
    "late, kind, words", ((0.0, "inert", "inert at these settings"), (1.0, "undecided", "but not to the end"))
)
def test_what_is_inert_in_short_runs_is_proved_by_whole_ones(tmp_path, late, kind, words):
    made = plan(30, "screen", inert_steps=3_000)
    assert made.proof and not plan(24, "screen", inert_steps=3_000).proof
    study = simulate(tmp_path / "study", made, noise=0.0)
    for first, second in proof_runs(made):
        score = additive(frozenset(first.patches))
        end(study, second, score + late)
    found = verdicts(study, made)["target-q"]
    assert found.kind == kind and words in found.words
    short = plan(24, "screen", inert_steps=3_000)
    assert "whole runs were not compared" in verdicts(simulate(tmp_path / "short", short), short)["target-q"].words


def test_json_has_a_schema_and_no_nan(large):
    said = report(large[0], "--json")
    data = json.loads(said.stdout, parse_constant=lambda name: pytest.fail(name))
    assert data["schema"] == 1 and data["answer"].startswith("On cartpole-swingup")
    assert {one["patch"] for one in data["verdicts"]} >= {"rho", "seeding"}
    assert len(data["runs"]) >= 72


def test_the_page_needs_nothing_else_and_pictures_are_files(large, tmp_path):
    done = report(large[0], "--html", tmp_path / "page.html", "--pictures", tmp_path / "new" / "folder")
    assert sorted(path.name for path in tmp_path.glob("new/folder/*")) == ["curves.png", "forest.png"]
    assert (tmp_path / "new/folder/forest.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "page.html").read_text()
    assert done.exit_code == 0 and text.count("<svg") >= 6
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", text) and "<script" not in text and "@import" not in text
    assert "url(http" not in text and 'name="viewport"' in text
    assert "newtfix ablate task=cartpole-swingup preset=cpu" in text  # the command that repeats it
    assert as_svg(forest(find(*large))) in text  # the same bytes every time


def test_nothing_is_drawn_of_a_study_without_runs(tmp_path):
    made = plan(24)
    draw(find(simulate(tmp_path / "study", made, most=0), made), tmp_path / "pictures")
    assert list(tmp_path.glob("pictures/*")) == []


def test_markdown_has_the_same_tables(large):
    said = report(large[0], "--markdown").stdout
    assert "| prior-coef | +" in said and "## Verdict per patch" in said and "## Power" in said


def test_a_folder_without_a_study_is_named(tmp_path):
    said = report(tmp_path)
    assert said.exit_code == 2 and "no plan.json" in said.output
    (tmp_path / "plan.json").write_text('{"schema": 1, "sett')
    assert report(tmp_path).exit_code == 4
