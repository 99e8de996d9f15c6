"""What `apply`, `diff` and `export` share: which of the patches asked for are to go in, and what the tree becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from newtfix import report
from newtfix.errors import Refused
from newtfix.work.outcome import GONE, Outcome, again, compute, fitting, without
from newtfix.work.session import Session


@dataclass(frozen=True)
class Wish:
    """Patches to put in, as `chosen` on the command line; `refused` were chosen too, but --fitting left them out."""

    chosen: tuple[str, ...]
    refused: Mapping[str, Refused] = field(default_factory=dict)


@dataclass(frozen=True)
class Granted:
    """What a wish comes to; in `session`, patches of the record whose code was gone (`restored`) do not count."""

    session: Session
    outcome: Outcome
    restored: tuple[str, ...]


def wish_of(session: Session, chosen: tuple[str, ...], only_fitting: bool) -> Wish:
    """The wish for all that is chosen, or for what fits. Raises Refused when there is none that fits."""
    if not only_fitting:
        return Wish(chosen)
    fits, refused = fitting(session, chosen)
    found = _with_room(session, Wish(fits, refused))
    if found.refused and not found.chosen:
        raise none_fits(found.refused)
    return found


def grant(session: Session, wish: Wish) -> Granted:
    """What the tree becomes. A patch that is in the record, and whose code is gone, is put in again.

    Raises:
        Refused: as `compute` does, or edits of others keep such a patch from being put in again.
    """
    wanted = tuple(dict.fromkeys((*session.requested, *wish.chosen)))
    restored = again(session, wish.chosen)
    try:
        session = without(session, restored)
        return Granted(session, compute(session, wanted, asked=wish.chosen), restored)
    except Refused as problem:
        if restored:
            raise _in_the_way(session, restored, problem) from None
        if len(wish.chosen) > 1:
            hint = f"{problem.hint}\n--fitting takes those that fit, and says why others don't."
            raise replace(problem, hint=hint.strip()) from None
        raise


def none_fits(refused: Mapping[str, Refused]) -> Refused:
    """The refusal of a wish of which nothing is left."""
    return Refused(
        "none of these patches fits this tree",
        where="\n".join(line for name, problem in refused.items() for line in refusal(name, problem)),
        hint="--verbose prints the code that a patch looks for; nothing was written",
    )


def refusal(name: str, problem: Refused) -> list[str]:
    """What is said about a patch that was left out."""
    lines = [line for part in (problem.where, *report.details(problem)) for line in part.splitlines()]
    return [f"{name}: refused: {problem.message}", *(f"  {line}" for line in lines)]


def _with_room(session: Session, wish: Wish) -> Wish:
    """The wish without patches that the edits in the tree leave no room for."""
    with suppress(Refused):
        grant(session, wish)
        return wish
    fits: tuple[str, ...] = ()
    refused = dict(wish.refused)
    for name in wish.chosen:
        try:
            grant(session, replace(wish, chosen=(*fits, name)))
        except Refused as problem:
            refused[name] = problem
        else:
            fits = (*fits, name)
    return replace(wish, chosen=fits, refused=refused)


def _in_the_way(session: Session, restored: Sequence[str], problem: Refused) -> Refused:
    names, option = ", ".join(restored), session.target.option
    return Refused(
        f"cannot be put in again: {names}",
        where="\n".join((*(f"{name} is {GONE}." for name in restored), problem.message, problem.where)).strip(),
        hint="Nothing was written. Take your edit out of these lines (keep a copy) and run this again; or leave it and "
        f"name other patches, or say --fitting.\nTo forget about it: newtfix revert {' '.join(restored)}{option}",
    )
