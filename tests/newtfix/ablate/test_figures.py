"""Pictures: what is drawn of few runs, of runs that logged nothing, and of nothing at all."""

from types import SimpleNamespace

import pytest

from newtfix.ablate import figures
from newtfix.ablate.comparisons import Arm
from newtfix.ablate.verdicts import Verdict

LINE = [(1_000, 10.0), (2_000, 20.0)]


def arm(label, *curves, scores=()):
    return Arm(label, (), scores, 0.0, 0.0, None, None, None, curves, ())


def test_effects_without_a_gap_are_drawn_as_they_are_with_what_is_too_small_shaded():
    shown = (Verdict("rho", "helps", "", 5.0, 2.0, 8.0), Verdict("burst", "undecided", "", -1.0, None, None))
    found = SimpleNamespace(verdicts=(*shown, Verdict("mu-std", "aside", "")), delta=3.0)
    (axes,) = figures.forest(found).axes
    assert "effect on the return" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["burst", "rho"]
    assert [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2][:2] == [[0, 0], [2, 8]]
    (shaded,) = axes.patches
    assert (shaded.get_x(), shaded.get_width()) == (-3, 6)
    assert figures.forest(SimpleNamespace(verdicts=(Verdict("mu-std", "aside", ""),), delta=None)) is None


def test_a_band_takes_three_runs():
    for count, bands in ((2, 0), (3, 1)):
        (axes,) = figures.curves([arm("base", *[LINE] * count)], "cartpole").axes
        assert len(axes.collections) == bands
        assert list(axes.lines[0].get_ydata()) == pytest.approx([10, 20])
        assert axes.get_title(loc="left") == "cartpole"
        assert axes.get_legend_handles_labels()[1] == [f"base ({count} seeds)"]


def test_nothing_is_drawn_of_runs_that_logged_nothing():
    assert figures.curves([arm("base", [], []), arm("all")]) is None
    assert figures.profiles([arm("base", scores=(1.0,))]) is None


def test_an_odd_number_of_factors_leaves_a_place_empty():
    every = {name: ([LINE], [LINE]) for name in ("rho", "burst")} | {"mu-std": ([LINE], [[]])}
    found = SimpleNamespace(verdicts=[Verdict(name, "small", "") for name in (*every, "not screened")])
    figure = figures.by_factor(found, every)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [*every, ""]
    assert [axes.axison for axes in figure.axes] == [True] * 3 + [False]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 1, 0]
    assert figures.by_factor(found, {}) is None


def test_two_patches_take_two_runs_of_each_kind():
    sets = ((), ("rho",), ("burst",), ("burst", "rho"))
    scores = [(some, 10.0 * len(some) + more) for some in sets for more in (0.0, 2.0)]
    (axes,) = figures.interaction(SimpleNamespace(), ("rho", "burst"), scores).axes
    assert [list(line.lines[0].get_ydata()) for line in axes.containers] == [[1, 11], [11, 21]]
    assert figures.interaction(SimpleNamespace(), ("rho", "burst"), scores[1:]) is None
