"""Runs on this machine: as many trainers at once as there is room for, each retried once if the machine ends it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from newtfix.ablate.machine import Machine
from newtfix.ablate.runs import LOG, Folder, Worker, reason
from newtfix.ablate.scores import read_metrics
from newtfix.ablate.study import Plan, Run
from newtfix.ablate.trees import Variants
from newtfix.errors import NewtfixError

TRIES = 2  # of a run that the machine ends
EMPTY = 2  # runs that may end without a line before all is stopped
_PAUSE, _LOOK, _FULL = 0.1, 2.0, 20.0  # seconds between two looks at the trainers, at the folder, and where all is busy


@dataclass(frozen=True)
class Now:
    """What is needed now, of how many in all."""

    runs: Sequence[Run]
    total: int


class Show(Protocol):
    """Who is told how it goes."""

    def progress(self, done: float, total: int, left: float | None) -> None: ...

    def ended(self, run: Run, state: str, folder: Folder) -> None: ...


class Pool:
    """Runs of a study until nothing is needed any more."""

    def __init__(self, study: Path, plan: Plan, variants: Variants, machine: Machine, show: Show) -> None:
        self._study, self._plan, self._variants, self._machine, self._show = study, plan, variants, machine, show
        self._warm = False  # worth its while for more than one run
        self._workers: dict[int, Worker] = {}  # by slot
        self._tries: Counter[str] = Counter()
        self._given_up: set[str] = set()
        self._seconds: list[float] = []
        self._empty: list[Folder] | None = []  # the first runs, as long as none of them has logged anything

    def work(self, needed: Callable[[frozenset[str]], Now]) -> frozenset[str]:
        """Run what `needed` returns until all of it is done; return the runs that the machine ended every time.

        Args:
            needed: the runs to make, by those that were given up.
        """
        try:
            while True:
                now = needed(frozenset(self._given_up))
                self._warm = self._warm or len(self._open(now.runs)) > 1
                self._start(now.runs)
                self._report(now)
                if not self._workers and not self._open(now.runs):
                    return frozenset(self._given_up)
                self._prepare(now.runs)
                self._wait()
        finally:
            for worker in self._workers.values():
                worker.stop()

    def _open(self, runs: Sequence[Run]) -> list[Run]:
        """Runs without a result that are not under way here."""
        busy = {worker.run for worker in self._workers.values()}
        return [
            run
            for run in runs
            if run not in busy and run.id not in self._given_up and Folder(self._study, run).done is None
        ]

    def _start(self, runs: Sequence[Run]) -> None:
        free = [slot for slot in range(self._machine.jobs) if slot not in self._workers]
        for run in self._open(runs) if free else ():
            if not free:
                return
            lock = Folder(self._study, run).lock()
            if lock is None:  # another command is at it
                continue
            if Folder(self._study, run).done is not None:
                lock.close()
                continue
            slot = free.pop(0)
            place = self._machine.place(slot)
            with ExitStack() as kept:
                kept.callback(lock.close)
                self._workers[slot] = Worker(self._study, self._plan, run, self._variants, place, lock, self._warm)
                kept.pop_all()  # the worker closes it

    def _prepare(self, runs: Sequence[Run]) -> None:
        """Make the tree of the next run, so that no processor waits for it."""
        if next_ := self._open(runs)[:1]:
            self._variants.make(next_[0].patches)

    def _wait(self) -> None:
        """Until a trainer has ended, or for a while: others may work on the same study."""
        until = time.monotonic() + (_LOOK if len(self._workers) < self._machine.jobs else _FULL)
        while time.monotonic() < until:
            time.sleep(_PAUSE)
            ended = [slot for slot, worker in self._workers.items() if worker.poll()]
            for slot in ended:
                self._end(self._workers.pop(slot))
            if ended:
                return

    def _end(self, worker: Worker) -> None:
        state = worker.finish()
        run = worker.run
        if state == "machine":
            self._tries[run.id] += 1
            if self._tries[run.id] >= TRIES:
                self._given_up.add(run.id)
        else:
            self._seconds.append(time.time() - worker.started)
        self._show.ended(run, state, worker.folder)
        self._must_get_somewhere(worker.folder, state)

    def _must_get_somewhere(self, folder: Folder, state: str) -> None:
        """Raise NewtfixError where all runs end before they log anything: then it is not the patches."""
        nothing = state == "failed" and folder.size() == 0 and not read_metrics(folder.path)
        self._empty = [*self._empty, folder] if nothing and self._empty is not None else None
        if self._empty is not None and len(self._empty) >= EMPTY:
            for one in self._empty:
                one.forget()
            raise NewtfixError(
                f"the first {EMPTY} runs ended before they logged anything: {reason(folder) or 'no reason is given'}",
                where=str(folder.path / LOG),
                hint="Mend that and run the same again; these runs don't count.",
            )

    def _report(self, now: Now) -> None:
        done = sum(Folder(self._study, run).done is not None for run in now.runs)
        left = None
        if self._seconds:
            each = sum(self._seconds) / len(self._seconds)
            left = max(0.0, (now.total - done - len(self._workers) / 2) * each / self._machine.jobs)
        self._show.progress(done, now.total, left)


def settled(study: Path, runs: Sequence[Run], given_up: frozenset[str], outcome: str) -> Mapping[str, float | None]:
    """The score of each run that has ended, by id."""
    found: dict[str, float | None] = {}
    for run in runs:
        done = Folder(study, run).done
        if done is not None:
            found[run.id] = done["scores"].get(outcome)
        elif run.id in given_up:
            found[run.id] = None
    return found
