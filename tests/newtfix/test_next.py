"""The first minute: what `newtfix` alone says, help that is not cut off, and reports as wide as a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from trees import PATCHES, sources
from typer.testing import CliRunner

from newtfix.cli import app
from newtfix.commands import next as what_next
from newtfix.commands import scan, status

COMMAND = typer.main.get_command(app)


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(folder)
    assert what_next.run() == 0
    return capsys.readouterr().out


def tree_in(folder: Path, patched: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("trainer.py", "tdmpc2.py"):
        (folder / file).write_text("def to_td(self):\n    pass\n")
    if patched:
        (folder / ".newtfix").mkdir()
    return folder


def test_what_comes_next_depends_on_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "newtfix scan --tree ~/newt/tdmpc2" in said(empty, monkeypatch, capsys)
    inside = said(tree_in(tmp_path / "newt/tdmpc2"), monkeypatch, capsys)
    assert "This folder holds a newt-style tree. Next:" in inside and "newtfix scan --tree ." in inside
    assert "newtfix scan --tree tdmpc2" in said(tmp_path / "newt", monkeypatch, capsys)
    patched = said(tree_in(tmp_path / "fork", patched=True), monkeypatch, capsys)
    assert "newtfix revert --all --tree ." in patched and "scan" not in patched
    other = tree_in(tmp_path / "parent/tdmpc2")
    (other / "tdmpc2.py").write_text("class TDMPC2:\n    def act(self, obs): ...\n")
    assert "TD-MPC2's layout" in said(other, monkeypatch, capsys)
    own = tree_in(tmp_path / "checkout/newt_base").parent
    assert "patch a copy of newt_base" in said(own, monkeypatch, capsys)
    copied = tree_in(tmp_path / "work/newt_patched").parent
    assert "newtfix train task=walker-walk preset=cpu" in said(copied, monkeypatch, capsys)


@pytest.mark.parametrize("layout", ["trainer.py", "trainer/online_trainer.py"])
def test_status_and_scan_without_a_tree_name_the_one_that_is_near(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tree_in(tmp_path / "newt/td mpc2")
    (tree / layout).parent.mkdir(exist_ok=True)
    (tree / "trainer.py").rename(tree / layout)
    (tree.parent / "closed").mkdir(mode=0)
    here = "This folder looks like a tree itself; to mean it, say --tree . with the command."
    below = "The folder td mpc2 looks like a tree itself; to mean it, say --tree 'td mpc2' with the command."
    for folder, hint in ((tree, here), (tree.parent, below)):
        monkeypatch.chdir(folder)
        assert status.run(None, [], False) == scan.run([], None, [], False, False, False) == 0
        assert capsys.readouterr().err.count(hint) == 2


def test_the_commands_that_are_named_exist_and_fit_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for made in (tmp_path / "a/tdmpc2", tmp_path / "b/newt_patched", tmp_path / "c/x"):
        tree_in(made) if made.name != "x" else made.mkdir(parents=True)
        text = said(made.parent, monkeypatch, capsys)
        assert max(map(len, text.splitlines())) <= 80
        for line in re.findall(r"^  newtfix (.*?)(?:  |$)", text, re.MULTILINE):
            name, *arguments = line.split()
            if not name.startswith("-"):
                COMMAND.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_alone_it_is_no_error_and_help_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alone = CliRunner().invoke(app, [])
    assert alone.exit_code == 0 and "No newt-style tree is here" in alone.output
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    words = " ".join(shown.split())
    assert "..." not in words.partition("Commands:")[2]
    for name, command in COMMAND.commands.items():  # type: ignore[attr-defined]
        assert f"{name} {' '.join((command.help or '').split())}" in words
    assert "--install-completion" in shown and max(map(len, shown.splitlines())) <= 80


def test_status_and_scan_fit_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, text in sources().items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert status.run(tmp_path, [], False) == 0
    assert scan.run([], tmp_path, [], False, False, False) == 0
    tables = capsys.readouterr().out.partition("Where the numbers come from")[0]
    longest = max(map(len, PATCHES)) - len("planner-stats")
    assert max(map(len, tables.splitlines())) <= 80 + longest
