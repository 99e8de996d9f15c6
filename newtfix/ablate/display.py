"""How a study that is running is shown: one bar over all runs on a terminal, and a line for each run that ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from newtfix import report
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import NOTHING_LOGGED, Plan, Run, label


class Lines:
    """A line for each run that ended, on standard error."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._ended, self._total = plan, 0, 0

    def progress(self, done: float, total: int, left: float | None) -> None:
        self._ended, self._total = int(done), total

    def ended(self, run: Run, state: str, folder: Folder) -> None:
        self._ended += state != "machine"
        self.say(self._words(run, state, folder))

    def say(self, text: str) -> None:
        report.say(text)

    def _words(self, run: Run, state: str, folder: Folder) -> str:
        name = f"{run.stage or 'run'}  seed {run.seed}  {label(self._plan, run.patches)}"
        if state == "machine":
            tries = folder.attempts
            return f"{name}: ended by the machine ({tries[-1]['why'] if tries else 'unknown'}), try {len(tries)}"
        done = folder.done or {}
        value = (done.get("scores") or {}).get(self._plan.outcome)
        why = f", {NOTHING_LOGGED}" if state == "finished" else ""
        score = f"no score{why}" if value is None else f"{value:.1f}"
        words = "" if state == "finished" else f"  {state}: {done.get('reason', '')}"
        return f"[{self._ended}/{self._total}] {name}: {score} in {done.get('seconds', 0):.0f} s{words}"


class Bar(Lines):
    """The same above a bar with the time that is left."""

    def __init__(self, plan: Plan, bar: Any, task: Any) -> None:
        super().__init__(plan)
        self._bar, self._task = bar, task

    def progress(self, done: float, total: int, left: float | None) -> None:
        super().progress(done, total, left)
        self._bar.update(self._task, completed=done, total=max(total, 1), left=_duration(left))
        self._bar.refresh()

    def say(self, text: str) -> None:
        from rich.text import Text

        self._bar.console.print(Text(text), soft_wrap=True)


@contextmanager
def shown(plan: Plan, title: str) -> Iterator[Lines]:
    """A bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines(plan)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    with Progress(*columns, console=console, auto_refresh=False) as bar:  # no thread: processes are started under it
        yield Bar(plan, bar, bar.add_task(title, total=None, left=""))


def _duration(seconds: float | None) -> str:
    if seconds is None or seconds < 1:
        return ""
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min left" if minutes >= 60 else f"{minutes + 1} min left"
