"""What is said of failures that nobody thought of."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Run

from newtfix.cli import app
from newtfix.commands import list as listing
from newtfix.errors import unforeseen

TOO_LARGE = "newtfix cannot go on: something is nested too deeply, or too large"


@pytest.mark.parametrize(
    ("problem", "message", "where", "hint"),
    [
        (OSError(13, "Permission denied", "a/b"), "the system says: Permission denied", "a/b", "Check the permissions"),
        (OSError("no number"), "the system says: no number", "", "Check the permissions"),
        (FileNotFoundError(2, "No such file", "a"), "the system says: No such file", "a", "Check the permissions"),
        (
            RecursionError("deep"),
            TOO_LARGE,
            "",
            "TRACEBACK=1",
        ),
        (MemoryError(), TOO_LARGE, "", "TRACEBACK=1"),
        (KeyError("x"), "newtfix cannot go on: KeyError: 'x'", "", "please report it"),
    ],
)
def test_what_is_said(problem: Exception, message: str, where: str, hint: str) -> None:
    error = unforeseen(problem)
    assert (error.message, error.where) == (message, where) and hint in error.hint


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_failure_of_ours_is_said_or_raised_for_those_who_look_for_it(
    newtfix: Run, monkeypatch: pytest.MonkeyPatch, as_json: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(listing, "run", fail)
    told = newtfix("list", *as_json)
    assert told.code == 4 and "newtfix cannot go on: KeyError: 'x'" in told.out + told.err
    monkeypatch.setenv("NEWTFIX_TRACEBACK", "1")
    with pytest.raises(KeyError):
        app(["list", *as_json], prog_name="newtfix")


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    error = unforeseen(FileNotFoundError(2, "No such file"))
    assert error.message == "the working folder is not there any more" and error.hint == "Go to another one: cd"
