"""Writes a set of files as one transaction: after any interruption `recover` leaves either all old or all new contents.

The journal says how far a run came. "staging": new contents and copies of the old ones are being put into `.newtfix`,
nothing of the tree has changed, and recovery throws them away. "replacing": everything is on the disk, the files are
being swapped, and recovery finishes that. "restoring": that was impossible, and the old contents are being put back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from newtfix.errors import TreeError
from newtfix.files import inside
from newtfix.files.checked import Lie, digest, own_path
from newtfix.files.journal import Step, is_interrupted, staged_places, undo_place, write_journal
from newtfix.files.mend import Edited, clean_up, must_be_old, recover, replace

__all__ = ["Change", "commit", "is_interrupted", "preflight", "recover"]


@dataclass(frozen=True)
class Change:
    """New contents of one file, and what it holds now; None: there is no such file."""

    path: str
    before: bytes | None
    after: bytes | None


def commit(root: Path, changes: Sequence[Change]) -> None:
    """Write all changes, or none. The caller holds the lock of the tree and has called `recover`."""
    preflight(root, changes)
    steps = [_step(root, change, number) for number, change in enumerate(changes)]
    written = False
    try:
        _stage(root, changes, steps)
        must_be_old(root, steps)
        write_journal(root, "replacing", steps)
        replace(root, steps)
        must_be_old(root, steps, displaced=True)
        written = True
        clean_up(root, steps)
    except Edited as edit:
        ended = recover(root, back=True)
        raise _changed(root, edit.path, ended.kept if ended else ()) from None
    except OSError as error:
        ended = recover(root)
        if not (written if ended is None else ended.how == "finished"):
            raise TreeError(
                f"cannot write in {root}: {error.strerror or error}; the files are as they were",
                where=str(error.filename or ""),
                hint="Check the space on the disk and the permissions, and try again.",
            ) from error
    except BaseException:
        recover(root)
        raise


def preflight(root: Path, changes: Iterable[Change]) -> None:
    """Refuse links, read-only files and folders, and files that changed since they were read."""
    for change in changes:
        path = root / change.path
        _must_be_writable_name(path, change.path)
        try:
            found = inside.content(root, change.path)
        except OSError as problem:
            raise TreeError(
                f"{change.path} cannot be written: {problem.strerror or problem}",
                where=str(problem.filename or path),
                hint="Replace a link with a copy of what it leads to, or give the tree it leads to with --tree.",
            ) from problem
        for place in (_existing_parent(path), path):
            if place.exists() and _is_read_only(place):
                raise TreeError(
                    f"{place} is read-only",
                    where=str(path),
                    hint=f"Make it writable (chmod u+w {place}), or work on a copy.",
                )
        if found != change.before:
            raise _changed(root, change.path)


def _must_be_writable_name(path: Path, name: str) -> None:
    """What the record cannot name is not written."""
    try:
        own_path(name)
    except Lie as lie:
        raise TreeError(
            f"newtfix does not write to {name!r}: {lie}", where=str(path), hint="Give the file a plain name."
        ) from None


def _step(root: Path, change: Change, number: int) -> Step:
    target = root / change.path
    near, beside = staged_places(change.path, number)
    same_disk = _existing_parent(target).stat().st_dev == root.stat().st_dev
    return Step(
        path=change.path,
        old=None if change.before is None else digest(change.before),
        new=None if change.after is None else digest(change.after),
        mode=stat.S_IMODE(target.stat().st_mode) & 0o777 if target.exists() else 0o644,
        staged=near if same_disk else beside,
        undo=undo_place(number),
    )


def _stage(root: Path, changes: Sequence[Change], steps: Sequence[Step]) -> None:
    """Put everything on the disk that the swaps, or their undoing, will need."""
    write_journal(root, "staging", steps)
    for change, step in zip(changes, steps, strict=True):
        owner = (root / step.path).stat() if change.before is not None else None
        if change.before is not None:
            inside.write(root, step.undo, change.before, step.mode, owner)
        if change.after is not None:
            inside.write(root, step.staged, change.after, step.mode, owner)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


def _is_read_only(path: Path) -> bool:
    """By its mode bits too, for the superuser may write whatever these say."""
    return not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK)


def _changed(root: Path, path: str, kept: Sequence[str] = ()) -> TreeError:
    also = "".join(f"\nAnother version of it, saved meanwhile, is kept as {place}." for place in kept)
    return TreeError(
        f"{path} changed while newtfix was at work; the files are as they were, with that edit",
        where=str(root / path),
        hint=f"Run it again.{also}",
    )
