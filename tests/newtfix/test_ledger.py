"""The record of a tree: kept, read back, and never guessed at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newtfix.errors import TreeError
from newtfix.ledger import LEDGER, Entry, Ledger, edited_files, ledger_changes, pristine_bytes, read_ledger
from newtfix.write import commit, digest

BYTES = {"trainer.py": b"old\r\n", "common/math.py": b"\xef\xbb\xbfold"}


def ledger(*paths: str) -> Ledger:
    files = {path: Entry(digest(BYTES[path]), digest(b"new")) for path in paths}
    return Ledger(applied=("a", "b"), requested=("b",), patches=("mine",), files=files)


def keep(root: Path, new: Ledger | None) -> None:
    commit(root, ledger_changes(root, new, BYTES))


def test_a_tree_without_one(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) is None


def test_it_comes_back_with_the_pristine_bytes(tmp_path: Path) -> None:
    kept = ledger(*BYTES)
    keep(tmp_path, kept)
    assert read_ledger(tmp_path) == kept
    assert {path: pristine_bytes(tmp_path, kept, path) for path in BYTES} == BYTES


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
        pytest.param(json.dumps({"schema": 2, "applied": []}), id="another schema"),
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
    with pytest.raises(TreeError, match="cannot be used") as caught:
        read_ledger(tmp_path)
    assert "Nothing was changed" in caught.value.hint
    assert (tmp_path / LEDGER).read_text() == content


def test_pristine_bytes_that_somebody_changed(tmp_path: Path) -> None:
    keep(tmp_path, ledger(*BYTES))
    (tmp_path / ".newtfix/pristine/trainer.py").write_bytes(b"other")
    with pytest.raises(TreeError, match="not what newtfix put there"):
        pristine_bytes(tmp_path, ledger(*BYTES), "trainer.py")
