"""Train an agent: `python -m newt_base.train task=cartpole-swingup preset=cpu seed=1`."""

import dataclasses
import inspect
import json
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Optional

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from .common import barrier, distributed, resolve_device, set_matmul_precision, set_seed
from .common.buffer import Buffer, EnsembleBuffer, row_of
from .common.demos import demo_buffer
from .common.logger import Logger
from .common.storage import Place
from .common.world_model import WorldModel
from .config import PRESET_HELP, PRESETS, Config, ConfigError, load_cfg, parse_cfg, settable
from .envs import VecEnv, make_env
from .tdmpc2 import TDMPC2
from .trainer import CheckpointError, Trainer, TrainingDiverged, replay_file

EXIT_FAILED = EXIT_DIVERGED = 1
EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


def main(argv: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help", "help"} & set(argv):
        sys.stdout.write(usage())
        return 0
    rank, world_size, local_rank = distributed.places()
    try:
        cfg = load_cfg(argv)
        cfg.rank, cfg.world_size = rank, world_size
        cfg = parse_cfg(cfg)
        _check_device(cfg, local_rank)
        _check_batch_size(cfg)
        if cfg.resume and cfg.checkpoint is None:
            cfg.checkpoint = str(resume_point(cfg))
    except ConfigError as error:
        if local_rank == 0:
            sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE
    if world_size > 1:
        return run_rank(cfg)
    with _sigterm_as_exit():
        try:
            return run(cfg)
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted before training began.\n")
            return EXIT_INTERRUPTED


def run(cfg: Config) -> int:
    """Train under resolved settings, say how it went, and return the exit status."""
    try:
        trainer = build(cfg)
    except ValueError as error:  # a part of the agent refuses its settings
        sys.stderr.write(f"{_whose(cfg)}error: {error}\n")
        return EXIT_USAGE
    logger = trainer.logger
    started = time.monotonic()
    try:
        if cfg.random_baseline and distributed.from_first(logger.random_reward is None):
            logger.random_reward = fmean(distributed.gather(random_return(trainer.env)))
        trainer.train()
        logger.finish()
    except KeyboardInterrupt:
        logger.finish()
        sys.stderr.write(f"\n{_whose(cfg)}Interrupted.{_checkpoint_words(logger)}\n")
        return EXIT_INTERRUPTED
    except CheckpointError as error:
        sys.stderr.write(f"{_whose(cfg)}error: {error}\n")
        return EXIT_USAGE
    except TrainingDiverged as error:
        logger.finish()
        where = f"at step {error.step:,}: {error.quantity} is no longer finite"
        sys.stderr.write(f"\n{_whose(cfg)}Training diverged {where}.{_checkpoint_words(logger)}\n")
        return EXIT_DIVERGED
    finally:
        trainer.env.close()
    if cfg.rank == 0:
        report(cfg, logger, time.monotonic() - started)
    return 0


def run_rank(cfg: Config) -> int:
    """Train as one of several ranks, and return the exit status.

    What goes wrong on one rank is said by that rank. The others wait for torchrun, which ends them when it has seen
    that one has failed.
    """
    status = EXIT_FAILED
    try:
        status = run(cfg)
        if status == 0:
            distributed.leave()
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except Exception as error:
        if distributed.lost_another(error):
            distributed.await_end()
            sys.stderr.write(f"{_whose(cfg)}lost the other ranks: {error}\n")
        else:
            sys.stderr.write(f"{_whose(cfg)}{traceback.format_exc()}")
    return status


def build(cfg: Config) -> Trainer:
    """The trainer with its environments, agent, replay buffer and logger; settings are resolved if they are not yet."""
    if cfg.work_dir is None:
        cfg = parse_cfg(cfg)
    set_seed(cfg.seed + cfg.rank)
    set_matmul_precision(cfg.tf32)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    device = resolve_device(cfg.device, cfg.rank)
    env = make_env(cfg)
    try:
        if cfg.world_size > 1:  # only now: processes that were started for environments hold no connection
            distributed.join(device, cfg.dist_timeout)
        agent = TDMPC2(WorldModel(cfg).to(device), cfg)
        if cfg.checkpoint is not None:
            agent.load(cfg.checkpoint)  # one that is refused leaves an earlier run's folder where it is
        distributed.share(agent.model, agent.scale)
        buffer = _make_buffer(cfg, device)
        barrier()
        logger = Logger(cfg)
        cfg.checkpoint = distributed.from_first(cfg.checkpoint)  # the logger may have moved it
        if cfg.resume and (step := _checkpoint_step(Path(cfg.checkpoint or ""))) is not None:
            logger.forget_after(step)
        return Trainer(cfg=cfg, env=env, agent=agent, buffer=buffer, logger=logger)
    except BaseException:
        env.close()
        raise


def _make_buffer(cfg: Config, device: torch.device) -> Buffer:
    """This rank's share of replay, beside demonstrations where they are used; says what it will take."""
    place = Place.of(cfg.buffer_device, device, cfg.work_dir, cfg.rank)
    settings = {
        "capacity": math.ceil(cfg.buffer_size / cfg.world_size),
        "horizon": cfg.horizon,
        "batch_size": cfg.batch_size // cfg.world_size,
        "device": place,
    }
    buffer = EnsembleBuffer(demo_buffer(cfg, place), **settings) if cfg.use_demos else Buffer(**settings)
    taken = buffer.plan(row_of(cfg))
    if cfg.rank == 0:
        tqdm.write(taken)
    buffer.reserve(row_of(cfg))
    return buffer


def random_return(env: VecEnv, episodes: int = 5) -> float:
    """Mean return of uniform random actions over `episodes` episodes of each environment."""
    env.reset()
    total, finished = torch.zeros(env.num_envs), torch.zeros(env.num_envs, dtype=torch.int32)
    while (finished < episodes).any():
        _, reward, terminated, truncated, _ = env.step(env.rand_act())
        total += torch.where(finished < episodes, reward, 0.0)
        finished += terminated | truncated
    return (total / episodes).mean().item()


def resume_point(cfg: Config) -> Path:
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


def _checkpoint_step(path: Path) -> Optional[int]:
    """The environment step in a checkpoint's name, as in 10_000.pt."""
    return int(path.stem) if re.fullmatch(r"[0-9]+(_[0-9]+)*", path.stem) else None


def _check_device(cfg: Config, local_rank: int) -> None:
    """There must be such devices; one of several ranks takes those of its number on this machine."""
    if cfg.world_size > 1:
        _take_own_devices(cfg, local_rank)
    for key, place in (("device", resolve_device), ("buffer_device", partial(Place.of, folder=cfg.work_dir))):
        try:
            place(cfg.get(key), rank=cfg.rank)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(key, cfg.get(key), str(error)) from error


def _take_own_devices(cfg: Config, local_rank: int) -> None:
    if cfg.device == "mps":
        raise ConfigError("device", cfg.device, "device=mps is for one process", "cuda, or cpu")
    for key in ("device", "buffer_device"):
        setting = cfg.get(key)
        if setting == "cuda" or (key == "device" and setting == "auto" and torch.cuda.is_available()):
            if local_rank >= torch.cuda.device_count():
                problem = f"{key}={setting}: process {local_rank + 1} finds {torch.cuda.device_count()} CUDA device(s)"
                raise ConfigError(key, setting, problem, "at most one process per GPU, or device=cpu")
            setattr(cfg, key, f"cuda:{local_rank}")


def _check_batch_size(cfg: Config) -> None:
    if cfg.batch_size % cfg.world_size:
        problem = f"batch_size={cfg.batch_size} cannot be shared evenly by {cfg.world_size} processes"
        raise ConfigError("batch_size", cfg.batch_size, problem, f"a multiple of {cfg.world_size}")


class _sigterm_as_exit:
    """While entered, SIGTERM unwinds the program like an exception, so that environments and files are closed."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

    def __exit__(self, *exc_info) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)


def _whose(cfg: Config) -> str:
    """What messages of one of several ranks begin with."""
    return f"[rank {cfg.rank}] " if cfg.world_size > 1 else ""


def _checkpoint_words(logger: Logger) -> str:
    """What rank 0 says about its checkpoints at the end of a run that was cut short."""
    if logger.rank > 0:
        return ""
    if logger.last_checkpoint is None:
        return " No checkpoint was written yet."
    return f" Last checkpoint: {logger.last_checkpoint}"


# ------------------------------------------------------------------- the end


def summarize(cfg: Config, logger: Logger) -> dict:
    """What a run achieved, as written to summary.json; a return that was not measured is None."""
    evaluations = [(step, value) for step, value in logger.evaluations() if math.isfinite(value)]
    returns = [value for _, value in evaluations]
    final = returns[-1] if returns else None
    random = logger.random_reward
    return {
        "schema": 1,
        "task": cfg.task,
        "seed": cfg.seed,
        "steps": cfg.steps,
        "return_before": returns[0] if evaluations and evaluations[0][0] == 0 else None,
        "return_final": final,
        "return_best": max(returns) if returns else None,
        "return_random": random,
        "final_over_random": final / random
        if final is not None and random is not None and final >= 0 < random
        else None,
        "evaluations": [{"step": step, "return": value} for step, value in evaluations],
        "run_folder": str(logger.work_dir),
        "checkpoint": str(logger.last_checkpoint) if logger.last_checkpoint else None,
        "learning_curve": str(logger.curve) if logger.curve.exists() else None,
        "tasks": [_task_summary(cfg, logger, task) for task in dict.fromkeys(cfg.global_tasks)],
    }


def _task_summary(cfg: Config, logger: Logger, task: str) -> dict:
    """One task's part in the evaluations."""
    mark = f"+{task}" if cfg.num_global_tasks > 1 else ""
    rows = [row for row in logger.rows if row["category"] == "eval"]
    returns, scores = (
        [value for row in rows if (value := row.get(f"{name}{mark}")) is not None and math.isfinite(value)]
        for name in ("episode_reward", "episode_score")
    )
    return {
        "task": task,
        "return_before": returns[0] if returns and rows[0]["step"] == 0 else None,
        "return_final": returns[-1] if returns else None,
        "return_best": max(returns) if returns else None,
        "score_final": scores[-1] if scores else None,
    }


def report(cfg: Config, logger: Logger, seconds: float, console: Optional[Console] = None) -> dict:
    """Write summary.json and print the summary table."""
    summary = summarize(cfg, logger)
    partial = logger.work_dir / "summary.json.tmp"
    partial.write_text(json.dumps(summary, indent=2) + "\n")
    os.replace(partial, logger.work_dir / "summary.json")
    console = console or Console()
    console.print(_table(cfg, summary, seconds))
    if len(summary["tasks"]) > 1:
        console.print(_task_table(summary["tasks"]))
    for name, key in (("run folder", "run_folder"), ("learning curve", "learning_curve")):
        if summary[key] is not None:
            console.print(Text(f"{name}: {summary[key]}"), soft_wrap=True)
    return summary


def _table(cfg: Config, summary: dict, seconds: float) -> Table:
    table = Table(title=Text(f"{cfg.task_title}, seed {cfg.seed}"), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right")
    rows = [
        ("return before training", _number(summary["return_before"])),
        ("return at the end", _number(summary["return_final"])),
        ("best return", _number(summary["return_best"])),
        ("return of random actions", _number(summary["return_random"])),
        ("end / random", _number(summary["final_over_random"], "{:.1f}x")),
        ("environment steps", f"{cfg.steps:,} in {seconds / 60:.1f} min"),
    ]
    for name, value in rows:
        if value is not None:
            table.add_row(Text(name), Text(value))
    return table


def _task_table(tasks: list[dict]) -> Table:
    columns = {"return_before": "before training", "return_final": "at the end", "return_best": "best"}
    table = Table(title=Text("Return per task"), title_justify="left")
    table.add_column("task", no_wrap=True)
    for title in (*columns.values(), "score"):
        table.add_column(title, justify="right")
    for task in tasks:
        values = [_number(task[name]) for name in columns] + [_number(task["score_final"], "{:.3f}")]
        table.add_row(Text(task["task"]), *(value or "" for value in values))
    return table


def _number(value: Optional[float], form: str = "{:.1f}") -> Optional[str]:
    return None if value is None else form.format(value)


# ---------------------------------------------------------------------- help


def usage() -> str:
    """The text of --help: usage, presets, and every setting with its default and meaning."""
    package = __package__ or Path(__file__).parent.name
    lines = [
        f"usage: python -m {package}.train [name=value ...]",
        f"   eg: python -m {package}.train task=cartpole-swingup preset=cpu seed=1",
        "",
        "presets (preset=NAME; settings given by name win over it):",
    ]
    for name, values in PRESETS.items():
        lines.append(f"  {name:<14}{PRESET_HELP.get(name, '')}")
        lines.append(f"  {'':<14}{' '.join(f'{key}={value}' for key, value in values.items())}")
    lines += ["", "settings:"]
    comments = setting_comments()
    for field in settable():
        lines.append(f"  {field.name + '=' + _default(field.default):<32}{comments.get(field.name, '')}")
    return "\n".join(lines) + "\n"


def _default(value) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def setting_comments() -> dict[str, str]:
    """The comment beside each setting in the source of the dataclass."""
    found = re.findall(r"^\s+(\w+)\s*:[^#\n]*#\s*(.*)$", inspect.getsource(Config), flags=re.MULTILINE)
    names = {field.name for field in dataclasses.fields(Config)}
    return {name: comment for name, comment in found if name in names}


if __name__ == "__main__":
    distributed.end(main())
