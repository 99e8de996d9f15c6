"""A series goes into the unpatched tree with git and with patch, and gives what `apply` gives, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from newtfix.cli import app
from newtfix.errors import Refused, TreeError
from newtfix.files.export import series, write_series
from newtfix.model import Patch, Severity

SPECIMEN = Path(__file__).parents[1] / "specimens/plain"
IDS = ("prior-coef", "seeding", "target-q")
Run = Callable[..., tuple[int, str, str]]


def git(where: Path, *arguments: str) -> str:
    name = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *name, *arguments], cwd=where, check=True, capture_output=True, text=True).stdout


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {".newtfix", "__pycache__"} & set(path.parts)
    }


@pytest.fixture
def newtfix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, where `up/tdmpc2` is a tree with awkward bytes, in git from `up` on, and `plain` a copy of it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    tree = tmp_path / "up/tdmpc2"
    shutil.copytree(SPECIMEN, tree, ignore=shutil.ignore_patterns("__pycache__"))
    trainer, config = tree / "trainer.py", tree / "config.py"
    trainer.write_bytes(b"\xef\xbb\xbf" + trainer.read_bytes().replace(b"\n", b"\r\n"))
    config.write_bytes(config.read_bytes().rstrip(b"\n") + "  # é".encode())
    shutil.copytree(tree, tmp_path / "plain")
    git(tmp_path / "up", "init", "-q")
    git(tmp_path / "up", "-c", "core.autocrlf=false", "add", "-A")
    git(tmp_path / "up", "commit", "-qm", "first")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            app(list(arguments), prog_name="newtfix")
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("how", ["autocrlf", "attributes", "in git"])
def test_the_printed_command_works_whoever_has_the_carriage_returns(newtfix: Run, tmp_path: Path, how: str) -> None:
    top = tmp_path / "crlf"
    shutil.copytree(SPECIMEN, top / "tdmpc2", ignore=shutil.ignore_patterns("__pycache__"))
    git(top, "init", "-q")
    if how == "in git":
        for path in top.rglob("*.py"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    if how == "attributes":
        (top / ".gitattributes").write_text("*.py text eol=crlf\n")
    git(top, "config", "core.autocrlf", "true" if how == "autocrlf" else "false")
    git(top, "config", "user.name", "Ada")
    git(top, "config", "user.email", "ada@example.org")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "first")
    if how != "in git":
        shutil.rmtree(top / "tdmpc2")
        git(top, "checkout", "tdmpc2")
    assert b"\r\n" in (top / "tdmpc2/trainer.py").read_bytes()
    shutil.copytree(top / "tdmpc2", tmp_path / "applied")
    assert newtfix("apply", "seeding", "--tree", "applied")[0] == 0
    code, _, err = newtfix("export", str(tmp_path / "series2"), "seeding", "--tree", str(top / "tdmpc2"))
    (printed,) = [line.strip() for line in err.splitlines() if "git am" in line]
    assert code == 0 and ("--keep-cr" in printed) == (how == "in git")
    subprocess.run(printed, shell=True, check=True, capture_output=True)
    assert files(top / "tdmpc2") == files(tmp_path / "applied")


@pytest.mark.parametrize(("here", "tree"), [("up", "tdmpc2"), ("up/tdmpc2", "."), (".", "up/tdmpc2"), (".", "plain")])
def test_every_printed_command_works_where_it_is_printed(
    newtfix: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, tree: str
) -> None:
    monkeypatch.chdir(tmp_path / here)
    code, _, err = newtfix("export", "series", "prior-coef", "--tree", tree)
    printed = [line.strip() for line in err.splitlines() if line.startswith("  ")]
    ways = [line for line in printed if "quilt" not in line or shutil.which("quilt")]
    assert code == 0 and any("git am" in line for line in printed) == (tree != "plain")
    config = (Path(tree) / "config.py").resolve()
    before = config.read_bytes()
    for way in ways:
        subprocess.run(way, shell=True, check=True, capture_output=True)
        assert b"prior_coef: float = 1.0" in config.read_bytes(), way
        config.write_bytes(before)


@pytest.mark.parametrize("way", ["Commit them first: ", "or stash them: "])
@pytest.mark.parametrize(("edited", "staged"), [("config.py", False), ("config.py", True), ("common/math.py", True)])
def test_edits_that_git_am_refuses_are_told_with_both_ways_out(
    newtfix: Run, tmp_path: Path, way: str, edited: str, staged: bool
) -> None:
    assert "Commit them" not in newtfix("export", "none", "prior-coef", "--tree", "up/tdmpc2")[2]
    with (tmp_path / "up/tdmpc2" / edited).open("a") as file:
        file.write("\n# mine\n")
    if staged:
        git(tmp_path / "up", "add", "-u")
    code, _, err = newtfix("export", "series", "prior-coef", "--tree", "up/tdmpc2")
    assert code == 0 and f"uncommitted edits in tdmpc2/{edited}." in err
    for start in (way, "  cd -P up && git am"):
        (line,) = (line for line in err.splitlines() if line.startswith(start))
        command = line.removeprefix(way).replace("commit --", "commit -m mine --")
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert "newtfix: Prior" in git(tmp_path / "up", "log", "-1", "--format=%s")


def test_a_series_gives_what_apply_gives(newtfix: Run, tmp_path: Path) -> None:
    assert newtfix("apply", *IDS, "--tree", "plain")[0] == 0
    code, _, err = newtfix("export", "series", *IDS, "--tree", "up/tdmpc2")
    assert code == 0 and "cd -P up && git am --keep-cr ../series/*.patch" in err
    names = (tmp_path / "series/series").read_text().split()
    assert names == ["0001-seeding.patch", "0002-prior-coef.patch", "0003-target-q.patch"]
    wanted, before = files(tmp_path / "plain"), files(tmp_path / "up/tdmpc2")
    assert wanted != before

    git(tmp_path / "up", "am", "--keep-cr", *(f"../series/{name}" for name in names))
    assert files(tmp_path / "up/tdmpc2") == wanted
    assert git(tmp_path / "up", "log", "-1", "--format=%an %ad %s", "--date=short").startswith(
        "newtfix 2000-01-01 newtfix"
    )
    assert git(tmp_path / "up", "log", "-1", "--format=%b").rstrip().endswith("newtfix-patch: target-q")

    git(tmp_path / "up", "reset", "-q", "--hard", "HEAD~3")
    for name in names:
        with (tmp_path / "series" / name).open("rb") as text:
            subprocess.run(["patch", "--binary", "-p1", "-s"], cwd=tmp_path / "up", stdin=text, check=True)
    assert files(tmp_path / "up/tdmpc2") == wanted

    # what is applied, from its pristine text, whatever was edited since, in a tree without git
    with (tmp_path / "plain/config.py").open("ab") as file:
        file.write(b"\n# mine\n")
    code, out, _ = newtfix("export", "again", "--tree", "plain", "--json")
    assert code == 0 and json.loads(out)["prefix"] == "" and json.loads(out)["files"] == [*names, "series"]
    assert newtfix("export", "third", *IDS, "--tree", "up/tdmpc2", "--relative-to", "tree")[0] == 3  # it has them
    again = files(tmp_path / "again")
    under = {name: text.replace(b"tdmpc2/", b"") for name, text in without_stat(files(tmp_path / "series")).items()}
    assert under == without_stat(again)
    assert newtfix("export", "again", "--tree", "plain")[0] == 3
    assert newtfix("export", "again", "--tree", "plain", "--force")[0] == 0 and files(tmp_path / "again") == again


def without_stat(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without the diffstat, whose columns depend on the length of the paths."""
    return {name: b"\n".join(line for line in text.split(b"\n") if b" | " not in line) for name, text in found.items()}


def test_where_paths_begin(newtfix: Run) -> None:
    assert newtfix("export", "x", "--relative-to", "here")[0] == 2
    code, _, err = newtfix("export", "x", "prior-coef", "--tree", "plain", "--relative-to", "repo")
    assert code == 2 and "git has no files of plain" in err
    assert not Path("x").exists()


PATCHES = {name: Patch(f"Title of {name}", Severity.MINOR, (), id=name, doc=f"About {name}.") for name in ("p", "q")}
PRISTINE = {"a.py": b"x = 1\n"}


def test_the_words_of_a_patch_cannot_be_taken_for_a_diff(tmp_path: Path) -> None:
    doc = "Claim: see.\n\n--- a/a.py\n+++ b/a.py\nCode: x.\n\ndiff --git a/a.py b/a.py\n\n---\nChange: é.\nEffect: no."
    patch = Patch("Mehr Größe [x]", Severity.MINOR, (), id="p", doc=doc)
    write_series(tmp_path / "s", series(PRISTINE, [("p", {"a.py": "x = 2\n"})], {"p": patch}, ""), force=False)
    (tmp_path / "a.py").write_bytes(PRISTINE["a.py"])
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "am", "s/0001-p.patch")
    assert (tmp_path / "a.py").read_text() == "x = 2\n"
    said = git(tmp_path, "log", "-1", "--format=%B")
    assert said.startswith("newtfix: Mehr Größe [x]\n") and " --- a/a.py\n" in said and "Change: é." in said


def test_a_patch_that_changes_nothing_has_no_file() -> None:
    way = [("p", {"a.py": "x = 2\n"}), ("q", {"a.py": "x = 2\n"})]
    assert list(series(PRISTINE, way, PATCHES, "")) == ["0001-p.patch", "series"]
    assert series(PRISTINE, [("p", {})], PATCHES, "") == {}


@pytest.mark.parametrize(
    ("there", "force", "ends"),
    [
        pytest.param(None, False, True, id="no folder"),
        pytest.param((), False, True, id="an empty folder"),
        pytest.param(("0001-old.patch", "series"), False, False, id="a series"),
        pytest.param(("0001-old.patch", "series"), True, True, id="a series to be replaced"),
        pytest.param(("trainer.py",), True, False, id="something else, whatever was said"),
    ],
)
def test_folders(tmp_path: Path, there: tuple[str, ...] | None, force: bool, ends: bool) -> None:
    folder = tmp_path / "s"
    for name in there or ():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("old")
    if there == ():
        folder.mkdir()
    if ends:
        write_series(folder, {"0001-p.patch": b"new", "series": b"0001-p.patch\n"}, force)
        assert files(folder) == {"0001-p.patch": b"new", "series": b"0001-p.patch\n"}
        return
    with pytest.raises(Refused):
        write_series(folder, {"0001-p.patch": b"new"}, force)
    assert files(folder) == dict.fromkeys(there or (), b"old")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TreeError, match="cannot write"):
        write_series(tmp_path / "file/s", {"series": b""}, force=False)
    with pytest.raises(Refused, match="is no folder"):
        write_series(tmp_path / "file", {"series": b""}, force=True)


def test_the_commands_that_are_printed_work_with_blanks_in_the_name(newtfix: Run, tmp_path: Path) -> None:
    code, _, err = newtfix("export", str(tmp_path / "my series"), "prior-coef", "--tree", "up/tdmpc2")
    command = next(line.strip() for line in err.splitlines() if "git am" in line)
    assert code == 0
    name = "-c user.name=Ada -c user.email=ada@example.org"
    subprocess.run(command.replace("git", f"git {name}", 1), shell=True, check=True)
    assert "newtfix: Prior" in git(tmp_path / "up", "log", "-1", "--format=%s")
