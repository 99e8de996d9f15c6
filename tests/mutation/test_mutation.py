"""Patches on mutated trees: the right edit or a refusal, never a wrong edit, never a traceback.

A small sample of what tools/mutation_rate.py runs; docs/robustness.md has its rates.
"""

from __future__ import annotations

import random

from mutators import MUTATORS, STACK
from oracle import Outcome
from rate import ALL, results
from shipped import NAMES, shipped

RIGHT_AT_LEAST = 0.85  # of the pairs in this sample; the rates of larger ones are in docs/robustness.md
PATCHES_EACH = 2


def sample():
    """A mutant of every tree by two mutators, and some of the patches for it."""
    draw = random.Random(5)
    for tree in NAMES:
        mutators = sorted(draw.sample(STACK, 2), key=STACK.index)
        patches = draw.sample(sorted(shipped(tree).patches), PATCHES_EACH)
        yield from results(shipped(tree), mutators, 1, patches)


def told(found):
    return [(r.tree, r.mutators, r.patch, r.verdict.outcome.value, r.verdict.reason) for r in found]


def test_a_sample_is_patched_rightly_or_refused():
    """In one test, as the rate is one of all."""
    found = list(sample())
    assert len(found) > 12
    bad = [r for r in found if r.verdict.outcome not in (Outcome.RIGHT, Outcome.REFUSED)]
    assert not bad, told(bad)
    refused = [r for r in found if r.verdict.outcome is Outcome.REFUSED]
    assert all(" | " in r.verdict.reason for r in refused), "a refusal says where"
    assert 1 - len(refused) / len(found) >= RIGHT_AT_LEAST, told(refused)


def test_all_patches_together_on_a_mutated_tree():
    (found,) = results(shipped("plain"), ["rename-some", "insert-comments", "format"], 1, [ALL])
    assert found.verdict.outcome in (Outcome.RIGHT, Outcome.REFUSED), found.verdict.reason


def test_every_mutator_has_its_place_in_a_stack():
    assert sorted(STACK) == sorted(MUTATORS)
