"""Which folders of patches are run: those that the user named, or allowed where only a tree names them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from newtfix.files import state
from newtfix.model import Patch
from newtfix.work.places import builtin_patches


@dataclass(frozen=True)
class Folders:
    """The folders of patches to run, in order; of those that a tree named and the user allowed, what was read.

    `notes` tell of these, and of those that are left alone.
    """

    used: tuple[Path, ...]
    contents: Mapping[Path, Mapping[str, bytes]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def load(self) -> dict[str, Patch]:
        """Their patches with those of newtfix."""
        from newtfix.work.load import load_patches

        return load_patches((builtin_patches(), *self.used), self.contents)


def folders(named: Iterable[Path], offered: Mapping[str, Sequence[Path]]) -> Folders:
    """The folders to run.

    Args:
        named: on the command line. offered: by a tree, by what names them there.
    """
    own = distinct(named)
    used: dict[Path, None] = {}
    contents: dict[Path, Mapping[str, bytes]] = {}
    notes: list[str] = []
    known = state.read().trusted if any(offered.values()) else {}
    for source, paths in offered.items():
        for path in distinct(paths):
            if path in own or path in used:
                used[path] = None
                continue
            found, problem = _allowed(path, known)
            if problem:
                notes.append(f"Patches from {path} are not used: {source} names this folder, and {problem}")
            else:
                used[path] = None
                contents[path] = found
                notes.append(f"Patches from {path} are used too.")
    return Folders((*used, *(path for path in own if path not in used)), contents, tuple(dict.fromkeys(notes)))


def distinct(directories: Iterable[Path]) -> tuple[Path, ...]:
    """Real paths, each once, without that of newtfix's own patches."""
    builtin = os.path.realpath(builtin_patches())
    real = (os.path.realpath(path) for path in directories)
    return tuple(dict.fromkeys(Path(path) for path in real if path != builtin))


def _allowed(path: Path, known: Mapping[str, str]) -> tuple[dict[str, bytes], str]:
    """What is in a folder, and why it may not be run."""
    allow = f"Read it, and allow it with: newtfix trust {shlex.quote(str(path))}"
    if not path.is_dir():
        return {}, "there is no such folder."
    if str(path) not in known:
        return {}, f"you have not allowed it. {allow}"
    try:
        found = state.contents(path)
    except OSError as problem:
        return {}, f"it cannot be read ({problem.filename}: {problem.strerror})."
    if state.digest_of(found) != known[str(path)]:
        return {}, f"it has changed since you allowed it. {allow}"
    return found, ""
