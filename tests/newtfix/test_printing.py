"""Where nothing can be printed, or the folder is gone: one line, exit code 4, no traceback; 1 is for checks alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from newtfix.cli import app
from newtfix.errors import NewtfixError, unforeseen

ROOT = Path(__file__).parents[2]
SPECIMEN = ROOT / "tests/specimens/plain"
START = "import sys; sys.argv[0] = 'newtfix'; from newtfix.cli import main; main()"


def shell(command: str, where: Path) -> tuple[int, str]:
    """Run a shell command in which `newtfix` is the command; its exit code, and what it said on standard error."""
    script = f'newtfix() {{ "{sys.executable}" -c "{START}" "$@"; }}; {command}'
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=where, env=variables, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
@pytest.mark.parametrize("command", ["list", "list --json", "--help"])
def test_an_output_that_takes_nothing(tmp_path: Path, command: str, where: str) -> None:
    code, said = shell(f"newtfix {command} {where}", tmp_path)
    if command == "--help" and where == ">&-":
        assert code in (0, 4)
    else:
        assert code == 4 and said.startswith("newtfix: ")
    assert "Traceback" not in said and "Exception ignored" not in said


def test_a_reader_who_has_enough_is_no_error(tmp_path: Path) -> None:
    code, said = shell("newtfix list | head -0; exit ${PIPESTATUS[0]}", tmp_path)
    assert (code, said) == (0, "")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_what_nobody_hears_is_done_all_the_same(tmp_path: Path, where: str) -> None:
    shutil.copytree(SPECIMEN, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    code, _ = shell(f"newtfix apply prior-coef --tree tree {where}", tmp_path)
    assert code == 0 and (tmp_path / "tree/.newtfix/ledger.json").exists()


def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    code, said = shell("mkdir gone && cd gone && rmdir ../gone && newtfix status", tmp_path)
    assert code == 4 and "the working folder is not there any more" in said and "Traceback" not in said


@pytest.mark.parametrize("problem", [RecursionError(), MemoryError(), KeyError("x"), OSError(5, "bad", "f")], ids=repr)
def test_what_nobody_thought_of_is_said_in_words(
    problem: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr("newtfix.commands.list.find_target", fail)
    with pytest.raises(SystemExit) as ended:
        app(["list"], prog_name="newtfix")
    assert ended.value.code == 4 and capfd.readouterr().err.startswith("newtfix: ")
    assert unforeseen(problem).exit_code == 4 and NewtfixError("x").exit_code == 4


def test_modules_of_the_working_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("typer", "platformdirs", "rich", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the folder was asked')\n")
    done = subprocess.run(
        [sys.executable, "-m", "newtfix", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("newtfix ")
