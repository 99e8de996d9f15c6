"""A process that runs a tree has limits, and no network where the system can take it away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
