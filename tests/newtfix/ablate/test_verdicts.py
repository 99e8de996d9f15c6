"""Verdicts on given effects and pairs, and the sentences that are made of them."""

from dataclasses import replace

import numpy as np
import pytest

from newtfix.ablate.comparisons import Pair
from newtfix.ablate.effects import Fit
from newtfix.ablate.findings import Findings
from newtfix.ablate.fits import fit_factors
from newtfix.ablate.inertness import same_rows
from newtfix.ablate.power import runs_needed
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.verdicts import Verdict, find_verdicts
from newtfix.ablate.wish import _required
from newtfix.errors import UsageError
from newtfix.model import Patch, Severity

from .studies import FACTORS, plan


def pair(name, difference, decided, half=5.0):
    return Pair(name, 8, difference, difference - half, difference + half, 0.01, 100.0 if decided else 1.0, 20.0)


def judged(made, effects, pairs=(), error=1.0, freedom=30, scores=None):
    """The verdicts by patch, and the gap."""
    fit = Fit(np.array([*effects, *[0.0] * (len(FACTORS) - len(effects))]), np.array(error), freedom)
    found, gap = find_verdicts(made, fit, 3.0, scores or {}, pairs)
    return {one.patch: one for one in found}, gap


def test_a_patch_helps_where_there_is_no_gap_to_have_a_share_of():
    found, gap = judged(replace(plan(), blocks=2), [20.0, -21.0])
    assert gap.kind == "undecided"
    assert (found[FACTORS[0]].kind, found[FACTORS[0]].share) == ("helps", None)
    assert found[FACTORS[0]].words.startswith("helps: +20 [+18, +22]")
    assert found[FACTORS[1]].kind == "hurts"


def test_what_counts_only_beside_others_is_told_by_its_pairs():
    """Alone it gains nothing that is seen; all the others without it lose 30."""
    name = FACTORS[2]
    pairs = [pair(f"{name} alone", 1.0, False), pair(f"{name} left out", 30.0, True)]
    assert judged(replace(plan(), blocks=2), [0.0, 0.0, 2.5], pairs)[0][name].kind == "together"
    assert judged(replace(plan(), blocks=2), [0.0, 0.0, 2.5], pairs[:1])[0][name].kind == "undecided"


@pytest.mark.parametrize(
    ("alone", "left_out", "kind"),
    [
        (pair("seeding alone", 1.0, False), pair("seeding left out", 30.0, True), "together"),
        (pair("seeding alone", -9.0, True), pair("seeding left out", -8.0, False), "hurts"),
        (pair("seeding alone", 9.0, True), pair("seeding left out", 8.0, True), "helps"),
    ],
)
def test_a_gate_is_judged_by_its_own_pairs(alone, left_out, kind):
    assert judged(plan(), [], [alone, left_out])[0]["seeding"].kind == kind


def test_one_at_a_time_there_is_no_gap_without_two_seeds_of_all():
    assert judged(plan(33, "one-at-a-time"), [5.0])[1] is None


@pytest.mark.parametrize("design", ["one-at-a-time", "full"])
def test_too_few_runs_have_no_effects(design):
    assert fit_factors(replace(plan(), design=design, factors=FACTORS[:2], blocks=0, pairs=3), [], {}) is None


def test_what_would_take_more_than_ten_thousand_runs_has_no_number():
    assert runs_needed(1e-6, 1.0, 2_000, 8, lambda runs: 2 / runs**0.5) is None
    assert runs_needed(1.0, 1.0, 12, 8, lambda runs: 2 / runs**0.5) % 12 == 0


def test_runs_that_log_no_loss_or_differ_in_length_are_not_the_same():
    row = {"step": 1, "pi_loss": 0.5}
    assert same_rows([row], [{**row, "more": 1}])
    assert not same_rows([row], [row, row]) and not same_rows([{"step": 1}], [{"step": 1}])
    assert not same_rows([row], [{**row, "pi_loss": 0.25}])


def test_what_a_factor_requires_is_on_unless_it_is_held_off():
    known = {name: Patch(name, Severity.MINOR, (), id=name) for name in "abc"}
    known["a"] = replace(known["a"], requires=("b",))
    known["b"] = replace(known["b"], requires=("c",))
    assert _required(["a"], known, {"b": "not asked for", "c": "already in the code"}) == ("b",)
    with pytest.raises(UsageError, match="c is held off, and b requires it"):
        _required(["a", "b"], known, {"c": "held off"})


# --- sentences --------------------------------------------------------------------------------------------------------


def findings(**changes):
    found = Findings(replace(plan(), gates=()), (), (), (), None, (), (), (), 0, "", (), None, None)
    return replace(found, **changes)


def test_the_answer_without_runs_of_base_and_all():
    gap = Verdict("all", "explains", "", 20.0, 10.0, 30.0)
    assert answer(findings(gap=gap)) == "On cartpole-swingup, the patches change the return by +20 [+10, +30] in all."
    shown = answer(findings(plan=plan(), gap=replace(gap, kind="undecided")))
    assert "no gap between none and all of the patches is shown with seeding on (+20 [+10, +30])" in shown
    open_ = answer(findings(pairs=(pair("all", 3.0, False),)))
    assert open_.startswith("On cartpole-swingup, whether all patches together help is not decided (+3 ")


def test_a_budget_that_was_enlarged_is_noted():
    assert notes(findings()) == []
    (note,) = notes(findings(plan=replace(plan(), extended=(24, 36))))
    assert "enlarged after looking (from 24, 36 runs)" in note
