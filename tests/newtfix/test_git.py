"""Trees in git: what is not committed is not written over, and commits hold one patch each and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml

from newtfix.cli import app
from newtfix.errors import Refused
from newtfix.files.git import GitFailed, commit, find_repository, must_be_clean, must_take_commits, uncommitted
from newtfix.files.write import digest

SPECIMEN = Path(__file__).parents[1] / "specimens/plain"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git as on a machine where nothing is set but a name."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[protocol.file]\nallow = always\n"
    )


def git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose folder `tree` is a tree of three files."""
    top = tmp_path / "repo"
    (top / "tree").mkdir(parents=True)
    for name in ("a.py", "b.py", "c d.py"):
        (top / "tree" / name).write_text(f"{name[0]} = 1\n")
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "first")
    return top


# --- where a tree lies ------------------------------------------------------------------------------------------------


def test_a_tree_in_a_folder_of_a_repository(repo: Path) -> None:
    found = find_repository(repo / "tree")
    assert found is not None and found.top == repo and found.prefix == "tree/"
    assert (at_top := find_repository(repo)) is not None and at_top.prefix == ""


def test_a_tree_in_a_worktree_and_in_a_submodule(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", "../other")
    assert (found := find_repository(tmp_path / "other/tree")) is not None and found.top == tmp_path / "other"
    outer = tmp_path / "outer"
    git(tmp_path, "init", "-q", "outer")
    git(outer, "submodule", "--quiet", "add", str(repo), "inner")
    assert (inner := find_repository(outer / "inner/tree")) is not None and inner.top == outer / "inner"


def no_git(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repo))


def broken(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / ".git/HEAD").write_text("nonsense\n")


def untracked(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repo, "rm", "-rq", "--cached", ".")


def bare(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repo, "config", "core.bare", "true")


def gone(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(repo / ".git")


@pytest.mark.parametrize("spoil", [no_git, broken, untracked, bare, gone])
def test_without_a_repository_that_works_nothing_is_asked(
    repo: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    spoil(repo, monkeypatch)
    assert find_repository(repo / "tree") is None
    must_be_clean(repo / "tree", {"a.py": b"whatever"}, {})
    with pytest.raises(Refused, match="git is not installed" if spoil is no_git else "nothing to commit to"):
        must_take_commits(repo / "tree", ["a.py"])


def test_variables_of_another_repository_do_not_count(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert find_repository(repo / "tree") is not None


# --- what is not committed --------------------------------------------------------------------------------------------


def before(repo: Path, *names: str) -> dict[str, bytes]:
    return {name: (repo / "tree" / name).read_bytes() for name in names}


@pytest.mark.parametrize("staged", [False, True], ids=["edited", "staged"])
def test_only_edits_in_what_would_be_written_are_refused(repo: Path, staged: bool) -> None:
    (repo / "tree/c d.py").write_text("mine\n")
    if staged:
        git(repo, "add", "-A")
    must_be_clean(repo / "tree", before(repo, "a.py", "b.py"), {})
    with pytest.raises(Refused, match=r"written: c d\.py \(uncommitted\)") as caught:
        must_be_clean(repo / "tree", before(repo, "a.py", "c d.py"), {})
    assert "--allow-dirty" in caught.value.hint and caught.value.exit_code == 3


def test_files_that_git_does_not_know_are_refused_but_not_those_it_ignores(repo: Path) -> None:
    (repo / "tree/new.py").write_text("mine\n")
    with pytest.raises(Refused, match=r"new\.py \(untracked\)"):
        must_be_clean(repo / "tree", before(repo, "new.py"), {})
    (repo / ".gitignore").write_text("new.py\n")
    must_be_clean(repo / "tree", before(repo, "new.py"), {})


def test_what_newtfix_wrote_itself_is_no_edit(repo: Path) -> None:
    (repo / "tree/a.py").write_text("patched\n")
    written = {"a.py": digest(b"patched\n")}
    must_be_clean(repo / "tree", before(repo, "a.py"), written)
    (repo / "tree/a.py").write_text("patched and edited\n")
    with pytest.raises(Refused):
        must_be_clean(repo / "tree", before(repo, "a.py"), written)


# --- commits ----------------------------------------------------------------------------------------------------------


def test_a_commit_holds_its_paths_and_nothing_else(repo: Path) -> None:
    tree = repo / "tree"
    (tree / "a.py").write_text("patched\n")
    (tree / "b.py").write_text("staged\n")
    git(repo, "add", "tree/b.py")
    (tree / "c d.py").write_text("edited\n")
    found = find_repository(tree)
    assert found is not None
    name = commit(found, ["a.py"], "subject\n\n# no comment\n")
    assert git(repo, "show", "--format=%B", "--name-only", name).split("\n") == [
        *("subject", "", "# no comment", "", "", "tree/a.py")
    ]
    assert uncommitted(found, ["a.py", "b.py", "c d.py"]) == {"b.py": "uncommitted", "c d.py": "uncommitted"}
    assert git(repo, "diff", "--cached", "--name-only") == "tree/b.py"


def test_a_hook_that_says_no(repo: Path) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho too long >&2\nexit 1\n")
    hook.chmod(0o755)
    (repo / "tree/a.py").write_text("patched\n")
    found = must_take_commits(repo / "tree", ["b.py"])
    with pytest.raises(GitFailed, match="too long"):
        commit(found, ["a.py"], "subject")


def nameless(repo: Path) -> None:
    git(repo, "config", "--file", os.environ["GIT_CONFIG_GLOBAL"], "--remove-section", "user")
    git(repo, "config", "user.useConfigOnly", "true")


def merging(repo: Path) -> None:
    (repo / ".git/MERGE_HEAD").write_text(git(repo, "rev-parse", "HEAD") + "\n")


def unborn(repo: Path) -> None:
    git(repo, "checkout", "-q", "--orphan", "fresh")


def edited(repo: Path) -> None:
    (repo / "tree/a.py").write_text("mine\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(nameless, "cannot commit here", id="no name is set"),
        pytest.param(merging, "a merge is under way", id="in the middle of a merge"),
        pytest.param(unborn, "cannot commit here", id="no commit yet"),
        pytest.param(edited, r"uncommitted changes would end up in the commits: a\.py", id="edits in the way"),
    ],
)
def test_where_no_commit_is_possible(repo: Path, spoil: Callable[[Path], None], message: str) -> None:
    must_take_commits(repo / "tree", ["a.py"])
    spoil(repo)
    with pytest.raises(Refused, match=message):
        must_take_commits(repo / "tree", ["a.py"])


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def newtfix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, in a repository that keeps the plain specimen in `tdmpc2`."""
    shutil.copytree(SPECIMEN, tmp_path / "tdmpc2", ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "tdmpc2")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            app([*arguments, "--tree", "tdmpc2"], prog_name="newtfix")
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def test_edits_that_git_has_not_got_are_kept_from_apply_and_revert(newtfix: Run, tmp_path: Path) -> None:
    config = tmp_path / "tdmpc2/config.py"
    assert newtfix("apply", "prior-coef")[0] == 0 and newtfix("apply", "seeding")[0] == 0
    assert git(tmp_path, "status", "--short", "tdmpc2/.newtfix") == ""
    config.write_text(config.read_text() + "# mine\n")
    patched = config.read_text()
    for command in ("revert", "update"):
        code, _, err = newtfix(command, *(["prior-coef"] if command == "revert" else []))
        assert (code, config.read_text()) == ((3, patched) if command == "revert" else (0, patched)), err
    code, _, err = newtfix("revert", "prior-coef", "--allow-dirty")
    assert code == 0 and config.read_text().endswith("# mine\n") and "prior_coef: float = 10.0" in config.read_text()
    git(tmp_path, "commit", "-qam", "all of it")
    assert newtfix("apply", "prior-coef")[0] == 0 and newtfix("revert", "prior-coef")[0] == 0


def test_what_a_stash_took_comes_back_with_its_record(newtfix: Run, tmp_path: Path) -> None:
    """Also where the stash has an edit from before the patch, so that the files are not as before it."""
    config = tmp_path / "tdmpc2/config.py"
    config.write_text(config.read_text() + "# mine\n")
    mine = config.read_text()
    assert newtfix("apply", "prior-coef", "--allow-dirty")[0] == 0
    git(tmp_path, "stash", "-q")
    code, _, err = newtfix("revert", "--all")
    assert code == 0 and "kept aside" in err and git(tmp_path, "status", "--short", "tdmpc2") == ""
    git(tmp_path, "stash", "pop", "-q")
    assert newtfix("revert", "--all")[0] == 0 and config.read_text() == mine


def test_what_was_committed_and_is_taken_out_is_still_in_git(newtfix: Run) -> None:
    assert newtfix("apply", "prior-coef")[0] == 0
    assert "Git still has" not in newtfix("revert", "--all")[2]
    assert newtfix("apply", "prior-coef", "--commit")[0] == 0
    assert re.search(r"Git still has what was taken out: git -C \S+ commit -- config.py", newtfix("revert", "--all")[2])


def test_one_commit_per_patch(newtfix: Run, tmp_path: Path) -> None:
    (tmp_path / "staged").write_text("mine\n")
    git(tmp_path, "add", "staged")
    code, out, _ = newtfix("apply", "mu-std", "prior-coef", "--commit", "--json")
    done = json.loads(out)
    assert code == 0 and list(done["commits"]) == ["planner-stats", "mu-std", "prior-coef"]
    subjects = git(tmp_path, "log", "--reverse", "--format=%s").split("\n")
    assert len(subjects) == 4 and all(line.startswith("newtfix: ") for line in subjects[1:])
    assert "newtfix-patch: mu-std" in git(tmp_path, "show", "--format=%B", done["commits"]["mu-std"])
    assert git(tmp_path, "status", "--short") == "A  staged\n?? gitconfig"
    assert git(tmp_path, "show", "--name-only", "--format=", "HEAD") == "tdmpc2/config.py"
    assert newtfix("check", "mu-std", "prior-coef")[0] == 0


def test_a_hook_stops_the_commits_halfway(newtfix: Run, tmp_path: Path) -> None:
    hook = tmp_path / ".git/hooks/commit-msg"
    hook.write_text('#!/bin/sh\n! grep -q "newtfix-patch: prior-coef" "$1" || { echo not this one; exit 1; }\n')
    hook.chmod(0o755)
    code, _, err = newtfix("apply", "seeding", "prior-coef", "target-q", "--commit")
    assert code == 3 and "git stopped the commits: not this one" in err
    assert "committed: seeding (" in err
    assert "in the tree, not committed: prior-coef" in err and "not applied: target-q" in err
    assert "newtfix apply target-q --commit --tree tdmpc2" in err
    assert git(tmp_path, "diff", "--name-only") == "tdmpc2/config.py"
    assert "Commit prior-coef by hand: git -C tdmpc2 commit -- config.py" in err
    code, _, err = newtfix("apply", "target-q", "prior-coef", "--commit")
    assert code == 0 and "prior-coef: already applied" in err and "target-q: applied, commit" in err
    assert err.splitlines()[-1] == ("Not committed, as it was in the tree before: git -C tdmpc2 commit -- config.py")


@pytest.mark.parametrize("folder", ["tree", "new tree"])
def test_the_command_that_commits_works_anywhere(repo: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    (repo / "tree").rename(repo / folder)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "moved", "--allow-empty")
    (repo / folder / "c d.py").write_text("mine\n")
    (repo / folder / "fresh.py").write_text("mine\n")
    for where in (repo, repo.parent):
        monkeypatch.chdir(where)
        tree = Path(os.path.relpath(repo / folder))
        with pytest.raises(Refused) as caught:
            must_take_commits(tree, ["a.py", "c d.py", "fresh.py"])
    command = caught.value.hint.partition("(")[2].partition(")")[0]
    subprocess.run(f"{command.replace(' commit ', ' commit -qm mine ')}", shell=True, check=True)
    must_take_commits(tree, ["a.py", "c d.py", "fresh.py"])


def test_a_hook_that_rewrites_a_file_counts_as_an_edit(newtfix: Run, tmp_path: Path) -> None:
    hook = tmp_path / ".git/hooks/pre-commit"
    hook.write_text(
        "#!/bin/sh\ngrep -q hooked tdmpc2/config.py || echo '# hooked' >>tdmpc2/config.py\ngit add tdmpc2\n"
    )
    hook.chmod(0o755)
    code, _, err = newtfix("apply", "prior-coef", "target-q", "--commit")
    assert code == 3 and "a hook of git changed config.py" in err and "committed: prior-coef (" in err
    assert newtfix("apply", "target-q", "--commit")[0] == 0
    assert newtfix("revert", "prior-coef")[0] == 0
    assert (tmp_path / "tdmpc2/config.py").read_text() == (SPECIMEN / "config.py").read_text() + "# hooked\n"


def test_the_hook_for_pre_commit_is_a_command_line() -> None:
    (hook,) = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
    program, command, *rest = [*hook["entry"].split(), *hook["args"], "--tree", "tdmpc2"]
    assert program == "newtfix" and hook["id"] == "newtfix-check" and not hook["pass_filenames"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert commands[command].make_context(command, rest).params["everything"]


def test_commits_need_a_tree_in_git_and_no_edits(newtfix: Run, tmp_path: Path) -> None:
    assert newtfix("apply", "seeding", "--commit", "--allow-dirty")[0] == 2
    (tmp_path / "tdmpc2/trainer.py").write_text((tmp_path / "tdmpc2/trainer.py").read_text() + "# mine\n")
    code, _, err = newtfix("apply", "seeding", "--commit")
    assert code == 3 and "git -C tdmpc2 commit -- trainer.py" in err
    assert not (tmp_path / "tdmpc2/.newtfix").exists()


# --- branches ---------------------------------------------------------------------------------------------------------


def states(run: Run) -> dict[str, str]:
    return {one["id"]: one["state"] for one in json.loads(run("status", "--json")[1])["patches"]}


def applied(run: Run) -> set[str]:
    return {one["id"] for one in json.loads(run("status", "--json")[1])["patches"] if one["applied_by_newtfix"]}


@pytest.mark.parametrize("other", ["target-q", "seeding"], ids=["other files", "the same files"])
def test_each_branch_has_its_record(newtfix: Run, tmp_path: Path, other: str) -> None:
    git(tmp_path, "branch", "old")
    newtfix("apply", "prior-coef", "seeding", "rho", "--commit")
    here = git(tmp_path, "rev-parse", "HEAD:tdmpc2")
    git(tmp_path, "checkout", "-q", "old")
    code, _, err = newtfix("revert", "rho")
    assert code == 3 and "rho does not fit the files in tdmpc2" in err and "is kept" in err
    assert newtfix("revert", "--all")[0] == 3 and newtfix("update")[0] == 3
    newtfix("apply", other, "--commit")
    assert applied(newtfix) == {other}
    git(tmp_path, "checkout", "-q", "-")
    assert applied(newtfix) == {"prior-coef", "seeding", "rho"}
    assert newtfix("revert", "rho")[0] == 0 and states(newtfix)["rho"] == "available"
    assert newtfix("apply", "rho", "--allow-dirty")[0] == 0 and git(tmp_path, "status", "--short", "tdmpc2") == ""
    assert newtfix("revert", "--all")[0] == 0
    assert git(tmp_path, "diff", "--stat", "old~1", "--", "tdmpc2") == "" != here
    git(tmp_path, "checkout", "-q", "-f", "old")
    assert applied(newtfix) == {other} and newtfix("revert", "--all")[0] == 0
    assert git(tmp_path, "diff", "--stat", "old~1", "--", "tdmpc2") == ""


def test_code_that_no_record_speaks_of_is_never_said_to_be_gone(newtfix: Run, tmp_path: Path) -> None:
    newtfix("apply", "rho", "--commit")
    shutil.rmtree(tmp_path / "tdmpc2/.newtfix")
    git(tmp_path, "checkout", "-q", "-b", "other", "HEAD~1")
    newtfix("apply", "target-q", "--commit")
    git(tmp_path, "checkout", "-q", "-")
    for what in ("rho", "target-q", "--all"):
        code, _, err = newtfix("revert", what)
        assert code == 3 and "does not fit the files" in err and "as before the first patch" not in err
    assert states(newtfix)["rho"] == "applied"


def test_a_reverted_commit_is_put_in_again(newtfix: Run, tmp_path: Path) -> None:
    newtfix("apply", "seeding", "mu-std", "rho", "--commit")
    wanted = (tmp_path / "tdmpc2/trainer.py").read_bytes()
    lines = git(tmp_path, "log", "--format=%h %s").split("\n")
    git(tmp_path, "revert", "--no-edit", next(line.split()[0] for line in lines if "Random actions" in line))
    code, _, err = newtfix("check", "mu-std")
    assert code == 1 and states(newtfix)["mu-std"] == "available"
    code, _, err = newtfix("update")
    assert code == 0 and "mu-std is in the record, but its code is not in the tree any more" in err
    assert "it has what" not in err
    code, out, _ = newtfix("apply", "mu-std", "--commit", "--json")
    assert code == 0 and list(json.loads(out)["commits"]) == ["mu-std"]
    assert (tmp_path / "tdmpc2/trainer.py").read_bytes() == wanted and newtfix("check", "mu-std")[0] == 0
