"""Clusters: the same runs and results through submitit, with its local and debug engines and a real SLURM."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from newtfix.ablate.study import read_plan
from newtfix.ablate.submit import Resources, dealt, open_runs, script
from newtfix.cli import app

from .cluster import Slurm


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
