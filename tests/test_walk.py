"""tools/walk.py: what commands print goes into the page."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

TOOL: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "tools/walk.py"))
PAGE = "# A page\n\n```sh\nexit 1\n```\n\nText.\n\n```sh\necho one > file\necho two\n```\n\n```text\nold\n```\n"
PAGE += "\n```sh\ncat file; echo three >&2\n```\n\n```text\n```\n"


def test_blocks_with_a_text_behind_them_are_run_in_turn(tmp_path: Path) -> None:
    found = TOOL["walked"](PAGE, tmp_path)
    assert found == PAGE.replace("old\n", "two\n").replace("```text\n```", "```text\none\nthree\n```")
    assert TOOL["walked"](found, tmp_path) == found
