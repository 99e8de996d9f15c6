"""Makes the plan of a study: which patches take part, what they are screened with, and what that can find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from newtfix import __version__
from newtfix.ablate import design, inertness, stages, trainers
from newtfix.ablate.settings import Resolved, resolve
from newtfix.ablate.study import INERT, Plan, Run, write_json
from newtfix.ablate.trees import Variants
from newtfix.ablate.wish import Parts, Wish, find_parts
from newtfix.errors import Refused, UsageError

PAIRS = 10  # seeds of base against all, at most, where there is a screen too
Work = Callable[[Plan, Iterable[Run]], None]  # runs what it is given


def make(study: Path, wish: Wish, work: Work, rate: Callable[[Plan], float], say: Callable[[str], None]) -> Plan:
    """The plan; short runs are made on the way, to find what is inert and how long runs take.

    Args:
        work: makes runs. rate: runs per hour on this machine, by the runs that were made. say: tells the user.
    """
    variants = Variants(study, Path(wish.tree).absolute() if wish.tree else None, _folders(wish))
    parts = find_parts(wish, variants)
    if not (*parts.factors, *parts.gates):
        raise UsageError("no patch is left to ablate", hint="; ".join(f"{n}: {why}" for n, why in parts.aside.items()))
    kind = trainers.kind_of(variants.session.tree.sources, variants.root)
    resolved = resolve(variants.make(parts.on), kind, wish.settings)
    plan = replace(draft(wish, variants, parts, resolved), trainer=kind)
    if wish.budget is not None:
        _must_pay(wish.budget, _smallest(plan, optimistic=wish.inert), plan)
    if wish.inert and trainers.needs_cuda(variants.root, kind):
        say("Inertness is not looked for: this tree trains on CUDA alone, where the same seed gives other numbers.")
    elif wish.inert and wish.design != "pairs":
        plan = _without_inert(study, plan, resolved, work, say)
    return allocated(plan, wish.budget if wish.budget is not None else _affordable(study, plan, wish, work, rate))


def _folders(wish: Wish) -> list[Path]:
    return [Path(one).absolute() for one in wish.patches]


def draft(wish: Wish, variants: Variants, parts: Parts, resolved: Resolved) -> Plan:
    return Plan(
        settings=wish.settings,
        task=resolved.task,
        steps=resolved.steps,
        threads=resolved.threads or 1,
        tree=str(Path(wish.tree).absolute()) if wish.tree else "",
        files=variants.files,
        package=variants.package,
        folders=tuple(map(str, _folders(wish))),
        patches=variants.fingerprints([*parts.on, *parts.gates, *parts.factors]),
        on=parts.on,
        gates=parts.gates,
        factors=parts.factors,
        aside=dict(parts.aside),
        design=wish.design,
        budget=0,
        blocks=0,
        pairs=0,
        confirm=0,
        first_seed=wish.seed,
        outcome=wish.outcome,
        delta=wish.delta,
        spread=wish.spread,
        version=__version__,
        asked=asked(wish),
    )


def asked(wish: Wish) -> dict[str, Any]:
    """The options as a plan keeps them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(wish).items()}


def _without_inert(study: Path, plan: Plan, resolved: Resolved, work: Work, say: Callable[[str], None]) -> Plan:
    """The plan without the factors that change nothing, alone and left out of all."""
    _keep_only_of(study, plan, resolved)
    steps = resolved.inert_steps
    say(f"Inertness: runs of {steps:,} steps with one seed, alone and left out, to find patches that change nothing.")
    pairs = inertness.alone(plan.gated, plan.factors, steps)
    work(plan, _distinct(pairs))
    quiet = [name for name, pair in pairs.items() if inertness.same(study, pair)]
    among = inertness.left_out(plan.gated, plan.factors, quiet, steps)
    work(plan, _distinct(among))
    inert = [name for name, pair in among.items() if inertness.same(study, pair)]
    for name in quiet:
        say(f"  {name}: {'inert at these settings' if name in inert else 'acts only together with others'}")
    return replace(
        plan,
        factors=tuple(name for name in plan.factors if name not in inert),
        inert_steps=steps,
        aside={**plan.aside, **dict.fromkeys(inert, "inert")},
    )


def _distinct(pairs: Mapping[str, tuple[Run, Run]]) -> list[Run]:
    return list(dict.fromkeys(run for pair in pairs.values() for run in pair))


def _keep_only_of(study: Path, plan: Plan, resolved: Resolved) -> None:
    """Short runs of other settings, or of a tree that has changed since, are made again."""
    told: dict[str, Any] = {"settings": list(plan.settings), "files": dict(plan.files), "patches": dict(plan.patches)}
    told |= {"steps": resolved.inert_steps, "threads": plan.threads}
    path = study / INERT / "inputs.json"
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = None
    if known != told:
        shutil.rmtree(study / INERT, ignore_errors=True)
        write_json(path, told)


def _affordable(study: Path, plan: Plan, wish: Wish, work: Work, rate: Callable[[Plan], float]) -> int:
    """How many runs the hours are enough for; without any, the smallest plan of the design."""
    if wish.hours is None:
        return _smallest(plan)
    runs = int(wish.hours * rate(plan))
    smallest = _smallest(plan)
    if runs < smallest:
        needed = smallest / rate(plan)
        raise UsageError(
            f"{wish.hours:g} hours are enough for {runs} runs here, and the design takes at least {smallest}",
            hint=f"Give --hours {needed:.1f} or more, or shorten the runs (steps=).",
        )
    return runs


def allocated(plan: Plan, budget: int) -> Plan:
    """The plan with its runs dealt out. Raises UsageError where they are too few."""
    _must_pay(budget, _smallest(plan), plan)
    if plan.design in ("one-at-a-time", "full"):
        return replace(plan, budget=budget, pairs=budget // len(stages.fixed_arms(plan)))
    if plan.design == "pairs":
        return replace(plan, budget=budget, pairs=budget // 2)
    block = design.block_size(len(plan.factors))
    if plan.design == "screen":
        return _proved(replace(plan, budget=budget, blocks=budget // block))
    blocks = max(1, int(2 * budget / 3) // block)
    for count in (blocks, budget // block):
        screened = _proved(replace(plan, budget=budget, blocks=count))
        rest = _spare(screened)
        pairs = max((n for n in range(PAIRS + 1) if stages.pair_cost(screened, n) <= rest), default=0)
        if pairs >= stages.seeds_to_decide(len(stages.pair_contrasts(plan)), plan.alpha):
            return replace(screened, pairs=pairs, confirm=rest - stages.pair_cost(screened, pairs))
    return screened


def _proved(plan: Plan) -> Plan:
    """With two whole runs that show that what is inert stays so, where there are two to spare."""
    proof = bool(plan.inert) and plan.inert_steps < plan.steps
    proved = replace(plan, proof=proof)
    return proved if _spare(proved) >= 0 else replace(plan, proof=False)


def _spare(plan: Plan) -> int:
    """The runs that screen and proof leave."""
    return plan.budget - len(stages.screen_runs(plan)) - len(stages.proof_runs(plan))


def _smallest(plan: Plan, optimistic: bool = False) -> int:
    """The fewest runs that the design takes; `optimistic`: if patches that are inert are left out later."""
    if plan.design == "pairs":
        return 2
    if plan.design in ("one-at-a-time", "full"):
        return 2 if optimistic else len(stages.fixed_arms(plan))
    return design.block_size(1 if optimistic else max(1, len(plan.factors)))


def _must_pay(budget: int, smallest: int, plan: Plan) -> None:
    if budget < smallest:
        raise UsageError(
            f"a budget of {budget} runs is too small for the design {plan.design}: it takes at least {smallest}",
            hint=f"Give --budget {smallest} or more, fewer patches (--factors), or another --design.",
        )


def extended(plan: Plan, wish: Wish) -> Plan:
    """The plan of a folder for what is asked of it now: the same, or with more runs.

    Raises:
        Refused: the folder is of another plan.
    """
    now, before = asked(wish), dict(plan.asked)
    spent = ("budget", "hours")
    other = [name for name in now if name not in spent and now[name] != before.get(name)]
    if other:
        told = [f"{name}: {_words(before.get(name))} there, {_words(now[name])} now" for name in other]
        raise Refused(
            "this folder holds another plan",
            where="\n".join(told),
            hint="Take another --dir, or go on with the plan that is there: newtfix ablate run DIR",
        )
    if wish.budget is None or wish.budget == plan.budget:
        return plan
    if wish.budget < plan.budget:
        raise Refused(f"the plan in this folder is of {plan.budget} runs; a budget can grow, not shrink")
    more = replace(allocated(plan, wish.budget), extended=(*plan.extended, plan.budget))
    return replace(more, blocks=max(more.blocks, plan.blocks), pairs=max(more.pairs, plan.pairs))


def _words(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
