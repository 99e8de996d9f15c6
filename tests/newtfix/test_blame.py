"""What cannot be read is blamed on what is wrong with it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run

from newtfix.cli import app
from newtfix.files.tree import read_tree
from newtfix.work.blame import NEWEST, explanations

SPECIMEN = Path(__file__).parents[1] / "specimens/plain"
NEWER = {
    (3, 12): "type Pair[T] = tuple[T, T]\n",
    (3, 13): "def f[T = int](x: T): ...\n",
    (3, 14): "try:\n    pass\nexcept A, B:\n    pass\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(SPECIMEN, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


def said(tree: Path) -> str:
    return "\n".join(explanations(read_tree(tree)))


def test_nothing_is_wrong_with_a_whole_tree(tree: Path) -> None:
    assert said(tree) == ""


@pytest.mark.parametrize("letters", ["# café\n", ""])
@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_a_file_of_wide_characters(tree: Path, code: str, letters: str) -> None:
    (tree / "config.py").write_bytes((letters + (tree / "config.py").read_text()).encode(code))
    assert said(tree) == f"config.py is not UTF-8: it looks like {code[:6].upper()}. Save it as UTF-8."


@pytest.mark.parametrize("file", ["config.py", "common/buffer.py"])
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda text: f"{text}\n<<<<<<< HEAD\nx = 1\n".encode(), "has marks of an unfinished merge"),
        (lambda text: f"{text}\ndef (\n".encode(), "is no Python"),
        (lambda text: text.encode("utf-16"), "is not UTF-8: it looks like UTF-16. Save it as UTF-8."),
        (lambda text: text.encode("utf-32-le"), "is not UTF-8: it looks like UTF-32. Save it as UTF-8."),
    ],
)
def test_status_check_and_scan_say_once_why_a_role_is_played_by_none(
    tree: Path, newtfix: Run, file: str, made: Callable[[str], bytes], told: str
) -> None:
    (tree / file).write_bytes(made((tree / file).read_text()))
    for command in ("status", "check", "scan"):
        assert newtfix(command, "--tree", tree).err.count(f"{file} {told}") == 1


def test_a_file_in_another_code(tree: Path) -> None:
    (tree / "config.py").write_bytes("# café\n".encode("latin-1"))
    assert "config.py is not UTF-8" in said(tree) and "UTF-16" not in said(tree)


def test_an_unfinished_merge(tree: Path) -> None:
    (tree / "trainer.py").write_text("x = 1\n<<<<<<< HEAD\ny = 1\n=======\ny = 2\n>>>>>>> other\n")
    assert "trainer.py has marks of an unfinished merge, the first in line 2" in said(tree)


@pytest.mark.parametrize("version", NEWER)
def test_syntax_of_a_newer_python_names_one_that_reads_it(tree: Path, version: tuple[int, int]) -> None:
    (tree / "trainer.py").write_text(NEWER[version])
    if sys.version_info[:2] >= version:
        assert said(tree) == ""
        return
    assert f"newer Python than 3.{sys.version_info.minor}" in said(tree)
    supported = re.search(r"Python 3\.11 to (\S+) will do", (Path(__file__).parents[2] / "README.md").read_text())
    assert supported and supported[1] == NEWEST
    assert f"uvx --python {NEWEST} --from . newtfix, or pipx run --python {NEWEST} --spec . newtfix" in said(tree)


def test_many_files_are_counted(tree: Path) -> None:
    for number in range(9):
        (tree / f"x{number}.py").write_text("def\n")
    assert "and 4 more files" in said(tree)


def test_a_command_that_fails_says_it(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tree / "trainer.py").write_bytes((tree / "trainer.py").read_text().encode("utf-16"))
    with pytest.raises(SystemExit):
        app(["diff", "seeding", "--tree", str(tree)], prog_name="newtfix")
    assert "trainer.py is not UTF-8: it looks like UTF-16" in capfd.readouterr().err
