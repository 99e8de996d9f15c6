"""What a tree says is data: its patches run only if the user allowed them, and its records reach nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from newtfix.cli import app
from newtfix.errors import RecordError, TreeError, UsageError
from newtfix.files import checked, state
from newtfix.files.journal import JOURNAL, read_journal
from newtfix.files.ledger import LEDGER, read_ledger
from newtfix.files.lock import locked
from newtfix.files.write import recover
from newtfix.work.session import Target, open_session

ROOT = Path(__file__).parents[2]
DIGEST = "0" * 64
PATCH = """
from pathlib import Path
from newtfix.model import Patch, Severity
with Path({mark!r}).open("a") as file:
    file.write("x")
PATCH = Patch(title="x", severity=Severity.MINOR, changes="x", edits=())
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose settings name a folder of patches that leave a mark when they run."""
    monkeypatch.setenv("NEWTFIX_STATE", str(tmp_path / "state"))
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "tests/specimens/plain", root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools").mkdir()
    (root / "tools/mine.py").write_text(PATCH.format(mark=str(tmp_path / "ran")))
    (root / "pyproject.toml").write_text('[tool.newtfix]\npatches = ["tools"]\n')
    return root


def run(*arguments: str) -> int:
    try:
        app(list(arguments), prog_name="newtfix")
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("it did not end")


def ran(tree: Path) -> bool:
    return (tree.parent / "ran").exists()


COMMANDS = ["scan", "status", "list", "show rho", "diff rho", "check", "export series rho", "apply rho"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_only_the_tree_names_is_not_run(
    tree: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tree.parent)
    run(*command.split(), "--tree", "tree")
    assert not ran(tree)
    assert f"newtfix trust {tree / 'tools'}" in capfd.readouterr().err


def test_allowed_as_it_is_and_not_as_it_becomes(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("trust", str(tree / "tools")) == 0
    assert "mine" in open_session(Target(tree, tree)).patches and ran(tree)
    (tree.parent / "ran").unlink()
    with (tree / "tools/mine.py").open("a") as file:
        file.write("# changed\n")
    session = open_session(Target(tree, tree))
    assert not ran(tree) and "mine" not in session.patches and "has changed since" in session.notes[0]
    assert run("trust", str(tree / "tools")) == 0 and run("trust", "--json") == 0
    assert str(tree / "tools") in capfd.readouterr().out
    assert run("trust", "--forget", str(tree / "tools")) == 0
    assert "mine" not in open_session(Target(tree, tree)).patches


@pytest.mark.parametrize("change", ["a helper", "a new file", "a file less", "another folder below"])
def test_every_file_of_the_folder_counts(tree: Path, change: str) -> None:
    (tree / "tools/below").mkdir()
    (tree / "tools/_helper.py").write_text("1")
    assert run("trust", str(tree / "tools")) == 0
    if change == "a helper":
        (tree / "tools/_helper.py").write_text("2")
    elif change == "a new file":
        (tree / "tools/new.txt").write_text("")
    elif change == "a file less":
        (tree / "tools/_helper.py").unlink()
    else:
        (tree / "tools/below/x.py").write_text("")
    assert "mine" not in open_session(Target(tree, tree)).patches and not ran(tree)


def test_the_bytes_that_were_allowed_are_the_bytes_that_run(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("trust", str(tree / "tools")) == 0
    read = state.contents

    def then_change(directory: Path) -> dict[str, bytes]:
        found = read(directory)
        (directory / "mine.py").write_text("raise SystemExit('changed after it was read')")
        return found

    monkeypatch.setattr(state, "contents", then_change)
    assert "mine" in open_session(Target(tree, tree)).patches


def test_named_on_the_command_line_it_is_run(tree: Path) -> None:
    assert "mine" in open_session(Target(tree, tree), [tree / "tools"]).patches and ran(tree)


def test_a_folder_with_a_link_in_it_cannot_be_allowed(tree: Path) -> None:
    (tree / "tools/more.py").symlink_to(tree / "trainer.py")
    assert run("trust", str(tree / "tools")) == 2


def test_what_is_allowed_is_listed_and_what_cannot_be_is_named(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tools = os.path.realpath(tree / "tools")
    for folder, file, text in (("a", "pyproject.toml", '[tool.newtfix]\npatches = ["in"]\n'), ("b", "notes.txt", "")):
        (tree.parent / folder / "in").mkdir(parents=True)
        (tree.parent / folder / file).write_text(text)
    assert _trusted(capfd) == [] and _ends(app, "trust", str(tree / "tools")) == 0
    ((folder, digest),) = (one.values() for one in _trusted(capfd))
    assert folder == tools and len(digest) == 64
    assert _ends(app, "trust") == 0 and digest[:12] in capfd.readouterr().out
    for words, says in (
        (("--forget",), "nothing to forget is named"),
        ((str(tree / "none"),), "cannot be allowed: "),
        ((str(tree.parent / "a"),), f"Its pyproject.toml names {tree.parent / 'a/in'}."),
        ((str(tree.parent / "b"),), "Patches are files like my_patch.py."),
    ):
        assert _ends(app, "trust", *words) == 2 and says in capfd.readouterr().err
    assert _ends(app, "trust", "--forget", str(tree / "tools"), str(tree)) == 0
    said = capfd.readouterr().err
    assert f"{tools}: not allowed any more." in said and f"{os.path.realpath(tree)}: was not allowed." in said
    assert _trusted(capfd) == []


def _ends(run: Callable[..., Any], *words: str) -> int:
    with pytest.raises(SystemExit) as end:
        run(list(words), prog_name="newtfix")
    return int(end.value.code or 0)


def _trusted(capfd: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capfd.readouterr()
    assert _ends(app, "trust", "--json") == 0
    return list(json.loads(capfd.readouterr().out)["trusted"])


TEXTS = {
    "not JSON": "{",
    "a list": "[]",
    "deep": "[" * 100_000,
    "no folders": '{"schema": 1, "trusted": ["mine"], "run": []}',
}


@pytest.mark.parametrize("spoil", ["others write", "not JSON", "a list", "deep", "a link", "no folders"])
def test_a_state_that_others_may_have_written_allows_nothing(tree: Path, spoil: str) -> None:
    home = tree.parent / "state"
    assert run("trust", str(tree / "tools")) == 0
    assert home.stat().st_mode & 0o777 == 0o700 and (home / "state.json").stat().st_mode & 0o777 == 0o600
    if spoil == "others write":
        home.chmod(0o722)
        with pytest.raises(UsageError, match="others may write"), state.changing():
            pass
    elif spoil == "a link":
        (home / "state.json").rename(home / "other")
        (home / "state.json").symlink_to("other")
    else:
        (home / "state.json").write_text(TEXTS[spoil])
    assert open_session(Target(tree, tree)).patches.keys().isdisjoint({"mine"})


def test_a_folder_of_another_user_or_of_very_many_files_is_not_used(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "tools/a").write_text("")
    with monkeypatch.context() as few:
        few.setattr(state, "_FILES", 1)
        with pytest.raises(OSError, match="more than 1 files"):
            state.contents(tree / "tools")
    assert "a" in state.contents(tree / "tools") and state.not_private(tree.parent) == ""
    monkeypatch.setattr(os, "geteuid", lambda: tree.stat().st_uid + 1)
    assert state.not_private(tree.parent) == "it belongs to another user"


# --- records ----------------------------------------------------------------------------------------------------------


def step(**values: Any) -> dict[str, Any]:
    return {
        "path": "trainer.py",
        "old": None,
        "new": DIGEST,
        "mode": 420,
        "staged": ".newtfix/new/0",
        "undo": ".newtfix/undo/0",
    } | values


LIES = [
    {"path": "../victim.py"},
    {"path": "/tmp/victim.py"},
    {"path": "common/../../victim.py"},
    {"path": "./trainer.py"},
    {"path": "common//math.py"},
    {"path": ".git/hooks/pre-commit"},
    {"path": ".git/config"},
    {"path": ".newtfix/lock"},
    {"path": ".newtfix"},
    {"path": ".newtfix/../x.py"},
    {"path": "Makefile"},
    {"path": "build/x.py"},
    {"path": ".envrc"},
    {"path": "a\nb.py"},
    {"path": "a\x00.py"},
    {"path": "a\x1b[2J.py"},
    {"path": ""},
    {"staged": "trainer.py"},
    {"staged": "../victim.py"},
    {"staged": ".newtfix/new/1"},
    {"undo": "../victim.py"},
    {"undo": ".newtfix/undo/7"},
]


@pytest.mark.parametrize("stage", ["staging", "replacing", "restoring"])
@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_journal_that_reaches_elsewhere_is_put_aside(tmp_path: Path, lie: dict[str, Any], stage: str) -> None:
    root = tmp_path / "tree"
    (root / ".newtfix").mkdir(parents=True)
    (root / "trainer.py").write_text("mine")
    (tmp_path / "victim.py").write_text("precious")
    (root / JOURNAL).write_text(json.dumps({"schema": 1, "stage": stage, "steps": [step(**lie)]}))
    with pytest.raises(TreeError, match="did not write this record") as caught, locked(root):
        recover(root)
    assert caught.value.exit_code == 4 and "put aside" in caught.value.hint
    assert (tmp_path / "victim.py").read_text() == "precious" and (root / "trainer.py").read_text() == "mine"
    with locked(root):
        assert recover(root) is None
    assert sorted(path.name for path in root.iterdir()) == [".newtfix", "trainer.py"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"mode": "420"},
        {"mode": True},
        {"mode": -1},
        {"mode": 0o100644},
        {"new": "0"},
        {"old": 1},
        {"old": DIGEST.upper()[:-1] + "G"},
        {"path": 7},
        {"path": None},
        {"path": ["trainer.py"]},
    ],
    ids=str,
)
def test_a_journal_of_another_form_is_said(tmp_path: Path, spoilt: dict[str, Any]) -> None:
    (tmp_path / ".newtfix").mkdir()
    (tmp_path / JOURNAL).write_text(json.dumps({"schema": 1, "stage": "staging", "steps": [step(**spoilt)]}))
    with pytest.raises(TreeError, match="journal cannot be read"):
        read_journal(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1e999", "[" * 100_000, '{"schema": 1, "stage": [], "steps": 1}']
)
@pytest.mark.parametrize("read", [read_journal, read_ledger])
def test_a_record_that_is_none_is_said(tmp_path: Path, read: Callable[[Path], Any], text: str) -> None:
    (tmp_path / ".newtfix").mkdir()
    for name in (JOURNAL, LEDGER):
        (tmp_path / name).write_text(text)
    with pytest.raises(TreeError) as caught:
        read(tmp_path)
    assert caught.value.exit_code == 4 and caught.value.hint


def ledger(**values: Any) -> dict[str, Any]:
    entry = {"pristine": DIGEST, "generated": DIGEST, "written": DIGEST}
    data = {"schema": 2, "applied": [], "requested": [], "patches": [], "version": "1", "files": {"trainer.py": entry}}
    return data | {key: {value: entry} if key == "files" else value for key, value in values.items()}


@pytest.mark.parametrize("path", [lie["path"] for lie in LIES if "path" in lie] + [".newtfix/ledger.json"])
def test_a_ledger_that_reaches_elsewhere_is_put_aside(tree: Path, path: str) -> None:
    (tree / ".newtfix").mkdir()
    (tree / LEDGER).write_text(json.dumps(ledger(files=path)))
    with pytest.raises(RecordError):
        read_ledger(tree)
    with pytest.raises(TreeError, match="did not write this record") as caught:
        open_session(Target(tree, tree))
    assert "put aside" in caught.value.hint
    assert open_session(Target(tree, tree)).ledger is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"applied": "rho"},
        {"applied": ["rho; rm -rf ~"]},
        {"applied": ["a\nnewtfix: all is well"]},
        {"requested": [1]},
        {"patches": ["\x1b[2J"]},
        {"definitions": []},
        {"definitions": {"rho": 1}},
        {"version": 1},
        {"completed": {}},
    ],
    ids=str,
)
def test_a_ledger_of_another_form_is_said(tmp_path: Path, spoilt: dict[str, Any]) -> None:
    (tmp_path / ".newtfix").mkdir()
    (tmp_path / LEDGER).write_text(json.dumps(ledger(**spoilt)))
    with pytest.raises(TreeError, match="cannot be used"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("name", ["", "/lock", "/journal.json", "/ledger.json", "/undo", "/new", "/pristine", "/aside"])
@pytest.mark.parametrize("command", ["check rho", "apply rho"])
def test_links_in_the_record_lead_nowhere(tree: Path, name: str, command: str) -> None:
    victim = tree.parent / "victim"
    victim.mkdir()
    for file in ("0", "lock", "journal.json", "trainer.py", "ledger.json"):
        (victim / file).write_text("precious")
    place = tree / f".newtfix{name}"
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(victim if not name or ("." not in name and name != "/lock") else victim / name[1:])
    code = run(*command.split(), "--tree", str(tree))
    assert {path.read_text() for path in victim.iterdir()} == {"precious"} and len(list(victim.iterdir())) == 5
    assert code in (0, 1, 3, 4)


def test_a_lock_that_is_another_file_too_is_not_written(tree: Path) -> None:
    (tree.parent / "victim").write_text("precious")
    (tree / ".newtfix").mkdir()
    os.link(tree.parent / "victim", tree / ".newtfix/lock")
    assert run("apply", "rho", "--tree", str(tree)) == 4
    assert (tree.parent / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    "path", ["trainer.py", "common/math.py", "config.yaml", ".newtfix/pristine/common/math.py", ".newtfix/ledger.json"]
)
def test_what_newtfix_writes_is_no_lie(path: str) -> None:
    assert checked.own_path(path) == path
