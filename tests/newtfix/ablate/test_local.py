"""Runs on this machine: all of them, each once, whatever is killed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from newtfix.ablate import conduct
from newtfix.ablate.machine import Machine
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import read_plan
from newtfix.ablate.trees import Variants

COMMAND = [sys.executable, "-m", "newtfix", "ablate", "run"]


def carry_out(study, jobs=2, devices=()):
    plan = read_plan(study)
    return conduct.carry_out(study, plan, Variants.of(study, plan), Machine(jobs, 1, tuple(devices)))


def results(study):
    return (study / "results.jsonl").read_bytes()


@pytest.fixture(scope="module")
def unharmed(planned, tmp_path_factory):
    """The results of the study when nothing happens to it."""
    import shutil

    study = Path(shutil.copytree(planned / "study", tmp_path_factory.mktemp("unharmed") / "study"))
    assert carry_out(study) == frozenset()
    return results(study)


def test_every_run_has_a_done_file_and_a_line_of_results(unharmed):
    rows = [json.loads(line) for line in unharmed.decode().splitlines()]
    assert [row["state"] for row in rows] == ["finished"] * 8
    base, everything = (
        [row["scores"]["training"] for row in rows if bool(row["patches"]) is on] for on in (False, True)
    )
    assert min(everything) > max(base) + 40  # the patches were in


def test_finished_runs_are_skipped(study, unharmed):
    carry_out(study)
    before = {path: path.stat().st_mtime_ns for path in study.glob("runs/*/done.json")}
    assert len(before) == 8
    carry_out(study)
    assert {path: path.stat().st_mtime_ns for path in study.glob("runs/*/done.json")} == before
    assert results(study) == unharmed


def test_killed_at_random_times_ends_with_the_same_results(study, unharmed, monkeypatch):
    """Trainers and the command itself get SIGKILL; the command is started again until it is through."""
    monkeypatch.setenv("FAKE_PAUSE", "0.05")
    draw = random.Random(3)
    for attempt in range(12):
        command = subprocess.Popen([*COMMAND, str(study), "--jobs", "2"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + draw.uniform(0.8, 1.6)
        while attempt < 4 and time.monotonic() < until and command.poll() is None:
            time.sleep(0.2)
            if draw.random() < 0.4 and (trainers := _children(command.pid)):
                _kill(draw.choice(trainers))
        if attempt < 4:
            trainers = _children(command.pid)
            command.kill()
            command.wait()
            assert not _alive(trainers), "a trainer has outlived the command that was killed"
        elif command.wait() == 0:
            break
    assert command.returncode == 0
    assert results(study) == unharmed


def _children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def _kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _alive(pids):
    until = time.monotonic() + 5
    while time.monotonic() < until:
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        left = [path for path in states if path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"]
        if not left:
            return []
        time.sleep(0.05)
    return left


def test_a_killed_run_goes_on_from_its_checkpoint(study, unharmed, monkeypatch):
    monkeypatch.setenv("FAKE_PAUSE", "0.4")
    command = subprocess.Popen([*COMMAND, str(study), "--index", "0"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not (saved := list(study.glob("runs/*/out/**/2000.pt"))) and time.monotonic() < until:
        time.sleep(0.02)
    command.kill()
    command.wait()
    metrics = saved[0].parents[1] / "metrics.jsonl"
    born = metrics.stat().st_ino
    monkeypatch.setenv("FAKE_PAUSE", "0")
    carry_out(study)
    assert results(study) == unharmed
    assert metrics.stat().st_ino == born  # written on, not anew
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == list(range(1_000, 6_001, 1_000))
    assert not saved[0].parent.exists()  # nobody asked for checkpoints


def test_two_commands_share_a_study(study, unharmed, monkeypatch):
    monkeypatch.setenv("FAKE_PAUSE", "0.02")
    both = [subprocess.Popen([*COMMAND, str(study), "--jobs", "1"], stderr=subprocess.PIPE) for _ in range(2)]
    said = b"".join(one.communicate()[1] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert len(re.findall(rb" in \d+ s", said)) == 8  # no run was made twice
    assert results(study) == unharmed


def test_ctrl_c_ends_the_trainers_and_leaves_a_study_that_goes_on(study, unharmed, monkeypatch):
    monkeypatch.setenv("FAKE_PAUSE", "0.2")
    command = subprocess.Popen([*COMMAND, str(study), "--jobs", "2"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while not (trainers := _children(command.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    command.send_signal(signal.SIGINT)
    assert command.wait() == 130
    assert trainers and not _alive(trainers)
    monkeypatch.setenv("FAKE_PAUSE", "0")
    carry_out(study)
    assert results(study) == unharmed


def test_a_diverged_run_is_a_result(study, monkeypatch):
    monkeypatch.setenv("FAKE_FAILS", "rho")
    monkeypatch.setenv("FAKE_HOW", "diverge")
    assert carry_out(study) == frozenset()
    rows = [json.loads(line) for line in results(study).decode().splitlines()]
    failed = [row for row in rows if row["state"] == "failed"]
    assert [len(rows), len(failed)] == [8, 4]
    assert all(row["scores"]["training"] is not None and "diverged" in row["reason"] for row in failed)


def test_a_run_that_the_machine_ends_twice_is_reported_and_not_scored(study, unharmed, monkeypatch):
    monkeypatch.setenv("FAKE_FAILS", "rho")
    monkeypatch.setenv("FAKE_HOW", "memory")
    lost = carry_out(study)
    plan = read_plan(study)
    runs = [run for run in conduct.current(study, plan).runs if run.patches == plan.all]
    assert lost == {run.id for run in runs}
    assert all(len(Folder(study, run).attempts) == 2 and Folder(study, run).done is None for run in runs)
    monkeypatch.delenv("FAKE_FAILS")
    assert carry_out(study) == frozenset()  # started again, they have another chance
    assert results(study) == unharmed


def test_runs_take_turns_on_devices_and_share_one_compile_cache(study):
    carry_out(study, jobs=4, devices=("0", "1"))
    seen = [json.loads(path.read_text()) for path in study.glob("runs/*/out/**/environment.json")]
    assert {one["CUDA_VISIBLE_DEVICES"] for one in seen} == {"0", "1"}
    assert {one["OMP_NUM_THREADS"] for one in seen} == {"1"}
    assert {one["TORCHINDUCTOR_CACHE_DIR"] for one in seen} == {str(study / "cache" / "inductor")}
