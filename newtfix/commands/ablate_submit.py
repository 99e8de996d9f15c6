"""`newtfix ablate submit`: hands the runs of a study to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.ablate import conduct
from newtfix.ablate.study import read_plan
from newtfix.ablate.submit import ENGINES, JOBS, Resources, await_jobs, dealt, open_runs, script, submit
from newtfix.errors import UsageError


def run(
    folder: Path,
    engine: str,
    runs_per_job: int,
    resources: dict[str, Any],
    more: Sequence[str],
    print_script: bool,
    wait: bool,
) -> int:
    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}", hint=f"There are: {', '.join(ENGINES)}")
    if runs_per_job < 1:
        raise UsageError("--runs-per-job is at least 1")
    plan = read_plan(folder)
    asked = Resources(**resources, more=dict(_pair(one) for one in more))
    indices, waits = open_runs(folder, plan)
    if print_script:
        report.out(script(folder, plan, indices, runs_per_job, asked).rstrip())
        return 0
    if not indices:
        report.say("There is nothing to submit: all runs that are known are done or under way.")
        return 0
    jobs = dealt(folder.resolve(), indices, engine, runs_per_job, plan.threads)
    submitted = submit(folder, plan, engine, jobs, asked)
    report.say(f"{len(indices)} runs in {len(jobs)} jobs, {submitted[0].job_id} ...; their logs are in {folder / JOBS}")
    wrong = await_jobs(folder, plan, jobs, submitted) if wait or engine == "debug" else []
    for line in wrong:
        report.say(line)
    conduct.collect(folder, plan)
    if waits:
        report.say(f"More runs are known after {waits}: submit again then.")
    report.say(f"See how it goes: newtfix ablate status {folder}")
    return 1 if wrong else 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--slurm {text}: it is KEY=VALUE")
    return name.lstrip("-").replace("-", "_"), value
