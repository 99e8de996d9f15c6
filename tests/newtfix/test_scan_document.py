"""The report in the order of the document that newtfix starts from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from newtfix import report
from newtfix.cli import app
from newtfix.model import Patch, Severity, State
from newtfix.scan.document import ERRATA
from newtfix.scan.settings import read_settings
from newtfix.scan.survey import Finding, Gap, Survey
from newtfix.scan.tasks import Tasks, read_tasks
from newtfix.scan.text import markdown, wrapped
from newtfix.work.session import Target

ROOT = Path(__file__).parents[2]
GIVEN = ("--set", "num_envs=20", "episode_length=250", "action_dim=21")


def scan(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        app(["scan", *arguments], prog_name="newtfix")
    return capfd.readouterr().out


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    return json.loads(scan(capfd, *GIVEN, "--json"))["document"]


def test_the_nine_items_of_newt_base_with_the_documents_settings(document: Any) -> None:
    items = {item["number"]: item for item in document["items"]}
    assert list(items) == list(range(1, 10))
    assert (items[1]["here"], items[1]["reference"], items[1]["rating"]) == ("25,000", "1,250", "critical")
    assert (items[4]["here"], items[4]["reference"]) == ("0", "1,250")
    assert (items[6]["reference"], items[8]["reference"]) == ("mu = action, std = 7.389", "0.344")
    assert items[9]["here"] == "none"
    assert "_pi_loss" in items[2]["here"].split(", ")


def test_every_item_points_at_lines_that_are_there(document: Any) -> None:
    for item in document["items"]:
        assert item["where"], item
        for place in item["where"]:
            file, _, line = place.partition(":")
            assert 0 < int(line) <= len((ROOT / "newt_base" / file).read_text().splitlines())
    threshold = document["items"][0]["where"][0].partition(":")
    line = (ROOT / "newt_base" / threshold[0]).read_text().splitlines()[int(threshold[2]) - 1]
    assert "seeding_coef" in line


def test_the_summary_has_the_documents_numbers(document: Any) -> None:
    assert document["summary"][0] == "seed steps: 25,000 here, 1,250 in the reference, 20x"
    assert "10 here, 1 in the reference, 10x" in document["summary"][3]


def test_errata_are_those_of_the_page(document: Any) -> None:
    page = (ROOT / "docs/errata.md").read_text("utf-8")
    numbers = {int(number) for number in re.findall(r"^## (\d+)\.", page, re.M)}
    assert set(ERRATA) <= numbers
    assert {number for item in document["items"] for number in item["errata"]} <= set(ERRATA)


def test_the_items_are_in_the_text_and_in_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = "1. seed steps (seeding), critical, available: 25,000 here; 1,250 in the reference (trainer.py:"
    assert line in scan(capfd, *GIVEN)
    assert "| 1 | seed steps (seeding) | critical |" in scan(capfd, *GIVEN, "--markdown")


def test_what_the_code_says_of_a_task_is_known(tmp_path: Path) -> None:
    entry = "table['some-walk'] = {'action_dim': 21, 'max_episode_steps': 250, 'x': y}"
    sources = {"config.py": f"task: str\ntable = {{}}\n\n{entry}\n"}
    settings = read_settings(sources, None, ["task=some-walk"])
    tasks, filled = read_tasks(tmp_path, sources, settings)
    assert (tasks.lengths, tasks.action_dims, filled.source("action_dim")) == ((250,), (21,), "config.py:4")
    tasks, _ = read_tasks(tmp_path, sources, read_settings(sources, None, ["task=some-run"]))
    assert (tasks.lengths, tasks.action_dims) == ((), ())


def test_notes_and_what_waits_for_another_patch_are_in_markdown(tmp_path: Path) -> None:
    def said(state: State) -> str:
        gap = Gap("e", "a.py", "f", state, "x = 1", "y = 1", None)
        patch = Patch("A *title*", Severity.MINOR, (), id="mine", requires=("other",))
        finding = Finding(patch, state, False, (), (), (gap,), "It matters.")
        return markdown(Survey(Target(tmp_path, tmp_path), (finding,), {}, Tasks(()), {}, ("b.py is not read",)))

    assert "\n- b.py is not read\n" in said(State.AVAILABLE)
    assert "Looked for, and found y = 1:" in said(State.DRIFTED) and "Looked for" not in said(State.AVAILABLE)


def test_lines_are_wrapped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a " * 40 + "b"
    assert wrapped(text) == [text]
    monkeypatch.setattr(report, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "42")
    lines = wrapped(text, indent="  ")
    assert len(lines) == 3 and max(map(len, lines)) <= 40 and lines[1].startswith("  a")


def test_quoted_code_is_cut_to_the_width_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    said = scan(capfd, "--tree", str(ROOT / "newt_base"))
    quoted = re.findall(r"^  \S+\.py:\d+: .*$", said, re.MULTILINE)
    assert max(map(len, quoted)) == 50 and any(line.endswith("...") for line in quoted)
