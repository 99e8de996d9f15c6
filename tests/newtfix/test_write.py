"""A transaction ends in all old or all new contents, wherever it is cut off."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from newtfix.errors import TreeError
from newtfix.files import write
from newtfix.files.lock import locked
from newtfix.files.write import Change, commit, is_interrupted, preflight, recover

OLD = {"trainer.py": b"old trainer\n", "common/math.py": b"old math\r\n", "common/gone.py": b"bye\n"}
NEW = {"trainer.py": b"new trainer\n", "common/math.py": b"new math\r\n", ".newtfix/pristine/common/math.py": b"kept"}
CHANGES = [Change(path, OLD.get(path), NEW.get(path)) for path in sorted(OLD.keys() | NEW.keys())]
# what a transaction does to the disk
CALLS = [(os, "replace"), (os, "fsync"), (os, "open"), (Path, "unlink"), (Path, "mkdir"), (os, "fchmod")]


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


def in_a_child(work: Callable[[], None]) -> int:
    """The exit code of a forked process that does the work: nothing of it is cleaned up when it dies."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def interrupt(number: int, act: Callable[[], None], after: bool = False) -> None:
    """Make the `number`-th call of CALLS act up, before or after it took effect."""
    count = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            mine = count == number
            if mine and not after:
                act()
            result = function(*arguments, **options)
            if mine and after:
                act()
            return result

        return counted

    for owner, name in CALLS:
        setattr(owner, name, wrap(getattr(owner, name)))


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


@pytest.mark.parametrize("after", [False, True], ids=["before it takes effect", "after it took effect"])
def test_killed_at_every_step(tmp_path: Path, after: bool) -> None:
    seen = set()
    for number in range(1, 500):
        root = make(tmp_path / str(number))

        def run(root: Path = root, number: int = number) -> None:
            interrupt(number, lambda: os._exit(9), after)
            with locked(root):
                commit(root, CHANGES)

        code = in_a_child(run)
        with locked(root):
            recover(root)
        found = files(root)
        assert found in (OLD, NEW), f"step {number}"
        assert not is_interrupted(root)
        assert stat.S_IMODE((root / "trainer.py").stat().st_mode) == 0o755
        seen.add(found == NEW)
        if code == 0:
            break
    assert code == 0 and seen == {False, True}


def test_killed_again_while_recovering(tmp_path: Path) -> None:
    for number in range(1, 500):
        root = make(tmp_path / str(number))

        def stop_halfway(root: Path = root) -> None:
            write._stage(root, CHANGES, [write._step(root, change, n) for n, change in enumerate(CHANGES)])
            os.replace(root / write._step(root, CHANGES[-1], len(CHANGES) - 1).staged, root / "trainer.py")

        def run(root: Path = root, number: int = number) -> None:
            interrupt(number, lambda: os._exit(9))
            recover(root)

        in_a_child(stop_halfway)
        code = in_a_child(run)
        assert recover(root) in ("finished", None)
        assert files(root) == NEW, f"step {number}"
        if code == 0:
            break
    assert code == 0


def test_an_error_at_every_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    unhurt = 0  # runs in a row without an error: behind the last step, or in steps that may fail
    for number in range(1, 500):
        root = make(tmp_path / str(number))

        def run(root: Path = root, number: int = number) -> None:
            interrupt(number, fail)
            commit(root, CHANGES)

        code = in_a_child(run)
        assert files(root) == (OLD if code else NEW) or files(root) == NEW, f"step {number}"
        assert not is_interrupted(root)
        unhurt = unhurt + 1 if code == 0 else 0
        if unhurt == 50:
            break
    assert unhurt == 50


def test_a_rename_that_stays_impossible_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target).name == "trainer.py" and Path(source).parent.name == "new":
            raise PermissionError(1, "Operation not permitted", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(TreeError, match="the files are as they were"):
        commit(tmp_path, CHANGES)
    monkeypatch.undo()
    assert files(tmp_path) == OLD


def test_an_edit_after_an_interruption_is_not_lost(tmp_path: Path) -> None:
    root = make(tmp_path)
    steps = [write._step(root, change, number) for number, change in enumerate(CHANGES)]
    write._stage(root, CHANGES, steps)
    (root / "trainer.py").write_bytes(b"mine\n")
    with pytest.raises(TreeError, match=r"trainer\.py has been edited since"):
        recover(root)
    assert (root / "trainer.py").read_bytes() == b"mine\n"


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


def test_a_live_lock_is_refused_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(TreeError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass

    def die() -> None:
        with locked(tmp_path):
            os._exit(0)

    in_a_child(die)
    assert (tmp_path / ".newtfix/lock").exists()
    with locked(tmp_path):
        pass
    assert files(tmp_path) == {} and not (tmp_path / ".newtfix").exists()
