"""What is said of a plan before it is run, and of its runs as they end."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from newtfix.ablate import stages
from newtfix.ablate.display import Bar, Lines, shown
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import Run, write_lines
from newtfix.ablate.words import plan_json, plan_lines

from .studies import end, plan


def test_a_screen_is_said_with_what_stays_over() -> None:
    made = plan(54)
    said = "\n".join(plan_lines(made))
    assert said.startswith("Task cartpole-swingup, 6,000 steps a run; outcome: ")
    assert "\n  inert: target-q\n  already in the code: planner-stats\n" in said
    assert "\n  held on while others are screened, judged by pairs of their own: seeding\n" in said
    runs = len(stages.screen_runs(made))
    assert f"\nScreen: {runs} runs, {made.blocks} x (Plackett-Burman plan of 12 runs and" in said
    assert "of 54 runs are to spare: they make no whole block." in said
    assert "of the mean return if runs scatter by" in said


@pytest.mark.parametrize(("design", "arms"), [("one-at-a-time", 4), ("full", 4)])
def test_fixed_designs_are_said_by_their_sets(design: str, arms: int) -> None:
    factors = ("rho", "burst")
    made = replace(plan(), design=design, factors=factors, gates=(), blocks=0, pairs=3, confirm=0, on=("seeding",))
    said = "\n".join(plan_lines(made))
    assert f"\n{design}: {arms} sets of patches x 3 seeds = {arms * 3} runs.\n" in said
    assert "\n  on in every run, others require them: seeding\n" in said
    assert f"\nPower: {design}: " in said


def test_too_few_pairs_support_no_verdict_and_have_no_size() -> None:
    made = replace(plan(), design="pairs", gates=(), factors=(), blocks=0, pairs=1, confirm=4, proof=True)
    said = "\n".join(plan_lines(made))
    assert "\n  ablated: none\nPairs: base against all, up to 1 seeds.\n" in said
    assert "Two more runs show whether what is inert in short runs stays so." in said
    assert "Confirmation: up to 4 runs for at most" in said
    assert said.endswith("Power: pairs: supports no verdict, whatever the runs show.")
    written = plan_json(made, stages.schedule(made, {}))
    assert written["detectable"] == {"pairs": None} and written["plan"]["design"] == "pairs"
    first, second = written["runs"]
    assert (first["index"], first["label"], first["seed"]) == (0, "base, and what is inert", 1)
    assert (second["index"], second["label"], second["seed"]) == (1, "base", 1)


def test_a_line_for_each_run_that_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, lines = plan(), Lines(plan())
    run, failed, stopped, fresh = (Run(seed, made.all, "screen" if seed > 1 else "", 6_000) for seed in (1, 2, 3, 4))
    lines.progress(2.0, 24, None)
    end(tmp_path, run, 100)
    lines.ended(run, "finished", Folder(tmp_path, run))
    end(tmp_path, failed, 100, state="failed")
    lines.ended(failed, "failed", Folder(tmp_path, failed))
    write_lines(Folder(tmp_path, stopped).path / "attempts.jsonl", [{"why": "SIGKILL"}])
    lines.ended(stopped, "machine", Folder(tmp_path, stopped))
    lines.ended(fresh, "finished", Folder(tmp_path, fresh))
    assert capsys.readouterr().err.splitlines() == [
        "[3/24] run  seed 1  all: 116.7 in 60 s",
        "[4/24] screen  seed 2  all: 116.7 in 60 s  failed: Training diverged",
        "screen  seed 3  all: ended by the machine (SIGKILL), try 1",
        "[5/24] screen  seed 4  all: no score, as no episode ended in time to be logged in 0 s",
    ]


def test_a_bar_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    with shown(plan(), "Study") as lines:
        assert type(lines) is Lines
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with shown(plan(), "Study") as bar:
        assert isinstance(bar, Bar)
        bar.progress(0, 24, None)
        bar.say("[a] [/] :tada:")
        bar.progress(1, 24, 7_260.0)
        bar.progress(2, 24, 59.0)
    said = capsys.readouterr().err
    assert "Study" in said and "[a] [/] :tada:" in said
    assert "2 h 01 min left" in said and "1 min left" in said and "2/24" in said
