"""What a run achieved: summary.json, and a table on the console."""

import json
import math
from typing import Optional

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .files import replace_text


def summarize(cfg, logger) -> dict:
    """What a run achieved, as written to summary.json; a return that was not measured is None."""
    evaluations = [(step, value) for step, value in logger.evaluations() if math.isfinite(value)]
    returns = [value for _, value in evaluations]
    last = evaluations[-1][0] if evaluations else 0
    final = returns[-1] if last > 0 or (cfg.steps == 0 and returns) else None
    random = logger.random_reward
    return {
        "schema": 1,
        "task": cfg.task,
        "seed": cfg.seed,
        "steps": cfg.steps,
        "return_before": returns[0] if evaluations and evaluations[0][0] == 0 else None,
        "return_final": final,
        "final_step": last if final is not None else None,
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


def _task_summary(cfg, logger, task: str) -> dict:
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
        "return_final": returns[-1] if returns and (cfg.steps == 0 or rows[-1]["step"] > 0) else None,
        "return_best": max(returns) if returns else None,
        "score_final": scores[-1] if scores else None,
    }


def report(cfg, logger, seconds: float, console: Optional[Console] = None) -> dict:
    """Write summary.json and print the summary table."""
    summary = summarize(cfg, logger)
    replace_text(logger.work_dir / "summary.json", json.dumps(summary, indent=2) + "\n")
    console = console or Console()
    console.print(_table(cfg, summary, seconds))
    if len(summary["tasks"]) > 1:
        console.print(_task_table(summary["tasks"]))
    for name, key in (("run folder", "run_folder"), ("learning curve", "learning_curve")):
        if summary[key] is not None:
            console.print(Text(f"{name}: {summary[key]}"), soft_wrap=True)
    return summary


def _table(cfg, summary: dict, seconds: float) -> Table:
    table = Table(title=Text(f"{cfg.task_title}, seed {cfg.seed}"), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right")
    rows = [
        ("return before training", _number(summary["return_before"])),
        (f"return at step {summary['final_step'] or 0:,}", _number(summary["return_final"])),
        ("best return", _number(summary["return_best"])),
        ("return of random actions", _number(summary["return_random"])),
        ("end / random", _number(summary["final_over_random"], "{:.1f}x")),
        ("environment steps", f"{cfg.steps:,} in {seconds / 60:.1f} min"),
    ]
    for name, value in rows:
        if value is not None:
            table.add_row(Text(name), Text(value))
    if summary["return_final"] is None:
        table.caption = Text(f"No evaluation after step 0: eval_freq={cfg.eval_freq:,}.")
        table.caption_justify = "left"
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
