"""Keeps two runs on one tree apart."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from newtfix.errors import TreeError
from newtfix.files import inside, system
from newtfix.files.tree import OWN_FOLDER

_NAME = "lock"
_LOCK = f"{OWN_FOLDER}/{_NAME}"
_IGNORE = ".gitignore"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of the tree.

    The kernel holds the lock and drops it when a process dies, so a file left behind locks nothing; the process id in
    it is there to be named. A `.newtfix` in which nothing is kept is removed with the lock.
    """
    try:
        handle = _acquire(root)
    except OSError as error:
        raise TreeError(
            f"cannot write in {root}: {error.strerror or error}",
            where=str(error.filename or ""),
            hint="Make room on the disk."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Check the permissions of the folder, or work on a copy.",
        ) from error
    try:
        yield
    finally:
        try:
            with suppress(OSError):
                inside.remove(root, _LOCK)
        finally:
            os.close(handle)
        with suppress(OSError):
            if inside.names(root, OWN_FOLDER) == [_IGNORE]:
                inside.remove(root, f"{OWN_FOLDER}/{_IGNORE}")
            with inside.folder(root) as at:
                system.rmdir(OWN_FOLDER, at)


def _acquire(root: Path) -> int:
    """An open, locked file; tries again where the last holder removed it under our hands."""
    while True:
        with inside.folder(root, OWN_FOLDER, make=True) as at:
            _hide(at)
            try:
                handle = system.lock_file(_NAME, at)
            except FileNotFoundError:
                continue
            try:
                if _is_locked(root, handle, at):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)


def _hide(at: int) -> None:
    """Keep a folder that is new out of git from its first moment on; who has removed the file is not given it again."""
    if not os.listdir(at):
        with suppress(FileExistsError):
            handle = system.create(_IGNORE, at, 0o644)
            try:
                system.write(handle, b"*\n")
            finally:
                os.close(handle)


def _is_locked(root: Path, handle: int, at: int) -> bool:
    """Lock an open file. False: it is not at its place any more."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise TreeError(
            "the lock of newtfix's record is no file of its own",
            where=str(root / _LOCK),
            hint="Nothing was changed. Remove it and try again.",
        )
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        raise TreeError(
            f"another run of newtfix works on this tree (process {holder})",
            where=str(root / _LOCK),
            hint="Wait until it is done and try again.",
        ) from None
    try:
        if not os.path.samestat(os.stat(_NAME, dir_fd=at, follow_symlinks=False), found):
            return False
    except FileNotFoundError:
        return False
    system.truncate(handle)
    system.write(handle, f"{os.getpid()}\n".encode())
    return True
