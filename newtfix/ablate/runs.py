"""One training run: its folder, its command, how it ended, and the done-file that says so.

A run's folder holds run.json (what it is), log.txt (what the trainer printed), out/ (the trainer's own files),
attempts.jsonl (tries that the machine ended) and, last of all, done.json, which is the truth.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from newtfix.ablate import trainers
from newtfix.ablate.machine import Place
from newtfix.ablate.scores import curve, read_metrics, scores
from newtfix.ablate.study import CACHE, INERT, RUNS, Plan, Run, read_lines, write_json
from newtfix.ablate.trees import Variants
from newtfix.ablate.warm import Trainer, end_with_parent
from newtfix.errors import NewtfixError
from newtfix.files import inside

DONE, LOG, ATTEMPTS = "done.json", "log.txt", "attempts.jsonl"
_MACHINE = re.compile(  # in the words of libraries and of newt_base
    r"out of memory|MemoryError|can't allocate memory|Cannot allocate memory|"
    r"No space left on device|Disk quota exceeded|no room left on the disk"
)
_SAID = {"state", "reason", "steps", "scores", "training", "seconds"}  # by every done-file
_TAIL = 20_000  # characters of a log in which the end is looked for


class Folder:
    """The folder of one run."""

    def __init__(self, study: Path, run: Run) -> None:
        self.run = run
        self.path = study / (RUNS if run.steps is None else INERT) / run.id

    @property
    def done(self) -> dict[str, Any] | None:
        """What the done-file says; None: there is none, or none that can be read."""
        try:
            data = json.loads(inside.read_named(self.path / DONE))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(data, dict) or data.get("id") != self.run.id or not data.keys() >= _SAID:
            return None
        return data if isinstance(data["scores"], dict) and isinstance(data["training"], list) else None

    @property
    def damaged(self) -> bool:
        return (self.path / DONE).exists() and self.done is None

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return read_lines(self.path / ATTEMPTS)[0]

    @property
    def unfinished(self) -> str:
        """Why there is no result, as far as it is known."""
        if self.damaged:
            return "its done-file cannot be read; run the same again"
        tries = self.attempts
        return tries[-1]["why"] if tries else ""

    def lock(self) -> IO[bytes] | None:
        """The run's lock, which the trainer inherits and holds as long as it lives; None: another one is at it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.fdopen(os.open(self.path / "lock", flags, 0o644), "ab")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def forget(self) -> None:
        """Take the done-file away, so that the run is made again."""
        (self.path / DONE).unlink(missing_ok=True)

    def size(self) -> int:
        """The step that the run has reached, by its metrics."""
        return max((row.get("step") or 0 for row in read_metrics(self.path)), default=0)


class Worker:
    """A run that is under way."""

    def __init__(
        self,
        study: Path,
        plan: Plan,
        run: Run,
        variants: Variants,
        place: Place,
        lock: IO[bytes],
        warm: bool = False,
    ) -> None:
        self._warm = warm and not place.device
        self.folder, self.run, self.place, self._plan, self._lock = Folder(study, run), run, place, plan, lock
        self.started = time.time()
        tree = variants.make(run.patches)
        self._resumable = run.steps is None and trainers.resumable(plan.trainer, tree, plan.settings)
        try:
            self._process = self._start(study, tree)
        except OSError as error:
            raise _cannot_write(self.folder.path, error) from error

    def _start(self, study: Path, tree: Path) -> subprocess.Popen[bytes] | Trainer:
        path = self.folder.path
        resumed = self._resumable and _has_begun(path)
        if not resumed:
            shutil.rmtree(path / "out", ignore_errors=True)
        (path / DONE).unlink(missing_ok=True)
        (path / "out").mkdir(parents=True, exist_ok=True)
        settings = settings_of(self._plan, self.run, path, tree, self._resumable)
        command = trainers.command(self._plan.trainer, tree, path, settings)
        self._describe(command.words)
        environment = variables(study, self.place, command.variables)
        with (path / LOG).open("ab" if resumed else "wb") as log:
            if self._warm and command.module:
                held = self._lock.fileno()
                return Trainer(command.module, settings, command.folder, environment, log.fileno(), held)
            return subprocess.Popen(
                command.words,
                cwd=command.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                pass_fds=(self._lock.fileno(),),
                preexec_fn=end_with_parent,
            )

    def _describe(self, command: Sequence[str]) -> None:
        said = {"schema": 1, "id": self.run.id, "seed": self.run.seed, "patches": list(self.run.patches)}
        write_json(
            self.folder.path / "run.json", {**said, "settings": list(self._plan.settings), "command": list(command)}
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> bool:
        """Whether the trainer has ended."""
        return self._process.poll() is not None

    def finish(self) -> str:
        """What became of the run, written down: "finished", "failed", or "machine": it counts as an attempt only."""
        code = self._process.wait()
        self._sweep()
        state = classify(code, _tail(self.folder.path / LOG))
        try:
            if state == "machine":
                self._note_attempt(code)
            else:
                write_done(self.folder, self._plan, state, code, time.time() - self.started, self.place)
                self._drop_checkpoints()
        finally:
            self._lock.close()
        return state

    def _drop_checkpoints(self) -> None:
        """Those that were there to go on from; nobody asked for them."""
        if not any(one.startswith(("save_agent=", "save_buffer=")) for one in self._plan.settings):
            for path in self.folder.path.glob("out/**/checkpoints"):
                shutil.rmtree(path, ignore_errors=True)

    def stop(self) -> None:
        """End the trainer, gently first; the run is as if it had not been started, but for what it can resume from."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sweep()
        self._lock.close()

    def _sweep(self) -> None:
        """End what the trainer has left behind in its group: environments in processes of their own."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _note_attempt(self, code: int) -> None:
        line = json.dumps({"exit_code": code, "seconds": round(time.time() - self.started, 1), "why": why(code)})
        try:
            with (self.folder.path / ATTEMPTS).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise _cannot_write(self.folder.path, error) from error


def _has_begun(folder: Path) -> bool:
    """Whether there is a checkpoint with something in it: from that of step 0 a run does as well afresh."""
    steps = [path.stem.replace("_", "") for path in folder.glob("out/**/checkpoints/*.pt")]
    return any(step.isdigit() and int(step) > 0 for step in steps)


def settings_of(plan: Plan, run: Run, folder: Path, tree: Path, resumable: bool = False) -> list[str]:
    """The arguments of the trainer. A short run's own number of steps takes the place of the plan's."""
    taken = {"steps"} if run.steps is not None else set()
    shared = [one for one in plan.settings if one.partition("=")[0] not in taken]
    given = [one.partition("=")[0] for one in plan.settings]
    more = [one for one in trainers.RESUMED if one.partition("=")[0] not in given] if resumable else []
    given += [one.partition("=")[0] for one in more]
    own = trainers.own_settings(plan.trainer, tree, run.seed, plan.threads, folder, given)
    return [*shared, *own, *more, *([f"steps={run.steps}"] if run.steps is not None else [])]


def variables(study: Path, place: Place, before: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run, with its threads, its device, and the compile cache that all runs share."""
    found = dict(before)
    cache = (study / CACHE).resolve()
    threads = str(place.threads)
    found |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    found |= {"TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"), "TORCHINDUCTOR_FX_GRAPH_CACHE": "1"}
    found |= {"TRITON_CACHE_DIR": str(cache / "triton"), "PYTHONUNBUFFERED": "1"}
    if place.device:
        found["CUDA_VISIBLE_DEVICES"] = place.device
    return found


def classify(code: int, log: str) -> str:
    """Whether a run is finished, failed by itself, or ended by the machine."""
    if code == 0:
        return "finished"
    return "machine" if code < 0 or code in (130, 137, 143) or _MACHINE.search(log) else "failed"


def why(code: int) -> str:
    if code >= 0:
        return "out of memory or disk" if code not in (130, 137, 143) else f"signal {code - 128}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def write_done(folder: Folder, plan: Plan, state: str, code: int, seconds: float, place: Place) -> None:
    """The done-file, from the metrics."""
    rows = read_metrics(folder.path)
    training, evaluations = curve(rows, "train"), curve(rows, "eval")
    steps = folder.run.steps or plan.steps
    write_json(
        folder.path / DONE,
        {
            "schema": 1,
            "id": folder.run.id,
            "seed": folder.run.seed,
            "patches": list(folder.run.patches),
            "state": state,
            "exit_code": code,
            "reason": "" if state == "finished" else reason(folder),
            "steps": max((step for step, _ in [*training, *evaluations]), default=0),
            "scores": scores(training, evaluations, steps, state == "finished"),
            "training": training,
            "evaluations": evaluations,
            "seconds": round(seconds, 1),
            "attempts": len(folder.attempts),
            "device": place.device,
        },
    )


def reason(folder: Folder) -> str:
    """The last line of a log that tells of an error; where none does, the last line."""
    lines = ["", *(line.strip() for line in re.split(r"[\r\n]", _tail(folder.path / LOG)) if line.strip())]
    told = (line for line in reversed(lines) if "diverged" in line or "Error" in line or "error:" in line)
    return next(told, lines[-1])


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _cannot_write(path: Path, error: OSError) -> NewtfixError:
    return NewtfixError(
        f"cannot write in {path}: {error.strerror or error}",
        hint="Runs that are finished are kept. Make room or check the permissions, and run the same again.",
    )


def results(study: Path, runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    """The done-files of runs without what depends on the clock and the machine, in the order of the runs."""
    clock = ("seconds", "attempts", "device")
    done = (Folder(study, run).done for run in runs)
    return [{name: value for name, value in one.items() if name not in clock} for one in done if one]
