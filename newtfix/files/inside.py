"""What lies in a tree, reached through no link: regular files under checked names, up to a size."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from newtfix.files import system

MEBIBYTE = 2**20
RECORD_LIMIT = 64 * MEBIBYTE  # of one file in newtfix's record of a tree
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = MEBIBYTE


def is_normal(path: object) -> bool:
    """Whether this is a relative path in its normal form, of characters that can be shown."""
    return isinstance(path, str) and path.isprintable() and not any(part in ("", ".", "..") for part in path.split("/"))


@contextmanager
def folder(root: Path, path: str = "", *, make: bool = False) -> Iterator[int]:
    """A handle of a folder in a tree, whose own path may be a link; `make` creates what is missing, safely on the disk.

    Raises OSError, which names what is in the way: a link, or something that is no folder.
    """
    handle, gone = os.open(root, _FOLDER), root
    try:
        for part in path.split("/") if path else ():
            gone = gone / part
            handle = _step_down(handle, part, gone, make)
        yield handle
    finally:
        os.close(handle)


def _step_down(handle: int, part: str, shown: Path, make: bool) -> int:
    """The handle of the folder below, in the place of that of the folder above."""
    try:
        try:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
        except FileNotFoundError:
            if not make:
                raise
            with suppress(FileExistsError):
                system.mkdir(part, handle)
            system.sync(handle)
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _in_the_way(part, handle, shown) from None
        raise type(problem)(problem.errno, problem.strerror, str(shown)) from None
    os.close(handle)
    return below


def _in_the_way(name: str, at: int, shown: Path) -> OSError:
    is_link = stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    return OSError(errno.ENOTDIR, "it is a symbolic link" if is_link else "it is no folder", str(shown))


def read(root: Path, path: str, limit: int = RECORD_LIMIT) -> bytes:
    """The bytes of a regular file in a tree. Raises OSError for anything else, and for one that is larger."""
    above, _, name = path.rpartition("/")
    with folder(root, above) as at:
        return read_at(name, at, root / path, limit)


def read_at(name: str, at: int, shown: Path, limit: int) -> bytes:
    """As `read`, for a name in an open folder; `shown` is its path in errors."""
    _must_be_regular(os.stat(name, dir_fd=at, follow_symlinks=False), shown)  # to open a device may do something
    return _whole(os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=at), shown, limit)


def read_named(path: Path, limit: int = RECORD_LIMIT) -> bytes:
    """As `read`, for a path of the user's own, which may be a link."""
    _must_be_regular(path.stat(), path)
    return _whole(os.open(path, _FILE), path, limit)


def _whole(handle: int, shown: Path, limit: int) -> bytes:
    """All bytes of an open file, which is closed then."""
    try:
        _must_be_regular(os.fstat(handle), shown)
        parts: list[bytes] = []
        size = 0
        while part := os.read(handle, _CHUNK):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit // MEBIBYTE} MiB", str(shown))
    finally:
        os.close(handle)
    return b"".join(parts)


def _must_be_regular(found: os.stat_result, shown: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise OSError(errno.EINVAL, f"it is {what}", str(shown))


def content(root: Path, path: str) -> bytes | None:
    """The bytes of a file; None: there is no such file, or no folder for it."""
    try:
        return read(root, path)
    except FileNotFoundError:
        return None


def is_there(root: Path, path: str) -> bool:
    """Whether something has this name, whatever it is."""
    above, _, name = path.rpartition("/")
    try:
        with folder(root, above) as at:
            os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def names(root: Path, path: str) -> list[str]:
    """What is in a folder of a tree, sorted; nothing where there is none."""
    try:
        with folder(root, path) as at:
            return sorted(os.listdir(at))
    except FileNotFoundError:
        return []


def walk(root: Path, path: str) -> list[str]:
    """All regular files below a folder of a tree, by their paths in the tree; links are not followed."""
    found: list[str] = []
    for name in names(root, path):
        below = f"{path}/{name}"
        with suppress(FileNotFoundError), folder(root, path) as at:
            kind = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind):
                found += walk(root, below)
            elif stat.S_ISREG(kind):
                found.append(below)
    return found


# --- changes ----------------------------------------------------------------------------------------------------------


def write(root: Path, path: str, text: bytes, mode: int, owner: os.stat_result | None = None) -> None:
    """A new file with these bytes, safely on the disk, in the place of what had the name."""
    above, _, name = path.rpartition("/")
    with folder(root, above, make=True) as at:
        with suppress(FileNotFoundError):
            system.unlink(name, at)
        handle = system.create(name, at)
        try:
            system.write(handle, text)
            if owner is not None:
                with suppress(PermissionError):
                    system.owner(handle, owner.st_uid, owner.st_gid)
            system.mode(handle, mode)
            system.sync(handle)
        finally:
            os.close(handle)
        system.sync(at)


def remove(root: Path, path: str) -> None:
    """Remove a file, if it is there."""
    above, _, name = path.rpartition("/")
    with suppress(FileNotFoundError), folder(root, above) as at:
        system.unlink(name, at)


def move(root: Path, old: str, new: str) -> None:
    """Rename a file in a tree, safely on the disk; what had the new name is gone."""
    (old_above, _, old_name), (new_above, _, new_name) = old.rpartition("/"), new.rpartition("/")
    with folder(root, old_above) as old_at, folder(root, new_above, make=True) as new_at:
        system.rename(old_name, old_at, new_name, new_at)
        system.sync(new_at)
        if old_above != new_above:
            system.sync(old_at)
