"""Runs under `newtfix ablate`, two at a time, beside the same by hand: CPU time of a start, of a run, and of the cores.

CPU time says the same on a machine with other work on it; what was left idle says whether a core had to wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .figures import Figure
from .processes import ROOT, Failed
from .timing import Effort, Spread

AT_ONCE = 2
SETTINGS = (
    "task=cartpole-swingup",
    "preset=cpu",
    "device=cpu",
    "seeding_coef=1",
    "plot=false",
    "random_baseline=false",
)
START = ("steps=8", "episode_length=8")  # over as soon as it has begun
WHOLE = ("steps=1500",)  # 1,000 of them before the first update
_TICK = os.sysconf("SC_CLK_TCK")


class _Watched:
    """A study that is under way: the CPU seconds of its trainers, which lead process groups of their own."""

    def __init__(self, settings: tuple[str, ...], runs: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # One patch that costs and changes nothing without `compile`: all runs are alike.
            design = ["--design", "one-at-a-time", "--factors", "target-q", "--no-inertness", "--budget", str(runs)]
            words = ["-m", "newtfix", "ablate", *SETTINGS, *settings, *design, "--jobs", str(AT_ONCE), "--dir", folder]
            process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
            self.cpu: dict[int, float] = {}
            self._seen: list[tuple[float, int, float, float]] = []  # time, trainers, their CPU time, idle cores
            while process.poll() is None:
                self._look(process.pid)
                time.sleep(0.05)
        if process.returncode or len(self.cpu) != runs:
            raise Failed(f"newtfix ablate exited with {process.returncode} after {len(self.cpu)} of {runs} runs")

    def _look(self, command: int) -> None:
        table = dict(_processes())
        alive = [pid for pid, (_, leader, _) in table.items() if leader and command in _ancestors(pid, table)]
        self.cpu |= {pid: table[pid][2] for pid in alive}
        self._seen.append((time.monotonic(), len(alive), sum(self.cpu.values()), _idle()))

    def shares(self) -> tuple[float, float]:
        """Of the cores' time, what trainers used and what nobody did, while there were runs for all cores."""
        full = [number for number, seen in enumerate(self._seen) if seen[1] == AT_ONCE]
        (start, _, used, idle), (end, _, used_after, idle_after) = self._seen[full[0]], self._seen[full[-1]]
        cores = os.cpu_count() or 1
        return (used_after - used) / (AT_ONCE * (end - start)), (idle_after - idle) / (cores * (end - start))


def study(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Starts and whole runs, under ablate and by hand, and how busy ablate keeps the cores."""
    runs = 2 if quick else 6
    for name, settings in (("start and end of a run", START), *([] if quick else [("a run", WHOLE)])):
        watched = _Watched(settings, runs)
        hand = _by_hand(settings, runs)
        spread = Spread.of(watched.cpu.values())
        ratio = Spread(*(each / hand.median for each in (spread.median, spread.low, spread.high)))
        yield Figure("ablate", f"{name}: under ablate", "CPU s", spread, runs, ratio=ratio, ratio_to="by hand")
        yield Figure("ablate", f"{name}: by hand", "CPU s", hand, runs)
    for name, share in zip(("used by trainers", "left idle"), watched.shares(), strict=True):
        yield Figure("ablate", f"time of the cores: {name}", "%", Spread.of([100 * share]), 1)


def _by_hand(settings: tuple[str, ...], runs: int) -> Spread:
    """CPU seconds of runs that are started as processes of their own, as many at once."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, runs, AT_ONCE):
            started = []
            for seed in range(first, first + AT_ONCE):
                words = ["-P", "-m", "newt_base.train", *SETTINGS, *settings, f"seed={seed}", f"out_dir={folder}"]
                with Path(folder, f"{seed}.txt").open("wb") as log:
                    started.append(subprocess.Popen([sys.executable, *words], env=_path(), stdout=log, stderr=log).pid)
            for pid in started:
                _, status, usage = os.wait4(pid, 0)
                if status:
                    raise Failed(f"a run by hand exited with {os.waitstatus_to_exitcode(status)}")
                seconds.append(usage.ru_utime + usage.ru_stime)
    return Spread.of(seconds)


def _path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _processes() -> Iterator[tuple[int, tuple[int, bool, float]]]:
    """Of each process: its parent, whether it leads a group, and its CPU seconds."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(path.parent.name)
        yield pid, (int(words[1]), int(words[2]) == pid, (int(words[11]) + int(words[12])) / _TICK)


def _ancestors(pid: int, table: dict[int, tuple[int, bool, float]]) -> set[int]:
    found: set[int] = set()
    while pid in table:
        found.add(pid := table[pid][0])
    return found


def _idle() -> float:
    """Seconds that the processors have been idle, all together."""
    return int(Path("/proc/stat").read_text().split()[4]) / _TICK
