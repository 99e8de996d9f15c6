"""`newtfix ablate`: plans a study and runs it here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.ablate import conduct, planning
from newtfix.ablate.findings import find
from newtfix.ablate.machine import Machine, this_machine
from newtfix.ablate.study import PLAN, Plan, Run, read_plan, save_plan
from newtfix.ablate.trees import Variants
from newtfix.ablate.wish import Wish, must_be_possible
from newtfix.ablate.words import plan_lines
from newtfix.errors import UsageError
from newtfix.files import state
from newtfix.running import require_libraries

NEEDED = ("numpy", "scipy", "matplotlib", "torch")


def run(
    settings: Sequence[str],
    options: dict[str, Any],
    folder: Path,
    plan_only: bool,
    jobs: int | None,
    runs_per_gpu: int,
    as_json: bool,
) -> int:
    require_libraries("an ablation", NEEDED)
    wish = Wish(tuple(_checked(settings)), **options)
    must_be_possible(wish)
    plan = _plan(folder, wish, jobs, runs_per_gpu)
    if plan_only or not as_json:
        for line in plan_lines(plan):
            report.say(line)
    if plan_only:
        return _planned(folder, plan, as_json)
    lost = conduct.carry_out(folder, plan, Variants.of(folder, plan), this_machine(jobs, plan.threads, runs_per_gpu))
    from newtfix.commands.report import run as say_findings

    silent = find(folder, plan).silent
    return say_findings(folder, None, None, False, as_json) or int(bool(lost or silent))


def _checked(settings: Sequence[str]) -> Iterable[str]:
    for one in settings:
        if "=" not in one or one.startswith("-"):
            raise UsageError(f"{one!r} is not of the form key=value", hint="See `newtfix ablate --help`.")
        yield one


def _plan(folder: Path, wish: Wish, jobs: int | None, runs_per_gpu: int) -> Plan:
    """The plan that the folder holds, or a new one."""
    if (folder / PLAN).exists():
        before = read_plan(folder)
        plan = planning.extended(before, wish)
        if plan != before:
            save_plan(folder, plan)
        return plan
    _must_be_new(folder)
    short: list[Run] = []
    variants = Variants(folder, Path(wish.tree).absolute() if wish.tree else None, [Path(p) for p in wish.patches])

    def machine(plan: Plan) -> Machine:
        return this_machine(jobs, plan.threads, runs_per_gpu)

    def work(plan: Plan, runs: Iterable[Run]) -> None:
        wanted = list(runs)
        short.extend(wanted)
        conduct.make_runs(folder, plan, variants, machine(plan), wanted)

    def rate(plan: Plan) -> float:
        if not short:
            work(plan, [Run(1, plan.all, "timing", min(plan.steps, 3_000))])
        seconds = conduct.seconds_per_run(folder, short, plan.steps) or 3600.0
        return 3600 * machine(plan).jobs / seconds

    with suppress(OSError):  # what cannot be read is refused when it is loaded
        # The user named them; later commands, and jobs, read in the plan that they are to be run.
        if wish.patches:
            state.allow({os.path.realpath(one): state.contents(Path(one)) for one in wish.patches})
    plan = planning.make(folder, wish, work, rate, report.say)
    save_plan(folder, plan)
    return plan


def _must_be_new(folder: Path) -> None:
    ours = {"inert", "trees", "cache", "runs"}
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="Give another --dir.")
    other = [one.name for one in folder.iterdir() if one.name not in ours] if folder.is_dir() else []
    if other:
        raise UsageError(f"{folder} holds other things: {', '.join(sorted(other)[:3])}", hint="Give an empty --dir.")


def _planned(folder: Path, plan: Plan, as_json: bool) -> int:
    schedule = conduct.current(folder, plan)
    if as_json:
        from newtfix.ablate.words import plan_json

        report.emit_json(plan_json(plan, schedule))
    report.say(f"{len(schedule.runs)} runs are known. Run them here: newtfix ablate run {folder}")
    return 0
