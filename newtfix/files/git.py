"""What newtfix asks of git: where a tree lies in its repository, what is uncommitted there, and commits of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newtfix.errors import Refused
from newtfix.files.write import digest

_STATES = {"??": "untracked", "UU": "unmerged"}
_UNFINISHED = {"MERGE_HEAD": "merge", "CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert"}


class GitFailed(Exception):
    """git is not there, or ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Repository:
    """The work tree of git that holds a tree: its top folder, and the path of the tree in it ("" or "folder/")."""

    root: Path
    top: Path
    prefix: str


def find_repository(root: Path) -> Repository | None:
    """The repository that keeps files of the tree; None where git has none of them, or is not there or broken."""
    home = Path(os.path.realpath(root))
    if not any(os.path.lexists(folder / ".git") for folder in (home, *home.parents)):
        return None
    try:
        top, prefix = _git(root, "rev-parse", "--show-toplevel", "--show-prefix").split("\n")[:2]
        tracked = _git(root, "ls-files", "-z", "--", ".")
    except (GitFailed, ValueError):
        return None
    return Repository(root, Path(top), prefix) if tracked else None


def uncommitted(repository: Repository, paths: Collection[str]) -> dict[str, str]:
    """Those of the paths, relative to the tree, that differ from the last commit, staged or not, and how."""
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=no")
    said = _git(repository.root, "status", *options, "--", *paths) if paths else ""
    entries = [(entry[:2], entry[3:]) for entry in said.split("\0") if entry]
    return {path.removeprefix(repository.prefix): _STATES.get(state, "uncommitted") for state, path in entries}


def must_be_clean(
    root: Path, before: Mapping[str, bytes], written: Mapping[str, str], go_on: str = "--allow-dirty"
) -> None:
    """Refuse to write files whose contents git has not got, as nothing could bring these back.

    Args:
        before: the files to be written, with their contents. written: the digest of what newtfix itself wrote last;
            files that are still like that don't count. go_on: the option that goes on nevertheless.
    """
    repository = find_repository(root)
    if repository is None:
        return
    try:
        found = uncommitted(repository, before)
    except GitFailed:
        return
    left = {path: how for path, how in found.items() if path in before and digest(before[path]) != written.get(path)}
    if left:
        dirty = ", ".join(f"{path} ({how})" for path, how in left.items())
        raise Refused(
            f"edits that git has not got, in files to be written: {dirty}",
            where=f"in {repository.root}, in the repository {repository.top}",
            hint=f"Commit them ({how_to_commit(repository, left)}), or go on with {go_on}: edits stay, merged with the "
            "patches.",
        )


def must_take_commits(root: Path, paths: Collection[str]) -> Repository:
    """The repository, once nothing in it would keep commits of these paths, and of these alone, from being made."""
    repository = find_repository(root)
    if repository is None:
        if shutil.which("git") is None:
            raise Refused("git is not installed here, so there is nothing to commit with", hint="Leave --commit out.")
        raise Refused(
            f"git has no files of {root}, so there is nothing to commit to",
            where=_reason(root),
            hint="Commit the tree as it is first, or leave --commit out.",
        )
    try:
        _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
        _git(root, "var", "GIT_AUTHOR_IDENT")
        _git(root, "var", "GIT_COMMITTER_IDENT")
        found = uncommitted(repository, paths)
    except GitFailed as problem:
        raise Refused(
            "git cannot commit here", str(problem), "Nothing was written. Put this right and try again."
        ) from None
    if unfinished := [what for name, what in _UNFINISHED.items() if _has(root, name)]:
        raise Refused(
            f"a {unfinished[0]} is under way in {repository.top}", hint="Finish it first, or leave --commit out."
        )
    if found:
        raise Refused(
            f"uncommitted changes would end up in the commits: {', '.join(found)}",
            where=f"in {repository.root}, in the repository {repository.top}",
            hint=f"Commit them first ({how_to_commit(repository, found)}), or leave --commit out.",
        )
    return repository


def how_to_commit(repository: Repository, found: Mapping[str, str]) -> str:
    """The command, for any folder, that commits paths of the tree with their states."""
    git = f"git -C {shlex.quote(str(repository.root))}"
    new = [shlex.quote(path) for path, state in found.items() if state == _STATES["??"]]
    add = f"{git} add -- {' '.join(new)} && " if new else ""
    return f"{add}{git} commit -- {' '.join(map(shlex.quote, found))}"


def commit(repository: Repository, paths: Sequence[str], message: str) -> str:
    """Commit these paths alone, whatever else is staged or edited, with the hooks of the user; its short id.

    Raises GitFailed with what git, or a hook, said.
    """
    _git(repository.root, "commit", "--quiet", "--only", "--file=-", "--", *paths, text=message)
    _git(repository.root, "reset", "--quiet", "--", *paths)  # what a hook added is in the commit, not in the index
    return _git(repository.root, "rev-parse", "--short", "HEAD").strip()


def _has(root: Path, name: str) -> bool:
    try:
        _git(root, "rev-parse", "--verify", "--quiet", name)
    except GitFailed:
        return False
    return True


def _reason(root: Path) -> str:
    """What git says about a tree that it has no files of; nothing where it has no objection."""
    try:
        _git(root, "rev-parse", "--show-toplevel")
    except GitFailed as problem:
        return str(problem)
    return ""


def _git(root: Path, *arguments: str, text: str = "") -> str:
    """What git prints, run in the tree; variables that point at another repository, as in a hook, do not count."""
    surroundings = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    try:
        done = subprocess.run(
            ["git", "--literal-pathspecs", *arguments],
            cwd=root,
            env={**surroundings, "GIT_OPTIONAL_LOCKS": "0"},
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
        )
    except OSError as problem:
        raise GitFailed(f"git: {problem.strerror or problem}") from problem
    out, said = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
    if done.returncode:
        raise GitFailed(said.strip() or out.strip() or f"git {arguments[0]} ended with {done.returncode}")
    return out


_POINTERS = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_CEILING_DIRECTORIES".split()
)
