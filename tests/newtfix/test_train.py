"""`newtfix train`: signals reach the script of the tree, and it never outlives the command."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from newtfix.commands import train
from newtfix.errors import UsageError
from newtfix.work.places import base_tree
from newtfix.work.session import Target

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys, time
told = open("told", "a")
def end(number, frame):
    print("ended", number, file=told, flush=True)
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
print(os.getpid(), file=told, flush=True)
time.sleep(60)
"""


@pytest.fixture
def running(tmp_path):
    """A trainer that waits, started by the command; yields the command and the trainer's number."""
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "newtfix", "train", "--tree", str(tmp_path)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    told = tmp_path / "told"
    wait_for(lambda: told.exists() and told.read_text().endswith("\n"))
    yield process, int(told.read_text()), told
    process.kill()
    process.wait()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def is_there(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_request_to_end_reaches_the_trainer_once(running, number):
    process, _, told = running
    os.killpg(process.pid, number)
    assert process.wait(60) == 128 + number
    assert told.read_text().splitlines()[1:] == [f"ended {int(number)}"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does that")
def test_the_trainer_ends_when_the_command_is_killed(running):
    process, trainer, told = running
    process.kill()
    wait_for(lambda: "ended" in told.read_text())
    wait_for(lambda: not is_there(trainer))


def test_a_library_that_the_trees_own_trainer_lacks_is_named(tmp_path):
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "train.py").write_text("import os\nimport helper\nfrom no_such_library.parts import x\n")
    command = [sys.executable, "-m", "newtfix", "train", "--tree", str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 4 and "train.py of this tree needs no_such_library" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_a_patch_brings_is_told_with_the_patch(tmp_path):
    base = Target(base_tree(), Path("newt_patched"), new=True)
    train._must_have_settings(["task=walker-walk", "my_own_setting=1"], base)
    with pytest.raises(UsageError, match="the setting dropout comes with the patch q-dropout, which is not in"):
        train._must_have_settings(["dropout=0.1"], base)
    train._must_have_settings(["dropout=0.1"], Target(tmp_path, tmp_path))


def test_a_script_that_this_python_cannot_read_says_nothing_of_what_it_needs(tmp_path):
    (tmp_path / "train.py").write_text("import yaml\nx = (\n")
    assert train._imports(tmp_path / "train.py") == []


class Trainer:
    """A trainer that is slow to start: the command gets a signal before there is one, and another while it waits."""

    def __init__(self, command, **named):
        self.command, self.heard = command, []
        signal.raise_signal(signal.SIGHUP)
        Trainer.last = self

    def send_signal(self, number):
        self.heard.append(number)

    def wait(self):
        signal.raise_signal(signal.SIGTSTP)
        return -signal.SIGTERM


def test_signals_before_there_is_a_trainer_are_handed_on_and_a_stop_stops_both(monkeypatch):
    stopped = []
    monkeypatch.setattr(subprocess, "Popen", Trainer)
    monkeypatch.setattr(os, "kill", lambda *words: stopped.append(words))
    before = [signal.getsignal(number) for number in train._HANDED_ON]
    code = train._wait(train._Launch(("train.py",), None, None), ["steps=1"], keep_clean=True)
    assert code == 128 + signal.SIGTERM
    assert Trainer.last.command == [sys.executable, "-B", "train.py", "steps=1"]
    assert Trainer.last.heard == [signal.SIGHUP, signal.SIGTSTP]
    assert stopped == [(os.getpid(), signal.SIGSTOP)]
    assert [signal.getsignal(number) for number in train._HANDED_ON] == before


@pytest.mark.parametrize(("ends", "code"), [("os._exit(0)", 1), ("os._exit(3)", 3), ("sys.exit(0)", 0)])
def test_a_trainer_that_ends_without_a_word_before_its_run_is_over(tmp_path, ends, code):
    script = f"""
    import os, sys
    from newt_base.common.folder import held
    with held("runs/cup-catch/1/default"):
        {ends}
    """
    (tmp_path / "train.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-m", "newtfix", "train", "--tree", str(tmp_path), "out_dir=runs"], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("the trainer ended before its run was over" in done.stderr) == (code == 1)
    assert "runs/cup-catch/1/default" in done.stderr or code != 1


def test_a_trainer_whose_command_is_gone_already_does_not_begin(monkeypatch):
    asked = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(prctl=lambda *words: asked.append(words)))
    monkeypatch.setattr(os, "_exit", lambda code: asked.append(code))
    train._end_with(os.getppid())()
    assert asked == [(1, signal.SIGTERM)]
    train._end_with(os.getpid())()
    assert asked == [(1, signal.SIGTERM)] * 2 + [128 + signal.SIGTERM]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert train._end_with(os.getppid()) is None


@pytest.mark.parametrize("new", [True, False])
def test_newt_base_runs_without_a_note_and_leaves_no_byte_code(tmp_path, monkeypatch, capsys, new):
    (tmp_path / "train.py").write_text("import torch\n")
    ran = []
    monkeypatch.setattr(train, "find_target", lambda _: Target(tmp_path, Path("newt_patched"), new=new))
    monkeypatch.setattr(train, "_wait", lambda *words, keep_clean: ran.append(keep_clean) or 7)
    assert train.run_script("train", "Training", [], None) == 7
    said = capsys.readouterr().err
    assert ran == [new] and ("newt_base itself" in said) is new
    assert ("runs the code of" in said) is not new
