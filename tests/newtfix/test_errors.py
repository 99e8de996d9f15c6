"""What is said of failures that nobody thought of."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    error = unforeseen(FileNotFoundError(2, "No such file"))
    assert error.message == "the working folder is not there any more" and error.hint == "Go to another one: cd"
