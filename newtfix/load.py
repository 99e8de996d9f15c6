"""Reads patch directories: every `name_like_this.py` with a `PATCH` record is the patch `name-like-this`."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from newtfix.errors import PatchError
from newtfix.model import Patch
from newtfix.order import in_order
from newtfix.roles import ROLES


def load_patches(directories: Sequence[Path]) -> dict[str, Patch]:
    """All patches of the directories by id, in the order they are applied. A later directory may not redefine an id."""
    patches: dict[str, Patch] = {}
    for directory in directories:
        if not directory.is_dir():
            raise PatchError(f"--patches {directory}: there is no such folder")
        for path in sorted(directory.glob("*.py")):
            if path.stem.startswith("_"):
                continue
            patch = _load(path)
            if patch.id in patches:
                raise PatchError(
                    f"two patches have the id {patch.id!r}",
                    where=f"{patches[patch.id].origin} and {path}",
                    hint="rename one of the files",
                )
            patches[patch.id] = patch
    return {name: patches[name] for name in in_order(patches, patches)}


def _load(path: Path) -> Patch:
    try:
        namespace = runpy.run_path(str(path))
    except (Exception, SystemExit) as problem:
        raise PatchError(f"{path} cannot be loaded: {type(problem).__name__}: {problem}") from problem
    patch = namespace.get("PATCH")
    if not isinstance(patch, Patch):
        raise PatchError(f"{path} defines no PATCH record", hint="see patches/seeding.py for an example")
    for edit in patch.edits:
        if edit.role not in ROLES:
            message = f"{path}: edit {edit.id!r} has the unknown role {edit.role!r}"
            raise PatchError(message, hint=f"roles: {', '.join(ROLES)}")
    doc = inspect.cleandoc(namespace.get("__doc__") or "")
    return replace(patch, id=path.stem.replace("_", "-"), doc=doc, origin=str(path))
