"""`newtfix demos`: records demonstrations with an agent from a checkpoint, through the tree's own script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix.commands.train import run_script


def run(arguments: Sequence[str], tree: Path | None) -> int:
    return run_script("demos", "Recording demonstrations", arguments, tree, module="generate_demos")
