"""What a tree makes of the settings of a study: asked of its own configuration, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newtfix.ablate.trainers import OWN, PRACTICE
from newtfix.errors import NewtfixError, UsageError
from newtfix.running import environment, importable

_PROBE = """
import importlib, json, sys
config = importlib.import_module(sys.argv[1])
try:
    cfg = config.parse_cfg(config.load_cfg(sys.argv[2:]))
except config.ConfigError as error:
    print(json.dumps({"error": str(error)}))
else:
    names = ("task", "steps", "threads", "num_envs", "episode_length", "device", "eval_freq")
    print(json.dumps({name: getattr(cfg, name, None) for name in names}))
"""


SMALL = {"steps": 6_000, "num_envs": 4, "episode_length": 250}  # of practice.py, which imports torch


@dataclass(frozen=True)
class Resolved:
    """Settings of a run as the tree resolves them. `round`: environment steps in which every environment has one
    episode."""

    task: str
    steps: int
    threads: int | None
    round: int
    on_cpu: bool

    @property
    def inert_steps(self) -> int:
        """The length of a run that shows whether a patch does anything: three episodes of every environment.

        The reference's seeding is over after the first or second; the third learns from rows behind a reset.
        """
        return min(self.steps, max(3 * self.round, 1_500))


def resolve(tree: Path, kind: str, settings: Sequence[str]) -> Resolved:
    """Raises UsageError with the tree's own words for settings that it refuses."""
    return _asked(tree, settings) if kind == OWN else _told(settings, SMALL if kind == PRACTICE else {})


def _told(settings: Sequence[str], usual: Mapping[str, Any]) -> Resolved:
    """Of a tree whose configuration is not run: what was given, else what is usual."""
    given = {**usual, **dict(one.split("=", 1) for one in settings)}
    try:
        steps = int(float(given["steps"]))
        episodes = int(given.get("num_envs", 1)) * int(given.get("episode_length", steps // 6))
    except (KeyError, ValueError):
        raise UsageError("say how long a run is: steps=N", hint="This tree's own settings are not asked.") from None
    if "task" not in given:
        raise UsageError("say which task it is: task=NAME", hint="This tree's own settings are not asked.")
    return Resolved(given["task"], steps, None, max(1, episodes), False)


def _asked(tree: Path, settings: Sequence[str]) -> Resolved:
    entry = (tree / "train.py").read_text("utf-8", "replace")
    with importable(tree, entry) as found:
        name = f"{found.package}.config" if found.package else "config"
        command = [sys.executable, "-P", "-c", _PROBE, name, *settings]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment(found.path), check=False)
    try:
        said = json.loads(ran.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        end = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise NewtfixError("the tree's settings cannot be read", where=f"{tree}: {end[0]}") from None
    if "error" in said:
        first, *rest = said["error"].splitlines()
        raise UsageError(first, hint="\n".join(one.strip() for one in rest))
    length = int(said["num_envs"] or 1) * int(said["episode_length"] or 1)
    return Resolved(said["task"], int(said["steps"]), said["threads"], length, said["device"] == "cpu")
