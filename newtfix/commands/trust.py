"""`newtfix trust`: allows folders of patches that a tree names, with what is in them now."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.errors import UsageError
from newtfix.files import state
from newtfix.patch.file import is_patch
from newtfix.work.settings import configured_patches

_DEFINES = re.compile(rb"^PATCH\b", re.MULTILINE)


def run(directories: Sequence[Path], forget: bool, as_json: bool) -> int:
    if forget and not directories:
        raise UsageError("nothing to forget is named", hint="Name folders. See them with `newtfix trust`.")
    lines = _forget(directories) if forget else _allow(directories) if directories else []
    known = state.read().trusted
    if as_json:
        report.emit_json({"trusted": [{"folder": path, "digest": digest} for path, digest in sorted(known.items())]})
        return 0
    for line in lines:
        report.say(line)
    if not directories and known:
        report.table(("folder", "as of"), [(path, digest[:12]) for path, digest in sorted(known.items())])
    elif not directories:
        report.say("No folder of patches is allowed yet: newtfix trust DIR.")
    return 0


def _allow(directories: Sequence[Path]) -> list[str]:
    found = {os.path.realpath(path): _files(path) for path in directories}
    state.allow(found)
    return [
        f"{path}: allowed as it is now ({len(files)} {'file' if len(files) == 1 else 'files'}). Its code runs when "
        "a tree names this folder, until something in it changes."
        for path, files in found.items()
    ]


def _files(directory: Path) -> dict[str, bytes]:
    """What is in a folder of patches."""
    try:
        files = state.contents(directory)
    except OSError as problem:
        raise UsageError(
            f"{directory} cannot be allowed: {problem.strerror or problem}",
            where=str(problem.filename or ""),
            hint="Name a folder of patches that has files in it, and no links.",
        ) from problem
    if not any(is_patch(name, files) and _DEFINES.search(text) for name, text in files.items()):
        meant = [str(path) for path in configured_patches(directory) if path.is_dir()]
        hint = f"Its pyproject.toml names {', '.join(meant)}." if meant else "Patches are files like my_patch.py."
        raise UsageError(f"there are no patches in {directory}", hint=hint)
    return files


def _forget(directories: Sequence[Path]) -> list[str]:
    names = [os.path.realpath(path) for path in directories]
    with state.changing() as remembered:
        gone = [name for name in names if remembered.trusted.pop(name, None)]
    return [f"{name}: {'not allowed any more' if name in gone else 'was not allowed'}." for name in names]
