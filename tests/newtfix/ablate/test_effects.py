"""Simulated truths: what a screen claims about patches whose effects are known."""

import numpy as np
import pytest

from newtfix.ablate.design import screen_signs
from newtfix.ablate.effects import of_arms, of_screen, shares, sum_error

FACTORS, DESIGNS, DRAWS = 11, 40, 50
SAMPLING = 2.5 * (0.05 * 0.95 / (DESIGNS * DRAWS)) ** 0.5  # of a rate of 5%


def null(on):
    return 0.0 * on[..., 0]


def additive(on):
    return on[..., 0] + 0.7 * on[..., 1]


def saturating(on):
    return 2.5 * (1 - np.exp(-(0.5 * on[..., 0] + 0.4 * on[..., 1] + 0.3 * on[..., 2])))


def gated(on):
    return 1.6 * on[..., 0] * on[..., 1]


ACTIVE = {null: 0, additive: 2, saturating: 3, gated: 2}


def screened(truth, blocks, redrawn=True):
    """Claims [simulations, factors] of screens with noise of 1 on runs and on seeds."""
    claims = []
    for number in range(DESIGNS):
        draw = np.random.default_rng([number, blocks])
        signs = np.concatenate([screen_signs(FACTORS, block if redrawn else 0, number) for block in range(blocks)])
        seeds = np.repeat(np.arange(blocks), 24)
        scores = truth((signs + 1) / 2) + draw.normal(size=(DRAWS, len(signs)))
        scores += draw.normal(size=(DRAWS, blocks))[:, seeds]
        claims.append(of_screen(signs, seeds, scores).adjusted < 0.05)
    return np.concatenate(claims)


def one_at_a_time(truth, blocks):
    """Claims of as many runs, of none and each alone, with the best analysis that they allow."""
    draw = np.random.default_rng(blocks)
    arms, seeds = np.tile(np.arange(12), 2 * blocks), np.repeat(np.arange(2 * blocks), 12)
    on = np.vstack([np.zeros(FACTORS), np.eye(FACTORS)])
    scores = truth(on)[arms] + draw.normal(size=(DESIGNS * DRAWS, len(arms)))
    return of_arms(arms, seeds, scores, FACTORS).adjusted < 0.05


@pytest.mark.parametrize("blocks", (1, 2, 3))
@pytest.mark.parametrize("truth", ACTIVE, ids=lambda truth: truth.__name__)
def test_a_screen_makes_no_more_false_findings_than_it_says(truth, blocks):
    assert screened(truth, blocks)[:, ACTIVE[truth] :].any(-1).mean() <= 0.05 + SAMPLING


@pytest.mark.parametrize("blocks", (2, 3))
@pytest.mark.parametrize("truth", (additive, saturating, gated), ids=lambda truth: truth.__name__)
def test_a_screen_finds_twice_as_much_as_one_at_a_time(truth, blocks):
    ours, theirs = (
        claims[:, : ACTIVE[truth]].mean() for claims in (screened(truth, blocks), one_at_a_time(truth, blocks))
    )
    assert ours >= 2 * theirs
    assert ours > 0.1


def test_columns_that_are_dealt_anew_keep_effects_of_three_apart():
    """What three patches do together looks like a fourth one's effect if columns are the same in every block."""

    def together(on):
        return 6.0 * (2 * on[..., 0] - 1) * (2 * on[..., 1] - 1) * (2 * on[..., 2] - 1)

    fixed, redrawn = (screened(together, 3, how)[:, 3:].any(-1).mean() for how in (False, True))
    assert redrawn < fixed


def test_effects_of_pairs_and_of_seeds_do_not_bias_the_others():
    signs = np.concatenate([screen_signs(FACTORS, block) for block in range(2)])
    on = (signs + 1) / 2
    scores = 3 * on[:, 0] + 5 * on[:, 1] * on[:, 2] + np.repeat([0.0, 100.0], 24)
    fit = of_screen(signs, np.repeat([0, 1], 24), scores)
    assert fit.effects[:3] == pytest.approx([3, 2.5, 2.5])  # a pair's effect is shared by the two
    assert fit.effects[3:] == pytest.approx(np.zeros(8), abs=1e-9)
    assert [share.size for share in shares(fit, 2.0)[:3]] == pytest.approx([3 / 8, 2.5 / 8, 2.5 / 8])
    assert float(sum_error(fit)) == pytest.approx(0, abs=1e-9)


def test_runs_without_a_score_are_left_out_with_their_mirror_images():
    signs = np.concatenate([screen_signs(5, block) for block in range(2)])
    scores = 4.0 * (signs[:, 0] > 0)
    scores[3] = np.nan
    fit = of_screen(signs, np.repeat([0, 1], 24), scores)
    assert fit.effects == pytest.approx([4, 0, 0, 0, 0], abs=1e-9)
    assert fit.freedom == 23 - 5


def test_the_error_of_an_effect_is_that_of_simulations():
    signs = np.concatenate([screen_signs(FACTORS, block) for block in range(2)])
    scores = np.random.default_rng(0).normal(size=(4_000, 48))
    fit = of_screen(signs, np.repeat([0, 1], 24), scores)
    assert fit.effects.std(0) == pytest.approx(np.full(FACTORS, 2 / 48**0.5), rel=0.06)
    assert float((fit.error**2).mean() ** 0.5) == pytest.approx(2 / 48**0.5, rel=0.03)


def test_intervals_of_shares_cover_them():
    signs = np.concatenate([screen_signs(4, block) for block in range(3)])
    on, seeds = (signs + 1) / 2, np.repeat(np.arange(3), 24)
    truth = np.array([4.0, 2.0, 0.0, 0.0])
    scores = on @ truth + np.random.default_rng(3).normal(size=(400, 72))
    covered = []
    for row in scores:
        found = shares(of_screen(signs, seeds, row), 2.0)
        covered.append([one.low <= share <= one.high for one, share in zip(found, truth / 6, strict=True)])
    assert np.mean(covered, 0) == pytest.approx(np.full(4, 0.95), abs=0.03)
