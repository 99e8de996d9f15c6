"""Makes the plan of a study: which patches take part, what they are screened with, and what that can find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from newtfix import __version__
from newtfix.ablate import design, inertness, stages, trainers
from newtfix.ablate.settings import Resolved, resolve
from newtfix.ablate.study import DESIGNS, INERT, OUTCOMES, Plan, Run, write_json
from newtfix.ablate.trees import Variants
from newtfix.errors import Refused, UsageError
from newtfix.model import Patch, Severity, State
from newtfix.work.session import choose

GATES = ("seeding",)  # what holds others back: newt may seed for most of a short run
PAIRS = 10  # seeds of base against all, at most, where there is a screen too
HOLDS = ("on", "off", "free")
_ASIDE = {
    State.APPLIED: "already in the code",
    State.ABSENT: "nothing to fix in this tree",
    State.PARTIAL: "there in part only",
    State.DRIFTED: "does not fit this tree",
}
Work = Callable[[Plan, Iterable[Run]], None]  # runs what it is given


@dataclass(frozen=True)
class Wish:
    """What a command line asks for."""

    settings: tuple[str, ...]
    tree: str = ""
    patches: tuple[str, ...] = ()
    design: str = "both"
    budget: int | None = None
    hours: float | None = None
    factors: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    outcome: str = "training"
    delta: float = 0.1
    spread: float = 0.1
    seed: int = 1
    inert: bool = True


@dataclass(frozen=True)
class Parts:
    """The roles of patches in a study, as in Plan."""

    on: tuple[str, ...]
    gates: tuple[str, ...]
    factors: tuple[str, ...]
    aside: Mapping[str, str]


def must_be_possible(wish: Wish) -> None:
    """Raise UsageError for options that no tree can make right."""
    for name, value, known in (("design", wish.design, DESIGNS), ("outcome", wish.outcome, tuple(OUTCOMES))):
        if value not in known:
            raise UsageError(f"there is no {name} {value!r}", hint=f"There are: {', '.join(known)}")
    if wish.budget is not None and wish.hours is not None:
        raise UsageError("--budget and --hours say the same in two ways", hint="Give one of them.")
    if (wish.budget is not None and wish.budget < 1) or (wish.hours is not None and wish.hours <= 0):
        raise UsageError("there is nothing to spend", hint="--budget is a number of runs, --hours a time, above 0.")
    for name, part in (("--delta", wish.delta), ("--spread", wish.spread)):
        if not 0 < part < 10:
            raise UsageError(f"{name} {part} is not a part of the mean return", hint="0.1 stands for 10%.")
    for setting in wish.settings:
        key = setting.partition("=")[0]
        if key in ("seed", "out_dir", "exp_name", "resume", "checkpoint"):
            hint = {"seed": "Say the first one with --seed.", "out_dir": "Say the folder with --dir."}
            raise UsageError(f"{key} is not for a study to share: {setting}", hint=hint.get(key, "Leave it out."))


def find_parts(wish: Wish, variants: Variants) -> Parts:
    """The roles of patches before anything is run. Raises UsageError for one that is unknown or can't take its role."""
    known = variants.session.patches
    chosen = set(choose(wish.factors, not wish.factors, known))
    aside = {name: _ASIDE[state] for name, state in variants.states.items() if state in _ASIDE}
    if bad := sorted(chosen & aside.keys()) if wish.factors else []:
        raise UsageError(f"{bad[0]} cannot be ablated in this tree: {aside[bad[0]]}")
    aside |= {name: "not asked for" for name in known if name not in chosen and name not in aside}
    factors = [name for name in known if name not in aside]
    holds = _holds(wish, known, factors)
    aside |= {name: "held off" for name, how in holds.items() if how == "off"}
    factors = [name for name in factors if name not in aside]
    on = _required(factors, known, aside)
    on = tuple(sorted({*on, *(name for name in factors if known[name].severity is Severity.PREREQUISITE)}))
    gates = [name for name in factors if name not in on and _is_gate(name, holds, wish)]
    return Parts(on, tuple(gates), tuple(name for name in factors if name not in (*on, *gates)), aside)


def _holds(wish: Wish, known: Mapping[str, Patch], factors: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in wish.hold:
        name, _, how = one.partition("=")
        (name,) = choose([name], False, known)
        if how not in HOLDS:
            raise UsageError(f"--hold {one}: it is ID=on, ID=off or ID=free", hint="free: screened as the others are.")
        if name not in factors:
            raise UsageError(f"--hold {one}: {name} takes no part", hint="See the states with `newtfix status`.")
        found[name] = how
    return found


def _is_gate(name: str, holds: Mapping[str, str], wish: Wish) -> bool:
    usual = name in GATES and wish.design in ("both", "screen", "one-at-a-time")
    return holds[name] == "on" if name in holds else usual


def _required(factors: Sequence[str], known: Mapping[str, Patch], aside: Mapping[str, str]) -> tuple[str, ...]:
    """What factors require is always on. Raises UsageError where that is held off."""
    needed: set[str] = set()
    pending = list(factors)
    while pending:
        fresh = set(known[pending.pop()].requires) - needed
        needed |= fresh
        pending.extend(fresh)
    for name in sorted(needed & aside.keys()):
        if aside[name] in ("held off", "not asked for"):
            needing = ", ".join(sorted(one for one in factors if name in known[one].requires))
            if aside[name] == "held off":
                raise UsageError(f"{name} is held off, and {needing} requires it", hint="Hold those off as well.")
    return tuple(sorted(name for name in needed if aside.get(name, "not asked for") == "not asked for"))


# --- the plan ---------------------------------------------------------------------------------------------------------


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
        return replace(plan, budget=budget, blocks=budget // block)
    blocks = max(1, int(2 * budget / 3) // block)
    for screened in (replace(plan, budget=budget, blocks=count) for count in (blocks, budget // block)):
        rest = budget - screened.blocks * block
        pairs = max((n for n in range(PAIRS + 1) if stages.pair_cost(screened, n) <= rest), default=0)
        if pairs >= stages.seeds_to_decide(len(stages.pair_contrasts(plan)), plan.alpha):
            return replace(screened, pairs=pairs, confirm=rest - stages.pair_cost(screened, pairs))
    return screened


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
