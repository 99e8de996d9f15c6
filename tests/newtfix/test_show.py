"""What a terminal shows of a patch."""

from __future__ import annotations

import pytest
from commands import Run

from newtfix import report
from newtfix.commands import show
from newtfix.work.page import Block


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


def test_other_blocks_of_a_page_are_indented_and_code_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    show._draw([Block("h2", "A `head`"), Block("python", "x = 1"), Block("sh", "newtfix scan\nnewtfix list")])
    assert capsys.readouterr().out == "A head\n\n    x = 1\n\n    newtfix scan\n    newtfix list\n"


def test_for_machines_there_are_edits_sections_and_settings(newtfix: Run) -> None:
    told = newtfix("show", "prior-coef", "--json").json
    assert told["id"] == "prior-coef" and told["severity"] == "critical"
    assert told["newt_base"]["remark"].startswith("The diff that `newtfix diff prior-coef` prints")
    assert "prior_coef" in told["newt_base"]["diff"] and "Claim" in told["sections"]
    (setting,) = (one for one in told["settings"] if one["name"] == "prior_coef")
    assert float(setting["default"]) == 1.0 and float(setting["old"]) == 10.0
    assert all(edit["shapes"] or edit.get("add") for edit in told["edits"])
