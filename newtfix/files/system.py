"""Every call that changes a disk goes through here, so that a test can make each of them fail, or the process die."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def through(call: str, act: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """The one gate of all calls; `call` names it. Tests put another in its place."""
    return act(*arguments, **named)


def mkdir(name: str, at: int, mode: int = 0o777) -> None:
    through("mkdir", os.mkdir, name, mode, dir_fd=at)


def create(name: str, at: int, mode: int = 0o600) -> int:
    """An open handle of a file that was not there."""
    return through("open", os.open, name, _NEW_FILE, mode, dir_fd=at)


def lock_file(name: str, at: int) -> int:
    """An open handle of a file to lock, which may be there already."""
    return through("open", os.open, name, _LOCK_FILE, 0o644, dir_fd=at)


def write(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[through("write", os.write, handle, rest) :]


def truncate(handle: int) -> None:
    through("truncate", os.ftruncate, handle, 0)


def owner(handle: int, user: int, group: int) -> None:
    through("chown", os.fchown, handle, user, group)


def mode(handle: int, bits: int) -> None:
    through("chmod", os.fchmod, handle, bits)


def sync(handle: int) -> None:
    """Make a file's bytes, or the names in a folder, outlast a power cut."""
    through("fsync", os.fsync, handle)


def rename(old: str, old_at: int, new: str, new_at: int) -> None:
    """Give a file another name; what had that name is gone."""
    through("rename", os.rename, old, new, src_dir_fd=old_at, dst_dir_fd=new_at)


def link(old: str, old_at: int, new: str, new_at: int) -> None:
    """Give a file one more name. Raises FileExistsError where something has it."""
    through("link", os.link, old, new, src_dir_fd=old_at, dst_dir_fd=new_at, follow_symlinks=False)


def exchange(old: str, old_at: int, new: str, new_at: int) -> bool:
    """Swap the files of two names in one step; False where the system, or the disk, cannot."""
    call = _renameat2()
    if call is None:
        return False
    try:
        through("exchange", call, old, old_at, new, new_at)
    except OSError as problem:
        if problem.errno in _NO_EXCHANGE:
            return False
        raise
    return True


def unlink(name: str, at: int) -> None:
    through("unlink", os.unlink, name, dir_fd=at)


def rmdir(name: str, at: int) -> None:
    through("rmdir", os.rmdir, name, dir_fd=at)


@cache
def _renameat2() -> Callable[[str, int, str, int], None] | None:
    """renameat2(2) with the flag that swaps; None where the C library has no such call."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        known = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    known.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

    def swap(old: str, old_at: int, new: str, new_at: int) -> None:
        if known(old_at, os.fsencode(old), new_at, os.fsencode(new), _EXCHANGE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), old)

    return swap
