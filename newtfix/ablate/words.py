"""What is said about a plan before it is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from newtfix.ablate import power, stages
from newtfix.ablate.comparisons import MINIMUM
from newtfix.ablate.study import OUTCOMES, SCHEMA, Plan, label


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan and what it can find, for a person."""
    yield f"Task {plan.task}, {plan.steps:,} steps a run; outcome: {OUTCOMES[plan.outcome]}."
    for why in dict.fromkeys(plan.aside.values()):
        yield f"  {why}: {', '.join(name for name, one in plan.aside.items() if one == why)}"
    if plan.on:
        yield f"  on in every run, others require them: {', '.join(plan.on)}"
    if plan.gates:
        yield f"  held on while others are screened, judged by pairs of their own: {', '.join(plan.gates)}"
    yield f"  ablated: {', '.join(plan.factors) or 'none'}"
    yield from _design_lines(plan)
    yield from power_lines(plan)


def _design_lines(plan: Plan) -> Iterator[str]:
    if plan.blocks:
        runs = len(stages.screen_runs(plan))
        yield (
            f"Screen: {runs} runs, {plan.blocks} x (Plackett-Burman plan of {runs // plan.blocks // 2} runs and its "
            "mirror image), a seed each."
        )
    if plan.design in ("one-at-a-time", "full"):
        arms = len(stages.fixed_arms(plan))
        yield f"{plan.design}: {arms} sets of patches x {plan.pairs} seeds = {arms * plan.pairs} runs."
    elif plan.pairs:
        yield f"Pairs: base against all{' and each held patch' if plan.gates else ''}, up to {plan.pairs} seeds."
    if plan.proof:
        yield "Two more runs show whether what is inert in short runs stays so."
    if plan.confirm:
        yield (
            f"Confirmation: up to {plan.confirm} runs for at most {stages.CANDIDATES} patches that stand out, alone "
            "and left out, until all is decided."
        )
    spare = plan.budget - len(stages.schedule(plan, {}).runs) - plan.confirm
    if spare > 0:
        yield f"{spare} of {plan.budget} runs are to spare: they make no whole block."


def power_lines(plan: Plan) -> Iterator[str]:
    """What differences the plan finds with 80% power."""
    for what, size in detectable(plan).items():
        if size == float("inf"):
            yield f"Power: {what}: supports no verdict, whatever the runs show."
            continue
        yield (
            f"Power: {what}: finds a difference of {size:.2f} standard deviations of a run with 80% power; that is "
            f"{size * plan.spread:.0%} of the mean return if runs scatter by {plan.spread:.0%} (--spread)."
        )


def detectable(plan: Plan) -> dict[str, float]:
    """The smallest difference that each part finds, in standard deviations of a run; inf: none."""
    found, tests = {}, max(1, len(plan.factors))
    if plan.blocks:
        runs = len(stages.screen_runs(plan))
        freedom = runs // 2 - tests if runs // 2 - tests >= 10 else runs - plan.blocks - tests
        enough = plan.blocks > 1
        found["screen"] = power.detectable(power.screen_error(runs), freedom, tests) if enough else float("inf")
    if plan.design in ("one-at-a-time", "full"):
        arms, seeds = len(stages.fixed_arms(plan)), plan.pairs
        error = power.paired_error(seeds) if plan.design == "one-at-a-time" else power.screen_error(arms * seeds)
        enough = seeds >= MINIMUM
        freedom = (arms - 1) * (seeds - 1)
        found[plan.design] = power.detectable(error, freedom, tests) if enough else float("inf")
    elif plan.pairs:
        found["pairs"] = power.pairs_detectable(plan.pairs, len(stages.pair_contrasts(plan)))
    return found


def plan_json(plan: Plan, schedule: stages.Schedule) -> dict[str, Any]:
    """The plan for machines."""
    sizes = {name: None if size == float("inf") else size for name, size in detectable(plan).items()}
    runs = [
        {
            "index": n,
            "id": run.id,
            "stage": run.stage,
            "seed": run.seed,
            "label": label(plan, run.patches),
            "patches": list(run.patches),
        }
        for n, run in enumerate(schedule.runs)
    ]
    return {"plan": {"schema": SCHEMA, **asdict(plan)}, "detectable": sizes, "waits_for": schedule.open, "runs": runs}
