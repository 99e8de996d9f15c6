"""Runs in a process of its own: has one patch after the other observed, each by itself and for a limited time.

`python -m newtfix.verify.worker FOLDER`: reads FOLDER/job.json, appends to FOLDER/seen.jsonl what it begins and sees.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from newtfix.model import NOT_OBSERVED, OTHER, Observation, Unobservable, judged, unseen
from newtfix.parity.standin import place_in_tree
from newtfix.patch import file
from newtfix.verify.libraries import lacking
from newtfix.verify.observation import NO_PROBE
from newtfix.verify.subject import Subject, seed, words
from newtfix.verify.world import without_cuda


class TookTooLong(BaseException):
    """A probe's time is up. Not an Exception, so that a tree which catches those does not catch this."""


def main(folder: Path) -> None:
    """Do the job in `folder`."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    say = Diary(folder / "seen.jsonl")
    say(begun=None)
    torch.set_num_threads(1)
    with without_cuda():
        subject = Subject(Path(job["root"]), job["modules"], job["classes"], job["files"], job["sources"])
        for patch, (where, text) in job["patches"].items():
            found, lacked = observe(subject, where, text, float(job["limit"]), partial(say, begun=patch))
            told = [replace(one, patch=patch).as_dict() for one in found]
            say(observations=told, places=subject.libraries.places, lacked=sorted(lacked), done=patch)
    say(end=True)


class Diary:
    """A file of JSON lines, each on the disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, **entry: Any) -> None:
        with self._path.open("a", encoding="utf-8") as diary:
            diary.write(json.dumps(entry) + "\n")


def observe(
    subject: Subject, where: str, text: str, limit: float, begin: Callable[[], None]
) -> tuple[list[Observation], set[str]]:
    """All observations by the probes in a text, and the libraries for want of which something was not observed.

    What went wrong is one of the observations. Each probe begins with `begin`.
    """
    if not text:
        return [unseen(NO_PROBE)], set()
    begin()
    try:
        probes = file.probes(file.run(Path(where), text.encode("latin-1")))
    except (Exception, SystemExit) as problem:
        return [unseen(f"{where} cannot be loaded: {type(problem).__name__}: {problem}")], set()
    found: list[Observation] = []
    lacked: set[str] = set()
    for probe in probes:
        seen: list[Observation] | None = None
        while seen is None:
            begin()
            seed(0)
            with subject.libraries.watched() as called:
                seen = _seen_by(probe, subject, limit)
        if called and any(one.verdict in (OTHER, NOT_OBSERVED) for one in seen):
            lacked |= set(called)
            seen = [_for_want_of(called, one) for one in seen]
        found += seen
    return found or [unseen("its probes found nothing to look at")], lacked


def _seen_by(probe: Callable[[Subject], list[Observation]], subject: Subject, limit: float) -> list[Observation] | None:
    """What a probe sees, its end included; None where it missed a library that has a stand-in from now on."""
    try:
        with _alarm(limit):
            return probe(subject)
    except Unobservable as problem:
        return [unseen(str(problem))]
    except TookTooLong as problem:
        where = place_in_tree(problem, subject.root)
        return [unseen(f"it took more than {limit:g} s" + (f" ({where})" if where else ""))]
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a tree may call exit()
        if isinstance(problem, ModuleNotFoundError) and subject.libraries.replaces(problem):
            return None
        traceback.print_exc()
        return [_crash(problem, subject.root)]


def _for_want_of(called: Sequence[str], one: Observation) -> Observation:
    """An observation made while stand-ins were called: what is neither patched nor unpatched says nothing."""
    if one.verdict not in (OTHER, NOT_OBSERVED):
        return one
    return unseen("; ".join(map(lacking, called)), one.what, one.expected)


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
