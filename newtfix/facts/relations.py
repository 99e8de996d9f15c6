"""Whether a tree keeps what a patch relies on: one function per relation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from newtfix.errors import PatchError
from newtfix.facts.unchanged import unchanged
from newtfix.model import Fact
from newtfix.newt.places import ENDS, STARTS
from newtfix.newt.tree import Broken, NewtTree


def broken(tree: NewtTree, facts: tuple[Fact, ...]) -> Broken | None:
    """The first of some facts that a tree breaks, and where; None: it keeps them all."""
    for fact in facts:
        if fact.relation not in RELATIONS:
            raise PatchError(f"no relation is called {fact.relation!r}", hint=f"there are {', '.join(RELATIONS)}")
        if (found := RELATIONS[fact.relation](tree, fact)) is not None:
            return found
    return None


def _unchanged(tree: NewtTree, fact: Fact) -> Broken | None:
    role, made, used = fact.about
    what = f"{made} are not what they were when {used}"
    keys = frozenset(fact.keys) or None
    return unchanged(tree, role, list(STARTS[made](tree)), list(ENDS[used](tree)), keys, what)


RELATIONS: Mapping[str, Callable[[NewtTree, Fact], Broken | None]] = {"unchanged": _unchanged}
