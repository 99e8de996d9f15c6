"""What newtfix asks of git: where a tree lies in its repository, what is uncommitted there, and commits of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from newtfix.errors import Refused
from newtfix.files import inside
from newtfix.files.checked import digest

_STATES = {"??": "untracked", "UU": "unmerged"}
_UNFINISHED = {"MERGE_HEAD": "merge", "CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert"}


class GitFailed(Exception):
    """git is not there, or ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Repository:
    """The work tree of git that holds a tree: its top folder, and the path of the tree in it ("" or "folder/").

    `index`, `objects` and `infos` (rules about files) are where git keeps these; `hashes` is how it names objects.
    """

    root: Path
    top: Path
    prefix: str
    index: Path = Path()
    objects: Path = Path()
    infos: tuple[Path, ...] = ()
    hashes: str = "sha1"


def find_repository(root: Path) -> Repository | None:
    """The repository that keeps files of the tree; None where git has none of them, or is not there or broken."""
    home = Path(os.path.realpath(root))
    above = next((folder for folder in (home, *home.parents) if os.path.lexists(folder / ".git")), None)
    if above is None:
        return None
    try:
        repository = _opened(root, above, home)
        if repository is None:
            return None
        with _asking(repository) as ask:
            tracked = ask("ls-files", "-z", "--", f"{repository.prefix or '.'}")
    except GitFailed:
        return None
    return repository if tracked else None


def _opened(root: Path, above: Path, home: Path) -> Repository | None:
    """The repository whose `.git` is in `above`; None where it does not hold `home`."""
    _must_be_plain(above, home)
    places = ("index", "objects", "info/attributes", "info/exclude")
    asked = [part for place in places for part in ("--git-path", place)]
    said = _ask(above, "rev-parse", "--show-toplevel", "--show-object-format", *asked).split("\n")
    if len(said) < 2 + len(places):
        raise GitFailed("git says something else than was asked")
    top = Path(os.path.realpath(said[0]))
    if not home.is_relative_to(top):
        return None
    path = home.relative_to(top).as_posix()
    index, objects, *infos = (above / place for place in said[2 : 2 + len(places)])
    hashes = said[1] if said[1].isalnum() else "sha1"
    return Repository(root, top, "" if path == "." else f"{path}/", index, objects, tuple(infos), hashes)


def _must_be_plain(above: Path, home: Path) -> None:
    """Raise GitFailed where git would open something that is no file, as a pipe that nobody writes to."""
    for path in (above / ".git" / name for name in _OPENED):
        _must_be_file(path)
    for folder in (above, *(one for one in (home, *home.parents) if one.is_relative_to(above))):
        for name in (".gitignore", ".gitattributes"):
            _must_be_file(folder / name)


def _must_be_file(path: Path) -> None:
    with suppress(OSError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise GitFailed(f"{path} is no file")


def uncommitted(repository: Repository, paths: Collection[str]) -> dict[str, str]:
    """Those of the paths, relative to the tree, that differ from the last commit, staged or not, and how."""
    if not paths:
        return {}
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=no")
    with _asking(repository) as ask:
        said = ask("status", *options, "--ignore-submodules=all", "--", *_in_repository(repository, paths))
    entries = [(entry[:2], entry[3:]) for entry in said.split("\0") if entry]
    return {path.removeprefix(repository.prefix): _STATES.get(state, "uncommitted") for state, path in entries}


def is_committed(root: Path, paths: Collection[str]) -> bool:
    """Whether git keeps the tree, and these files are as it has them."""
    repository = find_repository(root)
    try:
        return repository is not None and not uncommitted(repository, paths)
    except GitFailed:
        return False


def not_committed(root: Path, paths: Collection[str]) -> str:
    """The command that commits what differs of these files from the last commit; nothing where none does."""
    repository = find_repository(root)
    try:
        found = uncommitted(repository, paths) if repository is not None else {}
    except GitFailed:
        return ""
    return how_to_commit(repository, found) if repository is not None and found else ""


def with_carriage_returns(repository: Repository, paths: Collection[str]) -> set[str]:
    """Those of the files of which git itself, and not only the checkout, has lines that end with a carriage return."""
    if not paths:
        return set()
    with _asking(repository) as ask:
        said = ask("ls-files", "-z", "--eol", "--", *_in_repository(repository, paths))
    entries = (entry.partition("\t") for entry in said.split("\0") if entry)
    return {path.removeprefix(repository.prefix) for how, _, path in entries if how.startswith(("i/crlf", "i/mixed"))}


def _in_repository(repository: Repository, paths: Iterable[str]) -> list[str]:
    return [f"{repository.prefix}{path}" for path in paths]


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
            f"uncommitted edits in files to be written: {dirty}",
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
        _ask(repository.top, "rev-parse", "--verify", "--quiet", "HEAD")
        _ask(repository.top, "var", "GIT_AUTHOR_IDENT")
        _ask(repository.top, "var", "GIT_COMMITTER_IDENT")
        found = uncommitted(repository, paths)
    except GitFailed as problem:
        raise Refused(
            "git cannot commit here", str(problem), "Nothing was written. Put this right and try again."
        ) from None
    if unfinished := [what for name, what in _UNFINISHED.items() if _has(repository.top, name)]:
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


def in_the_way(repository: Repository, paths: Collection[str]) -> list[str]:
    """What to do before `git am` changes these paths: it wants them, and the index, as the last commit has them."""
    there = set(_in_repository(repository, paths))
    with _asking(repository) as ask:
        said = ask("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no", "--ignore-submodules=all")
    entries = [(entry[:2], entry[3:]) for entry in said.split("\0") if entry]
    found = {path: _STATES.get(state, "uncommitted") for state, path in entries if state[0] != " " or path in there}
    if not found:
        return []
    stash = f"git -C {shlex.quote(str(repository.top))} stash push -- {' '.join(map(shlex.quote, found))}"
    commit = how_to_commit(replace(repository, root=repository.top), found)
    return [
        f"git am refuses, for git has uncommitted edits in {', '.join(found)}.",
        f"Commit them first: {commit}",
        f"or stash them: {stash}",
    ]


def how_to_commit(repository: Repository, found: Mapping[str, str]) -> str:
    """The command, for any folder, that commits paths of the tree with their states."""
    git = f"git -C {shlex.quote(str(repository.root))}"
    new = [shlex.quote(path) for path, state in found.items() if state == _STATES["??"]]
    add = f"{git} add -- {' '.join(new)} && " if new else ""
    return f"{add}{git} commit -- {' '.join(map(shlex.quote, found))}"


def commit(repository: Repository, paths: Sequence[str], message: str) -> str:
    """Commit these paths alone, whatever else is staged or edited; its short id.

    The user asked for it: this is the one thing that is done as `git commit` does it, hooks and filters included.

    Raises GitFailed with what git, or a hook, said.
    """
    there = _in_repository(repository, paths)
    _git(repository.top, "commit", "--quiet", "--only", "--file=-", "--", *there, text=message)
    _git(repository.top, "reset", "--quiet", "--", *there)  # what a hook added is in the commit, not in the index
    return _ask(repository.top, "rev-parse", "--short", "HEAD").strip()


def _has(top: Path, name: str) -> bool:
    try:
        _ask(top, "rev-parse", "--verify", "--quiet", name)
    except GitFailed:
        return False
    return True


def _reason(root: Path) -> str:
    """What git says about a tree that it has no files of; nothing where it has no objection."""
    try:
        _ask(root, "rev-parse", "--show-toplevel")
    except GitFailed as problem:
        return str(problem)
    return ""


# --- asking without running anything ----------------------------------------------------------------------------------


@contextmanager
def _asking(repository: Repository) -> Iterator[Callable[..., str]]:
    """What asks git about the files of a repository without reading its settings.

    A repository may have come from anybody, and its settings name programs: file system monitors, filters, external
    diffs, hooks. So git is given a folder of its own in the place of `.git`, with the index and the objects of the
    repository, and of its settings only how lines end and names compare.
    """
    top = repository.top
    with tempfile.TemporaryDirectory(prefix="newtfix-git-") as name:
        _make_plain(Path(name), repository)
        variables = {
            "GIT_DIR": name,
            "GIT_WORK_TREE": str(top),
            "GIT_INDEX_FILE": str(repository.index),
            "GIT_OBJECT_DIRECTORY": str(repository.objects),
        }
        options = [part for setting in _harmless(top) for part in ("-c", setting)]

        def ask(*arguments: str) -> str:
            return _git(top, *_SAFE, *options, *arguments, variables={**_QUIET, **variables})

        yield ask


def _make_plain(folder: Path, repository: Repository) -> None:
    """A `.git` with nothing in it but the last commit, and rules about files that name no programs."""
    version = "[core]\n\trepositoryformatversion = 1\n\tbare = false\n[extensions]\n\tobjectFormat = "
    (folder / "config").write_text(f"{version}{repository.hashes}\n")
    (folder / "HEAD").write_text(f"{_head(repository.top) or 'ref: refs/heads/none'}\n")
    for name in ("refs", "objects", "info"):
        (folder / name).mkdir()
    for place in repository.infos:
        with suppress(OSError):
            (folder / "info" / place.name).write_bytes(inside.read_named(place, _RULES_LIMIT))
    for shared in repository.index.parent.glob("sharedindex.*"):
        (folder / shared.name).symlink_to(shared.absolute())


def _head(top: Path) -> str:
    try:
        return _ask(top, "rev-parse", "--verify", "--quiet", "HEAD").strip()
    except GitFailed:
        return ""


def _harmless(top: Path) -> Iterator[str]:
    """What is to count of all settings: those that say how files compare, each as name=value, and no filter."""
    listed = _ask(top, "config", "--null", "--list").split("\0")
    known = dict(entry.partition("\n")[::2] for entry in listed if entry)
    for name in _COMPARING:
        value = known.get(name, "")
        if value.isalnum():
            yield f"{name}={value}"
    for driver in sorted({name.rpartition(".")[0] for name in known if name.startswith("filter.")}):
        yield from (f"{driver}.clean=", f"{driver}.smudge=", f"{driver}.process=", f"{driver}.required=false")


def _ask(folder: Path, *arguments: str) -> str:
    """What git says to a question that runs nothing, in a folder that has a `.git`."""
    return _git(folder, *_SAFE, *arguments, variables=_QUIET)


def _git(folder: Path, *arguments: str, text: str = "", variables: Mapping[str, str] | None = None) -> str:
    """What git prints, run in a folder; variables that point at another repository, as in a hook, do not count."""
    surroundings = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    try:
        done = subprocess.run(
            ["git", "--literal-pathspecs", "--no-pager", *arguments],
            cwd=folder,
            env={**surroundings, **(variables or {})},
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_PATIENCE if variables is not None else None,
        )
    except subprocess.TimeoutExpired as problem:
        raise GitFailed(f"git does not answer within {_PATIENCE} seconds") from problem
    except OSError as problem:
        raise GitFailed(f"git: {problem.strerror or problem}") from problem
    out, said = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
    if done.returncode:
        raise GitFailed(said.strip() or out.strip() or f"git {arguments[0]} ended with {done.returncode}")
    return out


_RULES_LIMIT = inside.MEBIBYTE
_PATIENCE = 60  # seconds for a question; commits may take as long as their hooks do
_OPENED = "HEAD config commondir index packed-refs info/exclude info/attributes objects/info/alternates".split()
_COMPARING = (
    "core.autocrlf core.eol core.filemode core.ignorecase core.symlinks core.precomposeunicode core.trustctime "
    "core.checkstat"
).split()
_SAFE = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.untrackedCache=false"),
)
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
}
_POINTERS = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_CONFIG "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_CEILING_DIRECTORIES GIT_EXTERNAL_DIFF".split()
)
