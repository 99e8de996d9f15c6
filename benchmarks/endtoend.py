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

from newt_base.config import load_cfg
from newt_base.train import build

from .figures import Figure
from .plain import Plain
from .roofline import threads
from .timing import Effort, Times

TASKS = ("cartpole-swingup", "humanoid-walk")
SETTINGS = (
    "preset=cpu",
    "device=cpu",
    "compile=false",
    "seeding_coef=1",
    "eval_freq=1000000000",
    "random_baseline=false",
    "save_agent=false",
    "plot=false",
    "tensorboard=false",
)
LENGTH = 100  # agent steps of an episode; one of each environment is collected before the first update
FEWEST = 3  # runs of each contestant


@dataclass(frozen=True)
class Run:
    """Environment steps a second before the first update and from then on, without evaluation and building."""

    collecting: float
    training: float


def end_to_end(effort: Effort, quick: bool) -> Iterator[Figure]:
    """newt_base's agent and the plain one, each in whole runs of the same trainer, in turns."""
    for task in TASKS[:1] if quick else TASKS:
        yield from _figures(task, 1 if quick else FEWEST, 20 if quick else LENGTH)


def _figures(task: str, rounds: int, length: int) -> Iterator[Figure]:
    runs: dict[str, list[Run]] = {"newt_base": [], "plain": []}
    for number in range(rounds):
        for who in sorted(runs, reverse=number % 2 == 1):
            runs[who].append(run(task, plain=who == "plain", length=length))
    for phase in ("collecting", "training"):
        times = {who: Times(tuple(1 / getattr(each, phase) for each in done)) for who, done in runs.items()}
        yield Figure(
            "end to end",
            f"{task}, preset=cpu, {phase}",
            "env steps/s",
            times["newt_base"].rate(),
            rounds,
            ratio=times["newt_base"].faster_than(times["plain"]),
            ratio_to="plain",
            facts={"threads": 1, "num_envs": 4, "utd": 0.5, "episode_length": length},
        )


def run(task: str, plain: bool = False, length: int = LENGTH) -> Run:
    """One run of the trainer in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, threads(None), _quiet():
        steps = 4 * length * 3
        own = [f"task={task}", f"steps={steps}", f"episode_length={length}", f"out_dir={folder}"]
        trainer = build(load_cfg([*SETTINGS, *own]))
        try:
            if plain:
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
