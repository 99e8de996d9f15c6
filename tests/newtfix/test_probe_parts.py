"""What probes say of trees that lack what they look at, or do it in a way of their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from newtfix.model import AS_PATCHED, DISCREPANCY, NOT_OBSERVED, OTHER, Observation, Unobservable
from newtfix.patch.file import run
from newtfix.verify.callers import Caller
from newtfix.verify.fakes import Acted, Env, Log
from newtfix.verify.runs import Segment
from newtfix.verify.seeded import FEW
from newtfix.verify.subject import ACTION_DIM
from newtfix.verify.updates import Update

PATCHES = Path(__file__).parents[2] / "patches"
Names = dict[str, Any]


def probe_file(name: str) -> Names:
    path = PATCHES / f"{name}_probe.py"
    return run(path, path.read_bytes())


def tree(*settings: str, **members: Any) -> Any:
    """A tree with such settings, all of them True."""
    return SimpleNamespace(default_config=lambda: SimpleNamespace(**dict.fromkeys(settings, True)), **members)


def trained(**values: Any) -> Any:
    """A run without updates."""
    found = {"first_update": None, "updates": Counter[int](), "segments": [], "trained_on": {}, "env": Env([2], 1, int)}
    return SimpleNamespace(**{**found, "trainer": SimpleNamespace(cfg=SimpleNamespace(log_std_max=2)), **values})


def said(found: list[Observation]) -> list[tuple[str, str]]:
    return [(one.verdict, one.observed) for one in found]


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_tree_without_a_setting_for_the_burst_is_not_asked_for_it():
    burst = probe_file("burst")
    assert burst["probe_setting"](tree()) == []


@pytest.mark.parametrize(
    ("file", "probe", "reason"),
    [
        ("burst", "probe_setting", "seeding never ended"),
        ("burst", "probe_burst", "its first update, at step none, follows no rule"),
        ("mu_std", "probe_who_acts", "seeding never ended"),
        ("mu_std", "probe_random_rows", "seeding never ended"),
        ("seeding", "probe_rows", "there was no update to look at the buffer at"),
    ],
)
def test_a_run_without_updates_is_not_observed(file, probe, reason):
    names = probe_file(file)
    names["run"] = names["resumed"] = lambda *_, **__: trained()
    names["seeded"] = SimpleNamespace(few=lambda _: trained(), many=lambda _: trained())
    with pytest.raises(Unobservable, match=reason):
        names[probe](tree("burst_updates"))


@pytest.mark.parametrize("first", [1001, 1400])
def test_the_size_of_the_burst_is_that_of_the_trees_own_rule(first):
    """5 * 7 * 40 = 1,400 environment steps by newt's rule, max(1000, 5 * 40) = 1,000 by the reference's."""
    size = probe_file("burst")["_burst_size"]
    assert size(trained(first_update=first)) == {1001: 1000, 1400: 5 * sum(FEW)}[first]


def test_a_resumed_run_that_never_learns_leaves_open_what_it_would_do():
    burst, seeding = probe_file("burst"), probe_file("seeding")
    burst["resumed"] = seeding["resumed"] = lambda *_, **__: trained()
    burst["run"] = lambda *_, **__: trained(first_update=1001, updates=Counter({1001: 1000}))
    none = (NOT_OBSERVED, "there was no update within three episodes")
    assert said(burst["probe_resume"](tree())) == [none, (AS_PATCHED, "one, of 1,000 updates")]
    assert said(seeding["probe_resumed_without_replay"](tree())) == [none]


def test_a_buffer_that_cannot_be_sampled_from_is_something_else():
    (found,) = said([probe_file("seeding")["_sampled"]("slices", trained(sampled="IndexError: empty"))])
    assert found == (OTHER, "the buffer cannot be sampled from: IndexError: empty")


def test_rows_without_statistics_are_not_wide():
    mu_std = probe_file("mu_std")
    env = Env([2], 1, lambda: 3)
    env.reset()
    env.step(torch.ones(1, 1))
    segment = Segment(((0, 1, 0), (0, 1, 1)), {"action": torch.ones(2, 1)})
    mu_std["seeded"] = SimpleNamespace(few=lambda _: trained(first_update=7, segments=[segment], env=env))
    found = mu_std["probe_random_rows"](tree())
    assert found[0].expected == "mu = action and std = 7.389 in all 1 rows"
    assert found[0].verdict != AS_PATCHED


def test_only_the_ways_to_be_experienced_that_a_tree_has_are_tried():
    mu_std = probe_file("mu_std")
    mu_std["run"] = lambda *_, **__: trained()
    assert mu_std["probe_experienced"](tree()) == []
    (found,) = mu_std["probe_experienced"](tree("finetune"))
    assert (found.what, found.observed) == ("step at which an agent that is finetuned acts for the first time", "none")


def test_evaluations_that_do_not_happen_or_act_otherwise_are_not_observed():
    modes = probe_file("eval_modes")
    made = trained(agent=SimpleNamespace(model=nn.Linear(1, 1)), log=Log())
    modes["prepare"], modes["go"] = (lambda *_, **__: made), (lambda _: None)
    with pytest.raises(Unobservable, match="there was no evaluation"):
        modes["probe"](tree())
    acted = Acted(0, torch.ones(1, 1), None, None, False, True)
    made.env.reset()
    made.env.step(torch.zeros(1, 1))
    with pytest.raises(Unobservable, match="was not taken as it was chosen"):
        modes["_rewards"](made, acted)
    made.env.step(torch.ones(1, 1))
    assert modes["_rewards"](made, acted).tolist() == [2.0**-10]


# --- planner-stats ----------------------------------------------------------------------------------------------------


class Agent:
    """Answers with the action alone, or with what else is asked for."""

    def act(self, obs, task=None, more=()):
        if task is None:
            raise KeyError("which task?")
        return (obs, *more) if more else obs

    def forward(self, obs, t0):
        raise ValueError("no such planner")

    __call__ = forward


@pytest.mark.parametrize(
    ("method", "names", "constants", "takes", "found"),
    [
        ("select_action", ["obs"], {}, 1, []),
        ("act", ["obs", "rank"], {}, 1, [(NOT_OBSERVED, "it passes rank, which is not known here")]),
        ("act", ["obs"], {}, 1, []),
        ("act", ["obs", "task"], {}, 1, [(AS_PATCHED, "the action alone")]),
        ("act", ["obs", "task", "more"], {"more": (1, 2)}, 1, [(OTHER, "3 values")]),
        ("act", ["obs", "task", "more"], {"more": (1, 2)}, 3, [(AS_PATCHED, "3 values")]),
        ("__call__", ["obs", "t0"], {}, 1, [(OTHER, "ValueError: no such planner")]),
    ],
)
def test_what_other_callers_get_of_the_agent(tmp_path, method, names, constants, takes, found):
    stats = probe_file("planner_stats")
    stats["_agent"] = lambda _: Agent()
    stats["calls_of_agents"] = lambda _: [Caller("script.py:3", method, tuple(names), constants, takes)]
    assert said(stats["probe_callers"](tree(root=tmp_path))) == found


def test_an_agent_that_answers_without_statistics_has_the_discrepancy():
    stats = probe_file("planner_stats")
    stats["own_call"], stats["_agent"] = (lambda _: ("act", {})), (lambda _: None)
    action = torch.zeros(2, 3)
    for answer, found in ((action, (DISCREPANCY, "action")), ((action, action), (OTHER, "action, mu"))):
        stats["ask"] = lambda *_, answer=answer, **__: answer
        assert said(stats["probe_answers"](tree())) == [found]


def test_rows_that_are_stored_without_statistics_have_the_discrepancy():
    stats = probe_file("planner_stats")
    stats["_sampled"] = lambda *_: []
    made = trained()
    stats["filled"] = lambda _: made
    with pytest.raises(Unobservable, match="no action of the agent was stored"):
        stats["probe_stored"](tree())
    made.env.reset()
    made.env.note(Acted(0, torch.ones(1, 1), None, None, True, False))
    made.env.step(torch.ones(1, 1))
    made.segments = [Segment(((0, 1, 0), (0, 1, 1)), {"mu": torch.ones(2, 1)})]
    assert said(stats["probe_stored"](tree())) == [(DISCREPANCY, "no mu and std are stored")]


def test_an_update_without_a_policy_is_not_observed():
    stats = probe_file("planner_stats")
    stats["choices"], stats["Rig"] = (lambda _: [{}]), (lambda *_: SimpleNamespace(update=Update))
    with pytest.raises(Unobservable, match="neither update_pi nor a policy loss"):
        stats["probe_handed_on"](tree())


def test_a_tree_without_demonstrations_is_not_asked_for_them():
    stats = probe_file("planner_stats")
    assert stats["probe_demos"](tree(module=lambda _: SimpleNamespace())) == []


class Buffer:
    """Keeps what it is given, row by row."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.added = batch_size, []

    def add(self, rows: Any) -> None:
        self.added.append(rows)


class Loading(Buffer):
    def load_demos(self, rows: Any) -> None:
        self.loaded = rows


class OfBoth(Loading):
    def __init__(self, offline_buffer: Buffer, batch_size: int) -> None:
        super().__init__(batch_size)
        self.offline = offline_buffer


@pytest.mark.parametrize("offline", [Buffer, Loading])
def test_a_buffer_of_both_kinds_is_filled_as_it_wants_to_be(offline):
    stats = probe_file("planner_stats")
    rows = {
        "action": torch.zeros(1, ACTION_DIM),
        "reward": torch.zeros(1),
        "obs": torch.zeros(1, 3),
        "t": torch.zeros(1),
    }
    cfg = SimpleNamespace(buffer_size=9, batch_size=8, horizon=3, log_std_max=2)
    subject = tree(cls=lambda _: offline)
    both = stats["_both"](subject, OfBoth, cfg, {}, stats["TensorDict"](rows, batch_size=(1,)))
    assert both.batch_size == 8 and len(both.loaded) == 54 and "mu" not in both.loaded
    assert both.offline.batch_size == stats["BATCH"] // 2
    if offline is Loading:
        assert both.offline.loaded.keys() == both.loaded.keys()
    else:
        assert len(both.offline.added) == 6
        first = both.offline.added[0]
        assert first.shape == (1, 9) and torch.equal(first["mu"], first["action"])
        assert float(first["std"][0, 0, 0]) == pytest.approx(7.389, abs=1e-3)


@pytest.mark.parametrize(
    ("goes", "found"),
    [
        (IndexError("not looked for"), None),
        (KeyError("mu"), (OTHER, "KeyError: 'mu'")),
        (None, (NOT_OBSERVED, "0 of its slices come from demonstrations")),
    ],
)
def test_batches_of_a_buffer_that_gives_no_demonstrations(tmp_path, goes, found):
    stats = probe_file("planner_stats")

    def go(_):
        if goes is not None:
            raise goes

    stats["filled"], stats["prepare"] = (lambda _: trained(example=None)), (lambda *_, **__: None)
    stats["_tell"], stats["go"] = (lambda *_: None), go
    batch = [torch.zeros(4, 2, 3)]
    stats["Rig"] = lambda *_, **__: SimpleNamespace(batch=batch, cfg=SimpleNamespace(log_std_max=2))
    subject = tree(root=tmp_path, module=lambda _: SimpleNamespace(EnsembleBuffer=object))
    if found is None:
        with pytest.raises(IndexError):
            stats["probe_demos"](subject)
    else:
        assert said(stats["probe_demos"](subject)) == [found]
