"""Everything a run writes: metrics, timing, checkpoints, and one console line per log."""

import csv
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import yaml
from tqdm import tqdm

CATEGORIES = ("train", "eval", "pretrain", "burst")
CONSOLE = ("train", "eval")
BACKUP = "backup-"


def is_timing(name: str) -> bool:
    """Whether a metric depends on the machine's speed, and so differs between two runs with the same seed."""
    return name.endswith(("elapsed_time", "_per_second"))


class Logger:
    """Writes one run into its folder `cfg.work_dir`:

    config.yaml (the resolved settings), metrics.csv and metrics.jsonl (a row per log; the same seed gives the same
    bytes), timing.jsonl (what depends on the clock), checkpoints/, tensorboard/ and learning_curve.png.

    Every row is on disk when `log` returns. A folder that holds an earlier run is moved into a numbered backup inside
    it, unless the run is resumed. Other ranks than 0 write nothing.

    `random_reward`, once set, is added to each evaluation: the mean return of random actions.
    """

    def __init__(self, cfg):
        self.rank = cfg.rank
        self.random_reward: Optional[float] = None
        self.last_checkpoint: Optional[Path] = None
        self.work_dir = Path(cfg.work_dir)
        self.model_dir = self.work_dir / "checkpoints"
        self.curve = self.work_dir / "learning_curve.png"
        self.rows: list[dict] = []
        self._cfg = cfg
        self._save_agent = cfg.save_agent and self.rank == 0
        self._columns: list[str] = ["category", "step"]
        self._tensorboard = None
        self._started = time.time()
        self._drawn = 0  # rows in the learning curve on disk
        if self.rank == 0:
            self._open()

    # ------------------------------------------------------------ the folder

    def _open(self) -> None:
        if self._cfg.resume:
            self._read_back()
        elif self._holds_a_run():
            self._move_away()
        self.model_dir.mkdir(parents=True, exist_ok=True)
        _replace_text(self.work_dir / "config.yaml", yaml.safe_dump(_plain_settings(self._cfg), sort_keys=False))
        if self._cfg.tensorboard:
            self._tensorboard = _tensorboard_writer(self.work_dir / "tensorboard")

    def _holds_a_run(self) -> bool:
        return (self.work_dir / "metrics.jsonl").exists() or any(self.model_dir.glob("*.pt"))

    def _move_away(self) -> None:
        """Move an earlier run's files into the first free backup folder."""
        number = 1
        while (backup := self.work_dir / f"{BACKUP}{number:03d}").exists():
            number += 1
        backup.mkdir()
        for entry in sorted(self.work_dir.iterdir()):
            if not entry.name.startswith(BACKUP):
                shutil.move(entry, backup / entry.name)
        tqdm.write(f"The earlier run in {self.work_dir} was moved to {backup}")

    def _read_back(self) -> None:
        """Take up the rows and the newest checkpoint of the run that is resumed."""
        self.rows = read_rows(self.work_dir / "metrics.jsonl")
        for row in self.rows:
            self._columns += [name for name in row if name not in self._columns]
            self.random_reward = row.get("random_reward", self.random_reward)
        self._rewrite()
        saved = sorted(self.model_dir.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns)
        self.last_checkpoint = saved[-1] if saved else None

    def forget_after(self, step: int) -> None:
        """Drop the rows that a run resumed at `step` writes again: all later ones, and the evaluation at `step`."""
        if self.rank > 0:
            return
        self.rows = [
            row for row in self.rows if row["step"] < step or (row["step"] == step and row["category"] != "eval")
        ]
        self._rewrite()

    def _rewrite(self) -> None:
        """Write both metrics files anew from `rows`."""
        _replace_text(self.work_dir / "metrics.jsonl", "".join(_json_line(row) for row in self.rows))
        partial = self.work_dir / "metrics.csv.tmp"
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, self.work_dir / "metrics.csv")

    # --------------------------------------------------------------- metrics

    def log(self, metrics: Mapping[str, Any], category: str = "train") -> None:
        """Write one row. Values are numbers, tensors with one element, or mappings of those (a TensorDict)."""
        if category not in CATEGORIES:
            raise ValueError(f"category '{category}' is none of {', '.join(CATEGORIES)}")
        if self.rank > 0:
            return
        values = _flatten(metrics)
        if category == "eval" and self.random_reward is not None:
            values["random_reward"] = self.random_reward
        timing = {name: value for name, value in values.items() if is_timing(name)}
        steady = {name: value for name, value in values.items() if not is_timing(name)}
        self._write_row({"category": category, "step": values.get("step"), **steady})
        if timing:
            with (self.work_dir / "timing.jsonl").open("a") as file:
                file.write(_json_line({"category": category, "step": values.get("step"), **timing}))
        self._write_events(values, category)
        if category in CONSOLE:
            tqdm.write(_console_line(values, category, time.time() - self._started))

    def _write_row(self, row: dict) -> None:
        self.rows.append(row)
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if new or not (self.work_dir / "metrics.csv").exists():
            self._rewrite()
            return
        with (self.work_dir / "metrics.jsonl").open("a") as file:
            file.write(_json_line(row))
        with (self.work_dir / "metrics.csv").open("a", newline="") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def _write_events(self, values: dict, category: str) -> None:
        if self._tensorboard is None:
            return
        position = values.get("update" if category == "pretrain" else "step")
        for name, value in values.items():
            if name != "step" and isinstance(value, (int, float)):
                self._tensorboard.add_scalar(f"{category}/{name}", value, position)
        self._tensorboard.flush()

    # ----------------------------------------------------- checkpoints, the end

    def save_agent(self, agent=None, identifier="final", **extra) -> Optional[Path]:
        """Save `agent` as checkpoints/{identifier}.pt and return the path, or None where nothing is to be saved.

        `extra` is handed to `agent.save`. The file appears under its name only when it is complete.
        """
        if agent is None or not self._save_agent:
            return None
        path = self.model_dir / f"{identifier}.pt"
        partial = path.with_name(f".{path.name}.tmp")
        try:
            agent.save(partial, **extra)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        self.last_checkpoint = path
        return path

    def finish(self, agent=None) -> None:
        """Save `agent`, if given, as final.pt, draw the learning curve and close the files; may be called again."""
        if self.rank > 0:
            return
        self.save_agent(agent)
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None
        if self._cfg.plot and self._drawn != len(self.rows):
            self._drawn = len(self.rows)
            from .plot import save_learning_curve

            save_learning_curve(self.rows, self.curve, title=self._cfg.task_title or self._cfg.task)

    def evaluations(self) -> list[tuple[int, float]]:
        """(environment step, mean return) of every evaluation so far."""
        return [
            (row["step"], row["episode_reward"])
            for row in self.rows
            if row["category"] == "eval" and row.get("episode_reward") is not None
        ]


# ------------------------------------------------------------------- formats


def _flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if hasattr(value, "items"):
            flat |= _flatten(value, f"{name}/")
        else:
            flat[name] = _plain(name, value)
    return flat


def _plain(name: str, value: Any) -> Any:
    """A Python number (or text) from `value`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item") and getattr(value, "size", None) is not None:
        count = value.numel() if hasattr(value, "numel") else value.size
        if count == 1:
            return value.item()
        raise ValueError(f"metric '{name}' has {count} elements; log a single number")
    raise ValueError(f"metric '{name}' is a {type(value).__name__}; log a single number")


def _json_line(row: dict) -> str:
    """JSON knows no NaN and no infinity: they become null."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite) + "\n"


def read_rows(path: Path) -> list[dict]:
    """The rows of a .jsonl file; a last line that a crash cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            rows.append({name: math.nan if value is None else value for name, value in json.loads(line).items()})
    return rows


def _console_line(values: dict, category: str, elapsed: float) -> str:
    pieces = [f"{category:<6}"]
    formats = [
        ("step", "step {:>9,.0f}"),
        ("episode_reward", "return {:>8.1f}"),
        ("random_reward", "random {:.1f}"),
        ("episode_score", "score {:.3f}"),
        ("steps_per_second", "{:,.0f} steps/s"),
    ]
    for name, form in formats:
        value = values.get(name)
        if isinstance(value, (int, float)) and math.isfinite(value) and (value or not name.endswith("second")):
            pieces.append(form.format(value))
    minutes, seconds = divmod(int(values.get("elapsed_time") or elapsed), 60)
    pieces.append(f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}")
    return "  ".join(pieces)


def _plain_settings(cfg) -> dict[str, Any]:
    """The settings in types that YAML has."""

    def plain(value):
        if isinstance(value, Path):
            return value.as_posix()
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        return value

    return {field.name: plain(getattr(cfg, field.name)) for field in dataclasses.fields(cfg)}


def _replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_text(text)
    os.replace(partial, path)


def _tensorboard_writer(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
