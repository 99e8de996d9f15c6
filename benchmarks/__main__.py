"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console

from . import endtoend, engine, kernels, memory, replay, report, study, trainer
from .figures import Figure, document
from .machine import machine
from .timing import Effort

Group = Callable[[Effort, bool], Iterator[Figure]]


def _scaling(effort: Effort, quick: bool) -> Iterator[Figure]:
    yield from trainer.scaling(effort, quick)
    yield from replay.replay_scaling(effort, quick)


GROUPS: dict[str, Group] = {
    "update": trainer.updates,
    "plan": trainer.plans,
    "patches": trainer.patches,
    "kernels": kernels.kernels,
    "replay": replay.replay,
    "run": endtoend.end_to_end,
    "scaling": _scaling,
    "engine": engine.engine,
    "memory": memory.memory,
    "ablate": study.study,
}
QUICK = Effort(rounds=2, turn=0.01, limit=5.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the groups that are asked for, print them, and write them where asked."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.groups if name not in GROUPS]:
        parser.error(f"no group {unknown[0]}; there are {', '.join(GROUPS)}")
    torch.set_float32_matmul_precision("high")  # as the trainer does
    if options.threads:
        torch.set_num_threads(options.threads)
    effort = QUICK if options.quick else Effort(rounds=options.repeats)
    if options.cpu_time:
        torch.set_num_threads(1)
        effort = dataclasses.replace(effort, clock=time.process_time)
    groups = {name: GROUPS[name] for name in options.groups or GROUPS}
    if options.compile:
        groups["compile"] = trainer.compiled
    console = Console(width=None if sys.stdout.isatty() else 140)
    facts = machine(effort)
    report.show_machine(console, facts)
    notes = replay.skipped() if {"replay", "scaling"} & set(groups) else []
    for note in notes:
        console.print(note, markup=False)
    figures: list[Figure] = []
    for measure in groups.values():
        for _, found in groupby(measure(effort, options.quick), key=lambda figure: figure.group):
            figures += (shown := list(found))
            report.show(console, shown)
    if options.json:
        asked = {"groups": list(groups), "repeats": effort.rounds, "quick": options.quick}
        asked["clock"] = "CPU" if options.cpu_time else "wall"
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document(facts, asked, figures, notes), indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast the trainer and the tool are.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"which figures: {', '.join(GROUPS)}; default: all")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="rounds of each comparison (default 7)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch, except where a case has its own")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="one thread, and its CPU time instead of the wall clock: for comparisons on a busy machine",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="a few small cases, to see that it works")
    parser.add_argument("--compile", action="store_true", help="compiled against eager too; takes minutes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
