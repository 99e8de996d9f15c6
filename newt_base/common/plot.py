"""The learning curve of a run as a picture."""

import math
from pathlib import Path
from typing import Optional

BLUE, GREY = "#2066a8", "#8a8f98"


def save_learning_curve(rows: list[dict], path: Path, title: str) -> Optional[Path]:
    """Draw return against environment steps from the logged `rows` into a PNG.

    Evaluations are the bold line, training episodes the faint one, random actions the dashed one. Returns the path,
    or None where there is nothing to draw yet.
    """
    evaluations = _points(rows, "eval")
    training = _points(rows, "train")
    if not evaluations and not training:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.3), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if training:
        axes.plot(*_columns(training), color=BLUE, alpha=0.25, linewidth=1.2, label="training episodes")
    if evaluations:
        axes.plot(*_columns(evaluations), color=BLUE, linewidth=2, marker="o", markersize=4, label="evaluation")
    random = _random_reward(rows)
    if random is not None:
        axes.axhline(random, color=GREY, linestyle="--", linewidth=1.3, label="random actions")
    _dress(axes, title)
    figure.savefig(path, metadata={"Software": None})
    return path


def _points(rows: list[dict], category: str) -> list[tuple[float, float]]:
    found = [(row.get("step"), row.get("episode_reward")) for row in rows if row.get("category") == category]
    return [(x, y) for x, y in found if x is not None and y is not None and math.isfinite(y)]


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _random_reward(rows: list[dict]) -> Optional[float]:
    known = [row["random_reward"] for row in rows if row.get("random_reward") is not None]
    return known[-1] if known else None


def _dress(axes, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("environment steps (agent decisions, all environments)")
    axes.set_ylabel("return per episode (sum of rewards)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
