"""What a command of newtfix comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from newtfix.model import Severity
from newtfix.work.load import load_patches
from newtfix.work.places import builtin_patches

ROOT = Path(__file__).parents[2]
PATCHES = load_patches([builtin_patches()])
HAS = [patch for name, patch in PATCHES.items() if name != "planner-stats"]  # what newt_base has to be found in it
FOUND, CRITICAL = len(HAS), sum(patch.severity is Severity.CRITICAL for patch in HAS)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def patch(self, name: str) -> Any:
        return next(patch for patch in self.json["patches"] if patch["id"] == name)

    @property
    def rows(self) -> dict[str, Any]:
        return {row["name"]: row for row in self.json["rows"]}

    @property
    def failed(self) -> set[str]:
        return {name for name, row in self.rows.items() if not row["ok"]}


Run = Callable[..., Result]


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "newtfix", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
