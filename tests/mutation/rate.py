"""The rate of right edits: mutates trees, applies patches, counts the outcomes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mutant import Mutant, mutated
from mutators import MUTATORS
from oracle import Behave, Verdict, judge

from newtfix.errors import NewtfixError
from newtfix.model import Patch, State
from newtfix.newt.roles import find_roles
from newtfix.plan.engine import plan

ALL = "(all)"
SCRIPTS = ("generate_demos.py",)


@dataclass(frozen=True)
class Case:
    """A tree, what patches make of it when nobody has mutated it, and how it is told what two such trees do."""

    name: str
    sources: Mapping[str, str]
    patches: Mapping[str, Patch]
    behave: Behave | None = None
    _references: dict[str, Mapping[str, str] | None] = field(default_factory=dict, repr=False)

    @cached_property
    def only(self) -> frozenset[str]:
        """The files that are mutated: those that play a role, and scripts that call what they define."""
        files = {found.file for found in find_roles(self.sources).values()}
        return frozenset(files | {f for f in SCRIPTS if f in self.sources})

    def reference(self, name: str) -> Mapping[str, str] | None:
        """The texts of the whole tree with a patch (or `ALL`); None where it has nothing to fix or does not fit."""
        if name not in self._references:
            self._references[name] = self._patched(name)
        return self._references[name]

    def _patched(self, name: str) -> Mapping[str, str] | None:
        ids = self.asked_for(name)
        try:
            made = plan(self.sources, ids, self.patches)
        except NewtfixError:
            return None
        available = all(made.reports[i].state is State.AVAILABLE for i in ids)
        return {**self.sources, **made.after} if made.after and available else None

    def asked_for(self, name: str) -> list[str]:
        """The patches that `name` stands for."""
        return [n for n in self.patches if self.reference(n) is not None] if name == ALL else [name]


@dataclass(frozen=True)
class Result:
    """The verdict on one patch of one mutant."""

    tree: str
    mutators: tuple[str, ...]
    seed: int
    patch: str
    verdict: Verdict


def mutant_of(case: Case, mutators: Sequence[str], seed: int, only: frozenset[str] = frozenset()) -> Mutant:
    """The tree with mutations one on top of the other (in the files `only`); the same seed makes the same mutant."""
    mutant = Mutant(case.sources, only or case.only)
    for name in mutators:
        mutant = mutated(mutant, name, MUTATORS[name], random.Random(f"{case.name} {name} {seed}"))
    return mutant


def results(case: Case, mutators: Sequence[str], seed: int, wanted: Sequence[str] | None = None) -> Iterator[Result]:
    """Verdicts on every available patch (or those `wanted`) of one mutant; none where nothing could be mutated."""
    mutant = mutant_of(case, mutators, seed)
    if dict(mutant.texts) == dict(case.sources):
        return
    for name in [*case.patches, ALL] if wanted is None else wanted:
        reference = case.reference(name)
        if reference is not None:
            verdict = judge(mutant, case.sources, reference, case.asked_for(name), case.patches, case.behave)
            yield Result(case.name, tuple(mutators), seed, name, verdict)
