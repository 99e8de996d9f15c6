"""Commands as processes of their own: how long they take, and how much memory at their peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BYTES = 1 if sys.platform == "darwin" else 2**10  # in one unit of ru_maxrss

# The kernel counts the memory of the process that starts another into that one's peak. So a small one starts it.
_STARTER = """
import json, os, sys, time
out, *argv = sys.argv[1:]
started = time.perf_counter()
pid = os.posix_spawn(argv[0], argv, os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - started
with open(out, "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss], file)
"""


class Failed(RuntimeError):
    """A measured command that did not end as it should: what it was, and the end of what it said."""


@dataclass(frozen=True)
class Finished:
    """Wall-clock seconds from start to exit, MiB of memory at most, and what was printed."""

    seconds: float
    peak: float
    output: str


def finish(arguments: Sequence[str], fine: Sequence[int] = (0,), more: Mapping[str, str] | None = None) -> Finished:
    """Run `python ARGUMENTS` in the repository, with `more` in its environment.

    Raises Failed unless its exit status is one of `fine`.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        command = [sys.executable, "-I", "-S", "-c", _STARTER, str(result), sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=_environment() | dict(more or {}), capture_output=True, text=True, check=False
        )
        status, seconds, peak = json.loads(result.read_text())
    if status not in fine or "Traceback" in done.stderr:
        raise Failed(f"{' '.join(arguments[:4])} exited with {status}: {done.stderr[-500:]}")
    return Finished(seconds, peak * BYTES / 2**20, done.stdout)


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"}
