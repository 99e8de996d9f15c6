"""The corrections to the source document: every snippet of docs/errata.md runs and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/errata.md").read_text("utf-8")
ENTRIES = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
SNIPPET = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPETS = [(entry.splitlines()[0], code, text) for entry in ENTRIES for code, text in SNIPPET.findall(entry)]


def test_every_entry_is_complete() -> None:
    assert [entry.split(".")[0] for entry in ENTRIES] == [str(number) for number in range(1, 12)]
    for entry in ENTRIES:
        assert "**Claim.**" in entry and "**Right.**" in entry, entry.splitlines()[0]
        assert "```python" in entry or "```sh" in entry, entry.splitlines()[0]


def test_no_snippet_is_left_out() -> None:
    assert len(SNIPPETS) == PAGE.count("```python") == PAGE.count("```text") == 10


@pytest.mark.parametrize(("code", "text"), [pytest.param(code, text, id=title) for title, code, text in SNIPPETS])
def test_a_snippet_prints_what_the_page_says(code: str, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == text


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if "```sh" in entry], ids=lambda e: e.splitlines()[0])
def test_shell_lines_parse(entry: str) -> None:
    for block in re.findall(r"^```sh\n(.*?)^```", entry, re.MULTILINE | re.DOTALL):
        subprocess.run(["sh", "-n"], input=block, text=True, check=True)
