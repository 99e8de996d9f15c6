"""Whole runs of the trainer with preset=cpu: environment steps a second, collecting and learning."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .figures import Figure
from .plain import Plain
from .roofline import threads
from .timing import Effort, Times
from .trees import ALL, NONE, tree

TASKS = ("cartpole-swingup", "humanoid-walk")
SETTINGS = (
    "preset=cpu",
    "device=cpu",
    "compile=false",
    "eval_freq=1000000000",
    "random_baseline=false",
    "save_agent=false",
    "plot=false",
)
# Each collects one episode of each environment before the first update, and then makes as many updates.
BOTH = {"patched": ("burst_updates=0", "eval_pi=false", "eval_value=false"), "newt_base": ("seeding_coef=1",)}
BOTH["plain"] = BOTH["newt_base"]
LENGTH = 100  # agent steps of an episode; one of each environment is collected before the first update
FEWEST = 3  # runs of each contestant


@dataclass(frozen=True)
class Run:
    """Environment steps a second before the first update and from then on, without evaluation and building."""

    collecting: float
    training: float


def end_to_end(effort: Effort, quick: bool) -> Iterator[Figure]:
    """The agents of the patched tree, of newt_base and the plain one, each in whole runs of its trainer, in turns."""
    for task in TASKS[:1] if quick else TASKS:
        yield from _figures(task, 1 if quick else FEWEST, 20 if quick else LENGTH)


def _figures(task: str, rounds: int, length: int) -> Iterator[Figure]:
    runs: dict[str, list[Run]] = {"patched": [], "newt_base": [], "plain": []}
    order = list(runs)
    for _ in range(rounds):
        for who in order:
            runs[who].append(run(task, who, length))
        order = order[1:] + order[:1]
    for phase in ("collecting", "training"):
        times = {who: Times(tuple(1 / getattr(each, phase) for each in done)) for who, done in runs.items()}
        for who, own in times.items():
            yield Figure(
                "end to end",
                f"{task}, preset=cpu, {phase}: {who}",
                "env steps/s",
                own.rate(),
                rounds,
                ratio=own.faster_than(times["plain"]) if who != "plain" else None,
                ratio_to="plain" if who != "plain" else None,
                facts={"threads": 1, "num_envs": 4, "utd": 0.5, "episode_length": length},
            )


def run(task: str, who: str = "patched", length: int = LENGTH) -> Run:
    """One run of a trainer in a folder of its own: "patched", "newt_base", or newt_base's with the agent "plain"."""
    modules = tree(ALL if who == "patched" else NONE)
    with tempfile.TemporaryDirectory() as folder, threads(None), _quiet():
        steps = 4 * length * 3
        own = [f"task={task}", f"steps={steps}", f"episode_length={length}", f"out_dir={folder}"]
        trainer = modules.train.build(modules.config.load_cfg([*SETTINGS, *own, *BOTH[who]]))
        try:
            if who == "plain":
                trainer.agent = Plain(trainer.agent)
            marks = _Marks(trainer)
            trainer.train()
            return marks.rates(time.perf_counter())
        finally:
            trainer.env.close()


class _Marks:
    """Notes when a trainer starts to collect and to learn, and how far it was."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._marks: list[tuple[float, int]] = []
        trainer.eval = self._after(trainer.eval)
        update = trainer.agent.update
        trainer.agent.update = lambda buffer: self._first_update() or update(buffer)

    def _after(self, evaluate: Any) -> Any:
        def call() -> Any:
            found = evaluate()
            if not self._marks:
                self._mark()
            return found

        return call

    def _first_update(self) -> None:
        if len(self._marks) == 1:
            self._mark()

    def _mark(self) -> None:
        self._marks.append((time.perf_counter(), self._trainer._step))

    def rates(self, now: float) -> Run:
        (start, zero), (learning, step) = self._marks
        return Run((step - zero) / (learning - start), (self._trainer._step - step) / (now - learning))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of a run's progress and logs is printed."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
