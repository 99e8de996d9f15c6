"""A process that runs a tree has limits, and no network where the system can take it away."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from newtfix.files import confines
from newtfix.running import Importable, end_confined, first_run_note, last_words, start_confined

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from newtfix.files.confines import confine
before = os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net") else []
confine()
def reach(address):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        return one.connect_ex(address)
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    itself = reach(server.getsockname())
print(json.dumps({
    "files": resource.getrlimit(resource.RLIMIT_FSIZE), "memory": resource.getrlimit(resource.RLIMIT_DATA),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "itself": itself, "out": reach(("192.0.2.1", 9)),
    "space": os.readlink("/proc/self/ns/net"), "user": os.getuid(),
}))
"""


def test_limits_and_no_network() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT)], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["files"] == [2**30] * 2 and seen["core"] == [0, 0]
    assert seen["memory"] == [confines.memory_limit()] * 2
    assert seen["itself"] == 0
    if seen["space"] != Path("/proc/self/ns/net").readlink().as_posix():  # where the system can
        assert seen["out"] in (101, 113)


class Kernel:
    """A C library that notes what it is asked; `refuses` are ways to leave a network that it has not."""

    def __init__(self, *refuses: int) -> None:
        self.refuses, self.asked = refuses, list[str]()

    def unshare(self, how: int) -> int:
        self.asked.append(f"unshare {how:#x}")
        return -1 if how in self.refuses else 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.asked.append(name)


NETWORK, USER = confines._NEW_NETWORK, confines._NEW_USER


@pytest.mark.parametrize(
    ("user", "refuses", "asked", "written"),
    [
        (0, (), [NETWORK], []),
        (0, (NETWORK,), [NETWORK, NETWORK | USER], ["deny", "0 0 1", "7 7 1"]),
        (5, (), [NETWORK | USER], ["deny", "5 5 1", "7 7 1"]),
        (5, (NETWORK | USER,), [NETWORK | USER], []),
    ],
)
def test_who_may_not_leave_the_network_alone_leaves_it_with_users_of_its_own(
    monkeypatch: pytest.MonkeyPatch, user: int, refuses: tuple[int, ...], asked: list[int], written: list[str]
) -> None:
    said, up, kernel = list[str](), list[bool](), Kernel(*refuses)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "getegid", lambda: 7)
    monkeypatch.setattr(confines, "_write", lambda _, text: said.append(text))
    monkeypatch.setattr(confines, "_loop_back", lambda: up.append(True))
    confines._cut_network(kernel)  # type: ignore[arg-type]
    assert kernel.asked == [f"unshare {how:#x}" for how in asked] + ["capset"] * bool(written)
    assert said == written and len(up) == (asked[-1] not in refuses)


def test_other_systems_have_limits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = list[int]()
    monkeypatch.setattr(confines, "_limit", lambda which, _: limits.append(which))
    monkeypatch.setattr(confines, "_cut_network", lambda _: limits.append(-1))
    monkeypatch.setattr(sys, "platform", "darwin")
    confines.confine()
    assert limits == [resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA]


def test_a_worker_runs_in_a_scratch_folder_and_what_it_starts_ends_with_it(tmp_path: Path) -> None:
    tree, folder = tmp_path / "tree", tmp_path / "work"
    tree.mkdir()
    folder.mkdir()
    (tree / "tasks.json").write_text("{}")
    (tree / "job.py").write_text(
        "import os, pathlib, subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('written').write_text(os.environ['HOME'])\n"
        "print(pathlib.Path.cwd().name, pathlib.Path('tasks.json').read_text(), sys.argv[1])\n"
    )
    process = start_confined("job", folder, Importable(tree, ""), {})
    process.wait(60)
    end_confined(process)
    assert last_words(folder, 1) == [f"scratch {{}} {folder}"]
    assert (folder / "scratch/written").read_text() == str(folder / "scratch")
    assert sorted(path.name for path in tree.iterdir()) == ["job.py", "tasks.json"]


def test_it_is_said_once_for_a_tree_that_its_code_runs(tmp_path: Path) -> None:
    assert str(tmp_path) in first_run_note(tmp_path, "newtfix verify")
    assert first_run_note(tmp_path, "newtfix train") == ""
    (tmp_path / "other").mkdir()
    assert first_run_note(tmp_path / "other", "newtfix train")
