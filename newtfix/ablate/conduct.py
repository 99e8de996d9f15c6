"""Carries a plan out on this machine."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path

from newtfix.ablate import stages, trainers
from newtfix.ablate.display import shown
from newtfix.ablate.local import Now, Pool, settled
from newtfix.ablate.machine import Machine
from newtfix.ablate.runs import Folder, results
from newtfix.ablate.study import RESULTS, Plan, Run, write_lines
from newtfix.ablate.trees import Variants


def carry_out(study: Path, plan: Plan, variants: Variants, machine: Machine) -> frozenset[str]:
    """Make all runs of a plan, as far as they are needed; return those that the machine ended every time."""
    gc.enable()  # commands switch it off, as they are over soon
    trainers.must_run_here(variants.root, plan.trainer)

    def needed(given_up: frozenset[str]) -> Now:
        schedule = current(study, plan, given_up)
        return Now(schedule.needed, max(len(schedule.needed), min(plan.budget, len(schedule.runs))))

    with shown(plan, "runs") as show:
        lost = Pool(study, plan, variants, machine, show).work(needed)
    collect(study, plan)
    return lost


def make_runs(study: Path, plan: Plan, variants: Variants, machine: Machine, runs: Iterable[Run]) -> frozenset[str]:
    """Make some runs."""
    gc.enable()
    trainers.must_run_here(variants.root, plan.trainer)
    wanted = tuple(runs)
    with shown(plan, wanted[0].stage if wanted else "runs") as show:
        return Pool(study, plan, variants, machine, show).work(lambda given_up: Now(wanted, len(wanted)))


def current(study: Path, plan: Plan, given_up: frozenset[str] = frozenset()) -> stages.Schedule:
    """The schedule by the runs that are done. What a stage decides may call for more, so it is asked until it rests."""
    found = stages.schedule(plan, {})
    while True:
        later = stages.schedule(plan, settled(study, found.runs, given_up, plan.outcome))
        if later.runs == found.runs:
            return later
        found = later


def collect(study: Path, plan: Plan) -> None:
    """Write the results file: what the done-files say, in the order of the plan."""
    write_lines(study / RESULTS, results(study, current(study, plan).runs))


def seconds_per_run(study: Path, runs: Iterable[Run], steps: int) -> float | None:
    """How long a run of that many steps takes, by the seconds of runs that are done."""
    done = [(Folder(study, run).done, run) for run in runs]
    known = [(one["seconds"], run.steps or steps) for one, run in done if one and one["state"] == "finished"]
    return sum(s * steps / n for s, n in known) / len(known) if known else None
