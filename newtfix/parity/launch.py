"""Has a tree probed in a process of its own, and takes in what comes back."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np

from newtfix.errors import TreeError
from newtfix.files import inside
from newtfix.files.tree import Tree
from newtfix.newt.roles import ROLES, Found, find_roles
from newtfix.parity.fixture import Array, Fixture
from newtfix.running import Importable, end_confined, importable, last_words, start_confined

_NEEDED = ("agent", "world_model", "math")
_SHOWN_LINES = 8
_TIME_LIMIT = 600.0  # seconds; most trees take ten


@dataclass(frozen=True)
class Computed:
    """The results that a tree gave, why it gave no others, and what to tell about it."""

    arrays: Mapping[str, Array]
    errors: Mapping[str, str]
    notes: tuple[str, ...]


def probe(tree: Tree, fixture: Fixture) -> Computed:
    """What the tree's own classes compute. Raises TreeError if it cannot be built or does not take the weights."""
    roles = find_roles(tree.sources)
    for role in _NEEDED:
        if role not in roles:
            raise TreeError(
                f"no file of this tree plays the role of {role}",
                where=f"looked for {', '.join(sorted(ROLES[role].members))} in {tree.root}",
                hint="Give the folder that holds tdmpc2.py and common: newtfix parity FIXTURE --tree DIR",
            )
    text = "\n".join(tree.sources[roles[role].file] for role in _NEEDED)
    with importable(tree.root, text) as found, tempfile.TemporaryDirectory(prefix="newtfix-parity-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(_job(tree, fixture, roles, found)), "utf-8")
        return _run(folder, tree, found)


def _job(tree: Tree, fixture: Fixture, roles: Mapping[str, Found], found: Importable) -> dict[str, Any]:
    modules: dict[str, Any] = {role: _module(roles[role].file, found.package) for role in _NEEDED}
    if "config" in roles:
        modules["config"] = [_module(roles["config"].file, found.package), roles["config"].cls]
    return {
        "fixture": str(fixture.path.resolve()),
        "root": str(tree.root.resolve()),
        "modules": modules,
        "classes": {role: roles[role].cls for role in ("agent", "world_model")},
    }


def _module(file: str, package: str) -> str:
    parts = PurePosixPath(file).with_suffix("").parts
    return ".".join((package, *parts) if package else parts)


def _run(folder: Path, tree: Tree, found: Importable) -> Computed:
    """Nothing is written into the tree, nothing it prints gets through, and nothing of it is compiled."""
    process = start_confined("newtfix.parity.probe", folder, found, {"TORCHDYNAMO_DISABLE": "1"})
    try:
        process.wait(_TIME_LIMIT)
        ended = f"with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"as it took more than {_TIME_LIMIT:g} s"
    finally:
        end_confined(process)
    if process.returncode or not (folder / "report.json").is_file():
        said = last_words(folder, _SHOWN_LINES)
        raise TreeError(
            f"probing {tree.root} ended early, {ended}",
            where="\n".join(said),
            hint="The lines above are the last that it printed." if said else "It printed nothing.",
        )
    try:
        return _computed(folder, tree)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, BadZipFile) as problem:
        raise TreeError(
            f"the tree wrote over what newtfix noted about it: {problem}", hint="What it computes cannot be told."
        ) from problem


def _computed(folder: Path, tree: Tree) -> Computed:
    """What the probe has left."""
    report = json.loads(inside.read(folder, "report.json"))
    if report["unfit"]:
        raise TreeError(
            report["unfit"]["message"],
            where=report["unfit"]["where"] or str(tree.root),
            hint="Name another tree with --tree DIR, or a recording of a world model like this tree's.",
        )
    with np.load(folder / "computed.npz", allow_pickle=False) as arrays:
        return Computed({key: arrays[key] for key in arrays.files}, report["errors"], tuple(report["notes"]))
