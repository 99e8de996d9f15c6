"""What a machine lacks is said in one line with the way out, before anything is built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from newt_base import train
from newt_base.common import machine
from newt_base.common.replay import saved_statement
from newt_base.config import Config

ROOT = Path(__file__).parents[2]
QUICK = ["task=cartpole-balance", "preset=cpu", "random_baseline=false", "plot=false"]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("device=mps", "finds no MPS device here; use device=cpu"),
        ("buffer_device=mps", "finds no MPS device here"),
        ("device=cuda:3", "use device=cpu" if not torch.cuda.is_available() else "CUDA devices here, counted from 0"),
    ],
)
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="it is there")
def test_devices_that_are_not_there(setting, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main([*QUICK, setting]) == 2
    said = capsys.readouterr().err
    assert problem in said and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("cuda", "name"), [(False, "g++"), (True, "gcc")])
def test_a_compiler_that_is_not_there(cuda, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    assert train.main([*QUICK, "compile=true"]) == 2
    said = capsys.readouterr().err
    assert f"compile=true needs a compiler, and there is no {name} here\n  valid: compile=false" in said
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_full(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.\nmore")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "TDMPC2", full)
    assert train.main(QUICK) == 2
    said = capsys.readouterr().err
    assert "device=auto has no room for the agent: CUDA out of memory. Tried to allocate 2.00 MiB.\n  valid:" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["nonsense", "osmesa"])
def test_what_mujoco_gl_names_is_not_needed_where_it_does_not_work(value):
    code = "from newt_base.envs import make_single_env as m; print(m('mujoco-hopper', 1, None, 5).reset()[0].shape)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MUJOCO_GL": value},
    )  # fmt: skip
    assert done.stdout == "(11,)\n", done.stderr
    if value == "nonsense" or done.stderr:
        assert (
            done.stderr.startswith(f"warning: MUJOCO_GL={value} does not work here (")
            and len(done.stderr.splitlines()) == 1
        )


def test_room_for_checkpoints_is_said(tmp_path):
    settings = {"work_dir": tmp_path, "save_freq": 1000, "steps": 10_000, "buffer_size": 5_000}
    assert "up to 4 replays of up to 1 MB, 4 MB in all (keep=3); " in saved_statement(Config(**settings), 200)
    assert "up to 12 replays" in saved_statement(Config(keep=None, **settings), 200)
    assert "WARNING: only" in saved_statement(Config(**settings), 10**15)
