"""A disk that fails, or a process that dies, at one of the calls of `newtfix.files.system`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from newtfix.files import system

NEEDS_ROOM = ("open", "write", "mkdir", "link")


class Killed(BaseException):
    """The process is dead: from here on nothing that it does reaches the disk."""


class Faults:
    """Counts the calls; call `number` (from 1) fails with an error of the system, or kills where `error` is None.

    Args:
        when: "before" it takes effect, "after", or "halfway" through a write. lasting: everything that needs room on
            the disk fails from then on, as on a full one.
    """

    def __init__(self, number: int = 0, error: int | None = None, when: str = "before", lasting: bool = False) -> None:
        self.number, self.error, self.when, self.lasting = number, error, when, lasting
        self.count = 0
        self.failed = ""

    def __call__(self, call: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.count += 1
        act = _nothing if call == "fsync" else act  # there is no power cut here, and it takes milliseconds
        if self.failed and self.error is None:
            raise Killed
        if self.failed and self.lasting and call in NEEDS_ROOM:
            raise OSError(self.error, os.strerror(self.error or 0))
        if self.failed or self.count != self.number:
            return act(*arguments, **named)
        self.failed = call
        if self.when == "halfway" and call == "write":
            handle, content = arguments
            os.write(handle, bytes(content)[: len(content) // 2])
        elif self.when == "after":
            act(*arguments, **named)
        raise Killed if self.error is None else OSError(self.error, os.strerror(self.error))


def _nothing(_: int) -> None:
    pass


@contextmanager
def failing(faults: Faults) -> Iterator[Faults]:
    with patch.object(system, "through", faults):
        yield faults


class PowerCut(Faults):
    """As a kill, and of what was not flushed nothing reaches the disk but the first `kept` changes of names.

    Bytes that were not flushed are gone: their file is empty. A change of names counts as flushed with its folder.
    """

    def __init__(self, number: int, kept: int = 0, aside: Path | None = None) -> None:
        super().__init__(number)
        self.kept = kept
        self._aside = aside or Path(tempfile.mkdtemp(prefix="newtfix-cut-"))
        self._names: list[tuple[set[int], Callable[[], object]]] = []
        self._bytes: dict[int, str] = {}

    def __call__(self, call: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.count += 1
        if self.failed:
            raise Killed
        if self.count == self.number:
            self.failed = call
            self._lose()
            raise Killed
        if call == "fsync":
            self._flush(arguments[0])
            return None
        if call == "rmdir":
            self._belongs_to(os.stat(arguments[0], dir_fd=named["dir_fd"]).st_ino, os.fstat(named["dir_fd"]).st_ino)
        undo = self._undo(call, arguments, named)
        result = act(*arguments, **named)
        if call == "write":
            self._bytes[os.fstat(arguments[0]).st_ino] = _path_of(arguments[0])
        if undo is not None:
            self._names.append(undo)
        return result

    def _flush(self, handle: int) -> None:
        inode = os.fstat(handle).st_ino
        self._bytes.pop(inode, None)
        self._names = [(folders, undo) for folders, undo in self._names if inode not in folders]

    def _belongs_to(self, gone: int, above: int) -> None:
        """A folder that is gone for good is empty for good."""
        for folders, _ in self._names:
            if gone in folders:
                folders.add(above)

    def _lose(self) -> None:
        for _, undo in reversed(self._names[self.kept :]):
            with suppress(OSError):
                undo()
        for inode, path in self._bytes.items():
            with suppress(OSError):
                if os.stat(path).st_ino == inode:
                    os.truncate(path, 0)

    def _undo(self, call: str, arguments: Any, named: Any) -> tuple[set[int], Callable[[], object]] | None:
        """The folders whose names change, and what takes the change back."""
        if call in ("mkdir", "rmdir", "unlink", "open"):
            at = named["dir_fd"]
            path = f"{_path_of(at)}/{arguments[0]}"
            back: dict[str, Callable[[], object]] = {
                "mkdir": lambda: os.rmdir(path),
                "rmdir": lambda: os.mkdir(path),
                "open": lambda: os.unlink(path),
            }
            if call == "unlink":
                back["unlink"] = self._saved(path)
            return ({os.fstat(at).st_ino}, back[call])
        if call in ("rename", "link", "exchange"):
            old, new, old_at, new_at = _places(call, arguments, named)
            folders = {os.fstat(old_at).st_ino, os.fstat(new_at).st_ino}
            if call == "link":
                return folders, lambda: os.unlink(new)
            if call == "exchange":
                return folders, lambda: _swap(old, new)
            there = self._saved(new) if os.path.isfile(new) else lambda: None
            return folders, lambda: (os.rename(new, old), there())
        return None

    def _saved(self, path: str) -> Callable[[], object]:
        """Keep a file, to be put back under its name."""
        kept = self._aside / str(self.count)
        os.link(path, kept, follow_symlinks=False)
        return lambda: os.rename(kept, path)


def _places(call: str, arguments: Any, named: Any) -> tuple[str, str, int, int]:
    if call == "exchange":
        old, old_at, new, new_at = arguments
    else:
        (old, new), (old_at, new_at) = arguments, (named["src_dir_fd"], named["dst_dir_fd"])
    return f"{_path_of(old_at)}/{old}", f"{_path_of(new_at)}/{new}", old_at, new_at


def _swap(one: str, other: str) -> None:
    os.rename(one, f"{one}.swap")
    os.rename(other, one)
    os.rename(f"{one}.swap", other)


def _path_of(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")
