"""Statistics: rliable's numbers, tests that keep their level, and an e-process that one may look at."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from newtfix.ablate.statistics import (
    aggregates,
    average_profile,
    e_process,
    equivalence,
    holm,
    improvement,
    interval,
    iqm,
    profile,
    sign_flip,
    two_sided,
)

GOLDEN = Path(__file__).parent / "rliable_golden.npz"
ALGORITHMS = ("base", "big", "small", "null", "harm")


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def curve(scores):
    return iqm(np.moveaxis(scores, -1, -3))


def pair(golden, name):
    first, second = name.split(",")
    scores = golden["scores/big"][:6] if first == "big6" else golden[f"scores/{first}"]
    return scores, golden[f"scores/{second}"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_points_are_those_of_rliable(golden, name):
    scores, tau = golden[f"scores/{name}"], golden["tau"]
    for found, key in (
        (aggregates(scores), "aggregate_seed0"),
        (profile(scores, tau), "profile"),
        (average_profile(scores, tau), "profile_average"),
        (curve(golden[f"curves/{name}"]), "iqm_curve"),
    ):
        np.testing.assert_allclose(found, golden[f"{key}/point/{name}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", (3, 4, 5, 6, 7, 10))
def test_the_iqm_drops_whole_scores_where_a_quarter_is_no_whole_number(golden, count):
    scores = golden["scores/base"].ravel()[:count, None]
    np.testing.assert_allclose(iqm(scores), golden[f"iqm_first_{count}_of_flat_base"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ("big,base", "small,base", "null,base", "harm,base", "big6,base"))
def test_probabilities_of_improvement_are_those_of_rliable(golden, name):
    scores = pair(golden, name)
    np.testing.assert_allclose(improvement(*scores), golden[f"poi_seed0/point/{name}"], rtol=0, atol=1e-12)
    found = interval(improvement, *scores, resamples=2_000)
    np.testing.assert_allclose(found, golden[f"poi_seed0/ci/{name}"], rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_intervals_are_those_of_rliable(golden, name):
    scores = golden[f"scores/{name}"]
    for found, key in (
        (interval(aggregates, scores), "aggregate_seed0"),
        (interval(aggregates, scores, over_tasks=True), "aggregate_task_bootstrap"),
        (interval(curve, golden[f"curves/{name}"], resamples=5_000), "iqm_curve"),
    ):
        np.testing.assert_allclose(found, golden[f"{key}/ci/{name}"], rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("statistic, key", ((profile, "profile"), (average_profile, "profile_average")))
def test_intervals_of_shares_are_those_of_rliable(golden, name, statistic, key):
    """Shares have few values, so an end may be one or the next: rliable's is where 2.5% of our resamples are beyond."""
    tau, ends = golden["tau"], golden[f"{key}/ci/{name}"]
    draws: list[np.ndarray] = []

    def kept(scores):
        draws.append(statistic(scores, tau))
        return draws[-1]

    found = interval(kept, golden[f"scores/{name}"], resamples=4_000)
    resampled = np.concatenate(draws)
    below, above = (resampled < ends[0] - 1e-9).mean(0), (resampled > ends[1] + 1e-9).mean(0)
    at_least, at_most = (resampled <= ends[0] + 1e-9).mean(0), (resampled >= ends[1] - 1e-9).mean(0)
    for tail, whole in ((below, at_least), (above, at_most)):
        assert (tail <= 0.025 + 0.015).all()
        assert (whole >= 0.025 - 0.015).all()
    assert (np.abs(found - ends) <= (1 / 32 if key == "profile" else 1 / 4) + 1e-9).all()


def test_holm_is_that_of_its_definition():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.001]) == pytest.approx([0.9, 0.002])
    many = np.random.default_rng(0).uniform(size=(50, 7))
    assert holm(many) == pytest.approx(np.array([holm(row) for row in many]))


def test_sign_flips_are_exact_for_few_pairs_and_drawn_for_many():
    assert sign_flip([1.0, 2.0, 3.0]) == pytest.approx(2 / 8)
    assert sign_flip([1.0] * 5) == pytest.approx(2 / 32)  # so five pairs never reach 5%
    assert sign_flip([1.0] * 6) < 0.05
    assert sign_flip([]) == 1.0
    differences = np.random.default_rng(1).normal(0.4, 1, 20)
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=2)
    assert sign_flip(differences) == pytest.approx(exact.pvalue, abs=0.02)


def test_t_tests_are_those_of_scipy():
    data = np.random.default_rng(0).normal(0.5, 1, 9)
    found = two_sided(data.mean(), data.std(ddof=1) / 3, 8)
    assert float(found) == pytest.approx(stats.ttest_1samp(data, 0).pvalue)
    assert float(two_sided(1.0, 0.0, 5)) == 0.0
    assert float(equivalence(0.0, 1.0, 1e6, 1.645)) == pytest.approx(0.05, abs=1e-3)
    assert float(equivalence(3.0, 1.0, 1e6, 1.0)) > 0.9


def test_the_evidence_keeps_its_promise_however_often_one_looks():
    null = np.random.default_rng(0).normal(size=(4_000, 60))
    false = (e_process(null).max(-1) >= 20).mean()
    assert false <= 0.05
    counts = np.arange(2, 61)
    mean, square = np.cumsum(null, -1)[:, 1:] / counts, np.cumsum(null**2, -1)[:, 1:]
    deviation = np.sqrt(np.maximum(square / counts - mean**2, 1e-12) * counts / (counts - 1))
    looked = np.abs(mean) / (deviation / np.sqrt(counts)) > stats.t.ppf(0.975, counts - 1)
    assert looked.any(-1).mean() > 0.2  # a t-test after every run does not


@pytest.mark.parametrize("draw", ("skewed", "heavy", "ties"))
def test_the_evidence_asks_for_symmetry_only(draw):
    random = np.random.default_rng(1)
    shapes = {
        "skewed": random.exponential(size=(4_000, 30)) - random.exponential(size=(4_000, 30)),
        "heavy": random.standard_cauchy((4_000, 30)),
        "ties": random.integers(-1, 2, (4_000, 30)).astype(float),
    }
    assert (e_process(shapes[draw]).max(-1) >= 20).mean() <= 0.05


def test_the_evidence_grows_where_there_is_a_difference():
    shifted = np.random.default_rng(2).normal(1.5, 1, (2_000, 20))
    assert (e_process(shifted).max(-1) >= 20).mean() > 0.95
    assert e_process(np.zeros(5)) == pytest.approx(np.ones(5))
    assert e_process(np.zeros((3, 0))).shape == (3, 0)
