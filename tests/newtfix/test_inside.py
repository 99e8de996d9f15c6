"""Only regular files are read, up to a size, and no link is followed; a fifo or a device keeps nobody waiting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from newtfix.files import inside, tree
from newtfix.files.tree import read_tree
from tests.newtfix.test_trust import run

ROOT = Path(__file__).parents[2]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def socket(path: Path) -> None:
    import socket as sockets

    with sockets.socket(sockets.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


KINDS = [fifo, device, folder, socket]
PLACES = ["pyproject.toml", "../pyproject.toml", ".newtfix/ledger.json", ".newtfix/journal.json", ".newtfix/lock"]


@pytest.fixture
def specimen(tmp_path: Path) -> Path:
    root = tmp_path / "above/tree"
    shutil.copytree(ROOT / "tests/specimens/plain", root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.mark.parametrize("place", [*PLACES, "trainer.py", "config.py", "common/more.py", "settings.yaml", "tasks.json"])
@pytest.mark.parametrize("make", [fifo, device])
def test_what_is_no_regular_file_ends_no_command_in_a_wait_or_a_traceback(
    specimen: Path, place: str, make: Callable[[Path], None]
) -> None:
    path = specimen / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    for command in (["list"], ["apply", "rho"]):
        assert run(*command, "--tree", str(specimen)) in (0, 1, 2, 3, 4), command


@pytest.mark.parametrize("make", KINDS)
def test_read_takes_regular_files_only(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError, match="it is"):
        inside.read(tmp_path, "x")


def test_a_size_that_is_too_large_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (2 * inside.MEBIBYTE + 1))
    assert len(inside.read(tmp_path, "x")) == 2 * inside.MEBIBYTE + 1
    with pytest.raises(OSError, match="larger than 2 MiB"):
        inside.read(tmp_path, "x", 2 * inside.MEBIBYTE)


def test_a_tree_names_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SOURCE_LIMIT", 1)
    root = tmp_path / "tree"
    root.mkdir()
    (root / "trainer.py").write_text("x")
    (root / "table.py").write_text("long")
    (root / "line\nbreak.py").write_text("x")
    fifo(root / "pipe.py")
    (tmp_path / "outside.py").write_text("x")
    (root / "linked.py").symlink_to(tmp_path / "outside.py")
    (root / "inside.py").symlink_to("trainer.py")
    (root / "gone.py").symlink_to(tmp_path / "nothing.py")
    found = read_tree(root)
    assert set(found.sources) == {"trainer.py"}
    assert set(found.left) == {"table.py", "line\nbreak.py", "pipe.py", "linked.py", "gone.py"}


@pytest.mark.parametrize(
    "path", ["a/../b", "/a", "a//b", "./a", "a/", "", "..", "a\x00b", "a\nb", "a\x1b", "a\u202eb", None, 3]
)
def test_paths_that_no_record_has(path: object) -> None:
    assert not inside.is_normal(path)


def test_only_regular_files_are_walked(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    fifo(tmp_path / "a/pipe")
    (tmp_path / "a/link").symlink_to("b")
    assert inside.walk(tmp_path, "a") == ["a/b/file"]


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/below").symlink_to(tmp_path / "out")
    for act in (
        lambda: inside.write(tmp_path / "tree", "below/x", b"", 0o644),
        lambda: inside.read(tmp_path / "tree", "below/x"),
        lambda: inside.names(tmp_path / "tree", "below"),
        lambda: inside.remove(tmp_path / "tree", "below/x"),
    ):
        with pytest.raises(OSError, match="symbolic link"):
            act()
    assert list((tmp_path / "out").iterdir()) == []
