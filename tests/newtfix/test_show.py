"""What a terminal shows of a patch."""

from __future__ import annotations

import pytest
from commands import Run

from newtfix import report
from newtfix.commands import show


def test_on_a_terminal_pages_have_no_marks(newtfix: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    written = newtfix("show", "prior-coef").out
    assert written.startswith("# ") and "\n## " in written and "\n```diff\n" in written
    monkeypatch.setattr(report, "is_terminal", lambda: True)
    drawn = newtfix("show", "prior-coef").out
    assert drawn.splitlines()[0] == written.splitlines()[0].removeprefix("# ").replace("`", "")
    assert not any(line.startswith(("#", "|", "```", "[")) for line in drawn.splitlines())
    for line in ("-    prior_coef", "+    prior_coef"):
        assert line in drawn and line in written


def test_text_is_as_wide_as_the_terminal_and_lists_keep_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert show._wrapped("one two three four five six\n\n- a list that is longer than that") == (
        "one two three four\nfive six\n\n- a list that is longer than that"
    )


def test_for_machines_there_are_edits_sections_and_settings(newtfix: Run) -> None:
    told = newtfix("show", "prior-coef", "--json").json
    assert told["id"] == "prior-coef" and told["severity"] == "critical"
    assert told["newt_base"]["remark"].startswith("The diff that `newtfix diff prior-coef` prints")
    assert "prior_coef" in told["newt_base"]["diff"] and "Claim" in told["sections"]
    (setting,) = (one for one in told["settings"] if one["name"] == "prior_coef")
    assert float(setting["default"]) == 1.0 and float(setting["old"]) == 10.0
    assert all(edit["shapes"] or edit.get("add") for edit in told["edits"])
