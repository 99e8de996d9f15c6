"""Clusters: the same runs and results through submitit, with its local and debug engines and a real SLURM."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from newtfix.ablate import conduct
from newtfix.ablate.study import read_plan
from newtfix.ablate.submit import Job, Resources, _parameters, await_jobs, dealt, open_runs, script
from newtfix.cli import app
from newtfix.errors import UsageError

from .cluster import Slurm
from .studies import end


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def states(study):
    return [json.loads(line)["state"] for line in (study / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("engine", ("debug", "local"))
def test_an_engine_makes_all_runs(study, engine):
    pytest.importorskip("submitit")
    done = call("ablate", "submit", study, "--engine", engine, "--wait", "--runs-per-job", 2)
    assert done.exit_code == 0, done.output
    assert states(study) == ["finished"] * 8
    assert "nothing to submit" in call("ablate", "submit", study, "--engine", engine).output


def test_jobs_on_one_machine_have_a_list_each_and_on_a_cluster_a_few_runs(study, monkeypatch):
    monkeypatch.setattr("newtfix.ablate.submit.processors", lambda: 3)
    assert [job.indices for job in dealt(study, range(8), "local", 1, 1)] == [(0, 3, 6), (1, 4, 7), (2, 5)]
    assert [job.indices for job in dealt(study, range(8), "slurm", 3, 1)] == [(0, 1, 2), (3, 4, 5), (6, 7)]


def test_the_script_makes_every_run_once(study, tmp_path):
    plan = read_plan(study)
    text = script(study, plan, [0, 2, 3, 5, 7], 2, Resources(partition="gpu", minutes=60, gpus=1, more={"qos": "low"}))
    for option in ("--array=0-2", "--cpus-per-task=2", "--time=60", "--partition=gpu", "--gpus=1", "--qos=low"):
        assert f"#SBATCH {option}\n" in text
    shown = text.replace(f"{sys.executable} -m newtfix", "echo")
    lines = [
        subprocess.run(
            ["bash", "-c", shown], env={"SLURM_ARRAY_TASK_ID": str(n)}, capture_output=True, text=True
        ).stdout
        for n in range(3)
    ]
    made = sorted(int(line.split("--index ")[1].split()[0]) for part in lines for line in part.splitlines())
    assert made == [0, 2, 3, 5, 7]


def test_what_submitit_lacks_is_said(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    refused = call("ablate", "submit", study)
    assert refused.exit_code == 4 and "newtfix[cluster]" in refused.output
    assert call("ablate", "submit", study, "--engine", "pbs").exit_code == 2
    assert call("ablate", "submit", study, "--slurm", "qos").exit_code == 2


@pytest.mark.skipif(not shutil.which("slurmctld"), reason="Debian's slurm is not installed")
def test_a_real_slurm_makes_all_runs(study, slurm):
    pytest.importorskip("submitit")
    done = call("ablate", "submit", study, "--engine", "slurm", "--time", 5, "--wait")
    assert done.exit_code == 0, done.output
    assert open_runs(study, read_plan(study)) == ([], "")
    assert states(study) == ["finished"] * 8


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """A SLURM of one node; docs/ablation.md has the recipe."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.parametrize(
    ("words", "says"),
    (
        (("--engine", "sge"), "there is no engine 'sge'"),
        (("--runs-per-job", 0), "--runs-per-job is at least 1"),
        (("--slurm", "qos"), "--slurm qos: it is KEY=VALUE"),
    ),
)
def test_what_is_wrong_is_said(study, words, says):
    refused = call("ablate", "submit", study, *words)
    assert refused.exit_code == 2 and says in refused.output and not (study / "runs").exists()


def test_a_script_is_printed_with_options_of_slurm(study):
    done = call("ablate", "submit", study, "--print", "--slurm", "--gres-flags=disable-binding")
    assert done.exit_code == 0 and done.stdout.startswith("#!")
    assert "#SBATCH --gres-flags=disable-binding\n" in done.stdout


def test_resources_are_asked_for_by_the_names_that_an_engine_knows(study):
    plan, jobs = read_plan(study), dealt(study, range(4), "slurm", 2, 1)
    asked = Resources(partition="gpu", minutes=60, gpus=1, memory=8, more={"qos": "low", "slurm_nice": "5"})
    common = {"name": "newtfix", "timeout_min": 60, "gpus_per_node": 1}
    assert _parameters(plan, "local", jobs, asked) == common
    own = {"slurm_partition": "gpu", "slurm_qos": "low", "slurm_nice": "5"}
    assert _parameters(plan, "slurm", jobs, asked) == {**common, "cpus_per_task": 2, "mem_gb": 8, **own}
    assert _parameters(plan, "slurm", jobs, Resources(minutes=5)).keys() == {"name", "timeout_min", "cpus_per_task"}
    with pytest.raises(UsageError, match="there is nothing to submit"):
        script(study, plan, [], 2, asked)


class Submitted:
    """A job of an engine that is over; its first looks find it at work."""

    def __init__(self, problem=None, looks=0):
        self.job_id, self._problem, self._looks = "7_1", problem, looks

    def done(self):
        self._looks -= 1
        return self._looks < 0

    def exception(self):
        return self._problem


def test_a_job_that_ends_without_its_runs_says_why(study, monkeypatch):
    monkeypatch.setattr("newtfix.ablate.submit._PAUSE", 0)
    plan = read_plan(study)
    jobs = [Job(study, (index,), 1) for index in range(3)]
    end(study, conduct.current(study, plan).runs[0], 100.0)
    failed = RuntimeError("srun said\nout of memory\n")
    submitted = [Submitted(failed, looks=9), Submitted(looks=2), Submitted(failed)]
    assert await_jobs(study, plan, jobs, submitted) == ["job 7_1: out of memory"]


def test_what_went_wrong_in_jobs_is_said_and_what_comes_later(study, monkeypatch):
    for name, result in (
        ("open_runs", ([0, 1], "the screen")),
        ("submit", [Submitted()]),
        ("await_jobs", ["job 7_1: out of memory"]),
    ):
        monkeypatch.setattr(f"newtfix.commands.ablate_submit.{name}", lambda *_, result=result: result)
    done = call("ablate", "submit", study, "--wait")
    assert done.exit_code == 1 and "job 7_1: out of memory\n" in done.output
    assert "More runs are known after the screen: submit again then." in done.output


def test_an_engine_that_refuses_is_said(study, monkeypatch):
    submitit = pytest.importorskip("submitit")

    def refuse(**_):
        raise RuntimeError("no sbatch")

    monkeypatch.setattr(submitit, "AutoExecutor", refuse)
    refused = call("ablate", "submit", study)
    assert refused.exit_code == 4 and "submitit's engine slurm cannot take the jobs: no sbatch" in refused.output
    job = Job(study, (3,), 2)
    assert job.checkpoint().args == () and job.checkpoint().function == job, "displaced, it is queued again"
