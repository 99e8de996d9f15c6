"""Has a tree observed in a process of its own, goes on behind a probe that hangs or dies, and takes in what is said."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from newtfix.errors import TreeError
from newtfix.files import inside
from newtfix.files.tree import Tree
from newtfix.model import Observation, Patch, unseen
from newtfix.newt.roles import Found, find_roles
from newtfix.newt.tdmpc2 import must_be_newt
from newtfix.running import Importable, end_confined, importable, last_words, start_confined
from newtfix.verify.libraries import replaced, wanted
from newtfix.verify.observation import read

_PROBE_LIMIT = 180.0  # seconds that one probe may take; most take less than one on a core of their own
_START_LIMIT = 120.0  # and the import of torch and of the tree
_TOTAL_LIMIT = 1200.0
_GRACE = 3.0  # how much later a probe is ended from outside that did not end itself
_PAUSE = 0.02
_SHOWN_LINES = 3
_SEEN_LIMIT = 64 * inside.MEBIBYTE


@dataclass(frozen=True)
class Limits:
    """Seconds: for one probe, for starting up, and for all together."""

    probe: float = _PROBE_LIMIT
    start: float = _START_LIMIT
    total: float = _TOTAL_LIMIT


@dataclass(frozen=True)
class Seen:
    """What was observed, what to tell about it, and which libraries to install to see more."""

    observations: tuple[Observation, ...]
    notes: tuple[str, ...]
    wanted: tuple[str, ...] = ()


def observe(tree: Tree, patches: Mapping[str, Patch], limits: Limits | None = None) -> Seen:
    """What the tree's own classes do about each of the patches. Raises TreeError if there is no newt-style tree."""
    limits = limits or Limits()
    roles = find_roles(tree.sources)
    must_be_newt(tree.sources, roles, patches)
    text = "\n".join(tree.sources[found.file] for found in roles.values())
    with importable(tree.root, text) as found, tempfile.TemporaryDirectory(prefix="newtfix-verify-") as name:
        folder = Path(name)
        job = job_of(tree, roles, found, limits)
        probes = {name: (patch.probes_in, patch.probes) for name, patch in patches.items()}
        return _observe_all(folder, job, probes, Process(folder, found), limits)


def job_of(tree: Tree, roles: Mapping[str, Found], found: Importable, limits: Limits) -> dict[str, Any]:
    return {
        "root": str(tree.root.resolve()),
        "modules": {role: _module(one.file, found.package) for role, one in roles.items()},
        "classes": {role: one.cls for role, one in roles.items() if one.cls},
        "files": {role: one.file for role, one in roles.items()},
        "sources": sorted(tree.sources),
        "limit": limits.probe,
    }


def _module(file: str, package: str) -> str:
    parts = PurePosixPath(file).with_suffix("").parts
    return ".".join((package, *parts) if package else parts)


def _observe_all(
    folder: Path, job: dict[str, Any], patches: Mapping[str, tuple[str, str]], process: Process, limits: Limits
) -> Seen:
    """Start processes, each where the one before ended, until every patch has been looked at."""
    observations: list[Observation] = []
    places: dict[str, str] = {}
    stopped: dict[str, list[str]] = {}
    deadline = time.monotonic() + limits.total
    while patches:
        (folder / "job.json").write_text(json.dumps({**job, "patches": patches}), "utf-8")
        ended = process.run(limits, deadline)
        lines = lines_of(folder / "seen.jsonl")
        (folder / "seen.jsonl").unlink(missing_ok=True)
        for line in lines:
            observations += [read(one) for one in line.get("observations", ())]
            places |= line.get("places", {})
            for library in line.get("lacked", ()):
                stopped.setdefault(library, []).append(line["done"])
        done = {line["done"] for line in lines if "done" in line}
        patches = {name: probes for name, probes in patches.items() if name not in done}
        begun = [line["begun"] for line in lines if line.get("begun") in patches]
        lost = begun[-1:] if begun and time.monotonic() < deadline else list(patches)
        reason = unseen(ended or "nothing was said about it")
        observations += [dataclasses.replace(reason, patch=name) for name in lost]
        patches = {name: probes for name, probes in patches.items() if name not in lost}
    return Seen(tuple(observations), tuple(replaced(places.keys() - stopped.keys())), tuple(wanted(places, stopped)))


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that somebody may have been writing."""
    try:
        text = inside.read_named(path, _SEEN_LIMIT).decode("utf-8", "replace")
        found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in found if isinstance(line, dict)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as problem:
        raise TreeError(
            f"the tree wrote over what newtfix notes about it: {problem}", hint="What it does cannot be told."
        ) from problem


class Process:
    """Runs a worker, confined: nothing is written into the tree, nothing it prints gets through, no GPU is used."""

    def __init__(self, folder: Path, found: Importable, worker: str = "newtfix.verify.worker") -> None:
        self._folder, self._worker = folder, worker
        self._found = found
        self._variables = {
            "TORCHDYNAMO_DISABLE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "WANDB_MODE": "disabled",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, limits: Limits, deadline: float) -> str:
        """Run the worker to its end, or end it. Returns how it ended where it should not have, else ""."""
        process = start_confined(self._worker, self._folder, self._found, self._variables)
        try:
            reason = self._watch(process, limits, deadline)
        finally:
            end_confined(process)
        if reason or not process.returncode:
            return reason or self._unfinished()
        lines = last_words(self._folder, _SHOWN_LINES)
        return f"its process ended with exit code {process.returncode}" + (f": {' | '.join(lines)}" if lines else "")

    def _unfinished(self) -> str:
        """A tree can end the process without a word."""
        lines = lines_of(self._folder / "seen.jsonl")
        return "" if any(line.get("end") for line in lines) else "its process ended itself, with exit code 0"

    def _watch(self, process: subprocess.Popen[bytes], limits: Limits, deadline: float) -> str:
        """Wait for the end. Returns a reason where there was no end to be seen."""
        seen, since = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(_PAUSE)
            count = len(lines_of(self._folder / "seen.jsonl"))
            now = time.monotonic()
            if count != seen:
                seen, since = count, now
            limit = limits.probe + _GRACE if seen else limits.start
            if now - since > limit:
                return f"it took more than {limits.probe:g} s" if seen else f"no start within {limits.start:g} s"
            if now > deadline:
                return f"all probes together took more than {limits.total:g} s"
        return ""
