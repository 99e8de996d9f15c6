"""Around an apply: what a wish that is refused could have had, and whether the tree does as its new patches promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from newtfix.commands.wishes import grant, wish_of
from newtfix.errors import Refused
from newtfix.files.tree import read_tree
from newtfix.model import AS_PATCHED, NOT_OBSERVED, Patch, State
from newtfix.running import require_libraries
from newtfix.work.session import Session, Target


def with_what_fits(session: Session, problem: Refused, chosen: tuple[str, ...], named: str) -> Refused:
    """The refusal, behind what of the wish fits the tree and the command that takes it; as it was if nothing does.

    Behind it, one line for each further patch that does not fit. `named` is how the command line named the patches.
    """
    if len(chosen) < 2:
        return problem
    try:
        wish = wish_of(session, chosen, only_fitting=True)
        plan = grant(session, wish).outcome.plan
    except Refused:
        return problem
    states = [plan.reports[name].state for name in wish.chosen if name in plan.reports] if plan else []
    idle = states.count(State.ABSENT)
    others = f", {idle} have nothing to fix in it" if idle > 1 else ", 1 has nothing to fix in it" if idle else ""
    command = f"newtfix apply {named} --fitting{session.target.option}"
    further = [_short(name, one) for name, one in wish.refused.items() if repr(name) not in problem.message]
    return replace(
        problem,
        message=f"{len(wish.chosen) - idle} of {len(chosen)} patches fit this tree{others}: {command}",
        where="\n".join(part for part in (problem.message, problem.where, *further) if part),
    )


def _short(name: str, problem: Refused) -> str:
    """A refusal in one line."""
    message = problem.message.removeprefix(f"patch {name!r} does not fit this tree")
    place = problem.where.partition("\n")[0].strip()
    return f"{name} does not fit either: {': '.join(part for part in (message, place) if part)}"


@dataclass(frozen=True)
class Verified:
    """What newly written patches do: the observations of each that is not as it should be, by patch.

    `wanted` says which libraries to install to see more.
    """

    target: Target
    looked_at: tuple[str, ...]
    wrong: dict[str, list[str]]
    unseen: tuple[str, ...] = ()  # those of `wrong` of which nothing was observed
    wanted: tuple[str, ...] = ()

    @property
    def lines(self) -> Iterator[str]:
        """One line per way not to be as it should be, and how to take such patches out."""
        ways: dict[str, list[str]] = {}
        for name, seen in self.wrong.items():
            ways.setdefault("; ".join(dict.fromkeys(seen)), []).append(name)
        for way, names in ways.items():
            yield f"{', '.join(names)}: {way}"
        yield from self.wanted
        count, not_seen = len(self.looked_at), f" Of {len(self.unseen)} not all was observed." if self.unseen else ""
        yield f"{count - len(self.wrong)} of {count} patches behave as they should.{not_seen}"
        if bad := [name for name in self.wrong if name not in self.unseen]:
            yield f"To take the others out again: newtfix revert {' '.join(bad)}{self.target.option}"

    def as_dict(self) -> dict[str, Any]:
        return {"ok": not self.wrong, "patches": list(self.looked_at), "wrong": self.wrong}


def must_be_able_to_verify() -> None:
    """Raise NewtfixError, before anything is written, where a tree cannot be run."""
    require_libraries("verifying a tree", ("torch", "tensordict", "numpy"))


def verified(target: Target, patches: Mapping[str, Patch]) -> Verified:
    """Run the tree as it is now, and look at these patches. Those that verify knows nothing of are left out."""
    from newtfix.verify.launch import observe
    from newtfix.verify.observation import NO_PROBE

    wrong: dict[str, list[str]] = {}
    otherwise: set[str] = set()
    looked_at = dict.fromkeys(patches)
    seen = observe(read_tree(target.root), patches)
    for one in seen.observations:
        if one.observed == NO_PROBE:
            looked_at.pop(one.patch, None)
        elif one.verdict != AS_PATCHED:
            wrong.setdefault(one.patch, []).append(f"{one.verdict}: {one.what}: {one.observed}")
            if one.verdict != NOT_OBSERVED:
                otherwise.add(one.patch)
    return Verified(target, tuple(looked_at), wrong, tuple(n for n in wrong if n not in otherwise), seen.wanted)
