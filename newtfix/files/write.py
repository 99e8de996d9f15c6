"""Writes a set of files as one transaction: after any interruption `recover` leaves either all old or all new contents.

The journal says how far a run came. "staging": new contents and copies of the old ones are being put into `.newtfix`,
nothing of the tree has changed, and recovery throws them away. "replacing": everything is on the disk, the renames are
under way, and recovery finishes them. "restoring": a rename was impossible, and the old contents are being put back.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from newtfix.errors import TreeError
from newtfix.files.tree import OWN_FOLDER

_JOURNAL = f"{OWN_FOLDER}/journal.json"
_JOURNAL_NEW = f"{OWN_FOLDER}/journal.new"
_UNDO = f"{OWN_FOLDER}/undo"
_NEW = f"{OWN_FOLDER}/new"
_SCHEMA = 1

Stage = Literal["staging", "replacing", "restoring"]


@dataclass(frozen=True)
class Change:
    """New contents of one file, and what it holds now; None: there is no such file."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class _Step:
    """A change as the journal keeps it: digests instead of contents, and where the contents wait."""

    path: str
    old: str | None
    new: str | None
    mode: int
    staged: str
    undo: str


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def commit(root: Path, changes: Sequence[Change]) -> None:
    """Write all changes, or none. The caller holds the lock of the tree and has called `recover`."""
    preflight(root, changes)
    steps = [_step(root, change, number) for number, change in enumerate(changes)]
    try:
        _stage(root, changes, steps)
        _replace(root, steps)
        _clean_up(root, steps)
    except OSError as error:
        if recover(root) != "finished":
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
    home = Path(os.path.realpath(root))
    for change in changes:
        path = root / change.path
        if Path(os.path.realpath(path)) != home / change.path:
            raise TreeError(
                f"{change.path} is reached through a symbolic link to {os.path.realpath(path)}",
                where=str(path),
                hint="Replace the link with a copy of what it leads to, or give the tree it leads to with --tree.",
            )
        for place in (_existing_parent(path), path):
            if place.exists() and _is_read_only(place):
                raise TreeError(
                    f"{place} is read-only",
                    where=str(path),
                    hint=f"Make it writable (chmod u+w {place}), or work on a copy.",
                )
        if _content(path) != change.before:
            raise TreeError(f"{change.path} changed while newtfix was at work", where=str(path), hint="Run it again.")


def recover(root: Path) -> Literal["undone", "finished"] | None:
    """Bring an interrupted `commit` to one of its two ends; None: there was none. The caller holds the lock."""
    try:
        return _recover(root)
    except OSError as error:
        raise TreeError(
            f"an earlier run was interrupted, and cannot be finished or undone: {error.strerror or error}",
            where=str(error.filename or root),
            hint="Check the space on the disk and the permissions, and run newtfix again.",
        ) from error


def _recover(root: Path) -> Literal["undone", "finished"] | None:
    (root / _JOURNAL_NEW).unlink(missing_ok=True)
    journal = read_journal(root)
    if journal is None:
        return None
    stage, steps = journal
    if stage == "replacing":
        try:
            _replace(root, steps)
        except OSError:
            stage = "restoring"
            _write_journal(root, stage, steps)
    if stage == "restoring":
        _restore(root, steps)
    _clean_up(root, steps)
    return "finished" if stage == "replacing" else "undone"


def is_interrupted(root: Path) -> bool:
    """Whether a run on this tree left a journal behind."""
    return (root / _JOURNAL).exists()


def read_journal(root: Path) -> tuple[Stage, list[_Step]] | None:
    path = root / _JOURNAL
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] != _SCHEMA or data["stage"] not in ("staging", "replacing", "restoring"):
            raise ValueError("not a journal of this version")
        return data["stage"], [_Step(**step) for step in data["steps"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TreeError(
            f"an earlier run was interrupted, and its journal cannot be read: {error}",
            where=str(path),
            hint=f"The contents before that run lie in {root / _UNDO}; move the journal away once the files are right.",
        ) from error


def _step(root: Path, change: Change, number: int) -> _Step:
    path = Path(change.path)
    target = root / path
    return _Step(
        path=change.path,
        old=None if change.before is None else digest(change.before),
        new=None if change.after is None else digest(change.after),
        mode=stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644,
        staged=_staged(root, path, number),
        undo=f"{_UNDO}/{number}",
    )


def _staged(root: Path, path: Path, number: int) -> str:
    """Where new contents wait: in the tool's own folder, or beside the file if that is on another disk."""
    if _existing_parent(root / path).stat().st_dev == root.stat().st_dev:
        return f"{_NEW}/{number}"
    return (path.parent / f".{path.name}.newtfix-new").as_posix()


def _stage(root: Path, changes: Sequence[Change], steps: Sequence[_Step]) -> None:
    """Put everything on the disk that the renames, or their undoing, will need."""
    _write_journal(root, "staging", steps)
    for change, step in zip(changes, steps, strict=True):
        if change.before is not None:
            _write(root / step.undo, change.before, step.mode)
        if change.after is not None:
            _write(root / step.staged, change.after, step.mode, owner=root / step.path)
            _sync((root / step.staged).parent)
    _write_journal(root, "replacing", steps)


def _replace(root: Path, steps: Sequence[_Step]) -> None:
    """Rename every new file into place; those that already are there are left alone."""
    for step in steps:
        target = root / step.path
        found = _digest_at(target)
        if found == step.new:
            continue
        if found != step.old:
            raise _edited_meanwhile(root, step)
        if step.new is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(root / step.staged, target)
        _sync(target.parent)


def _restore(root: Path, steps: Sequence[_Step]) -> None:
    """Put the old contents back wherever the new ones have arrived."""
    for step in steps:
        target = root / step.path
        found = _digest_at(target)
        if found == step.old:
            continue
        if found != step.new:
            raise _edited_meanwhile(root, step)
        if step.old is None:
            target.unlink()
        else:
            _write(root / step.staged, (root / step.undo).read_bytes(), step.mode, owner=target)
            os.replace(root / step.staged, target)
        _sync(target.parent)


def _clean_up(root: Path, steps: Sequence[_Step]) -> None:
    """Remove what only this transaction needed, the journal last."""
    for step in steps:
        (root / step.staged).unlink(missing_ok=True)
        (root / step.undo).unlink(missing_ok=True)
    (root / _JOURNAL).unlink(missing_ok=True)
    _remove_empty_folders(root / OWN_FOLDER)


def _remove_empty_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        if Path(folder) != top:
            with suppress(OSError):
                Path(folder).rmdir()


def _write_journal(root: Path, stage: Stage, steps: Sequence[_Step]) -> None:
    text = json.dumps({"schema": _SCHEMA, "stage": stage, "steps": [asdict(step) for step in steps]}, indent=1)
    path = root / _JOURNAL
    _write(root / _JOURNAL_NEW, text.encode(), 0o644)
    os.replace(root / _JOURNAL_NEW, path)
    _sync(path.parent)


def _write(path: Path, content: bytes, mode: int, owner: Path | None = None) -> None:
    """A new file with these bytes, safely on the disk, with the owner of the file it will replace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if owner is not None and owner.exists():
            with suppress(PermissionError):
                os.fchown(handle, owner.stat().st_uid, owner.stat().st_gid)
        os.fchmod(handle, mode)
        os.fsync(handle)


def _sync(folder: Path) -> None:
    """Make renames in this folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest_at(path: Path) -> str | None:
    content = _content(path)
    return None if content is None else digest(content)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


def _is_read_only(path: Path) -> bool:
    """By its mode bits too, for the superuser may write whatever these say."""
    return not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK)


def _edited_meanwhile(root: Path, step: _Step) -> TreeError:
    return TreeError(
        f"an earlier run was interrupted, and {step.path} has been edited since",
        where=str(root / step.path),
        hint=f"Keep a copy of your edit, put back {root / step.undo} as {step.path}, and run newtfix again.",
    )
