"""Whatever call of whatever command fails, or is its last: files are all old or all new, and the next command mends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from newtfix.errors import NewtfixError
from newtfix.work.session import Target, open_session, writing
from tests.newtfix import toy
from tests.newtfix.faults import Faults, Killed, PowerCut, failing

TORTURE = os.environ.get("NEWTFIX_TORTURE") == "1"
STRIDE = 1 if TORTURE else 24  # one of so many calls, each way to fail at calls of its own

WAYS = {
    "killed before": lambda number, aside: Faults(number, None, "before"),
    "killed after": lambda number, aside: Faults(number, None, "after"),
    "killed half-way": lambda number, aside: Faults(number, None, "halfway"),
    "disk full": lambda number, aside: Faults(number, errno.ENOSPC, "halfway", lasting=True),
    "disk full for a moment": lambda number, aside: Faults(number, errno.ENOSPC, "halfway"),
    "input/output error": lambda number, aside: Faults(number, errno.EIO),
    "not permitted": lambda number, aside: Faults(number, errno.EACCES),
    "power cut": lambda number, aside: PowerCut(number, 0, aside),
    "power cut, some names kept": lambda number, aside: PowerCut(number, number % 4 + 1, aside),
}


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with toy.faked():
        yield


def calls(folder: Path, act: toy.Act) -> int:
    with failing(Faults()) as faults:
        root = toy.prepared(folder, act)
        faults.count = 0
        act.work(root)
    assert files(root, act) == act.states[-1]
    return faults.count


def files(root: Path, act: toy.Act) -> dict[str, bytes]:
    return toy.sources(root) if root.exists() else {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", toy.ACTS)
def test_all_or_nothing(tmp_path: Path, name: str, way: str) -> None:
    act = toy.ACTS[name]
    last = calls(tmp_path / "whole", act)
    first = 1 + list(WAYS).index(way) * 7 % STRIDE
    for number in range(first, last + 1, STRIDE):
        folder, aside = tmp_path / str(number), tmp_path / f"aside{number}"
        folder.mkdir()
        aside.mkdir()
        with failing(Faults()):
            root = toy.prepared(folder, act)
        said = cut_off(root, act, WAYS[way](number, aside))
        where = f"{name}, {way}, call {number}: {said}"
        if "as they were" in said:
            assert files(root, act) == act.states[0], where
        mended(root, act, where)
        toy.clear(folder)


def cut_off(root: Path, act: toy.Act, faults: Faults) -> str:
    with failing(faults):
        try:
            act.work(root)
        except NewtfixError as problem:
            return problem.message
        except Killed:
            return "killed"
    return ""


def mended(root: Path, act: toy.Act, where: str) -> None:
    """The next command leaves one of the states, a record that fits it, and nothing else."""
    with failing(Faults()):
        if not act.is_tree:
            assert root.name == "series" or files(root, act) in act.states, where
            if files(root, act) != act.states[-1]:
                act.work(root)
            assert files(root, act) == act.states[-1], where
        else:
            with writing(Target(root, root), ()) as session:
                pass
            assert files(root, act) in act.states, where
            mark = "-=" if b"-=" in (root / "trainer.py").read_bytes() else "+="
            assert files(root, act) == toy.made_by(*session.applied, mark=mark), where
            toy.want(root)
            assert files(root, act) == toy.FILES and not (root / ".newtfix").exists(), where
    left = [path.name for path in root.parent.iterdir() if path.name not in (root.name, "base")]
    assert left == [], where


# --- edits in the middle ----------------------------------------------------------------------------------------------


class Saving(Faults):
    """An editor that saves a file at a call: by a rename, or in place."""

    def __init__(self, number: int, path: Path, in_place: bool, mark: bytes = b"mine = 1\n") -> None:
        super().__init__(0)
        self._at, self._path, self._in_place, self._mark = number, path, in_place, mark
        self.saved = b""

    def __call__(self, call: str, act: object, *arguments: object, **named: object) -> object:
        if self.count + 1 == self._at and self._path.exists():
            self.saved = self._path.read_bytes() + self._mark
            if self._in_place:
                self._path.write_bytes(self.saved)
            else:
                new = self._path.with_name("editor.tmp")
                new.write_bytes(self.saved)
                new.replace(self._path)
        return super().__call__(call, act, *arguments, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["apply", "apply more", "revert", "revert --all", "update"])
def test_a_file_saved_at_any_moment_is_not_lost_and_nothing_is_half_done(
    tmp_path: Path, name: str, in_place: bool
) -> None:
    act = toy.ACTS[name]
    last = calls(tmp_path / "whole", act)
    for number in range(1 + in_place, last + 1, 1 if TORTURE else 9):
        folder = tmp_path / str(number)
        with failing(Faults()):
            root = toy.prepared(folder, act)
        saving = Saving(number, root / "trainer.py", in_place)
        said = cut_off(root, act, saving)
        where = f"{name}, saved at call {number}: {said}"
        found = files(root, act)
        bare = found | {"trainer.py": found["trainer.py"].replace(b"mine = 1\n", b"")}
        assert bare in act.states, where
        if saving.saved:
            assert b"mine = 1\n" in found["trainer.py"], where
        with failing(Faults()), writing(Target(root, root), ()):
            pass
        assert files(root, act) == found and not (root / ".newtfix/saved").exists(), where
        toy.clear(folder)


def edit(root: Path) -> None:
    (root / "trainer.py").write_bytes((root / "trainer.py").read_bytes().replace(b"x = 0", b"x = 5"))


def take_away(root: Path) -> None:
    (root / "trainer.py").unlink()


def check_out(root: Path) -> None:
    (root / "trainer.py").write_bytes(toy.FILES["trainer.py"])


@pytest.mark.parametrize("what", [edit, take_away, check_out])
@pytest.mark.parametrize("name", ["apply", "apply more", "revert", "revert --all"])
def test_after_a_kill_and_an_edit_the_next_command_mends(tmp_path: Path, name: str, what: object) -> None:
    act = toy.ACTS[name]
    last = calls(tmp_path / "whole", act)
    for number in range(1, last + 1, 1 if TORTURE else 11):
        folder = tmp_path / str(number)
        with failing(Faults()):
            root = toy.prepared(folder, act)
        cut_off(root, act, Faults(number))
        what(root)  # type: ignore[operator]
        there = (root / "trainer.py").read_bytes() if (root / "trainer.py").exists() else None
        with failing(Faults()), writing(Target(root, root), ()):
            pass
        open_session(Target(root, root))
        where = f"{name}, {number}, {what}"
        found = files(root, act)
        assert not (root / ".newtfix/journal.json").exists(), where
        if there is None:
            assert "trainer.py" not in found, where
        elif what is edit:
            assert b"x = 5" in found["trainer.py"], where
            assert found | {"trainer.py": found["trainer.py"].replace(b"x = 5", b"x = 0")} in act.states, where
        with suppress(NewtfixError), failing(Faults()):
            toy.want(root)
        toy.clear(folder)
