"""Which runs a plan has: the same whatever the order in which they end, and no more than are needed."""

from dataclasses import replace

import numpy as np
import pytest

from newtfix.ablate import stages
from newtfix.ablate.study import Run, label

from .studies import additive, ids, plan


def known(made, truth=additive, noise=8.0):
    """Scores of all runs that are ever needed, and the last schedule."""
    scores = {}
    while True:
        schedule = stages.schedule(made, scores)
        new = [run for run in schedule.needed if run.id not in scores]
        if not new:
            return scores, schedule
        for run in new:
            draw = np.random.default_rng([run.seed, int(run.id.split("-")[1], 16)])
            scores[run.id] = truth(frozenset(run.patches)) + draw.normal(0, noise)


@pytest.mark.parametrize("budget", (24, 48, 96, 150, 300))
def test_a_study_takes_no_more_runs_than_its_budget(budget):
    scores, _ = known(plan(budget, "both"))
    assert len(scores) <= budget


def test_runs_that_two_stages_share_are_made_once():
    schedule = stages.schedule(plan(150, "both"), {})
    assert len(set(ids(schedule.runs))) == len(schedule.runs)
    made = plan(150, "both")
    screened = set(ids(stages.screen_runs(made)))
    assert Run(1, made.all).id in screened and Run(1, made.gated).id in screened


def test_the_gate_is_on_in_the_screen_and_judged_by_pairs():
    made = plan(150, "both")
    assert all("seeding" in run.patches for run in stages.screen_runs(made))
    assert [one.name for one in stages.pair_contrasts(made)] == ["all", "seeding alone", "seeding left out"]


def test_the_numbers_of_runs_stay_when_more_becomes_known():
    made = plan(150, "both")
    before = stages.schedule(made, {})
    _, after = known(made)
    assert ids(after.runs)[: len(before.runs)] == ids(before.runs)
    assert "screen" in before.open and after.open == ""
    assert len(after.runs) > len(before.runs)  # the confirmation


def test_what_stands_out_is_confirmed_alone_and_left_out():
    made = plan(150, "both")
    scores, _ = known(made)
    sequence = stages.sequences(made, scores)[1]
    names = {one.name.rsplit(" ", 1)[0].removesuffix(" left") for one in sequence.contrasts}
    assert names <= {"prior-coef", "rho", "burst"} and "prior-coef" in names
    assert len(sequence.seeds) >= stages.seeds_to_decide(len(sequence.contrasts), made.alpha)


def test_pairs_stop_when_all_is_decided():
    made = replace(plan(60, "pairs"), pairs=30)
    scores, schedule = known(made, lambda on: 100.0 * bool(on), noise=5.0)
    assert schedule.stopped and len(scores) < 60
    none, whole = known(made, lambda on: 1.0, noise=5.0)
    assert not whole.stopped and len(none) == 60


def test_where_nothing_stands_out_nothing_is_confirmed():
    made = plan(150, "both")
    scores, schedule = known(made, lambda on: 50.0)
    assert stages.candidates(made, scores) == () or len(stages.candidates(made, scores)) <= 1
    assert schedule.open == ""


def test_runs_without_a_score_settle_a_stage():
    made = plan(150, "both")
    scores = dict.fromkeys(ids(stages.screen_runs(made)))
    assert "screen" not in stages.schedule(made, scores).open


def test_fixed_arms_have_every_seed():
    full = plan(35, "full", factors=("rho", "burst"))
    assert len(stages.schedule(full, {}).runs) == 35 and full.pairs == 7  # four subsets, and base without the gate
    alone = plan(40, "one-at-a-time")
    assert {label(alone, run.patches) for run in stages.schedule(alone, {}).runs} >= {"base", "all", "seeding"}


def test_sets_of_patches_are_called_by_what_is_special_of_them():
    made = plan(24)
    assert label(made, ()) == "base"
    assert label(made, made.all) == "all"
    assert label(made, [one for one in made.all if one != "rho"]) == "all without rho"
    assert label(made, ["rho", "seeding"]) == "rho, seeding"


def test_differences_are_those_of_seeds_that_have_both_runs():
    contrast = stages.Contrast("rho", ("rho",), ())
    scores = {Run(seed, contrast.more).id: 10.0 * seed for seed in (1, 2, 4)}
    scores |= {Run(seed, contrast.less).id: 3.0 for seed in (1, 2, 3)}
    assert stages.differences(contrast, (1, 2, 3, 4), scores).tolist() == [7.0, 17.0]
