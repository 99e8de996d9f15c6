"""The command `newtfix` as a process: pipes, terminals, signals, and programs that it starts."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, Run, files, process

from newtfix.errors import NewtfixError
from newtfix.running import require_libraries
from newtfix.work.places import base_tree


def test_help_and_list_are_quick_and_import_no_torch(tmp_path: Path) -> None:
    for command in ("--help", "list"):
        start = os.times()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "newtfix", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0
        assert os.times().children_user - start.children_user < 3  # of its own, however busy the machine
        assert not {" torch", " libcst", " newt_base"} & {line.rpartition("|")[2] for line in done.stderr.splitlines()}


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    command = f"{sys.executable} -m newtfix diff 2>errors | true; cat errors"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "Traceback" not in done.stdout + done.stderr and "Exception" not in done.stdout + done.stderr


def test_utf8_whatever_the_locale(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(base_tree(), tree)
    text = (tree / "trainer.py").read_text() + "# é\r\n"
    (tree / "trainer.py").write_bytes(text.encode())
    process("apply", "seeding", "--tree", "tree", cwd=tmp_path)
    (tree / "trainer.py").write_bytes((tree / "trainer.py").read_bytes() + "# ü\r\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "newtfix", "diff", "--tree", "tree"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
    )
    assert done.returncode == 0 and "+# ü\r\n".encode() in done.stdout


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "newtfix", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
        stdout=follower,
        stderr=subprocess.DEVNULL,
    )
    os.close(follower)
    text = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    assert child.wait() == 0
    os.close(leader)
    return text.decode()


def test_colours_on_a_terminal_and_square_brackets_survive(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(base_tree(), tree)
    process("apply", "seeding", "--tree", "tree", cwd=tmp_path)
    with (tree / "trainer.py").open("a") as file:
        file.write("x = [task][/x]  # [bold]\n")
    shown = on_a_terminal("diff", "--tree", "tree", cwd=tmp_path, NO_COLOR="")
    assert "\x1b[32m" in shown and "x = [task][/x]  # [bold]" in shown
    assert "\x1b[" not in on_a_terminal("diff", "--tree", "tree", cwd=tmp_path, NO_COLOR="1")
    assert "seeding" in on_a_terminal("list", cwd=tmp_path)


ECHO = "import json, os, sys\nprint(json.dumps([__name__, sys.argv[1:], os.getcwd(), __package__]))\nsys.exit(7)\n"


@pytest.mark.parametrize(
    ("folder", "source", "package"),
    [
        ("my_tree", "from . import trainer\n" + ECHO, "my_tree"),
        ("my-tree", "from . import trainer\n" + ECHO, "tree_my_tree"),
        ("plain", "import trainer\n" + ECHO, None),
    ],
    ids=["package", "a folder whose name cannot be imported", "script"],
)
@pytest.mark.parametrize(("command", "script"), [("train", "train.py"), ("demos", "generate_demos.py")])
def test_train_and_demos_hand_on_arguments_and_the_exit_code(
    newtfix: Run, tmp_path: Path, command: str, script: str, folder: str, source: str, package: str | None
) -> None:
    tree = tmp_path / folder
    tree.mkdir()
    (tree / "trainer.py").write_text("")
    (tree / script).write_text(source)
    done = newtfix(command, "--tree", folder, "task=walker-walk", "+x=[1,2]", "--flag", "--", "--help")
    name, arguments, cwd, found = done.json
    assert (done.code, name, found) == (7, "__main__", package)
    assert arguments == ["task=walker-walk", "+x=[1,2]", "--flag", "--help"]
    assert Path(cwd) == (tmp_path if package else tree)
    assert folder in done.err


def test_train_without_a_trainer(newtfix: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert newtfix("train", "--tree", "empty").code == 4
    refused = newtfix("demos", "--tree", "empty")
    assert refused.code == 4 and "no generate_demos.py" in refused.err and "newtfix demos --tree DIR" in refused.err


def test_train_without_its_libraries(newtfix: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = newtfix("train", "task=x")
    assert refused.code == 4 and "newtfix[train]" in refused.err


@pytest.mark.parametrize(("version", "alone"), [((3, 11), False), ((3, 13), True)])
def test_what_to_install_can_be_pasted(version: tuple[int, int], alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(NewtfixError) as lacking:
        require_libraries("training", ["torch", "dm_control"])
    assert ("pip install --no-deps dm_control" in lacking.value.hint) is alone
    with pytest.raises(NewtfixError) as lacking:
        require_libraries("train.py of this tree", ["hydra", "termcolor"], "python -m pip install ...")
    assert lacking.value.hint == "python -m pip install hydra-core termcolor"


def test_a_request_to_end_is_taken_as_ctrl_c_is(tmp_path: Path) -> None:
    """SIGTERM while files are being replaced: what is begun is finished or undone, and nothing is left behind."""
    code = (
        "import os, signal, sys\n"
        "from newtfix.files import write\n"
        "from newtfix.cli import main\n"
        "stage = write._stage\n"
        "def cut(*arguments):\n"
        "    stage(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "write._stage = cut\n"
        "sys.argv = ['newtfix', 'apply', 'prior-coef', '--tree', 'tree']\n"
        "main()\n"
    )
    shutil.copytree(ROOT / "tests/specimens/plain", tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    before = files(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 143 and done.stderr == "newtfix: stopped\n"
    after = files(tmp_path)
    assert "tree/.newtfix/journal.json" not in after and not [path for path in after if "/new/" in path]
    assert before.keys() <= after.keys() and newtfix_applied(tmp_path / "tree") in ([], ["prior-coef"])


def newtfix_applied(tree: Path) -> list[str]:
    record = tree / ".newtfix/ledger.json"
    return list(json.loads(record.read_text())["applied"]) if record.exists() else []


def test_a_run_that_is_killed_leaves_nothing_that_git_sees(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests/specimens/plain", tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    for arguments in (["init", "-q"], ["add", "tree"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    code = (
        "import os, sys\n"
        "from newtfix.files import write\n"
        "from newtfix.cli import main\n"
        "write.replace = lambda *_: os._exit(9)\n"
        "sys.argv = ['newtfix', 'apply', 'prior-coef', 'rho', '--tree', 'tree', '--allow-dirty']\n"
        "main()\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert killed.returncode == 9 and (tmp_path / "tree/.newtfix/journal.json").exists()
    seen = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, capture_output=True, text=True
    )
    assert seen.stdout == ""
