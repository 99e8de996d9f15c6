"""The report in the order of the document that newtfix starts from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from newtfix.cli import app
from newtfix.scan.document import ERRATA
from newtfix.scan.settings import read_settings
from newtfix.scan.tasks import read_tasks

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
    assert re.search(r"^1 +seed steps \(seeding\) +critical +available +25,000 +1,250 ", scan(capfd, *GIVEN), re.M)
    assert "| 1 | seed steps (seeding) | critical |" in scan(capfd, *GIVEN, "--markdown")


def test_what_the_code_says_of_a_task_is_known(tmp_path: Path) -> None:
    entry = "table['some-walk'] = {'action_dim': 21, 'max_episode_steps': 250, 'x': y}"
    sources = {"config.py": f"task: str\ntable = {{}}\n\n{entry}\n"}
    settings = read_settings(sources, None, ["task=some-walk"])
    tasks, filled = read_tasks(tmp_path, sources, settings)
    assert (tasks.lengths, tasks.action_dims, filled.source("action_dim")) == ((250,), (21,), "config.py:4")
    tasks, _ = read_tasks(tmp_path, sources, read_settings(sources, None, ["task=some-run"]))
    assert (tasks.lengths, tasks.action_dims) == ((), ())
