"""Prints figures as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import Figure
from .timing import Spread


def show(console: Console, figures: Sequence[Figure]) -> None:
    """One table of the figures of a group."""
    table = Table(title=Text(figures[0].group), title_justify="left")
    table.add_column("what", overflow="fold")
    for title in ("median", "quartiles", "unit", "rounds", "ratio", "GFLOP", "roofline"):
        table.add_column(title, justify="right", no_wrap=True)
    for figure in figures:
        table.add_row(
            Text(figure.name),
            number(figure.value.median),
            _quartiles(figure.value),
            Text(figure.unit),
            str(figure.rounds),
            Text(_ratio(figure)),
            "" if figure.gflop is None else number(figure.gflop),
            "" if figure.roofline is None else f"{figure.roofline:.0%}",
        )
    console.print(table)


def show_machine(console: Console, facts: Mapping[str, Any]) -> None:
    """One line on what the figures were measured on."""
    rates = ", ".join(f"{rate:g} with {count}" for count, rate in facts["gemm_gflops"].items())
    words = (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, {facts['memory_gib']} GiB; "
        f"torch {facts['torch']}, Python {facts['python']}; float32 GFLOP/s by threads: {rates}"
    )
    console.print(Text(words))


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _quartiles(spread: Spread) -> str:
    return f"{number(spread.low)} to {number(spread.high)}"


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    spread = figure.ratio
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f}) x {figure.ratio_to}"
