"""New folders that appear complete or not at all: built beside their place, and swept away if their builder died."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from newtfix.files import inside, system


@contextmanager
def staging(above: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `above`, whose name begins with `prefix`; it is removed, unless it got another name meanwhile.

    The kernel's lock on it says that its builder lives: what others have left of such a name is removed first.
    """
    above.mkdir(parents=True, exist_ok=True)
    _sweep(above, prefix)
    name = f"{prefix}{os.getpid()}"
    with inside.folder(above) as at:
        system.mkdir(name, at)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield above / name
            finally:
                with suppress(OSError):
                    if os.path.samestat(os.stat(name, dir_fd=at, follow_symlinks=False), os.fstat(handle)):
                        _remove(above, name)
        finally:
            os.close(handle)


def appear(stage: Path, target: Path) -> None:
    """Give a folder that is complete its name, safely on the disk. Raises OSError where something else has it."""
    if os.path.lexists(target):
        raise FileExistsError(17, "it is there already", str(target))
    with inside.folder(stage.parent) as at, inside.folder(target.parent) as target_at:
        system.rename(stage.name, at, target.name, target_at)
        with suppress(OSError):  # it is there now, whatever comes
            system.sync(target_at)


def fill(folder: Path, files: Mapping[str, bytes], mode: Callable[[str], int] = lambda path: 0o644) -> None:
    """Write files into a folder."""
    for path, content in files.items():
        inside.write(folder, path, content, mode(path))


def _sweep(above: Path, prefix: str) -> None:
    """Remove what builders have left that do not live any more."""
    pattern = re.compile(re.escape(prefix) + r"\d+")
    for name in os.listdir(above):
        if pattern.fullmatch(name):
            with suppress(OSError):
                _sweep_one(above, name)


def _sweep_one(above: Path, name: str) -> None:
    with inside.folder(above, name) as at:
        if os.fstat(at).st_uid != os.geteuid():
            return
        try:
            fcntl.flock(at, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _remove(above, name)


def _remove(above: Path, name: str) -> None:
    """Remove a folder with all that is in it; links in it are removed, not followed."""
    with inside.folder(above, name) as at:
        below = os.listdir(at)
        for one in below:
            if stat.S_ISDIR(os.stat(one, dir_fd=at, follow_symlinks=False).st_mode):
                _remove(above / name, one)
            else:
                system.unlink(one, at)
    with inside.folder(above) as at:
        system.rmdir(name, at)
