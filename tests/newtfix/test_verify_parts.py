"""What verify is made of: made-up answers, what batches hold, formulas, and the way back."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from newtfix.errors import TreeError
from newtfix.model import AS_PATCHED, DISCREPANCY, NOT_OBSERVED, OTHER, Observation, Unobservable
from newtfix.verify import asking, oracle, worker
from newtfix.verify.answers import Answers, parts_of, shaped
from newtfix.verify.batches import observations, tensors
from newtfix.verify.callers import calls_of_agents
from newtfix.verify.fakes import Env
from newtfix.verify.launch import lines_of
from newtfix.verify.networks import members_of, model_of
from newtfix.verify.observation import NO_PROBE, read
from newtfix.verify.runs import segment_of
from newtfix.verify.subject import Subject, make
from newtfix.verify.updates import Rig, Update

# --- answers of agents ------------------------------------------------------------------------------------------------

A = torch.zeros(4, 3)
PARTS = {"action": A + 1, "mu": A + 2, "std": A + 3}


def test_an_answer_that_is_the_action_alone_stays_one():
    assert torch.equal(shaped(A, PARTS), PARTS["action"])
    assert parts_of(A).keys() == {"action"}


def test_an_answer_by_names_is_made_up_by_its_names():
    made = shaped({"action": A, "plan_mean": A, "value": torch.ones(()), 7: "a number is no name"}, PARTS)
    assert made.keys() == {"action", "plan_mean", "value"} and torch.equal(made["plan_mean"], PARTS["mu"])
    assert {name: float(value[0, 0]) for name, value in parts_of(made).items()} == {"action": 1.0, "mu": 2.0}


@pytest.mark.parametrize("more", [{}, {"std": A}])
def test_the_logarithm_of_the_std_goes_with_it(more):
    made = shaped((A, TensorDict({"mu": A, "log_std": A, **more}, batch_size=())), PARTS)
    assert isinstance(made[1], TensorDict)
    torch.testing.assert_close(made[1]["log_std"], PARTS["std"].log())


def test_an_answer_in_no_known_form_is_not_observed():
    with pytest.raises(Unobservable, match="answers with a list"):
        shaped([A], PARTS)


def test_what_an_agent_asks_of_itself_is_not_made_up():
    """A method that acts by calling another one that acts: the form is that of its own answer."""

    class Agent:
        def act(self, obs, **kwargs):
            return self.select_action(obs)[0]

        def select_action(self, obs):
            return obs, obs, obs

    env = Env([4], 6, lambda: 0)
    answers = Answers(env, lambda: 3)
    act, select = (answers.replacing(getattr(Agent, name)) for name in ("act", "select_action"))
    Agent.act, Agent.select_action = act, select
    obs = torch.zeros(1, 6)
    assert isinstance(Agent().act(obs, mpc=True), torch.Tensor)
    assert len(Agent().select_action(obs)) == 3
    assert [one.mpc for one in env.acted] == [True, None]
    assert [(name, sorted(given)) for name, given in answers.asked] == [
        ("act", ["mpc", "obs"]),
        ("select_action", ["obs"]),
    ]


def test_numbers_that_an_answer_reports_are_no_statistics_of_its_action():
    action, number = torch.zeros(4, 3), torch.ones(())
    assert parts_of((action, {"pi_mean": number, "std": number})).keys() == {"action"}
    assert parts_of((action, {"mean": action + 1, "std": action + 2})).keys() == {"action", "mu", "std"}
    made = shaped((action, {"pi_mean": number}), {"action": action, "mu": action, "std": action})
    assert made[1]["pi_mean"].shape == ()


# --- callers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "takes"),
    [
        ("a = agent(obs, t0=done)", [1]),
        ("a, b, c = self.agent(obs, task=task)", [3]),
        ("a, b = self.agent.act(obs)", [2]),
        ("a = agent.update(buffer)", []),
        ("a = agent(obs)\na = a[0]", []),
        ("a = agent(obs)\nb, c = a", []),
        ("a = agent(obs)\nif isinstance(a, tuple):\n    a = None", []),
        ("a = agent(*arguments)", []),
        ("a = other(obs)", []),
        ("a = b = agent(obs)", []),
        ("self.kept = agent(obs)", []),
        ("def f():\n    a = agent(obs)\n    return a.mean()", [1]),
        ("a = agent(obs", []),
    ],
)
def test_callers_of_the_agent(tmp_path, code, takes):
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "trainer.py").write_text("a = agent(obs)")
    files = SimpleNamespace(root=tmp_path, sources=["script.py", "trainer.py"], files={"trainer": "trainer.py"})
    assert [one.takes for one in calls_of_agents(files)] == takes


# --- batches, updates and formulas ------------------------------------------------------------------------------------


def test_tensors_are_found_in_whatever_form_a_batch_has():
    batch = (A, {"mu": [A + 1, "no tensor"]}, TensorDict({"std": A + 2}, batch_size=()))
    assert [float(one[0, 0]) for one in tensors(batch)] == [0, 1, 2]
    with pytest.raises(Unobservable, match=r"no observations \[4, B, 3\] .* \(\[4, 3\], \[2\]\)"):
        observations([A, torch.zeros(2)])
    obs = torch.zeros(4, 5, 3)
    assert observations([A, torch.zeros(4, 5, 2), obs]) is obs


def test_what_is_stored_must_be_rows_with_the_observations():
    with pytest.raises(Unobservable, match="no TensorDict with obs"):
        segment_of(TensorDict({"action": A}, batch_size=(4,)))
    with pytest.raises(Unobservable, match=r"the shape \[2, 7\]"):
        segment_of({"obs": torch.zeros(2, 7)})
    segment = segment_of({"obs": torch.tensor([[0.0, 1, 0], [0, 1, 1]]), "reward": torch.ones(2), "note": "text"})
    assert len(segment) == 2 and segment.keys[1] == (0, 1, 1) and segment.values.keys() == {"obs", "reward"}


def rig(**agent: Any) -> Rig:
    """A rig around an agent that is made by hand."""
    found = object.__new__(Rig)
    found.agent = SimpleNamespace(**agent)
    return found


def test_an_update_without_a_loss_is_not_observed():
    update = Update()
    with pytest.raises(Unobservable, match="no loss before the policy's turn"):
        update.model_loss()
    with pytest.raises(Unobservable, match="the policy's update went down no loss"):
        update.policy_loss()
    update.calls = [("pi_loss", ((torch.zeros(4, 2, 5), torch.zeros(2)), {}))]
    with pytest.raises(Unobservable, match="given no latents"):
        rig().latents(update)


def test_a_running_scale_may_be_a_number_or_a_tensor():
    for held in (1.0, torch.ones(1)):
        one = rig(scale=SimpleNamespace(value=held))
        one.set_scale(2.5)
        assert one.scale() == 2.5
    with pytest.raises(Unobservable, match="no scale with a value"):
        rig().scale()


def test_formulas_ask_for_what_they_need():
    with pytest.raises(Unobservable, match="no tensor rho"):
        oracle._weights(rig(rho=0.5))
    latents = torch.zeros(4, 2, 5)
    with pytest.raises(Unobservable, match="no normal noise"):
        oracle._noise(Update(policy_noise=[torch.zeros(7)]), latents, 6)
    drawn = oracle._noise(Update(policy_noise=[torch.zeros(7), torch.ones(48)]), latents, 6)
    assert drawn.shape == (4, 2, 6)


def test_the_call_of_the_trainer_is_one_that_explores_with_the_planner(monkeypatch):
    def asked(*calls: tuple[str, dict[str, Any]]) -> None:
        made = SimpleNamespace(answers=SimpleNamespace(asked=list(calls)))
        monkeypatch.setattr(asking, "filled", lambda _: made)

    tree: Any = None
    asked(("act", {"mpc": False}), ("act", {"eval_mode": True}), ("act", {"mpc": True, "t0": 1}))
    assert asking.own_call(tree) == ("act", {"mpc": True, "t0": 1})
    asked(("act", {"mpc": False}))
    with pytest.raises(Unobservable, match="does not ask its agent"):
        asking.own_call(tree)

    class Agent:
        def act(self, obs: str, t0: bool) -> tuple[str, bool]:
            return obs, t0

    assert asking.ask(Agent(), ("act", {"obs": "o", "t0": True}), t0=False) == ("o", False)


def test_an_ensemble_without_a_list_of_networks_is_not_asked_one_by_one():
    linear = torch.nn.Linear(1, 1)
    assert members_of(SimpleNamespace(_Qs=[linear])) == [linear]
    with pytest.raises(Unobservable, match="SimpleNamespace has no list _Qs"):
        members_of(SimpleNamespace(_Qs=[1]))
    model = torch.nn.Module()
    model._Qs = SimpleNamespace(online=linear)  # type: ignore[assignment]
    tree: Any = SimpleNamespace(config=lambda **_: None, model=lambda _: model)
    with pytest.raises(Unobservable, match=r"no _Qs\.target"):
        model_of(tree)


# --- the tree and the way back ----------------------------------------------------------------------------------------


def asks(cfg: int, rank: int) -> int:
    return cfg + rank


def test_a_class_that_asks_for_more_than_is_known_is_not_made():
    assert make(asks, {"cfg": 1, "rank": 2, "device": "cpu"}) == 3
    with pytest.raises(Unobservable, match="asks asks for rank, which is not known here"):
        make(asks, {"cfg": 1})


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree whose settings want an argument, and whose trainer cannot be imported."""
    (tmp_path / "own_config.py").write_text("class Config:\n    def __init__(self, path):\n        pass\n")
    (tmp_path / "own_trainer.py").write_text("raise OSError('no driver')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    names = {"config": "own_config", "trainer": "own_trainer"}
    yield Subject(tmp_path, names, {"config": "Config"}, {role: f"{name}.py" for role, name in names.items()})
    sys.meta_path[:] = finders
    for name in names.values():
        sys.modules.pop(name, None)


def test_parts_of_a_tree_that_are_missing_or_fail_are_named_each_time(tree):
    with pytest.raises(Unobservable, match="no file of this tree plays the role of buffer"):
        tree.cls("buffer")
    for _ in range(2):
        with pytest.raises(
            Unobservable, match=r"own_trainer.py cannot be imported: OSError: no driver \(own_trainer.py:1\)"
        ):
            tree.module("trainer")
    with pytest.raises(Unobservable, match="the tree's settings cannot be had: TypeError"):
        tree.default_config()


PROBES = """
import time
from newtfix.model import Unobservable, judged

def probe_slow(subject):
    time.sleep(9)

def probe_unfit(subject):
    raise Unobservable("it has no such part")

def probe_good(subject):
    return [judged("a", "1", "1")]

def probe_other(subject):
    return [judged("b", "1", "2")]
"""


def test_what_probes_see_and_why_they_do_not(tree):
    def observed(text: str) -> list[tuple[str, str]]:
        found, lacked = worker.observe(tree, "my_probe.py", text, 0.2, lambda: None)
        assert lacked == set()
        return [(one.verdict, one.observed) for one in found]

    assert observed("") == [(NOT_OBSERVED, NO_PROBE)]
    assert observed(PROBES) == [
        (NOT_OBSERVED, "it took more than 0.2 s"),
        (NOT_OBSERVED, "it has no such part"),
        (AS_PATCHED, "1"),
        (OTHER, "2"),
    ]


def test_what_is_decided_although_a_stand_in_was_called_stays_decided():
    told = [Observation("a", "1", "1", verdict) for verdict in (AS_PATCHED, DISCREPANCY, OTHER)]
    said = [worker._for_want_of(["dm_control"], one) for one in told]
    assert said[:2] == told[:2]
    assert said[2].verdict == NOT_OBSERVED and "dm_control" in said[2].observed


@pytest.mark.parametrize("written", [b"{]\n", b"[" * 100_000 + b"\n"])
def test_a_tree_that_writes_over_what_is_noted_about_it_is_an_error(tmp_path, written):
    notes = tmp_path / "seen.jsonl"
    assert lines_of(notes) == []
    notes.write_bytes(b'{"begun": null}\n17\n{"half of a li')
    assert lines_of(notes) == [{"begun": None}]
    notes.write_bytes(written)
    with pytest.raises(TreeError, match="wrote over what newtfix notes"):
        lines_of(notes)


def test_an_observation_has_one_of_four_verdicts():
    told = Observation("a", "1", "1", AS_PATCHED, "rho").as_dict()
    assert read(told) == Observation("a", "1", "1", AS_PATCHED, "rho")
    with pytest.raises(ValueError, match="no verdict: perfect"):
        read({**told, "verdict": "perfect"})
