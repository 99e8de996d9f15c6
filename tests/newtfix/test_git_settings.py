"""git is asked without running anything that a repository names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from newtfix.errors import Refused
from newtfix.files.git import (
    Repository,
    find_repository,
    must_be_clean,
    must_take_commits,
    uncommitted,
    with_carriage_returns,
)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").write_text("[user]\n\tname = t\n\temail = t@example.org\n")
    root = tmp_path / "repo"
    (root / "tree").mkdir(parents=True)
    (root / "tree/trainer.py").write_text("x = 1\n")
    (root / "tree/config.py").write_text("y = 1\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def trap(repo: Path) -> str:
    return f"touch {repo.parent}/ran; cat"


def monitor(repo: Path) -> None:
    git(repo, "config", "core.fsmonitor", f"touch {repo.parent}/ran; false")


def clean_filter(repo: Path) -> None:
    for kind in ("clean", "smudge", "process"):
        git(repo, "config", f"filter.any thing.x.{kind}", trap(repo))
    git(repo, "config", "filter.x.clean", trap(repo))
    git(repo, "config", "filter.x.required", "true")
    (repo / ".gitattributes").write_text("*.py filter=x diff=x\n")
    git(repo, "config", "diff.x.textconv", trap(repo))
    git(repo, "config", "diff.x.command", trap(repo))


def included(repo: Path) -> None:
    (repo / "more").write_text(f"[core]\n\tfsmonitor = touch {repo.parent}/ran; false\n")
    git(repo, "config", "include.path", "../more")


def hooks(repo: Path) -> None:
    for folder in (repo / ".git/hooks", repo / "hooks"):
        folder.mkdir(exist_ok=True)
        for name in ("fsmonitor-watchman", "post-index-change", "pre-auto-gc", "reference-transaction"):
            (folder / name).write_text(f"#!/bin/sh\ntouch {repo.parent}/ran\n")
            (folder / name).chmod(0o755)
    git(repo, "config", "core.hooksPath", "hooks")


def programs(repo: Path) -> None:
    for name in (
        "core.pager core.editor core.sshCommand core.askPass core.gitProxy core.alternateRefsCommand diff.external "
        "pager.status pager.ls-files alias.status alias.ls-files alias.rev-parse gpg.program sequence.editor "
        "credential.helper interactive.diffFilter trace2.normalTarget uploadpack.packObjectsHook"
    ).split():
        git(repo, "config", name, f"!touch {repo.parent}/ran" if "alias" in name else trap(repo))


def worktree_settings(repo: Path) -> None:
    git(repo, "config", "extensions.worktreeConfig", "true")
    git(repo, "config", "--worktree", "core.fsmonitor", f"touch {repo.parent}/ran; false")


def lazy(repo: Path) -> None:
    git(repo, "config", "extensions.partialClone", "origin")
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "remote.origin.url", f"ext::sh -c touch% {repo.parent}/ran")
    git(repo, "config", "protocol.ext.allow", "always")
    for path in (repo / ".git/objects").glob("??/*"):
        path.unlink()


def submodule(repo: Path) -> None:
    below = repo / "tree/sub"
    below.mkdir()
    git(below, "init", "-q")
    git(below, "commit", "-qm", "x", "--allow-empty")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "second")
    git(below, "config", "core.fsmonitor", f"touch {repo.parent}/ran; false")


TRAPS = [monitor, clean_filter, included, hooks, programs, worktree_settings, lazy, submodule]


@pytest.mark.parametrize("set_trap", TRAPS, ids=lambda one: one.__name__)
def test_no_question_runs_what_the_repository_names(repo: Path, set_trap: Callable[[Path], None]) -> None:
    set_trap(repo)
    (repo / "tree/trainer.py").write_text("x = 2\n")
    found = find_repository(repo / "tree")
    if set_trap is not lazy:
        assert found is not None and found.prefix == "tree/" and found.top == repo
        assert uncommitted(found, ["trainer.py", "config.py"]) == {"trainer.py": "uncommitted"}
        assert not with_carriage_returns(found, ["trainer.py", "config.py"])
        with pytest.raises(Refused, match=r"trainer\.py \(uncommitted\)"):
            must_be_clean(repo / "tree", {"trainer.py": b""}, {})
        with pytest.raises(Refused, match="uncommitted changes"):
            must_take_commits(repo / "tree", ["trainer.py"])
    assert not (repo.parent / "ran").exists()


def test_an_embedded_bare_repository_is_not_asked(repo: Path) -> None:
    tree = repo / "tree"
    git(tree, "init", "-q", "--bare", ".")
    with (tree / "config").open("a") as file:
        file.write(f'[core]\n\tbare = false\n\tworktree = "."\n\tfsmonitor = touch {repo.parent}/ran; false\n')
    found = find_repository(tree)
    assert found is not None and found.top == repo and found.prefix == "tree/"
    assert uncommitted(found, ["trainer.py"]) == {}
    assert not (repo.parent / "ran").exists()


def states(repo: Path) -> dict[str, str]:
    found = find_repository(repo / "tree")
    assert isinstance(found, Repository)
    return uncommitted(found, ["trainer.py", "config.py", "new.py"])


def test_the_answers_are_those_of_git(repo: Path) -> None:
    assert states(repo) == {}
    (repo / "tree/new.py").write_text("")
    (repo / "tree/config.py").write_text("y = 2\n")
    git(repo, "add", "tree/config.py")
    assert states(repo) == {"new.py": "untracked", "config.py": "uncommitted"}
    (repo / "tree/config.py").unlink()
    assert states(repo)["config.py"] == "uncommitted"


@pytest.mark.parametrize("how", ["autocrlf", "attributes", "info"])
def test_line_ends_of_the_checkout_are_no_edit(repo: Path, how: str) -> None:
    if how == "autocrlf":
        git(repo, "config", "core.autocrlf", "true")
    else:
        place = repo / (".gitattributes" if how == "attributes" else ".git/info/attributes")
        place.write_text("*.py text eol=crlf\n")
    (repo / "tree/trainer.py").unlink()
    git(repo, "checkout", "tree/trainer.py")
    os.utime(repo / "tree/trainer.py", (1, 1))  # so that the contents are compared
    assert (repo / "tree/trainer.py").read_bytes() == b"x = 1\r\n"
    assert states(repo) == {}
    found = find_repository(repo / "tree")
    assert found is not None and not with_carriage_returns(found, ["trainer.py"])


def test_carriage_returns_that_git_has(repo: Path) -> None:
    (repo / "tree/trainer.py").write_bytes(b"x = 1\r\n")
    git(repo, "commit", "-qam", "second")
    found = find_repository(repo / "tree")
    assert found is not None and with_carriage_returns(found, ["trainer.py"])
    assert not with_carriage_returns(found, ["config.py"])


@pytest.mark.parametrize("kind", ["worktree", "split index", "sha256", "no commit"])
def test_repositories_of_other_kinds(repo: Path, kind: str) -> None:
    root = repo
    if kind == "worktree":
        root = repo.parent / "second"
        git(repo, "worktree", "add", "-q", str(root))
    elif kind == "split index":
        git(repo, "update-index", "--split-index")
    else:
        root = repo.parent / "other"
        (root / "tree").mkdir(parents=True)
        (root / "tree/trainer.py").write_text("x = 1\n")
        git(root, "init", "-q", *(["--object-format=sha256"] if kind == "sha256" else []))
        git(root, "add", "-A")
        if kind == "sha256":
            git(root, "commit", "-qm", "first")
    assert states(root) == ({"trainer.py": "uncommitted"} if kind == "no commit" else {})
    (root / "tree/trainer.py").write_text("x = 3\n")
    assert states(root) == {"trainer.py": "uncommitted"}


@pytest.mark.parametrize("said", ["", "{tree}\nsha1\n", "{elsewhere}\nsha1\na\nb\nc\nd\n"])
def test_a_git_that_says_something_else_is_no_repository(
    repo: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As one whose .git is of another tree, or a version that does not know what it is asked."""
    assert find_repository(repo) is not None
    monkeypatch.setattr("newtfix.files.git._ask", lambda *_: said.format(tree=repo, elsewhere=repo / "elsewhere"))
    assert find_repository(repo) is None
