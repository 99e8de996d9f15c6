"""The record of a tree: kept, read back, and never guessed at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newtfix.errors import TreeError
from newtfix.files.ledger import (
    LEDGER,
    Entry,
    Ledger,
    edited_files,
    fingerprint,
    generated_bytes,
    ledger_changes,
    pristine_bytes,
    read_ledger,
)
from newtfix.files.write import commit, digest
from newtfix.model import Patch, Severity

BYTES = {"trainer.py": b"old\r\n", "common/math.py": b"\xef\xbb\xbfold"}


def ledger(*paths: str) -> Ledger:
    files = {path: Entry(digest(BYTES[path]), digest(b"new"), digest(b"merged")) for path in paths}
    return Ledger(applied=("a", "b"), requested=("b",), patches=("mine",), files=files)


def keep(root: Path, new: Ledger | None) -> None:
    commit(root, ledger_changes(root, new, BYTES, dict.fromkeys(BYTES, b"new")))


def test_a_tree_without_one(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) is None


def test_it_comes_back_with_the_pristine_bytes(tmp_path: Path) -> None:
    kept = ledger(*BYTES)
    keep(tmp_path, kept)
    assert read_ledger(tmp_path) == kept
    assert {path: pristine_bytes(tmp_path, kept, path) for path in BYTES} == BYTES


def test_what_was_generated_is_kept_unless_somebody_changed_it(tmp_path: Path) -> None:
    kept = ledger(*BYTES)
    keep(tmp_path, kept)
    assert generated_bytes(tmp_path, kept, "trainer.py") == b"new"
    (tmp_path / ".newtfix/generated/trainer.py").write_bytes(b"other")
    assert generated_bytes(tmp_path, kept, "trainer.py") is None


def test_git_does_not_see_it_unless_somebody_wants_that(tmp_path: Path) -> None:
    ignore = tmp_path / ".newtfix/.gitignore"
    keep(tmp_path, ledger("trainer.py"))
    assert ignore.read_text() == "*\n"
    ignore.unlink()
    keep(tmp_path, ledger(*BYTES))
    assert not ignore.exists()


def test_the_fingerprint_tells_code_from_comments(tmp_path: Path) -> None:
    def of(text: str) -> str:
        (tmp_path / "x.py").write_text(text)
        return fingerprint(Patch("x", Severity.MINOR, (), origin=str(tmp_path / "x.py")))

    assert of('"""One."""\nPATCH = f(1)\n') == of('"""Two."""\n\nPATCH = f(\n    1)  # why\n') == of("PATCH = f(1)\n")
    assert of("PATCH = f(1)\n") != of("PATCH = f(2)\n")


def test_files_no_longer_touched_are_forgotten(tmp_path: Path) -> None:
    keep(tmp_path, ledger(*BYTES))
    keep(tmp_path, ledger("trainer.py"))
    assert not (tmp_path / ".newtfix/pristine/common").exists()


def test_without_patches_nothing_is_left(tmp_path: Path) -> None:
    keep(tmp_path, ledger(*BYTES))
    keep(tmp_path, None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_edited_and_missing_files_are_told(tmp_path: Path) -> None:
    assert edited_files(ledger(*BYTES), {"trainer.py": b"new", "common/math.py": b"mine"}) == ("common/math.py",)
    assert edited_files(ledger(*BYTES), {"trainer.py": b"new"}) == ("common/math.py",)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="not an object"),
        pytest.param(json.dumps({"schema": 3, "applied": []}), id="another schema"),
        pytest.param(json.dumps({"schema": 1}), id="keys missing"),
        pytest.param(
            json.dumps(
                {
                    "schema": 1,
                    "applied": [],
                    "requested": [],
                    "patches": [],
                    "version": "1",
                    "files": {"../x.py": {"pristine": "", "written": ""}},
                }
            ),
            id="a path out of the tree",
        ),
    ],
)
def test_one_that_cannot_be_used(tmp_path: Path, content: str) -> None:
    (tmp_path / ".newtfix").mkdir()
    (tmp_path / LEDGER).write_text(content)
    with pytest.raises(TreeError, match=r"cannot be used|did not write this record") as caught:
        read_ledger(tmp_path)
    assert "Nothing was changed" in caught.value.hint
    assert (tmp_path / LEDGER).read_text() == content


def test_pristine_bytes_that_somebody_changed(tmp_path: Path) -> None:
    keep(tmp_path, ledger(*BYTES))
    (tmp_path / ".newtfix/pristine/trainer.py").write_bytes(b"other")
    with pytest.raises(TreeError, match="not what newtfix put there"):
        pristine_bytes(tmp_path, ledger(*BYTES), "trainer.py")
