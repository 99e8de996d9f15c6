"""Trackers that a run writes to beside its own files: TensorBoard, Weights & Biases, Trackio."""

import importlib.util
import os
from pathlib import Path

from .settings import ConfigError

NEEDED = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
PROJECT = "newtfix"


def check_installed(name):
    """Raise ConfigError where the tracker of that name is not installed."""
    package = NEEDED.get(name)
    if package and importlib.util.find_spec(package) is None:
        problem = f"tracker={name} needs {package}, which is not installed"
        raise ConfigError("tracker", name, problem, f"pip install {package}")


def tracker_of(cfg, settings, resumed_at=None):
    """The tracker of a run, with log(name -> number, step) and close(); None where there is to be none.

    Args:
        settings: the run's settings in plain types. resumed_at: the step that a resumed run goes on from.
    """
    kind = {"tensorboard": _TensorBoard, "wandb": _Wandb, "trackio": _Trackio}.get(cfg.tracker)
    return kind(Path(cfg.work_dir), cfg, settings, resumed_at) if kind else None


def _name(cfg):
    return f"{cfg.task}, seed {cfg.seed}, {cfg.exp_name}"


class _TensorBoard:
    def __init__(self, folder, cfg, settings, resumed_at):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at)

    def log(self, values, step):
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self):
        self._writer.close()


class _Wandb:
    """Offline where nobody has logged in: `wandb sync` sends the run later."""

    def __init__(self, folder, cfg, settings, resumed_at):
        import wandb

        offline = "WANDB_MODE" not in os.environ and not wandb.api.api_key
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=_name(cfg),
            group=cfg.task,
            dir=str(folder),
            config=settings,
            mode="offline" if offline else None,
        )
        self._run.define_metric("*", step_metric="environment_step")

    def log(self, values, step):
        self._run.log({**values, "environment_step": step})

    def close(self):
        self._run.finish()


class _Trackio:
    def __init__(self, folder, cfg, settings, resumed_at):
        import trackio

        self._trackio = trackio
        trackio.init(project=PROJECT, name=_name(cfg), config=settings)

    def log(self, values, step):
        self._trackio.log(dict(values), step=step)

    def close(self):
        self._trackio.finish()
