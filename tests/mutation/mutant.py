"""What a mutation is: texts with the same behaviour, and how its traces go away from a syntax tree again."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Modules = dict[str, ast.Module]
Texts = dict[str, str]
Undo = Callable[[Modules], None]
MARK = "dbg"  # in every name, text and comment that a mutator adds for show


@dataclass(frozen=True)
class Mutant:
    """The texts of a mutated tree.

    `undo` takes the mutation back in the syntax trees of the mutated files, patched or not, as far as `canon` cannot
    see through it by itself. `only`: the files that may be mutated.
    """

    texts: Mapping[str, str]
    only: frozenset[str]
    undo: tuple[Undo, ...] = ()
    mutators: tuple[str, ...] = ()

    def taken_back(self, modules: Modules, names: bool = True) -> None:
        """Take the mutations back; without `names`, those that only renamed stay."""
        for undo in reversed(self.undo):
            if names or not getattr(undo, "only_names", False):
                undo(modules)


Mutator = Callable[[Texts, frozenset[str], random.Random], tuple[Texts, Undo | None]]


def per_file(change: Callable[[str, random.Random], str]) -> Mutator:
    """A mutator that changes the text of one file at a time and needs no undoing."""

    def mutate(texts: Texts, only: frozenset[str], rng: random.Random) -> tuple[Texts, Undo | None]:
        return {file: change(texts[file], rng) for file in sorted(only)}, None

    return mutate


def mutated(mutant: Mutant, name: str, mutator: Mutator, rng: random.Random) -> Mutant:
    """One more mutation; files end in the newlines that they had."""
    dos = {file for file in mutant.only if "\r\n" in mutant.texts[file]}
    texts = {file: text.replace("\r\n", "\n") if file in dos else text for file, text in mutant.texts.items()}
    changed, undo = mutator(texts, mutant.only, rng)
    for file, text in changed.items():
        if text != texts[file]:
            compile(text, file, "exec", dont_inherit=True)
    after = {**texts, **changed}
    after = {file: text.replace("\n", "\r\n") if file in dos else text for file, text in after.items()}
    undone = mutant.undo if undo is None else (*mutant.undo, undo)
    return Mutant(after, mutant.only, undone, (*mutant.mutators, name))
