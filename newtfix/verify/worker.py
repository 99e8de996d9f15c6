"""Runs in a process of its own: has one patch after the other observed, each by itself and for a limited time.

`python -m newtfix.verify.worker FOLDER`: reads FOLDER/job.json, appends to FOLDER/seen.jsonl what it begins and sees.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from newtfix.model import Observation, Unobservable, judged, unseen
from newtfix.parity.standin import place_in_tree
from newtfix.patch import file
from newtfix.verify.observation import NO_PROBE
from newtfix.verify.subject import Subject, seed, words
from newtfix.verify.world import without_cuda


class TookTooLong(BaseException):
    """A probe's time is up. Not an Exception, so that a tree which catches those does not catch this."""


def main(folder: Path) -> None:
    """Do the job in `folder`."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    say = Diary(folder / "seen.jsonl")
    say(notes=[])
    torch.set_num_threads(1)
    with without_cuda():
        subject = Subject(Path(job["root"]), job["modules"], job["classes"], job["files"], job["sources"])
        for patch, (where, text) in job["patches"].items():
            found = observe(subject, where, text, float(job["limit"]), partial(say, begun=patch))
            told = [replace(one, patch=patch).as_dict() for one in found]
            say(observations=told, notes=subject.notes, done=patch)
    say(end=True)


class Diary:
    """A file of JSON lines, each on the disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, **entry: Any) -> None:
        with self._path.open("a", encoding="utf-8") as diary:
            diary.write(json.dumps(entry) + "\n")


def observe(subject: Subject, where: str, text: str, limit: float, begin: Callable[[], None]) -> list[Observation]:
    """All observations by the probes in a text; what went wrong is one of them. Each probe begins with `begin`."""
    if not text:
        return [unseen(NO_PROBE)]
    begin()
    try:
        probes = file.probes(file.run(Path(where), text.encode("latin-1")))
    except (Exception, SystemExit) as problem:
        return [unseen(f"{where} cannot be loaded: {type(problem).__name__}: {problem}")]
    found: list[Observation] = []
    for probe in probes:
        begin()
        seed(0)
        try:
            with _alarm(limit):
                found += probe(subject)
        except Unobservable as problem:
            found.append(unseen(str(problem)))
        except TookTooLong as problem:
            where = place_in_tree(problem, subject.root)
            found.append(unseen(f"it took more than {limit:g} s" + (f" ({where})" if where else "")))
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # a tree may call exit()
            traceback.print_exc()
            found.append(_crash(problem, subject.root))
    return found or [unseen("its probes found nothing to look at")]


def _crash(problem: BaseException, root: Path) -> Observation:
    """An error that ended a probe: where the tree's own code reads a name that it never set, that is what it does."""
    said = words(problem, root)
    if isinstance(problem, NameError) and place_in_tree(problem, root, innermost=True):
        return judged("all of it", "no error", said)
    return unseen(said)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in here when time is up, where the system can; else the process is ended from outside."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
