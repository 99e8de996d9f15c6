"""A transaction ends in all old or all new contents, wherever it is cut off."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from newtfix.errors import TreeError
from newtfix.files import mend, system, write
from newtfix.files.journal import is_interrupted
from newtfix.files.lock import locked
from newtfix.files.write import Change, commit, preflight, recover
from tests.newtfix.faults import Faults, Killed, failing

OLD = {"trainer.py": b"old trainer\n", "common/math.py": b"old math\r\n", "common/gone.py": b"bye\n"}
NEW = {"trainer.py": b"new trainer\n", "common/math.py": b"new math\r\n", ".newtfix/pristine/common/math.py": b"kept"}
CHANGES = [Change(path, OLD.get(path), NEW.get(path)) for path in sorted(OLD.keys() | NEW.keys())]


def make(root: Path) -> Path:
    for path, content in OLD.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "trainer.py").chmod(0o755)
    return root


def files(root: Path) -> dict[str, bytes]:
    """All files but the one that hides the tool's folder from git."""
    found = [path for path in root.rglob("*") if path.is_file() and path.name != ".gitignore"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def cut_off(root: Path, faults: Faults, work: Callable[[Path], None]) -> Faults:
    with failing(faults), suppress(Killed, TreeError):
        work(root)
    return faults


def all_of_it(root: Path) -> None:
    with locked(root):
        commit(root, CHANGES)


def test_commit_writes_everything_and_keeps_modes(tmp_path: Path) -> None:
    make(tmp_path)
    with locked(tmp_path):
        commit(tmp_path, CHANGES)
    assert files(tmp_path) == NEW
    assert stat.S_IMODE((tmp_path / "trainer.py").stat().st_mode) == 0o755


def test_a_link_count_above_one_is_no_shared_edit(tmp_path: Path) -> None:
    make(tmp_path / "tree")
    os.link(tmp_path / "tree/trainer.py", tmp_path / "snapshot.py")
    commit(tmp_path / "tree", CHANGES[-1:])
    assert (tmp_path / "snapshot.py").read_bytes() == OLD["trainer.py"]


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_killed_at_every_step(tmp_path: Path, when: str) -> None:
    seen = set()
    for number in range(1, 500):
        root = make(tmp_path / str(number))
        faults = cut_off(root, Faults(number, None, when), all_of_it)
        with failing(Faults()), locked(root):
            recover(root)
        found = files(root)
        assert found in (OLD, NEW), f"step {number}"
        assert not is_interrupted(root)
        assert stat.S_IMODE((root / "trainer.py").stat().st_mode) == 0o755
        seen.add(found == NEW)
        if not faults.failed:
            break
    assert not faults.failed and seen == {False, True}


def halfway(root: Path) -> None:
    """Put the first two of three files in place, and be killed."""
    steps = [write._step(root, change, number) for number, change in enumerate(CHANGES)]
    write._stage(root, CHANGES, steps)
    write.write_journal(root, "replacing", steps)
    for step in steps[:-1]:
        mend.swap_in(root, step)


@pytest.mark.parametrize("back", [False, True])
def test_killed_again_while_recovering(tmp_path: Path, back: bool) -> None:
    for number in range(1, 500):
        root = make(tmp_path / str(number))
        halfway(root)
        faults = cut_off(root, Faults(number), lambda root: void(recover(root, back)))
        with failing(Faults()):
            recover(root)
        assert files(root) in (OLD, NEW) if back else files(root) == NEW, f"step {number}"
        if not faults.failed:
            break
    assert not faults.failed and files(root) == (OLD if back else NEW)


def void(_: object) -> None:
    pass


@pytest.mark.parametrize("number_of_the_error", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("lasting", [False, True])
def test_an_error_at_every_step_leaves_all_or_nothing(tmp_path: Path, number_of_the_error: int, lasting: bool) -> None:
    for number in range(1, 500):
        root = make(tmp_path / str(number))
        said = ""
        with failing(Faults(number, number_of_the_error, lasting=lasting)) as faults:
            try:
                all_of_it(root)
            except TreeError as problem:
                said = problem.message
        with failing(Faults()), locked(root):
            recover(root)
        assert files(root) == (OLD if said else NEW), f"step {number}: {said}"
        if not faults.failed:
            break
    assert not faults.failed


@pytest.mark.parametrize("links", [True, False])
def test_a_disk_that_cannot_swap_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(system, "_renameat2", lambda: None)
    if not links:
        monkeypatch.setattr(system, "link", no)
    all_of_it(make(tmp_path / "tree"))
    assert files(tmp_path / "tree") == NEW
    for number in range(1, 500):
        root = make(tmp_path / str(number))
        faults = cut_off(root, Faults(number), all_of_it)
        with failing(Faults()), locked(root):
            recover(root)
        assert files(root) in (OLD, NEW), f"step {number}"
        if not faults.failed:
            break


def test_a_swap_that_stays_impossible_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    swap = system.exchange

    def refuse(old: str, old_at: int, new: str, new_at: int) -> bool:
        if new == "trainer.py":
            raise PermissionError(1, "Operation not permitted", new)
        return swap(old, old_at, new, new_at)

    monkeypatch.setattr(system, "exchange", refuse)
    with pytest.raises(TreeError, match="the files are as they were"):
        commit(tmp_path, CHANGES)
    monkeypatch.undo()
    assert files(tmp_path) == OLD


def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / ".newtfix").mkdir()
    (tmp_path / ".newtfix/journal.json").write_text('{"schema": 99}')
    with pytest.raises(TreeError, match="journal cannot be read"):
        recover(tmp_path)


def read_only_file(root: Path) -> None:
    (root / "trainer.py").chmod(0o444)


def read_only_folder(root: Path) -> None:
    (root / "common").chmod(0o555)


def link_out(root: Path) -> None:
    (root / "trainer.py").rename(root.parent / "outside.py")
    (root / "trainer.py").symlink_to(root.parent / "outside.py")


def linked_folder(root: Path) -> None:
    (root / "common").rename(root.parent / "outside")
    (root / "common").symlink_to(root.parent / "outside", target_is_directory=True)


def edited(root: Path) -> None:
    (root / "common/math.py").write_bytes(b"mine\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (read_only_file, r"trainer\.py is read-only"),
        (read_only_folder, "common is read-only"),
        (link_out, "symbolic link"),
        (linked_folder, "symbolic link"),
        (edited, "changed while"),
    ],
)
def test_refused_before_anything_is_written(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    root = make(tmp_path / "tree")
    spoil(root)
    before = files(root)
    with pytest.raises(TreeError, match=message) as caught:
        commit(root, CHANGES)
    assert caught.value.exit_code == 4 and caught.value.hint
    assert files(root) == before
    (root / "common").chmod(0o755)


def test_a_path_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    (tmp_path / "victim.py").write_bytes(b"x")
    with pytest.raises(TreeError):
        preflight(root, [Change("../victim.py", b"x", b"y")])


def test_a_lock_that_its_holder_removes_under_our_hands_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(handle: int, how: int) -> None:
        calls.append(how)
        if len(calls) < 3:  # the holder goes, and another one comes, or none
            (tmp_path / ".newtfix/lock").rename(tmp_path / f"old{len(calls)}")
        if len(calls) == 1:
            (tmp_path / ".newtfix/lock").touch()
        lock(handle, how)

    calls, lock = list[int](), fcntl.flock
    monkeypatch.setattr(fcntl, "flock", removed)
    with locked(tmp_path):
        assert (tmp_path / ".newtfix/lock").read_text() == f"{os.getpid()}\n"
    assert len(calls) == 3 and (tmp_path / "old1").read_bytes() == (tmp_path / "old2").read_bytes() == b""


def test_a_live_lock_is_refused_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(TreeError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass

    cut_off(tmp_path, Faults(6), lambda root: locked(root).__enter__())
    assert (tmp_path / ".newtfix/lock").exists()
    with locked(tmp_path):
        pass
    assert files(tmp_path) == {} and not (tmp_path / ".newtfix").exists()
