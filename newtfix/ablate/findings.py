"""What the runs of a study show: everything that a report says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from newtfix.ablate import conduct, stages
from newtfix.ablate.comparisons import Arm, Pair, find_arms, find_pairs
from newtfix.ablate.fits import Moment, along, deviation, fit_factors
from newtfix.ablate.inertness import same
from newtfix.ablate.runs import Folder
from newtfix.ablate.study import Plan, Run, label
from newtfix.ablate.verdicts import Verdict, find_verdicts


@dataclass(frozen=True)
class Findings:
    """Everything that a report says. `gap`: all less what the screen has on everywhere, as its effects add up."""

    plan: Plan
    verdicts: tuple[Verdict, ...]
    pairs: tuple[Pair, ...]
    arms: tuple[Arm, ...]
    gap: Verdict | None
    along: tuple[Moment, ...]
    runs: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]
    needed: int
    waits: str
    stopped: tuple[str, ...]
    delta: float | None
    deviation: float | None

    @property
    def silent(self) -> tuple[Mapping[str, Any], ...]:
        """The runs that finished, and of which nothing was measured."""
        return tuple(row for row in self.runs if row["state"] == "finished" and row["score"] is None)


def find(study: Path, plan: Plan) -> Findings:
    """What the runs that are done by now show."""
    schedule = conduct.current(study, plan)
    runs = [_row(study, plan, run) for run in schedule.runs]
    done = [row for row in runs if row["state"] in ("finished", "failed")]
    scores = {row["id"]: row["score"] for row in done}
    values = [row["score"] for row in done if row["score"] is not None]
    delta = plan.delta * abs(float(np.mean(values))) if values else None
    fit = fit_factors(plan, schedule.runs, scores)
    pairs = find_pairs(plan, scores)
    verdicts, gap = find_verdicts(plan, fit, delta or 0.0, scores, pairs)
    return Findings(
        plan=plan,
        verdicts=tuple(_proved(study, plan, one) for one in verdicts),
        pairs=tuple(pairs),
        arms=tuple(find_arms(study, plan, schedule.runs, scores)),
        gap=gap,
        along=tuple(along(plan, schedule.runs, {row["id"]: row["training"] for row in done})),
        runs=tuple(runs),
        failed=tuple(row for row in runs if row["state"] in ("failed", "machine", "damaged")),
        needed=len(schedule.needed),
        waits=schedule.open,
        stopped=schedule.stopped,
        delta=delta,
        deviation=deviation(fit, plan, scores),
    )


def _row(study: Path, plan: Plan, run: Run) -> dict[str, Any]:
    folder = Folder(study, run)
    done = folder.done
    state = done["state"] if done else "damaged" if folder.damaged else "machine" if folder.attempts else "open"
    return {
        "id": run.id,
        "stage": run.stage,
        "seed": run.seed,
        "label": label(plan, run.patches),
        "patches": list(run.patches),
        "state": state,
        "score": done["scores"].get(plan.outcome) if done else None,
        "scores": done["scores"] if done else {},
        "training": done["training"] if done else [],
        "steps": done["steps"] if done else folder.size(),
        "reason": done["reason"] if done else folder.unfinished,
        "seconds": done["seconds"] if done else None,
    }


def _proved(study: Path, plan: Plan, verdict: Verdict) -> Verdict:
    """What whole runs say of a patch that was inert in short ones."""
    if verdict.kind != "inert" or plan.inert_steps >= plan.steps:
        return verdict
    pairs = stages.proof_runs(plan)
    if pairs and all(Folder(study, run).done for pair in pairs for run in pair):
        if all(same(study, pair) for pair in pairs):
            return verdict
        words = f"inert for {plan.inert_steps:,} steps, but not to the end: screen it with --no-inertness"
        return replace(verdict, kind="undecided", words=words)
    return replace(verdict, words=f"inert for {plan.inert_steps:,} steps; whole runs were not compared")
