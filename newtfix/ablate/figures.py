"""The pictures of a report. Lines differ in pattern and markers too, so that they can be told apart without colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from newtfix.ablate.comparisons import Arm
from newtfix.ablate.findings import Findings
from newtfix.ablate.scores import Curve
from newtfix.ablate.statistics import interval, iqm, profile
from newtfix.ablate.verdicts import Verdict

BLUE, ORANGE, GREEN, GREY = "#1f5f99", "#b8510d", "#3b7a3b", "#777777"
_MARKS = {"explains": "o", "helps": "o", "hurts": "v", "together": "D", "small": "s", "undecided": "o"}
_STYLES = ((GREY, "--", "s"), (BLUE, "-", "o"), (GREEN, ":", "^"), (ORANGE, "-.", "D"))
WIDTH = 5.4  # inches: readable on a phone, too


def forest(found: Findings) -> Any | None:
    """Shares of the gap, or effects where there is no gap, with intervals and verdicts."""
    shown = [one for one in found.verdicts if one.effect is not None]
    if not shown:
        return None
    as_shares = all(one.share is not None for one in shown)
    figure, axes = _figure(0.9 + 0.42 * len(shown))
    for row, one in enumerate(reversed(shown)):
        low, middle, high = _ends(one, as_shares)
        decided = one.kind not in ("undecided", "small")
        axes.plot([low, high], [row, row], color=BLUE if decided else GREY, lw=2.4 if decided else 1.2, zorder=2)
        fill = (BLUE if decided else "white", BLUE if decided else GREY)
        axes.plot(middle, row, _MARKS[one.kind], mfc=fill[0], mec=fill[1], ms=7, mew=1.4, zorder=3)
    axes.axvline(0, color="black", lw=0.8)
    if not as_shares and found.delta:
        axes.axvspan(-found.delta, found.delta, color=GREY, alpha=0.15, lw=0)
    axes.set_yticks(range(len(shown)), [one.patch for one in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel("share of the gap, %" if as_shares else "effect on the return (shaded: too small to matter)")
    axes.grid(axis="x", alpha=0.25, lw=0.6)
    return figure


def _ends(one: Verdict, as_shares: bool) -> tuple[float, float, float]:
    if as_shares and one.share is not None:
        return 100 * one.share.low, 100 * one.share.size, 100 * one.share.high
    return one.low or 0.0, one.effect or 0.0, one.high or 0.0


def curves(arms: Sequence[Arm], title: str = "") -> Any | None:
    """Training return of sets of patches: IQM over the seeds, and its interval as a band."""
    shown = [arm for arm in arms if any(arm.curves)][: len(_STYLES)]
    if not shown:
        return None
    figure, axes = _figure(3.5)
    for arm, (colour, line, mark) in zip(shown, _STYLES, strict=False):
        _draw(axes, arm.curves, colour, line, mark, f"{arm.label} ({len(arm.curves)} seeds)")
    _dress(axes, title)
    return figure


def by_factor(found: Findings, all_curves: dict[str, tuple[list[Curve], list[Curve]]]) -> Any | None:
    """For each factor of a screen: the runs that have it, and those that don't."""
    names = [one.patch for one in found.verdicts if one.patch in all_curves and all(all_curves[one.patch])]
    if not names:
        return None
    rows = -(-len(names) // 2)
    figure, grid = _figure(1.0 + 1.75 * rows, rows, 2)
    for axes, name in zip(grid.flat, names, strict=False):
        on, off = all_curves[name]
        _draw(axes, off, GREY, "--", "", "off")
        _draw(axes, on, BLUE, "-", "", "on")
        axes.set_title(name, loc="left", fontsize=9)
        axes.grid(alpha=0.25, lw=0.6)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    for axes in list(grid.flat)[len(names) :]:
        axes.set_axis_off()
        grid[rows - 2, 1].tick_params(labelbottom=True)
    grid.flat[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("environment steps", fontsize=9)
    figure.supylabel("training return", fontsize=9)
    return figure


def interaction(found: Findings, names: Sequence[str], scores: Sequence[tuple[tuple[str, ...], float]]) -> Any | None:
    """Two patches: the mean return with neither, either and both."""
    first, second = names
    cells = [
        [[s for p, s in scores if (first in p) == a and (second in p) == b] for a in (False, True)]
        for b in (False, True)
    ]
    if any(len(cell) < 2 for row in cells for cell in row):
        return None
    figure, axes = _figure(3.1)
    for row, (colour, line, mark), state in zip(cells, _STYLES, ("off", "on"), strict=False):
        means = [float(np.mean(cell)) for cell in row]
        errors = [2 * float(np.std(cell, ddof=1)) / len(cell) ** 0.5 for cell in row]
        axes.errorbar([0, 1], means, errors, color=colour, ls=line, marker=mark, capsize=4, label=f"{second} {state}")
    axes.set_xticks([0, 1], [f"{first} off", f"{first} on"])
    axes.set_xlim(-0.3, 1.3)
    axes.set_ylabel("return (bars: 2 standard errors)")
    axes.grid(axis="y", alpha=0.25, lw=0.6)
    axes.legend(frameon=False, fontsize=9)
    return figure


def profiles(arms: Sequence[Arm]) -> Any | None:
    """The share of runs above each return."""
    shown = [arm for arm in arms if len(arm.scores) >= 2][: len(_STYLES)]
    if not shown:
        return None
    every = [score for arm in shown for score in arm.scores]
    tau = np.linspace(min(0.0, *every), 1.05 * max(every), 200)
    figure, axes = _figure(2.8)
    for arm, (colour, line, _) in zip(shown, _STYLES, strict=False):
        axes.plot(tau, profile(np.array(arm.scores)[:, None], tau), color=colour, ls=line, label=arm.label)
    axes.set_xlabel("return")
    axes.set_ylabel("share of runs above it")
    axes.grid(alpha=0.25, lw=0.6)
    axes.legend(frameon=False, fontsize=9)
    return figure


# --- drawing ----------------------------------------------------------------------------------------------------------


def _figure(height: float, rows: int = 1, columns: int = 1) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharex=rows > 1, sharey=rows > 1, squeeze=rows == 1 and columns == 1)
    for one in np.atleast_1d(axes).flat:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(axes: Any, lines: Sequence[Curve], colour: str, style: str, mark: str, name: str) -> None:
    """IQM and its band at the steps that most of the runs have logged."""
    steps, values = _aligned(lines)
    if not len(steps):
        return
    middle = iqm(np.moveaxis(values[:, None, :], -1, 0))
    axes.plot(steps, middle, color=colour, ls=style, marker=mark or None, ms=4, lw=1.8, label=name)
    if len(values) > 2:
        ends = interval(lambda x: iqm(np.moveaxis(x, -1, -3)), values[:, None, :], resamples=1_000)
        axes.fill_between(steps, ends[0], ends[1], color=colour, alpha=0.15, lw=0)


def _aligned(lines: Sequence[Curve]) -> tuple[Any, Any]:
    """Steps that all runs of most have, and the returns [runs, steps] there; a run that ended early keeps its last."""
    full = [line for line in lines if line]
    if not full:
        return np.array([]), np.array([])
    steps = [step for step, _ in max(full, key=len)]
    values = [np.interp(steps, [s for s, _ in line], [v for _, v in line]) for line in full]
    return np.array(steps), np.array(values)


def _dress(axes: Any, title: str) -> None:
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("environment steps (agent decisions, all environments)")
    axes.set_ylabel("training return per episode")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25, lw=0.6)
    axes.legend(frameon=False, fontsize=9)


def as_svg(figure: Any) -> str:
    """A figure as an SVG element, with text as text, and the same bytes each time."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "newtfix", "font.family": "sans-serif"}):
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def save_png(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150, metadata={"Software": None})
