"""What was begun is finished or undone, and what somebody saves in that very moment is kept."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from newtfix.errors import TreeError
from newtfix.files import mend, system, write
from newtfix.files.journal import Step, staged_places
from newtfix.files.mend import Ended
from newtfix.files.write import Change, commit, recover
from newtfix.work.session import _mended
from tests.newtfix.faults import Faults, failing

OLD = {"trainer.py": b"a = 1\nb = 2\nc = 3\n", "common/math.py": b"old\n", "common/gone.py": b"bye\n"}
NEW = {"trainer.py": b"a = 1\nb = 2\nc = 4\n", "common/math.py": b"new\n", "common/come.py": b"hello\n"}
RECORD = Change(".newtfix/ledger.json", None, b"{}")
CHANGES = [RECORD, *(Change(path, OLD.get(path), NEW.get(path)) for path in sorted(OLD.keys() | NEW.keys()))]


class Meanwhile(Faults):
    """Somebody else, who does something once: before a call of the system, or after it.

    Args:
        error: such calls fail with it.
    """

    def __init__(self, call: str, act: Callable[[], object], after: bool = False, error: int = 0) -> None:
        super().__init__(0)
        self._call, self._act, self._after, self._error = call, act, after, error
        self.done = False

    def __call__(self, call: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        due = call == self._call and not self.done
        self.done = self.done or due
        if due and not self._after:
            self._act()
        if call == self._call and self._error:
            raise OSError(self._error, os.strerror(self._error))
        result = super().__call__(call, act, *arguments, **named)
        if due and self._after:
            self._act()
        return result


def make(root: Path) -> Path:
    for path, content in OLD.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def sources(root: Path) -> dict[str, bytes]:
    found = [path for path in root.rglob("*") if path.is_file() and ".newtfix" not in path.relative_to(root).parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def save(path: Path, content: bytes) -> Callable[[], object]:
    """Save a file as editors do: by a rename."""

    def act() -> None:
        path.with_name("editor.tmp").write_bytes(content)
        path.with_name("editor.tmp").replace(path)

    return act


def staged(root: Path, beside: bool = False) -> dict[str, Step]:
    """A transaction of which nothing is in place; `beside`: what is new waits beside the old, as on another disk."""
    steps = [write._step(root, change, number) for number, change in enumerate(CHANGES)]
    if beside:
        steps = [replace(step, staged=staged_places(step.path, number)[1]) for number, step in enumerate(steps)]
    write._stage(root, CHANGES, steps)
    write.write_journal(root, "replacing", steps)
    return {step.path: step for step in steps}


# --- while files are swapped ------------------------------------------------------------------------------------------


def test_a_file_that_appears_where_a_new_one_goes_stays(tmp_path: Path) -> None:
    make(tmp_path)
    meanwhile = Meanwhile("link", save(tmp_path / "common/come.py", b"theirs\n"))
    with failing(meanwhile), pytest.raises(TreeError, match=r"common/come\.py changed while newtfix was at work"):
        commit(tmp_path, CHANGES[1:])
    assert sources(tmp_path) == {**OLD, "common/come.py": b"theirs\n"}


@pytest.mark.parametrize(
    "how",
    [{"after": True}, {"error": errno.EPERM}],
    ids=["between the second name and the swap", "where there are no second names"],
)
def test_an_edit_on_a_disk_that_cannot_swap_is_seen(tmp_path: Path, how: dict[str, Any]) -> None:
    make(tmp_path)
    changes = [Change("trainer.py", OLD["trainer.py"], NEW["trainer.py"])]
    meanwhile = Meanwhile("link", save(tmp_path / "trainer.py", b"mine = 1\n"), **how)
    with pytest.MonkeyPatch.context() as no_swaps:
        no_swaps.setattr(system, "_renameat2", lambda: None)
        with failing(meanwhile), pytest.raises(TreeError, match=r"trainer\.py changed while"):
            commit(tmp_path, changes)
    assert meanwhile.done and sources(tmp_path) == {**OLD, "trainer.py": b"mine = 1\n"}


def test_a_disk_that_refuses_to_swap_is_written_all_the_same(tmp_path: Path) -> None:
    make(tmp_path)
    refusing = Meanwhile("exchange", lambda: None, error=errno.EINVAL)
    with failing(refusing):
        commit(tmp_path, CHANGES)
    assert refusing.done and sources(tmp_path) == NEW


def test_other_systems_than_linux_have_no_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system._renameat2.__wrapped__() is None


def test_a_swap_says_which_error_the_system_has(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileNotFoundError):
            system.exchange("one", at, "two", at)
    finally:
        os.close(at)


# --- after an interruption --------------------------------------------------------------------------------------------


def test_a_tree_without_a_record_is_left_without_one(tmp_path: Path) -> None:
    assert recover(make(tmp_path)) is None
    assert sources(tmp_path) == OLD and not (tmp_path / ".newtfix").exists()


def test_a_record_that_a_power_cut_has_emptied_is_written_again(tmp_path: Path) -> None:
    staged(make(tmp_path))
    (tmp_path / RECORD.path).write_bytes(b"")
    assert recover(tmp_path) == Ended("finished")
    assert sources(tmp_path) == NEW and (tmp_path / RECORD.path).read_bytes() == b"{}"


def test_a_new_file_with_two_names_is_taken_away_with_both(tmp_path: Path) -> None:
    steps = staged(make(tmp_path))
    os.link(tmp_path / steps["common/come.py"].staged, tmp_path / "common/come.py")
    assert recover(tmp_path, back=True) == Ended("undone")
    assert sources(tmp_path) == OLD


@pytest.mark.parametrize("beside", [False, True])
def test_where_what_was_displaced_is_lost_the_copy_is_put_back(tmp_path: Path, beside: bool) -> None:
    steps = staged(make(tmp_path), beside)
    for step in steps.values():
        mend.swap_in(tmp_path, step)
    for path in ("trainer.py", "common/gone.py"):
        (tmp_path / steps[path].staged).unlink()
    assert sources(tmp_path)["trainer.py"] == NEW["trainer.py"]
    assert recover(tmp_path, back=True) == Ended("undone")
    assert sources(tmp_path) == OLD and not (tmp_path / ".newtfix/journal.json").exists()


def test_a_damaged_copy_is_not_put_back_and_nothing_is_thrown_away(tmp_path: Path) -> None:
    steps = staged(make(tmp_path))
    step = steps["trainer.py"]
    mend.swap_in(tmp_path, step)
    (tmp_path / step.staged).unlink()
    (tmp_path / step.undo).write_bytes(b"")
    with pytest.raises(TreeError, match="cannot be finished or undone: the copy of the old contents is damaged"):
        recover(tmp_path, back=True)
    (tmp_path / step.undo).write_bytes(OLD["trainer.py"])
    assert recover(tmp_path, back=True) == Ended("undone")
    assert sources(tmp_path) == OLD


@pytest.mark.parametrize("beside", [False, True])
def test_an_edit_of_what_is_to_be_replaced_goes_in_with_it(tmp_path: Path, beside: bool) -> None:
    staged(make(tmp_path), beside)
    (tmp_path / "trainer.py").write_bytes(b"a = 5\nb = 2\nc = 3\n")
    assert recover(tmp_path) == Ended("finished", ("trainer.py",))
    assert sources(tmp_path) == {**NEW, "trainer.py": b"a = 5\nb = 2\nc = 4\n"}


def test_an_edit_in_the_moment_of_a_merge_gets_its_place_again(tmp_path: Path) -> None:
    steps = staged(make(tmp_path))
    for path in steps.keys() - {"trainer.py"}:
        mend.swap_in(tmp_path, steps[path])
    (tmp_path / "trainer.py").write_bytes(b"a = 5\nb = 2\nc = 3\n")
    last = b"a = 6\nb = 2\nc = 3\n"
    with failing(Meanwhile("exchange", save(tmp_path / "trainer.py", last))):
        assert recover(tmp_path) == Ended("undone", ("trainer.py",))
    assert sources(tmp_path) == {**OLD, "trainer.py": last}


def test_an_edit_of_a_file_that_was_to_go_undoes_the_rest(tmp_path: Path) -> None:
    steps = staged(make(tmp_path))
    mend.swap_in(tmp_path, steps["trainer.py"])
    (tmp_path / "common/gone.py").write_bytes(b"stay\n")
    assert recover(tmp_path) == Ended("undone", ("common/gone.py",))
    assert sources(tmp_path) == {**OLD, "common/gone.py": b"stay\n"}


def test_an_edit_in_the_moment_of_a_restoration_is_kept_and_said(tmp_path: Path) -> None:
    steps = staged(make(tmp_path))
    mend.swap_in(tmp_path, steps["trainer.py"])
    with failing(Meanwhile("exchange", save(tmp_path / "trainer.py", b"mine = 1\n"))):
        ended = recover(tmp_path, back=True)
    assert ended is not None and ended.how == "undone" and sources(tmp_path) == OLD
    (place,) = set(ended.kept)
    assert (tmp_path / place).read_bytes() == b"mine = 1\n"
    assert list(_mended(tmp_path, ended))[-1] == f"Another version, saved meanwhile, is kept as {place}."


def test_what_an_editor_writes_into_the_file_that_it_holds_open_is_kept(tmp_path: Path) -> None:
    make(tmp_path)
    with (tmp_path / "trainer.py").open("ab") as editor:
        for step in staged(tmp_path).values():
            mend.swap_in(tmp_path, step)
        editor.write(b"mine = 1\n")
    ended = recover(tmp_path)
    assert ended is not None and ended.how == "finished" and sources(tmp_path) == NEW
    assert [(tmp_path / place).read_bytes() for place in ended.kept] == [OLD["trainer.py"] + b"mine = 1\n"]
