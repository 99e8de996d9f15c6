"""New folders appear complete or not at all, and what a dead builder left is swept away; a living one is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newtfix.files.stage import appear, fill, staging


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with staging(tmp_path, ".new.") as stage:
        fill(stage, {"a": b"1", "below/b": b"2"})
        appear(stage, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (tmp_path / "new/below/b").read_bytes() == b"2"


def test_what_goes_wrong_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), staging(tmp_path, ".new.") as stage:
        fill(stage, {"a": b"1"})
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []


def test_what_the_dead_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("x")
    (tmp_path / ".new.99999999/below").mkdir(parents=True)
    (tmp_path / ".new.99999999/link").symlink_to(tmp_path / "outside")
    (tmp_path / ".new.mine").mkdir()
    (tmp_path / ".new.7").symlink_to(tmp_path / "outside")
    with staging(tmp_path, ".new."):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"outside", ".new.mine", ".new.7"}
    assert (tmp_path / "outside/kept").exists()


def test_a_living_builder_is_left_alone(tmp_path: Path) -> None:
    with staging(tmp_path, ".new.") as stage:
        stage.rename(tmp_path / ".new.1")
        with staging(tmp_path, ".new."):
            assert (tmp_path / ".new.1").is_dir()


def test_what_another_user_left_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".new.99999999").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / ".new.99999999").stat().st_uid + 1)
    with staging(tmp_path, ".new."):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".new.99999999"]


def test_something_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError), staging(tmp_path, ".new.") as stage:
        appear(stage, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
