"""Keeps two runs on one tree apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from newtfix.errors import TreeError
from newtfix.files.tree import OWN_FOLDER


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of the tree.

    The kernel holds the lock and drops it when a process dies, so a file left behind locks nothing; the process id in
    it is there to be named. A `.newtfix` in which nothing is kept is removed with the lock.
    """
    path = root / OWN_FOLDER / "lock"
    ignore = path.with_name(".gitignore")
    try:
        handle = _acquire(path)
    except OSError as error:
        raise TreeError(
            f"cannot write in {root}: {error.strerror or error}",
            hint="Check the permissions of the folder, or work on a copy.",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)
        with suppress(OSError):
            if [one.name for one in path.parent.iterdir()] == [ignore.name]:
                ignore.unlink()
            path.parent.rmdir()


def _hide(ignore: Path) -> None:
    """Keep a folder that is new out of git from its first moment on; who has removed the file is not given it again."""
    if not any(ignore.parent.iterdir()):
        ignore.write_text("*\n")


def _acquire(path: Path) -> int:
    """An open, locked file at `path`; tries again where the last holder removed it under our hands."""
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            _hide(path.with_name(".gitignore"))
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(path, handle):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise TreeError(
                f"another run of newtfix works on this tree (process {holder})",
                where=str(path),
                hint="Wait until it is done and try again.",
            ) from None
        os.close(handle)


def _is_still_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
