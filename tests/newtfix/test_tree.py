"""What is read of a tree, what is left alone, and how a tree that cannot be read says so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from newtfix.errors import TreeError
from newtfix.files import inside, tree
from newtfix.files.tree import decode, encode, read_tree


def make(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_reads_python_below_and_yaml_at_the_root(tmp_path: Path) -> None:
    files = {"trainer.py": b"a", "common/math.py": b"b", "config.yaml": b"c", "x.yml": b"d"}
    make(tmp_path, files | {"common/deep.yaml": b"no", "notes.txt": b"no"})
    assert read_tree(tmp_path).raw == files


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(".git/hook.py", id="hidden folder"),
        pytest.param(".newtfix/pristine/trainer.py", id="the tool's own folder"),
        pytest.param("common/__pycache__/x.py", id="byte code"),
        pytest.param("logs/run/trainer.py", id="runs"),
        pytest.param("wandb/x.py", id="wandb"),
        pytest.param("env/lib/x.py", id="virtual environment by its pyvenv.cfg"),
        pytest.param("newt.egg-info/x.py", id="package metadata"),
    ],
)
def test_leaves_alone(tmp_path: Path, path: str) -> None:
    make(tmp_path, {"trainer.py": b"", path: b"", "env/pyvenv.cfg": b""})
    assert set(read_tree(tmp_path).sources) == {"trainer.py"}


def test_a_folder_called_envs_is_source(tmp_path: Path) -> None:
    make(tmp_path, {"trainer.py": b"", "envs/dmcontrol.py": b""})
    assert "envs/dmcontrol.py" in read_tree(tmp_path).sources


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"a\r\nb\r\n", id="CRLF"),
        pytest.param(b"a\rb\n", id="mixed"),
        pytest.param(b"\xef\xbb\xbfa\n", id="byte order mark"),
        pytest.param("é\x0c\u2028\n".encode(), id="separators that only str.splitlines knows"),
    ],
)
def test_bytes_survive(tmp_path: Path, raw: bytes) -> None:
    tree = read_tree(make(tmp_path, {"trainer.py": raw}))
    assert encode(tree.sources["trainer.py"], like=raw) == raw
    assert not decode(raw).startswith("\ufeff")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    tree = read_tree(make(tmp_path, {"trainer.py": b"", "old.py": "# caf\xe9\n".encode("latin-1")}))
    assert tree.foreign == {"old.py"}
    assert tree.sources["old.py"] == "# caf\xe9\n"


def test_links_inside_are_read_once_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, {"trainer.py": b"", "common/a.py": b""})
    (tmp_path / "again.py").symlink_to("trainer.py")
    (tmp_path / "common/up").symlink_to("..", target_is_directory=True)
    (tmp_path / "self.py").symlink_to("self.py")
    (tmp_path / "gone.py").symlink_to(tmp_path.parent / "nowhere.py")
    assert set(read_tree(tmp_path).sources) == {"trainer.py", "common/a.py"}


def test_links_that_lead_out_are_named_and_not_followed(tmp_path: Path) -> None:
    make(tmp_path, {"tree/trainer.py": b"", "shared/math.py": b"x"})
    (tmp_path / "tree/common").symlink_to(tmp_path / "shared", target_is_directory=True)
    tree = read_tree(tmp_path / "tree")
    assert "common/math.py" not in tree.raw and "leads out" in tree.left["common"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="there is no folder") as caught:
        read_tree(tmp_path / "nope")
    assert caught.value.exit_code == 4 and "--tree" in caught.value.hint


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    make(tmp_path, {"trainer.py": b""})
    with pytest.raises(TreeError, match="is a file") as caught:
        read_tree(tmp_path / "trainer.py")
    assert str(tmp_path) in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to the superuser")
def test_no_permission(tmp_path: Path) -> None:
    make(tmp_path, {"trainer.py": b""})
    (tmp_path / "trainer.py").chmod(0)
    with pytest.raises(TreeError, match="cannot read"):
        read_tree(tmp_path)


def test_a_folder_of_too_many_files_is_no_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_FILES", 2)
    make(tmp_path, {"trainer.py": b"", "a.py": b""})
    assert len(read_tree(tmp_path).raw) == 2
    make(tmp_path, {"b.py": b""})
    with pytest.raises(TreeError, match="more than 2 Python files, so it is no newt-style tree"):
        read_tree(tmp_path)


def test_a_disk_that_fails_is_said_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, at: int, shown: Path, limit: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(shown))

    make(tmp_path, {"trainer.py": b""})
    monkeypatch.setattr(inside, "read_at", fail)
    with pytest.raises(TreeError, match=r"cannot read .*trainer\.py: Input/output error"):
        read_tree(tmp_path)


def test_the_folder_above_names_the_one_below_that_has_most_of_a_tree(tmp_path: Path) -> None:
    make(tmp_path, {"tools/train.py": b"", "tdmpc2/trainer.py": b"", "tdmpc2/tdmpc2.py": b""})
    with pytest.raises(TreeError, match=r"further down in tdmpc2\b(?!,)") as caught:
        read_tree(tmp_path)
    assert "tools" not in str(caught.value)


def test_a_folder_two_levels_up_names_the_tree(tmp_path: Path) -> None:
    there = {"a/b/trainer.py": b"from common.math import two\nfrom .envs import make", "a/b/common/math.py": b""}
    make(tmp_path, there | {"common.py": b"", "tools/scripts/one/train.py": b""})
    with pytest.raises(TreeError, match=r"further down in a/b\n"):
        read_tree(tmp_path)


def test_an_entry_file_that_cannot_be_read_is_there_all_the_same(tmp_path: Path) -> None:
    make(tmp_path, {"trainer.py": "x = 1".encode("utf-16"), "old/trainer.py": b""})
    assert "old/trainer.py" in read_tree(tmp_path).sources


@pytest.mark.parametrize("line", ["from ..common import math", "from common.math import two", "from common import x"])
def test_entry_files_that_import_from_folders_beside_theirs_are_in_their_tree(tmp_path: Path, line: str) -> None:
    files = {"agents/tdmpc2.py": line.encode(), "trainers/trainer.py": b"", "common/math.py": b""}
    make(tmp_path, files | {"common/__init__.py": b""})
    assert set(read_tree(tmp_path).sources) == {*files, "common/__init__.py"}


def test_the_folder_above_names_the_one_below(tmp_path: Path) -> None:
    make(tmp_path, {"tdmpc2/trainer.py": b"", "setup.py": b""})
    with pytest.raises(TreeError, match="further down in tdmpc2\n") as caught:
        read_tree(tmp_path)
    assert str(tmp_path / "tdmpc2") in caught.value.hint
