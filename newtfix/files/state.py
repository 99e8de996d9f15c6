"""What the user has allowed, and which trees were run: kept in the user's own state folder, never in a tree.

A folder of patches is code. One that a tree names is run only if the user allowed it with these very contents; both
path and digest are remembered. NEWTFIX_STATE in the environment names another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import platformdirs

from newtfix.errors import UsageError
from newtfix.files import inside, system

VARIABLE = "NEWTFIX_STATE"
_FILE = "state.json"
_SCHEMA = 1
_SKIPPED = (".git", ".newtfix")
_FILE_LIMIT = 4 * inside.MEBIBYTE
_FILES = 2_000
_RUNS = 1_000  # trees remembered


@dataclass
class State:
    """`trusted` maps folders to digests of their contents; `run` are the trees whose code was run, the latest last."""

    trusted: dict[str, str] = field(default_factory=dict)
    run: list[str] = field(default_factory=list)


def folder() -> Path:
    named = os.environ.get(VARIABLE)
    return Path(named) if named else platformdirs.user_state_path("newtfix")


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a folder of patches, and of the folders in it, by their paths there.

    Raises OSError where there is more than files and folders, or more than a folder of patches has.
    """
    found: dict[str, bytes] = {}
    pending = [""]
    while pending:
        path = pending.pop()
        with inside.folder(directory, path) as at:
            for name in sorted(os.listdir(at)):
                below = f"{path}/{name}" if path else name
                if stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                    pending += [below] if name not in _SKIPPED else []
                else:
                    found[below] = inside.read_at(name, at, directory / below, _FILE_LIMIT)
                if len(found) > _FILES:
                    raise OSError(0, f"there are more than {_FILES} files in it", str(directory))
    return found


def digest_of(files: Mapping[str, bytes]) -> str:
    """One digest of all names and bytes."""
    whole = hashlib.sha256()
    for path in sorted(files):
        for part in (os.fsencode(path), files[path]):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def read() -> State:
    """What is remembered; nothing where that cannot be read, or where others may have written it."""
    home = folder()
    try:
        _must_be_private(home)
        return _state(json.loads(inside.read(home, _FILE)))
    except (OSError, ValueError, RecursionError, UsageError):
        return State()


@contextmanager
def changing() -> Iterator[State]:
    """What is remembered, to be changed and written back; one process at a time. Raises UsageError where that fails."""
    home = folder()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _must_be_private(home)
        with inside.folder(home) as at:
            fcntl.flock(at, fcntl.LOCK_EX)
            state = read()
            yield state
            _write(state, at)
    except OSError as problem:
        raise UsageError(
            f"cannot remember it: {problem.strerror or problem}",
            where=str(problem.filename or home),
            hint=f"Name a folder for it that you may write: {VARIABLE}=DIR",
        ) from problem


def allow(found: Mapping[str, Mapping[str, bytes]]) -> None:
    """Remember folders, by their real paths, with what is in them now. Raises UsageError where that fails."""
    with changing() as state:
        state.trusted |= {path: digest_of(files) for path, files in found.items()}


def first_run(root: Path) -> bool:
    """Whether the code of this tree was never run before, as far as is known; from now on it was."""
    name = os.path.realpath(root)
    if name in read().run:
        return False
    try:
        with changing() as state:
            state.run = [*(one for one in state.run if one != name), name][-_RUNS:]
    except UsageError:
        pass  # then it is said again the next time
    return True


def _state(data: Any) -> State:
    if not isinstance(data, dict) or data.get("schema") != _SCHEMA:
        raise ValueError("not a state of this version")
    trusted, run = data.get("trusted"), data.get("run")
    if not isinstance(trusted, dict) or not isinstance(run, list):
        raise ValueError("not a state")
    return State({str(path): str(known) for path, known in trusted.items()}, [str(path) for path in run])


def _write(state: State, at: int) -> None:
    text = json.dumps({"schema": _SCHEMA, "trusted": state.trusted, "run": state.run}, indent=1)
    name = f".{uuid4().hex}"
    handle = system.create(name, at, 0o600)
    try:
        system.write(handle, text.encode())
        system.sync(handle)
    finally:
        os.close(handle)
    system.rename(name, at, _FILE, at)
    system.sync(at)


def _must_be_private(home: Path) -> None:
    """What others may write says nothing about what this user allowed."""
    if problem := not_private(home):
        raise UsageError(
            f"{home} is not used: {problem}", hint=f"Make it yours alone (chmod 700), or name another: {VARIABLE}=DIR"
        )


def not_private(home: Path) -> str:
    """Why others may write into a folder; nothing where they may not."""
    found = home.stat()
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    return "others may write into it" if found.st_mode & 0o022 else ""
