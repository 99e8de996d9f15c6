"""Studies whose truth is known: plans, and done-files as runs would leave them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from newtfix.ablate import conduct
from newtfix.ablate.planning import allocated
from newtfix.ablate.runs import Folder
from newtfix.ablate.scores import scores
from newtfix.ablate.study import Plan, Run, save_plan, write_json, write_lines

FACTORS = ("actor-modes", "burst", "first-obs", "mu-std", "prior-coef", "q-dropout", "rho", "scale-order")
Truth = Callable[[frozenset[str]], float]


def plan(budget: int = 24, design: str = "screen", **changes: object) -> Plan:
    """A plan of eight factors behind the gate seeding."""
    made = Plan(
        settings=("task=cartpole-swingup", "preset=cpu"),
        task="cartpole-swingup",
        steps=6_000,
        threads=1,
        tree="",
        files={"trainer.py": "0123"},
        package="newt_base",
        folders=(),
        patches={},
        on=(),
        gates=("seeding",),
        factors=FACTORS,
        aside={"target-q": "inert", "planner-stats": "already in the code"},
        design=design,
        budget=0,
        blocks=0,
        pairs=0,
        confirm=0,
        version="0.1.0",
        inert_steps=6_000,
    )
    return allocated(replace(made, **changes), budget)


def additive(on: frozenset[str]) -> float:
    """prior-coef and rho add up, burst hurts, seeding counts by itself; all others do nothing."""
    return 60 + 40 * ("prior-coef" in on) + 25 * ("rho" in on) - 15 * ("burst" in on) + 20 * ("seeding" in on)


def end(study: Path, run: Run, score: float, state: str = "finished", steps: int = 6_000) -> None:
    """The done-file of a run whose training return grows to twice its mean."""
    line = [(step, score * 2 * step / 6_000) for step in range(1_000, steps + 1, 1_000)]
    rows = [{"category": "train", "step": step, "episode_reward": value, "pi_loss": 0.5} for step, value in line]
    folder = Folder(study, run)
    write_lines(folder.path / "out" / "metrics.jsonl", rows)
    write_json(
        folder.path / "done.json",
        {
            "schema": 1,
            "id": run.id,
            "seed": run.seed,
            "patches": list(run.patches),
            "state": state,
            "exit_code": 0 if state == "finished" else 1,
            "reason": "" if state == "finished" else "Training diverged",
            "steps": steps,
            "scores": scores(line, [], 6_000, state == "finished"),
            "training": line,
            "evaluations": [],
            "seconds": 60.0,
            "attempts": 0,
            "device": "",
        },
    )


def simulate(study: Path, made: Plan, truth: Truth = additive, noise: float = 8.0, most: int = 10_000) -> Path:
    """Carry a plan out in no time; `most` runs at most."""
    save_plan(study, made)
    for _ in range(50):
        ended = 0
        for run in conduct.current(study, made).needed:
            if Folder(study, run).done is None and most > 0:
                scatter = np.random.default_rng([run.seed, int(run.id.split("-")[1], 16)]).normal(0, noise)
                end(study, run, truth(frozenset(run.patches)) + scatter)
                ended, most = ended + 1, most - 1
        if not ended:
            break
    return study


def ids(runs: Iterable[Run]) -> list[str]:
    return [run.id for run in runs]
