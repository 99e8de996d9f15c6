"""`newtfix ablate status`: which runs of a study are done, under way, waiting or lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.ablate import conduct
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import Plan, Run, label, read_plan


def run(folder: Path, as_json: bool) -> int:
    plan = read_plan(folder)
    schedule = conduct.current(folder, plan)
    rows = [_row(folder, plan, number, one) for number, one in enumerate(schedule.runs)]
    counts = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(r["state"] for r in rows)}
    if as_json:
        report.emit_json({"folder": str(folder), "counts": counts, "waits_for": schedule.open, "runs": rows})
        return 0
    report.table(("run", "stage", "seed", "patches", "state", "step", "score"), map(_cells, rows))
    report.say(", ".join(f"{count} {state}" for state, count in counts.items()) or "no runs")
    for line in (*schedule.stopped, *([f"More runs are known after: {schedule.open}"] if schedule.open else [])):
        report.say(line)
    return 0


def _row(study: Path, plan: Plan, number: int, one: Run) -> dict[str, Any]:
    folder = Folder(study, one)
    done = folder.done
    return {
        "index": number,
        "id": one.id,
        "stage": one.stage,
        "seed": one.seed,
        "label": label(plan, one.patches),
        "patches": list(one.patches),
        "state": _state(folder, done is not None, done or {}, bool(folder.attempts)),
        "step": done["steps"] if done else folder.size(),
        "score": done["scores"].get(plan.outcome) if done else None,
        "reason": done["reason"] if done else folder.unfinished,
    }


def _state(folder: Folder, is_done: bool, done: dict[str, Any], tried: bool) -> str:
    if is_done:
        return str(done["state"])
    if folder.damaged:
        return "damaged"
    if not folder.path.is_dir():
        return "waiting"
    lock = folder.lock()
    if lock is None:
        return "running"
    lock.close()
    return "ended by the machine" if tried else "stopped"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    score = "" if row["score"] is None else f"{row['score']:.1f}"
    words = f"{row['state']} ({row['reason']})" if row["reason"] else row["state"]
    return (str(row["index"]), row["stage"], str(row["seed"]), row["label"], words, f"{row['step']:,}", score)
