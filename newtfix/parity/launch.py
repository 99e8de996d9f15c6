"""Has a tree probed in a process of its own, and takes in what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import newtfix
from newtfix.errors import TreeError
from newtfix.files.tree import Tree
from newtfix.newt.roles import ROLES, Found, find_roles
from newtfix.parity.fixture import Array, Fixture
from newtfix.running import Importable, environment, importable

_NEEDED = ("agent", "world_model", "math")
_SHOWN_LINES = 8


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
    variables = environment(found.path, last=Path(newtfix.__file__).resolve().parents[1]) | {"TORCHDYNAMO_DISABLE": "1"}
    command = [sys.executable, "-B", "-P", "-m", "newtfix.parity.probe", str(folder)]
    working = None if found.package else found.path
    done = subprocess.run(
        command,
        cwd=working,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    report_file = folder / "report.json"
    said = done.stdout.strip().splitlines()[-_SHOWN_LINES:]
    if done.returncode or not report_file.is_file():
        raise TreeError(
            f"probing {tree.root} ended early, with exit code {done.returncode}",
            where="\n".join(said),
            hint="The lines above are the last that it printed." if said else "It printed nothing.",
        )
    report = json.loads(report_file.read_text("utf-8"))
    if report["unfit"]:
        raise TreeError(
            report["unfit"]["message"],
            where=report["unfit"]["where"] or str(tree.root),
            hint="Name another tree with --tree DIR, or a recording of a world model like this tree's.",
        )
    with np.load(folder / "computed.npz", allow_pickle=False) as arrays:
        return Computed({key: arrays[key] for key in arrays.files}, report["errors"], tuple(report["notes"]))
