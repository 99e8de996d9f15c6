"""What each discrepancy means for a tree, in one or two sentences with the tree's own numbers: what its patch says."""

from __future__ import annotations

import re
from collections.abc import Mapping

from newtfix.errors import PatchError
from newtfix.model import Patch, Quantity, State
from newtfix.patch.sections import sections
from newtfix.scan.facts import Facts

_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_NOT_RECOGNISED = "Neither the code to fix nor the fix was recognised"


class Known:
    """The numbers of a tree as patches see them (`newtfix.model.Numbers`); `asked` are the settings they asked for."""

    def __init__(self, facts: Facts, quantities: Mapping[str, Quantity]) -> None:
        self._facts, self._quantities = facts, quantities
        self.tasks = facts.tasks.names
        self.lengths, self.action_dims = facts.tasks.lengths, facts.tasks.action_dims
        self.asked: dict[str, None] = {}

    def __getitem__(self, key: str) -> Quantity:
        return self._quantities[key]

    def get(self, key: str) -> Quantity | None:
        return self._quantities.get(key)

    def setting(self, name: str) -> float | None:
        self.asked[name] = None
        return self._facts.number(name)

    def source(self, name: str) -> str:
        return self._facts.settings.source(name)


def consequence(patch: Patch, state: State, known: Known) -> str:
    """What follows from the state of a patch: what it says itself, or else the effect that its docstring tells."""
    if state is State.ABSENT:
        return "This tree has nothing that the patch speaks of."
    if state is State.APPLIED:
        return "The tree does as the patch says."
    told = _told(patch, known)
    if state is State.DRIFTED:
        number = known.get(patch.measured)
        measured = number is not None and number.here is not None
        return f"{_NOT_RECOGNISED}. {told}" if measured else f"{_NOT_RECOGNISED}; look at it by hand."
    if state is State.AVAILABLE:
        return told
    return f"The fix is there in part{'.' if patch.measured else '; of a tree without it:'} {told}"


def _told(patch: Patch, known: Known) -> str:
    if patch.consequence is None:
        return _effect(patch)
    try:
        return str(patch.consequence(known))
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise PatchError(f"{patch.origin}: its consequence cannot be told: {said}") from problem


def _effect(patch: Patch) -> str:
    effect = " ".join(sections(patch.doc).get("Effect", patch.changes or patch.title).split())
    return " ".join(_SENTENCE.split(effect)[:2])
