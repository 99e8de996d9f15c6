"""`newtfix train`: signals reach the script of the tree, and it never outlives the command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
