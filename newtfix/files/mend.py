"""The swaps of a transaction, and how an interrupted one is finished or undone; no edit of others is lost by either."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as with_values
from pathlib import Path, PurePosixPath
from typing import Literal

from newtfix.errors import RecordError, TreeError
from newtfix.files import inside, system
from newtfix.files.checked import digest, put_aside
from newtfix.files.journal import (
    JOURNAL,
    JOURNAL_NEW,
    NEW,
    UNDO,
    Step,
    read_journal,
    unusable_folder,
    write_journal,
)
from newtfix.files.merge import merge
from newtfix.files.tree import OWN_FOLDER

SAVED = f"{OWN_FOLDER}/saved"


class Edited(Exception):
    """Somebody saved a file while it was being replaced."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _NoWayForward(Exception):
    """What is missing for the rest of the new contents to get into place."""


@dataclass(frozen=True)
class Ended:
    """How an interrupted run was ended; `edited` were saved by others meanwhile; `kept` has versions of these."""

    how: Literal["finished", "undone"]
    edited: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


# --- forward ----------------------------------------------------------------------------------------------------------


def must_be_old(root: Path, steps: Sequence[Step], displaced: bool = False) -> None:
    """Raise Edited if a file, or what the new contents displaced, is not what the transaction began with."""
    for step in steps:
        if not step.is_own and ((displaced and not _is_old(root, step)) or (not displaced and _is_edited(root, step))):
            raise Edited(step.path)


def _is_old(root: Path, step: Step) -> bool:
    """Whether what lies where the new contents were is what they took the place of; it may be gone."""
    return step.old is None or _digest_at(root, step.staged) in (None, step.old)


def _is_edited(root: Path, step: Step) -> bool:
    return _digest_at(root, step.path) != step.old


def replace(root: Path, steps: Sequence[Step]) -> None:
    """Get every new file into its place."""
    for step in steps:
        swap_in(root, step)


def swap_in(root: Path, step: Step) -> None:
    """Put the new contents in place, and what they displace where they were. Raises Edited if that is not the old."""
    above, _, name = step.path.rpartition("/")
    staged_above, _, staged = step.staged.rpartition("/")
    with inside.folder(root, above, make=step.new is not None) as at:
        with inside.folder(root, staged_above, make=True) as staged_at:
            if step.new is None:
                system.rename(name, at, staged, staged_at)
            elif step.old is None or (step.is_own and not inside.is_there(root, step.path)):
                _put(staged, staged_at, name, at, step)
            elif not system.exchange(staged, staged_at, name, at):
                _swap(root, step, staged, staged_at, name, at)
            system.sync(staged_at)
        system.sync(at)
    if not step.is_own and not _is_old(root, step):
        raise Edited(step.path)


def _put(staged: str, staged_at: int, name: str, at: int, step: Step) -> None:
    """A new file, where there is none yet."""
    try:
        system.link(staged, staged_at, name, at)
    except FileExistsError:
        if not step.is_own:
            raise Edited(step.path) from None
        system.rename(staged, staged_at, name, at)
    except OSError:  # a disk without links
        system.rename(staged, staged_at, name, at)
    else:
        system.unlink(staged, staged_at)


def _swap(root: Path, step: Step, staged: str, staged_at: int, name: str, at: int) -> None:
    """A swap where the system has none: the old file gets a second name before it loses the first."""
    second = f"{staged}.old"
    with suppress(FileNotFoundError):
        system.unlink(second, staged_at)
    try:
        system.link(name, at, second, staged_at)
    except OSError:  # a disk without links: the copy in `undo` has to do
        if _digest_at(root, step.path) != step.old:
            raise Edited(step.path) from None
        system.rename(staged, staged_at, name, at)
        return
    if not os.path.samestat(os.stat(name, dir_fd=at), os.stat(second, dir_fd=staged_at)):
        raise Edited(step.path)
    system.rename(staged, staged_at, name, at)
    system.rename(second, staged_at, staged, staged_at)


# --- back -------------------------------------------------------------------------------------------------------------


def restore(root: Path, steps: Sequence[Step]) -> tuple[list[str], list[str]]:
    """Put the old contents back wherever the new ones have arrived.

    Returns the files that others have saved meanwhile, which stay as they are now, and the versions of them kept aside.
    """
    edited: list[str] = []
    kept: list[str] = []
    for step in reversed(steps):
        found = _digest_at(root, step.path)
        if found == step.old:
            continue
        if found != step.new and not step.is_own:
            edited.append(step.path)
            continue
        displaced = _digest_at(root, step.staged)
        if step.old is not None and displaced in (None, step.new):
            kept += _swap_out(root, with_values(step, staged=_copy_of_old(root, step)))
            continue
        if displaced == step.new:  # a second name of the new file, to which a rename would do nothing
            inside.remove(root, step.staged)
        elif displaced != step.old:
            edited.append(step.path)
        kept += _swap_out(root, step)
    return edited, kept


def _copy_of_old(root: Path, step: Step) -> str:
    """Where a file with the old contents lies, on the disk of the file itself."""
    content = inside.read(root, step.undo)
    if digest(content) != step.old:
        raise OSError(errno.EIO, "the copy of the old contents is damaged", str(root / step.undo))
    if step.staged.startswith(f"{OWN_FOLDER}/"):
        return step.undo
    place = f"{step.staged}.old"
    inside.write(root, place, content, step.mode, _owner(root / step.path))
    return place


def _swap_out(root: Path, step: Step) -> list[str]:
    """Put back what the new contents displaced; returns where a version is kept that somebody saved just now."""
    try:
        swap_in(root, with_values(step, old=step.new, new=step.old))
    except Edited:
        return [_keep(root, step)]
    return []


def _keep(root: Path, step: Step) -> str:
    """Keep the bytes that lie where new contents wait, and that are neither the old nor the new ones."""
    content = inside.read(root, step.staged)
    place = f"{SAVED}/{PurePosixPath(step.path).name}-{digest(content)[:12]}"
    inside.write(root, place, content, step.mode)
    return place


def clean_up(root: Path, steps: Sequence[Step], swapped: bool = True) -> list[str]:
    """Remove the journal, and then what only this transaction needed; returns where late edits are kept."""
    kept = []
    for step in steps:
        waiting = _digest_at(root, step.staged) if swapped else None
        if waiting not in (None, step.old, step.new) and not step.is_own:
            kept.append(_keep(root, step))
        if not step.staged.startswith(f"{OWN_FOLDER}/"):
            for end in ("", ".old", ".merged"):
                inside.remove(root, f"{step.staged}{end}")
    inside.remove(root, JOURNAL)
    with suppress(OSError):  # it is done; what is left is swept by the next command
        with inside.folder(root, OWN_FOLDER) as at:
            system.sync(at)
        _sweep(root)
    return kept


def _sweep(root: Path) -> None:
    """Remove what a transaction that is over left behind."""
    inside.remove(root, JOURNAL_NEW)
    for folder in (NEW, UNDO):
        for path in inside.walk(root, folder):
            inside.remove(root, path)
    _remove_empty_folders(root, OWN_FOLDER)


def _remove_empty_folders(root: Path, path: str) -> None:
    for name in inside.names(root, path):
        below = f"{path}/{name}"
        if (root / below).is_symlink() or not (root / below).is_dir():
            continue
        _remove_empty_folders(root, below)
        with suppress(OSError), inside.folder(root, path) as at:
            if not inside.names(root, below):
                system.rmdir(name, at)


# --- after an interruption --------------------------------------------------------------------------------------------


def recover(root: Path, back: bool = False) -> Ended | None:
    """Bring an interrupted transaction to one of its two ends; None: there was none. The caller holds the lock.

    Args:
        back: undo it, even if it could be finished.
    """
    try:
        return _recover(root, back)
    except RecordError as problem:
        raise put_aside(root, problem) from None
    except OSError as error:
        raise TreeError(
            f"an earlier run was interrupted, and cannot be finished or undone: {error.strerror or error}",
            where=str(error.filename or root),
            hint="Check the space on the disk and the permissions, and run newtfix again.",
        ) from error


def _recover(root: Path, back: bool) -> Ended | None:
    journal = read_journal(root)
    if journal is None:
        _sweep_folder(root)
        return None
    stage, steps = journal
    if stage == "staging":
        clean_up(root, steps, swapped=False)
        return Ended("undone")
    if stage == "replacing" and not back and (way := _finished(root, steps)) is not None:
        return Ended("finished", tuple(way), tuple(clean_up(root, steps)))
    if stage == "replacing":
        with suppress(OSError):  # on a full disk: one that is cut off now is finished by the next command
            write_journal(root, "restoring", steps)
    edited, kept = restore(root, steps)
    return Ended("undone", tuple(edited), (*kept, *clean_up(root, steps)))


def _sweep_folder(root: Path) -> None:
    try:
        if inside.is_there(root, OWN_FOLDER):
            _sweep(root)
    except OSError as problem:
        raise unusable_folder(root, problem) from problem


def _finished(root: Path, steps: Sequence[Step]) -> list[str] | None:
    """As `_finish`; None where that is impossible."""
    with suppress(OSError, Edited, _NoWayForward):
        return _finish(root, steps)
    return None


def _finish(root: Path, steps: Sequence[Step]) -> list[str]:
    """Get the rest of the new contents into place, with what others have edited since; returns the edited files."""
    ways = [_way_forward(root, step) for step in steps]  # all of them, before the first is taken
    edited = []
    for step, way in zip(steps, ways, strict=True):
        if way == "swap":
            swap_in(root, step)
        elif isinstance(way, bytes):
            _swap_in_merged(root, step, way)
        if way in ("edited", "gone") or isinstance(way, bytes):
            edited.append(step.path)
    return edited


def _swap_in_merged(root: Path, step: Step, merged: bytes) -> None:
    """Put a merge of the new contents with an edit in the place of the edit."""
    place = f"{step.staged}.merged"
    inside.write(root, place, merged, step.mode, _owner(root / step.path))
    one = with_values(step, staged=place, old=_digest_at(root, step.path), new=digest(merged))
    try:
        swap_in(root, one)
    except Edited:  # yet another edit: it gets its place again
        swap_in(root, with_values(one, old=one.new, new=_digest_at(root, place)))
        raise
    finally:
        inside.remove(root, place)


def _way_forward(root: Path, step: Step) -> Literal["there", "swap", "edited", "gone"] | bytes:
    """What is to be done about a step: nothing, the swap, or a merge of the new contents with an edit."""
    found, waiting = _digest_at(root, step.path), _digest_at(root, step.staged)
    if found == step.new:
        return "there"
    if found == step.old or step.is_own:
        if step.new is not None and waiting != step.new:
            raise _NoWayForward(step.path)
        return "swap"
    if found is None:
        return "gone"
    if waiting != step.new:
        return "edited"  # what was there was displaced, so this is an edit of the new contents
    if step.old is None or step.new is None:
        raise _NoWayForward(step.path)
    old, new, theirs = (inside.read(root, place) for place in (step.undo, step.staged, step.path))
    merged = merge(old, new, theirs)
    if digest(old) != step.old or not isinstance(merged, bytes):
        raise _NoWayForward(step.path)
    return merged


def _owner(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _digest_at(root: Path, path: str) -> str | None:
    content = inside.content(root, path)
    return None if content is None else digest(content)
