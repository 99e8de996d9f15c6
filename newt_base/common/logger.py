"""Everything a run writes: metrics, timing, checkpoints, and one console line per log."""

import csv
import dataclasses
import io
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

from .checkpoint import load_safely
from .files import append, replace_text, write_whole
from .folder import LOCK
from .resume import numbered, replay_file, step_of
from .tracker import tracker_of

CATEGORIES = ("train", "eval", "pretrain", "burst")
CONSOLE = ("train", "eval")
BACKUP = "backup-"


def is_timing(name: str) -> bool:
    """Whether a metric depends on the machine's speed, and so differs between two runs with the same seed."""
    return name.endswith(("elapsed_time", "_per_second"))


class Logger:
    """Writes one run into its folder `cfg.work_dir`:

    config.yaml (the resolved settings), metrics.csv and metrics.jsonl (a row per log; the same seed gives the same
    bytes), timing.jsonl (what depends on the clock), checkpoints/ and learning_curve.png; and to `cfg.tracker`.

    Every row is on disk when `log` returns. A folder that holds an earlier run is moved into a numbered backup inside
    it, unless the run is resumed: then its files begin with `earlier`, what `progress` gave when the checkpoint was
    written, and checkpoints that came later move away. Other ranks than 0 write nothing.

    `random_reward`, once set, is added to each evaluation: the mean return of random actions.
    """

    def __init__(self, cfg, earlier=None):
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
        self._tracker = None
        self._started = time.time()
        self._drawn = 0  # rows in the learning curve on disk
        self._timed = 0  # rows in timing.jsonl
        self._best = -math.inf  # largest return of a checkpoint
        if self.rank == 0:
            self._open(earlier)

    # ------------------------------------------------------------ the folder

    def _open(self, earlier) -> None:
        own = earlier is not None and Path(self._cfg.checkpoint).resolve().parent == self.model_dir.resolve()
        if own:
            self._move_away(self._later())
        elif self._holds_a_run():
            self._move_away([entry for entry in self.work_dir.iterdir() if not entry.name.startswith((BACKUP, LOCK))])
        self.model_dir.mkdir(parents=True, exist_ok=True)
        for partial in self.model_dir.glob(".*.tmp"):  # a run was killed while it wrote them
            partial.unlink()
        self._sweep()
        replace_text(self.work_dir / "config.yaml", yaml.safe_dump(_plain_settings(self._cfg), sort_keys=False))
        if earlier is not None:
            self._take_up(json.loads(earlier))
        self._tracker = tracker_of(self._cfg, _plain_settings(self._cfg), self._resumed_at())

    def _holds_a_run(self) -> bool:
        return (self.work_dir / "metrics.jsonl").exists() or any(self.model_dir.glob("*.pt"))

    def _later(self) -> list[Path]:
        """What was written in this folder after the checkpoint that the run goes on from."""
        own = step_of(Path(self._cfg.checkpoint))
        found = [path for path in numbered(self.model_dir) if own is not None and step_of(path) > own]
        best = self.model_dir / "best.pt"
        later = own is not None and best.exists() and _step_in(best) > own
        return [file for path in found for file in (path, *self._replays(path))] + [best] * later

    def _replays(self, checkpoint: Path) -> list[Path]:
        ranks = range(self._cfg.world_size)
        return [path for rank in ranks if (path := replay_file(checkpoint, rank)).exists()]

    def _move_away(self, entries: list[Path]) -> None:
        """Move files of this folder into the first free backup folder."""
        if not entries:
            return
        number = 1
        while (backup := self.work_dir / f"{BACKUP}{number:03d}").exists():
            number += 1
        for entry in sorted(entries):
            target = backup / entry.relative_to(self.work_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(entry, target)
        what = "The earlier run" if (backup / "metrics.jsonl").exists() else "Later checkpoints of the run"
        tqdm.write(f"{what} in {self.work_dir} moved to {backup}")

    # ------------------------------------------------------------- going on

    def progress(self) -> dict[str, str]:
        """What a checkpoint holds of the settings and of what was logged so far, as text."""
        known = {"rows": self.rows, "timed": self._timed, "random_reward": self.random_reward}
        return {"settings": json.dumps(_plain_settings(self._cfg)), "log": json.dumps(known)}

    def _take_up(self, known: dict) -> None:
        """Make the files say what the checkpoint knows, and nothing else."""
        self.rows, self.random_reward = known["rows"], known["random_reward"]
        for row in self.rows:
            self._columns += [name for name in row if name not in self._columns]
        self._rewrite()
        timing = self.work_dir / "timing.jsonl"
        lines = timing.read_text().splitlines(keepends=True)[: known["timed"]] if timing.exists() else []
        self._timed = len(lines)
        replace_text(timing, "".join(lines))
        self.last_checkpoint = Path(self._cfg.checkpoint)
        saved = [
            row for row in self.rows if row["category"] == "eval" and row["step"] % (self._cfg.save_freq or 1) == 0
        ]
        if (self.model_dir / "best.pt").exists():  # not in another folder than the earlier run's
            self._best = max((row["episode_reward"] for row in saved if "episode_reward" in row), default=-math.inf)
        for row in saved:  # it came later, and moved away: the best one that is still there
            self._mark_best(row)

    def _resumed_at(self) -> Optional[int]:
        return None if self.last_checkpoint is None else step_of(self.last_checkpoint)

    def _rewrite(self) -> None:
        """Write both metrics files anew from `rows`."""
        replace_text(self.work_dir / "metrics.jsonl", "".join(_json_line(row) for row in self.rows))
        replace_text(self.work_dir / "metrics.csv", _csv(self._columns, self.rows, header=True))

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
            append(
                self.work_dir / "timing.jsonl", _json_line({"category": category, "step": values.get("step"), **timing})
            )
            self._timed += 1
        self._write_events(values, category)
        if category == "eval":
            self._mark_best(values)
        if category in CONSOLE:
            tqdm.write(_console_line(values, category, time.time() - self._started))

    def _write_row(self, row: dict) -> None:
        self.rows.append(row)
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if new or not (self.work_dir / "metrics.csv").exists():
            self._rewrite()
            return
        append(self.work_dir / "metrics.jsonl", _json_line(row))
        append(self.work_dir / "metrics.csv", _csv(self._columns, [row]))

    def _write_events(self, values: dict, category: str) -> None:
        if self._tracker is None:
            return
        numbers = {name: value for name, value in values.items() if name != "step" and isinstance(value, (int, float))}
        position = values.get("update" if category == "pretrain" else "step")
        self._tracker.log({f"{category}/{name}": value for name, value in numbers.items()}, position)

    def video_path(self, step: int) -> Optional[Path]:
        """Where the video of an evaluation goes; None on other ranks than 0."""
        return self.work_dir / "videos" / f"{step:_}.gif" if self.rank == 0 else None

    # ----------------------------------------------------- checkpoints, the end

    def save_agent(self, agent=None, identifier="final", **extra) -> Optional[Path]:
        """Save `agent` as checkpoints/{identifier}.pt and return the path, or None where nothing is to be saved.

        `extra` is handed to `agent.save`. The file appears under its name only when it is complete, and on the disk.
        Of numbered checkpoints, all but the newest `keep` go.
        """
        if agent is None or not self._save_agent:
            return None
        path = self.model_dir / f"{identifier}.pt"
        try:
            write_whole(path, lambda file: agent.save(file, **extra))
        except OSError:
            self._sweep()
            raise
        self.last_checkpoint = path
        self._prune()
        self._sweep()
        return path

    def _sweep(self) -> None:
        """Remove replays without a checkpoint: it was not written, or is gone, and nothing can go on from them."""
        there = {path.stem for path in self.model_dir.glob("*.pt")}
        for replay in self.model_dir.glob("*.replay"):
            if replay.name.partition(".")[0] not in there:
                replay.unlink(missing_ok=True)

    def _prune(self) -> None:
        for path in numbered(self.model_dir)[self._cfg.keep or None :] if self._cfg.keep else []:
            path.unlink(missing_ok=True)  # its replays after it: what has a checkpoint is whole

    def _mark_best(self, values: dict) -> None:
        """Give the checkpoint of this evaluation the name best.pt as well, if no other one was as good."""
        value = values.get("episode_reward")
        path = self.model_dir / f"{values.get('step', -1):_}.pt"
        if value is None or not value > self._best or not path.exists():
            return
        self._best = value
        partial = self.model_dir / ".best.pt.tmp"
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:  # a file system without links
            shutil.copy2(path, partial)
        os.replace(partial, self.model_dir / "best.pt")
        partial.unlink(missing_ok=True)  # the same file under both names is not renamed

    def finish(self, agent=None) -> None:
        """Save `agent`, if given, as final.pt, draw the learning curve and close the files; may be called again."""
        if self.rank > 0:
            return
        self.save_agent(agent)
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
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


def _step_in(checkpoint: Path) -> float:
    """The step of a checkpoint; beyond all steps where it can't be read."""
    try:
        return load_safely(checkpoint)["step"]
    except (LookupError, OSError, TypeError, ValueError):
        return math.inf


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


def _csv(columns: list[str], rows: list[dict], header: bool = False) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
