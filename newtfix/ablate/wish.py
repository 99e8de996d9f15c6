"""What a study is asked for, and the part that each patch plays in it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newtfix.ablate.study import DESIGNS, OUTCOMES
from newtfix.ablate.trees import Variants
from newtfix.errors import UsageError
from newtfix.model import Patch, Severity, State
from newtfix.work.session import choose

HOLDS = ("on", "off", "free")
_ASIDE = {
    State.APPLIED: "already in the code",
    State.ABSENT: "nothing to fix in this tree",
    State.PARTIAL: "there in part only",
    State.DRIFTED: "does not fit this tree",
}


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
    gates = [name for name in factors if name not in on and _is_gate(known[name], holds, wish)]
    return Parts(on, tuple(gates), tuple(name for name in factors if name not in (*on, *gates)), aside)


def _holds(wish: Wish, known: Mapping[str, Patch], factors: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in wish.hold:
        name, _, how = one.partition("=")
        (name,) = choose([name], False, known)
        if how not in HOLDS:
            raise UsageError(f"--hold {one}: it is ID=on, ID=off or ID=free", hint="free: screened as the others are.")
        if name not in factors:
            see = f"newtfix status{f' --tree {shlex.quote(wish.tree)}' if wish.tree else ''}"
            raise UsageError(f"--hold {one}: {name} takes no part", hint=f"See the states with `{see}`.")
        found[name] = how
    return found


def _is_gate(patch: Patch, holds: Mapping[str, str], wish: Wish) -> bool:
    usual = patch.holds_back and wish.design in ("both", "screen", "one-at-a-time")
    return holds[patch.id] == "on" if patch.id in holds else usual


def _required(factors: Sequence[str], known: Mapping[str, Patch], aside: Mapping[str, str]) -> tuple[str, ...]:
    """What factors require is always on. Raises UsageError where that is held off."""
    needed: set[str] = set()
    pending = list(factors)
    while pending:
        fresh = set(known[pending.pop()].requires) - needed
        needed |= fresh
        pending.extend(fresh)
    for name in sorted(needed & aside.keys()):
        if aside[name] == "held off":
            needing = ", ".join(sorted(one for one in factors if name in known[one].requires))
            raise UsageError(f"{name} is held off, and {needing} requires it", hint="Hold those off as well.")
    return tuple(sorted(name for name in needed if aside.get(name, "not asked for") == "not asked for"))
