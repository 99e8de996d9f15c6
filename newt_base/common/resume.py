"""Where a run can go on: its checkpoints and the replay beside them."""

import re
from pathlib import Path

from .settings import ConfigError


def replay_file(checkpoint, rank):
    """Where the replay of one rank is, beside a checkpoint."""
    return Path(checkpoint).with_suffix(".replay" if rank == 0 else f".rank{rank}.replay")


def resume_point(cfg):
    """The latest checkpoint in the run's folder that has every rank's replay buffer beside it."""
    folder = Path(cfg.work_dir) / "checkpoints"
    ranks = range(cfg.world_size)
    whole = [path for path in folder.glob("*.pt") if all(replay_file(path, rank).exists() for rank in ranks)]
    steps = {path: step for path in whole if (step := _checkpoint_step(path)) is not None}
    if not steps:
        of = f"s of {cfg.world_size} processes" if cfg.world_size > 1 else ""
        problem = f"resume=true finds no checkpoint with its replay buffer{of} in {folder}"
        raise ConfigError(
            "resume", True, problem, "a run made with save_buffer=true, under the same task, seed and exp_name"
        )
    return max(steps, key=lambda path: steps[path])


def _checkpoint_step(path):
    """The environment step in a checkpoint's name, as in 10_000.pt."""
    return int(path.stem) if re.fullmatch(r"[0-9]+(_[0-9]+)*", path.stem) else None
