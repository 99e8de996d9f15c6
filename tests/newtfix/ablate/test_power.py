"""What a plan says that it can find is what it finds."""

import numpy as np
import pytest

from newtfix.ablate.design import screen_signs
from newtfix.ablate.effects import of_screen
from newtfix.ablate.power import detectable, paired_error, pairs_detectable, runs_needed, screen_error
from newtfix.ablate.statistics import e_process


@pytest.mark.parametrize("blocks", (1, 2, 3))
def test_a_screen_finds_the_difference_that_it_says_in_four_of_five(blocks):
    """Holm is at its strictest for one effect among eleven."""
    freedom = 24 * blocks - blocks - 11 if blocks == 1 else 12 * blocks - 11
    size = detectable(screen_error(24 * blocks), freedom, 11)
    found = []
    for number in range(20):
        signs = np.concatenate([screen_signs(11, block, number) for block in range(blocks)])
        noise = np.random.default_rng(number).normal(size=(100, len(signs)))
        scores = size * (signs[:, 0] > 0) + noise
        found.append(of_screen(signs, np.repeat(np.arange(blocks), 24), scores).adjusted[:, 0] < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_pairs_find_the_difference_that_they_say():
    size = pairs_detectable(10, 3)
    drawn = np.random.default_rng(9).normal(size, 2**0.5, (4_000, 10))
    assert (e_process(drawn).max(-1) >= 60).mean() == pytest.approx(0.8, abs=0.05)
    assert pairs_detectable(3, 1) == float("inf")  # three pairs decide nothing, whatever they show


def test_more_runs_find_smaller_differences():
    sizes = [detectable(screen_error(24 * blocks), 12 * blocks - 8, 8) for blocks in (2, 3, 6)]
    assert sizes == sorted(sizes, reverse=True)
    assert detectable(paired_error(3), 0, 1) == float("inf")


def test_the_runs_that_are_needed_are_enough_and_no_more_than_that():
    runs = runs_needed(0.8, 1.0, 24, 11, screen_error)
    assert runs is not None and runs % 24 == 0
    assert detectable(screen_error(runs), runs - runs // 24 - 11, 11) <= 0.8
    fewer = runs - 24
    assert detectable(screen_error(fewer), fewer - fewer // 24 - 11, 11) > 0.8
    assert runs_needed(0.0, 1.0, 24, 11, screen_error) is None
