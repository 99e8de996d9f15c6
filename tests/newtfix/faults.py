"""A disk that fails, or a process that dies, at one of the calls of `newtfix.files.system`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
