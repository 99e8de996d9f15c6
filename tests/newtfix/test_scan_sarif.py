"""`newtfix scan` for other programs and pages: Markdown and SARIF."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import FOUND, PATCHES, Run

from newtfix.scan.text import _fenced

PLAIN, HALFWAY = (Path(__file__).parents[1] / "specimens" / name for name in ("plain", "halfway"))


HUMANOID = ("task=humanoid-run", "num_envs=20", "episode_length=250", "action_dim=21")


def test_markdown(scan: Run) -> None:
    result = scan("--markdown", *HUMANOID)
    assert result.out.startswith(f"# Discrepancies of newt_patched\n\n{FOUND} of {len(PATCHES)} discrepancies found")
    headings = re.findall(r"^## ([\w-]+)", result.out, re.M)
    assert headings[:2] == ["Numbers", "The"] and len(headings) == 2 + len(PATCHES)
    for table in re.findall(r"(?:^\|.*\n)+", result.out, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert result.out.count("```") % 2 == 0
    assert re.search(r"^trainer\.py:\d+: if self\._step >= self\.cfg\.seeding_coef", result.out, re.M)
    assert "episode\\_length=250" in result.out


def test_a_fix_that_is_there_in_part_and_code_that_is_not_known(scan: Run) -> None:
    told = scan("--tree", str(HALFWAY), "--sarif").json["runs"][0]["results"]
    (review,) = (result for result in told if result["kind"] == "review")
    assert review["level"] == "none" and review["ruleId"] == "actor-modes"
    assert review["message"]["text"].startswith("Neither the code to fix nor the fix was recognised")
    said = {result["message"]["text"].partition(". ")[0] for result in told}
    assert "Missing: seed-steps" in said
    assert any(one.startswith("Missing: methods (looked for: _take_segment, ") for one in said)
    assert any(one.startswith("Not recognised: select (looked for: a file with the buffer") for one in said)
    page = scan("--tree", str(HALFWAY), "--markdown").out
    assert "\n\nMissing: `seed-steps` in trainer.py.\n\n" in page
    assert "\n\nNearest:\n\n```text\ntdmpc2.py:" in page and "\n\nAt:\n\n```text\n" in page
    assert re.search(r"\n\nLooked for, and found .*:\n\n```text\n", page)


def test_the_page_shows_real_output(scan: Run) -> None:
    page = (Path(__file__).parents[2] / "docs/scan.md").read_text("utf-8")
    told = scan("num_envs=20", "episode_length=250", "action_dim=21").out + scan().out
    shown = [line for block in re.findall(r"^```text\n(.*?)^```", page, re.M | re.S) for line in block.splitlines()]
    assert len(shown) > 20
    assert not set(map(_narrow, shown)) - set(map(_narrow, told.splitlines())) - {""}


def _narrow(line: str) -> str:
    """A line of a table, whatever the widths of the columns."""
    return re.sub(r"\s{2,}", "  ", line.rstrip())


def test_code_with_backticks_stays_in_its_fence() -> None:
    assert _fenced("x = '````'").startswith("`````text\n")


LEVELS = {"critical": "error", "moderate": "warning", "minor": "note", "prerequisite": "note"}


def test_sarif(scan: Run, copy: Callable[..., Path]) -> None:
    """What the specification asks of the parts that are used (SARIF 2.1.0, sections 3.13 to 3.52)."""
    tree = copy(PLAIN, junk="def (:\n")
    log = scan("--tree", str(tree), "--sarif").json
    assert set(log) == {"$schema", "version", "runs"} and log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver, rules = run["tool"]["driver"], run["tool"]["driver"]["rules"]
    assert driver["name"] == "newtfix" and [rule["id"] for rule in rules] == list(PATCHES)
    for rule in rules:
        assert rule["defaultConfiguration"]["level"] == LEVELS[PATCHES[rule["id"]].severity.value]
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    base = run["originalUriBaseIds"]["SRCROOT"]["uri"]
    assert base == tree.as_uri() + "/"
    assert run["invocations"][0]["executionSuccessful"] is True
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert any(note.startswith("junk.py is no Python") and "line 1: invalid syntax" in note for note in notes)
    _check_results(run["results"], rules, tree)


def _check_results(results: list[Any], rules: list[Any], tree: Path) -> None:
    fingerprints = set()
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        failing = result["kind"] == "fail"
        assert result["level"] == (rules[result["ruleIndex"]]["defaultConfiguration"]["level"] if failing else "none")
        assert result["message"]["text"]
        (location,) = result["locations"]
        artifact, region = (location["physicalLocation"][key] for key in ("artifactLocation", "region"))
        assert artifact["uriBaseId"] == "SRCROOT" and not artifact["uri"].startswith("/")
        line = (tree / artifact["uri"]).read_text().splitlines()[region["startLine"] - 1]
        assert region["snippet"]["text"] == line.strip()
        fingerprints.add(result["partialFingerprints"]["newtfixPlace/v1"])
    assert len(fingerprints) == len(results) > 20


def test_fingerprints_stay_when_lines_move(scan: Run, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    before = scan("--tree", str(tree), "--sarif").json["runs"][0]["results"]
    path = tree / "trainer.py"
    path.write_text("# moved\n" * 9 + path.read_text())
    after = scan("--tree", str(tree), "--sarif").json["runs"][0]["results"]
    prints = [[result["partialFingerprints"] for result in results] for results in (before, after)]
    assert prints[0] == prints[1] and before != after
