"""Patches that change nothing at a study's settings: short runs with the same seed whose metrics are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from newtfix.ablate.runs import Folder
from newtfix.ablate.scores import read_metrics
from newtfix.ablate.study import Run

SEED = 1


def alone(on: Sequence[str], factors: Sequence[str], steps: int) -> dict[str, tuple[Run, Run]]:
    """For each patch the run without any, and the one with it alone, both with what is always on."""
    return {name: (_run(on, steps), _run([*on, name], steps)) for name in factors}


def left_out(on: Sequence[str], factors: Sequence[str], names: Sequence[str], steps: int) -> dict[str, tuple[Run, Run]]:
    """For patches that change nothing alone: do they among all the others?"""
    everything = [*on, *factors]
    return {name: (_run(everything, steps), _run([one for one in everything if one != name], steps)) for name in names}


def same(study: Path, pair: tuple[Run, Run]) -> bool:
    """Whether two runs logged the same, to the last digit, in all that both of them log; nothing is never the same."""
    first, second = (Folder(study, run) for run in pair)
    states = [(one.done or {}).get("state") for one in (first, second)]
    return states == ["finished", "finished"] and same_rows(read_metrics(first.path), read_metrics(second.path))


def same_rows(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> bool:
    """Patches may log more than the tree does, so only what both log counts; they must log of learning."""
    if len(first) != len(second) or not any("loss" in name for row in first for name in row):
        return False
    return all(
        all(repr(one[name]) == repr(two[name]) for name in one.keys() & two.keys())
        for one, two in zip(first, second, strict=True)
    )


def _run(patches: Sequence[str], steps: int) -> Run:
    return Run(SEED, tuple(sorted(set(patches))), "inertness", steps)
