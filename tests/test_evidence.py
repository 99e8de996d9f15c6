"""docs/evidence.md says what its raw results show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools/evidence.py"))


def test_the_page_says_what_the_raw_results_show() -> None:
    parts = re.findall(r"^<!-- ([\w-]+) -->$", (ROOT / "docs/evidence.md").read_text("utf-8"), re.MULTILINE)
    studies = [path.stem for path in (ROOT / "docs/evidence").glob("*.jsonl")]
    assert sorted(set(parts) - {"end"}) == sorted(studies) != []
    assert TOOL["page"](pictures=False) == (ROOT / "docs/evidence.md").read_text("utf-8")


def test_results_and_pictures_are_small() -> None:
    for path in (ROOT / "docs/evidence").iterdir():
        assert path.stat().st_size < (1_000_000 if path.suffix == ".jsonl" else 100_000)


def test_a_study_comes_back_from_its_raw_results(tmp_path: Path) -> None:
    (raw, *_) = sorted((ROOT / "docs/evidence").glob("*.jsonl"))
    found = TOOL["restored"](raw, tmp_path / "study")
    assert TOOL["pack"](tmp_path / "study", tmp_path / "again.jsonl") == len(raw.read_text().splitlines()) - 1
    again = TOOL["restored"](tmp_path / "again.jsonl", tmp_path / "other")
    assert list(TOOL["told"](again)) == list(TOOL["told"](found))
