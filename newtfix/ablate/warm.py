"""Trainers that start at once: a process that has imported what they need makes one of itself for each run.

Importing torch and the simulator takes longer than everything else before the first step. The server is that of
multiprocessing. The trainers end with the command that started them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.reduction import DupFd
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

PRELOADED = "newtfix.ablate.preload"


class Trainer:
    """A trainer under way, with the face of a subprocess.Popen."""

    def __init__(
        self, module: str, arguments: Sequence[str], folder: Path, variables: Mapping[str, str], log: int, lock: int
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([PRELOADED])
        job = (module, list(arguments), str(folder), dict(variables), _Lent(log), _Lent(lock), _Lent(_lifeline()[0]))
        self._process = context.Process(target=_train, args=job)
        before = dict(os.environ)
        os.environ.update({name: variables[name] for name in variables if name.endswith("_NUM_THREADS")})
        try:
            self._process.start()  # the first one starts the server, whose libraries read these
        finally:
            os.environ.clear()
            os.environ.update(before)

    @property
    def pid(self) -> int:
        return int(self._process.pid or 0)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise TimeoutExpired("trainer", timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


class _Lent:
    """An open file that the trainer gets too."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.number),)


def _received(sent: Any) -> _Lent:
    return _Lent(sent.detach())


@cache
def _lifeline() -> tuple[int, int]:
    """A pipe whose other end this command alone holds: it is closed when the command is gone, however that comes."""
    return os.pipe()


def _train(
    module: str, arguments: list[str], folder: str, variables: dict[str, str], log: _Lent, lock: _Lent, life: _Lent
) -> None:
    """In the trainer: become what `python -P -m MODULE` would be, and end with the command. `lock` is only held."""
    os.setpgid(0, 0)  # not setsid: Linux shares time among sessions, and there a new one is not as nice as the command
    threading.Thread(target=_end_with, args=(life.number,), daemon=True).start()
    for number in (1, 2):
        os.dup2(log.number, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.path[:0] = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = [module, *arguments]
    multiprocessing.set_start_method(None, force=True)  # the trainer's own choice
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(life: int) -> None:
    """End this trainer and what it has started when the other end of the pipe is closed."""
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone."""
    if _PRCTL is not None:
        _PRCTL(1, signal.SIGKILL)


def _prctl() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


_PRCTL = _prctl()
