"""Runs on a cluster: jobs for submitit, and a script for SLURM without it. The done-files tell what is finished."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newtfix.ablate import conduct
from newtfix.ablate.machine import processors, this_machine
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import Plan, read_plan
from newtfix.ablate.trees import Variants
from newtfix.errors import NewtfixError, UsageError

ENGINES = ("slurm", "local", "debug")
JOBS = "jobs"  # submitit's files
_PAUSE = 0.2  # seconds between two looks at jobs


@dataclass(frozen=True)
class Resources:
    """What a job asks for. `minutes`: its time limit. `more`: parameters by submitit's names for them, slurm_..."""

    partition: str = ""
    minutes: int = 24 * 60
    gpus: int = 0
    memory: int = 0  # GB, 0: the cluster's own
    more: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Job:
    """Some runs of a study, `at_once` of them at a time. Started again, it skips what is done."""

    study: Path
    indices: tuple[int, ...]
    at_once: int

    def __call__(self) -> int:
        """Make the runs; return how many the machine ended every time."""
        plan = read_plan(self.study)
        runs = conduct.current(self.study, plan).runs
        machine = this_machine(self.at_once, plan.threads, self.at_once)
        wanted = [runs[index] for index in self.indices]
        return len(conduct.make_runs(self.study, plan, Variants.of(self.study, plan), machine, wanted))

    def checkpoint(self) -> Any:
        """What submitit queues when the time is over or the job is displaced: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def open_runs(study: Path, plan: Plan) -> tuple[list[int], str]:
    """The numbers of the runs that are needed and not done, and what later ones wait for."""
    schedule = conduct.current(study, plan)
    needed = set(schedule.needed)
    wanted = [n for n, run in enumerate(schedule.runs) if run in needed and Folder(study, run).done is None]
    return wanted, schedule.open


def dealt(study: Path, indices: Sequence[int], engine: str, runs_per_job: int, threads: int) -> list[Job]:
    """The jobs. On one machine submitit has no queue: as many jobs as there are processors have a list of runs each."""
    if engine == "slurm":
        groups = [tuple(indices[n : n + runs_per_job]) for n in range(0, len(indices), runs_per_job)]
        return [Job(study, group, runs_per_job) for group in groups]
    count = 1 if engine == "debug" else min(len(indices), max(1, processors() // (threads * runs_per_job)))
    return [Job(study, tuple(indices[n::count]), runs_per_job) for n in range(count)]


def submit(study: Path, plan: Plan, engine: str, jobs: Sequence[Job], resources: Resources) -> list[Any]:
    """Hand jobs to submitit, as one array; returns its jobs."""
    try:
        import submitit
    except ImportError:
        raise NewtfixError(
            "submitting needs submitit, which this Python does not have",
            where=sys.executable,
            hint="Install it: pip install 'newtfix[cluster]'. Or take the script of --print.",
        ) from None
    try:
        executor = submitit.AutoExecutor(folder=(study / JOBS).resolve(), cluster=engine)
        executor.update_parameters(**_parameters(plan, engine, jobs, resources))
        with executor.batch():
            submitted = [executor.submit(job) for job in jobs]
        return submitted
    except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedJobError) as error:
        raise NewtfixError(
            f"submitit's engine {engine} cannot take the jobs: {error}",
            hint="Is SLURM there (sinfo)? Else run them here: newtfix ablate run, or take the script of --print.",
        ) from error


def _parameters(plan: Plan, engine: str, jobs: Sequence[Job], resources: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "newtfix", "timeout_min": resources.minutes}
    found["cpus_per_task"] = plan.threads * max(job.at_once for job in jobs)
    if resources.gpus:
        found["gpus_per_node"] = resources.gpus
    if resources.memory:
        found["mem_gb"] = resources.memory
    if engine != "slurm":
        return {name: value for name, value in found.items() if name in ("name", "timeout_min", "gpus_per_node")}
    if resources.partition:
        found["slurm_partition"] = resources.partition
    return found | {f"slurm_{name.removeprefix('slurm_')}": value for name, value in (resources.more or {}).items()}


def script(study: Path, plan: Plan, indices: Sequence[int], runs_per_job: int, resources: Resources) -> str:
    """An sbatch script of an array, a job for every `runs_per_job` of the runs."""
    if not indices:
        raise UsageError("there is nothing to submit: all runs that are known are done")
    folder = study.resolve()
    options = [
        "--job-name=newtfix",
        f"--array=0-{(len(indices) - 1) // runs_per_job}",
        f"--cpus-per-task={plan.threads * runs_per_job}",
        f"--time={resources.minutes}",
        "--requeue",
        f"--output={shlex.quote(str(folder / JOBS / '%A_%a.log'))}",
    ]
    options += [f"--partition={resources.partition}"] if resources.partition else []
    options += [f"--gpus={resources.gpus}"] if resources.gpus else []
    options += [f"--mem={resources.memory}G"] if resources.memory else []
    options += [f"--{name.replace('_', '-')}={value}" for name, value in (resources.more or {}).items()]
    run = f"{shlex.quote(sys.executable)} -m newtfix ablate run {shlex.quote(str(folder))}"
    lines = ["#!/bin/bash", *(f"#SBATCH {one}" for one in options), f"runs=({' '.join(map(str, indices))})"]
    lines += [
        f"first=$((SLURM_ARRAY_TASK_ID * {runs_per_job}))",
        f'for index in "${{runs[@]:first:{runs_per_job}}}"; do',
    ]
    return "\n".join([*lines, f'  {run} --index "$index" --jobs 1 &', "done", "wait"]) + "\n"


def await_jobs(study: Path, plan: Plan, jobs: Sequence[Job], submitted: Sequence[Any]) -> list[str]:
    """Wait for jobs, and return what went wrong in them. A job is over when its runs are done, or when it says so."""
    runs = conduct.current(study, plan).runs
    wrong = []
    for job, one in zip(jobs, submitted, strict=True):
        if type(one).__name__ != "DebugJob":  # that one works when it is asked for its result
            while not one.done() and any(Folder(study, runs[index]).done is None for index in job.indices):
                time.sleep(_PAUSE)
            if all(Folder(study, runs[index]).done is not None for index in job.indices):
                continue
        if problem := one.exception():
            wrong.append(f"job {one.job_id}: {str(problem).strip().splitlines()[-1]}")
    return wrong
