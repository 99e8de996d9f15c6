"""Trainers made by a server are like those that are started one by one: output, environment, exit code, lock, end."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from newtfix.ablate import warm

MODULE = """
import json, os, sys, time
told = {"argv": sys.argv, "name": __name__, "one": os.environ.get("ONE"), "here": os.getcwd(), "group": os.getpgrp()}
print(json.dumps({**told, "pid": os.getpid(), "session": os.getsid(0)}), flush=True)
print("said", file=sys.stderr)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "PRELOADED", "json")
    (tmp_path / "small_trainer.py").write_text(MODULE)
    lock = (tmp_path / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def started(*arguments):
        variables = {"PYTHONPATH": str(tmp_path), "ONE": "1", "PATH": os.environ["PATH"]}
        with (tmp_path / "log").open("wb") as log, lock:
            return warm.Trainer("small_trainer", arguments, tmp_path, variables, log.fileno(), lock.fileno())

    return started


def test_the_kernel_is_asked_to_end_a_trainer_with_its_command_where_it_can(monkeypatch):
    asked = []
    monkeypatch.setattr(warm, "_PRCTL", lambda *words: asked.append(words))
    warm.end_with_parent()
    assert asked == [(1, signal.SIGKILL)]
    monkeypatch.setattr(warm, "_PRCTL", None)
    warm.end_with_parent()
    assert len(asked) == 1
    monkeypatch.setattr(sys, "platform", "darwin")
    assert warm._prctl() is None


def is_locked(path):
    with path.open("wb") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_it_is_what_the_command_would_be(start, tmp_path):
    trainer = start("0", "3")
    assert trainer.wait(30) == 3 and trainer.poll() == 3
    first, second = (tmp_path / "log").read_text().splitlines()
    said = json.loads(first)
    assert said["argv"][1:] == ["0", "3"] and said["name"] == "__main__" and second == "said"
    assert (said["one"], said["here"]) == ("1", str(tmp_path))
    assert said["group"] == said["pid"] == trainer.pid  # what it starts can be ended with it
    assert said["session"] == os.getsid(0)  # and it is as nice to other sessions as the command is


def test_it_holds_the_lock_as_long_as_it_lives(start, tmp_path):
    trainer = start("60", "0")
    with pytest.raises(subprocess.TimeoutExpired):
        trainer.wait(0.2)
    assert is_locked(tmp_path / "lock") and trainer.poll() is None
    trainer.kill()
    assert trainer.wait(30) == -signal.SIGKILL
    assert not is_locked(tmp_path / "lock")


def test_it_ends_with_the_command_that_started_it(tmp_path):
    (tmp_path / "small_trainer.py").write_text(MODULE)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom newtfix.ablate import warm\nwarm.PRELOADED = 'json'\n"
        "if __name__ == '__main__':\n"
        "    here = Path(sys.argv[1])\n    log = (here / 'log').open('wb')\n"
        "    warm.Trainer('small_trainer', ['60', '0'], here, {'PYTHONPATH': str(here)}, log.fileno(), log.fileno())\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "command.py").write_text(script)
    command = subprocess.Popen([sys.executable, str(tmp_path / "command.py"), str(tmp_path)])
    until = time.monotonic() + 30
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text().endswith("said\n"):
        assert time.monotonic() < until
        time.sleep(0.05)
    pid = json.loads((tmp_path / "log").read_text().splitlines()[0])["pid"]
    command.kill()
    command.wait()
    while time.monotonic() < until and is_alive(pid):
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
