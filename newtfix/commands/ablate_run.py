"""`newtfix ablate run`: makes the runs of a study that are not made yet, or one of them."""

from __future__ import annotations

from pathlib import Path

from newtfix import report
from newtfix.ablate import conduct
from newtfix.ablate.findings import find
from newtfix.ablate.machine import this_machine
from newtfix.ablate.runs import Folder
from newtfix.ablate.sentences import answer
from newtfix.ablate.study import Plan, Run, read_plan
from newtfix.ablate.trees import Variants
from newtfix.commands.ablate import NEEDED
from newtfix.errors import NewtfixError, UsageError
from newtfix.running import require_libraries


def run(folder: Path, jobs: int | None, index: int | None, runs_per_gpu: int) -> int:
    plan = read_plan(folder)
    require_libraries("an ablation", NEEDED)
    variants = Variants.of(folder, plan)
    machine = this_machine(jobs, plan.threads, runs_per_gpu)
    if index is None:
        lost = conduct.carry_out(folder, plan, variants, machine)
        found = find(folder, plan)
        report.say(f"{answer(found)}\nAll of it: newtfix report {folder}")
        silent = bool(found.silent)
    else:
        one = _run(folder, plan, index)
        if one is None:
            report.say(f"Run {index} is not needed: what it would show is decided already.")
            return 0
        lost = conduct.make_runs(folder, plan, variants, machine, [one])
        if not lost and Folder(folder, one).done is None:
            raise NewtfixError(f"run {index} is under way elsewhere", where=str(Folder(folder, one).path))
        done = Folder(folder, one).done or {}
        silent = done.get("state") == "finished" and (done.get("scores") or {}).get(plan.outcome) is None
    for name in sorted(lost):
        report.say(f"{name}: ended by the machine twice; it has no score. Run the same again to try once more.")
    return 1 if lost or silent else 0


def _run(folder: Path, plan: Plan, index: int) -> Run | None:
    """The run with that number; None: it is not needed."""
    schedule = conduct.current(folder, plan)
    if not 0 <= index < len(schedule.runs):
        waits = f"; more are known after {schedule.open}" if schedule.open else ""
        raise UsageError(f"there is no run {index}: they are 0 to {len(schedule.runs) - 1}{waits}")
    one = schedule.runs[index]
    return one if one in schedule.needed or not schedule.stopped else None
