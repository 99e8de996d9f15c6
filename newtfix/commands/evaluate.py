"""`newtfix evaluate`: how good an agent is, through the tree's own script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix.commands.train import run_script


def run(
    checkpoint: Path,
    arguments: Sequence[str],
    policy: bool,
    episodes: int,
    seeds: str,
    video: Path | None,
    tree: Path | None,
    as_json: bool,
) -> int:
    wish = [f"checkpoint={checkpoint.absolute()}", f"episodes={episodes}", f"seeds={seeds}"]
    wish += ["policy=true"] if policy else []
    wish += ["json=true"] if as_json else []
    wish += [f"video={video.absolute()}"] if video else []
    return run_script("evaluate", "Evaluating", [*wish, *arguments], tree, module="evaluate")
