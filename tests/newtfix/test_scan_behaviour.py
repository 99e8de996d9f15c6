"""What `newtfix scan` reads of the trainer and the agent: thresholds, bursts, priors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run

from newtfix.model import Quantity
from newtfix.newt.roles import Found
from newtfix.scan.behaviour import read_agent, read_trainer
from newtfix.scan.evaluate import Evaluator
from newtfix.scan.facts import Facts
from newtfix.scan.numbers import numbers
from newtfix.scan.settings import GIVEN, Setting, Settings
from newtfix.scan.tasks import Tasks

TRAIN = """
class Trainer:
    def __init__(self, cfg):
        self._update_freq = cfg.num_envs * 100
        self._threshold = 5 * self._update_freq
    @property
    def seed_end(self):
        return self._threshold
    def train(self):
        limit = self._threshold
        while self._step <= self.cfg.steps:
            if self._step >= self.cfg.eval_steps:
                self.eval()
            {loop}
    def learn(self):
        for _ in range(int(self._tokens)):
            self.agent.update(self.buffer)
        self._tokens -= 1
"""


LOOPS = {
    "if": "if self._step >= self._threshold: self.learn()",
    "an assignment": "ready = self._step > 5 * self._update_freq\n            if ready: self.learn()",
    "elif": "if self._step < 10: pass\n            elif self._step >= limit: self.learn()",
    "one side of an and": "if self.ok and self._step >= self.seed_end: self.learn()",
    "the other way round": "if self._threshold <= self._step: self.learn()",
    "one that is also reported": (
        "ready = self._step >= limit\n            if ready: self.log()\n            if ready: self.learn()"
    ),
    "an early return": "if self._step < limit: continue\n            self.learn()",
    "a number": "if self._step >= 1000: self.learn()",
    "another one that acts": "acting = self._step >= 7\n            if self._step >= limit: self.learn()",
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_thresholds_in_the_wild(loop: str) -> None:
    trainer = read_trainer(
        {"t.py": TRAIN.replace("{loop}", f"{loop}\n            self._step += 2")}, Found("t.py", "Trainer")
    )
    evaluator = Evaluator({"num_envs": 2, "steps": 9, "eval_steps": 3}, trainer.code)
    assert evaluator.number(trainer.thresholds[-1].node, trainer.thresholds[-1].function) == 1000
    assert trainer.bursts == ()


def test_updates_for_whatever_there_is_are_no_burst() -> None:
    loop = "if self._step >= limit:\n                for one in self.waiting: self.agent.update(one)"
    trainer = read_trainer({"t.py": TRAIN.replace("{loop}", loop)}, Found("t.py", "Trainer"))
    assert [one.text for one in trainer.thresholds] == ["limit"] and trainer.bursts == ()


def test_a_burst_that_equality_never_meets(scan: Run, patched: Path, copy: Callable[..., Path]) -> None:
    """1,250 is no multiple of 20: `==` never holds. It is one of 10, so with 10 environments it does."""
    trainer = (
        (patched / "trainer.py")
        .read_text()
        .replace("self._step >= self._seed_steps and", "self._step == self._seed_steps and")
    )
    tree = str(copy(patched, trainer=trainer))
    told = scan("--tree", tree, "--json", "num_envs=20", "episode_length=250").json["numbers"]["burst_updates"]
    assert told["here"] == 0 and "the step grows by 20: never met" in told["how"]
    assert (
        scan("--tree", tree, "--json", "num_envs=10", "episode_length=250").json["numbers"]["burst_updates"]["here"]
        == 1250
    )


CLONING = """
class A:
    def __init__(self):
        self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
        self.rho = self.rho / self.rho.sum()
    def _loss_fn(self):
        if self.cloning: prior = self.bc()
        else: prior = 0
        return 1 + self.cfg.prior_coef * prior
"""


def test_a_prior_coefficient_that_nothing_reads_online() -> None:
    """As in upstream: read in the model loss alone, where the prior is 0 unless the agent is being pretrained."""
    agent = read_agent({"a.py": CLONING}, Found("a.py", "A"))
    assert (agent.prior_readers, agent.prior_is_zero, agent.normalised) == (("_loss_fn",), True, True)
    other = read_agent(
        {"a.py": CLONING.replace("else: prior = 0", "").replace("/ self.rho.sum()", "")}, Found("a.py", "A")
    )
    assert (other.prior_is_zero, other.normalised) == (False, False)
    third = read_agent(
        {"a.py": "class A:\n    def __init__(self):\n        self.rho = torch.softmax(self.w, 0)\n"}, Found("a.py", "A")
    )
    assert (third.normalised, third.entries, third.prior_readers) == (True, None, ())


# --- numbers of such code ---------------------------------------------------------------------------------------------


def counted(loop: str, agent: str = "class A: pass", **values: object) -> dict[str, Quantity]:
    """The numbers of a trainer with such a loop."""
    trainer = read_trainer({"t.py": TRAIN.replace("{loop}", loop)}, Found("t.py", "Trainer"))
    settings = Settings({name: Setting(value, GIVEN) for name, value in values.items()}, frozenset(values))
    return numbers(Facts(settings, Tasks(()), trainer, read_agent({"a.py": agent}, Found("a.py", "A")), {}))


def test_two_thresholds_are_both_said() -> None:
    loop = "if self._step >= 900: self.learn()\n            if self._step > 1200: self.learn()"
    seed = counted(loop, episode_length=100)["seed_steps"]
    assert (seed.here, seed.reference) == (900, 1_000)
    assert "900 (t.py:14)" in seed.how and seed.how.endswith("; 1,200 at t.py:15")


def test_a_trainer_without_thresholds_or_tokens_has_no_such_numbers() -> None:
    found = counted("self.agent.update(self.buffer)")
    assert (found["seed_steps"].here, found["updates_per_step"].here) == (None, None)
    assert found["seed_steps"].how == "no threshold was found in the trainer"
    assert "was not found in the trainer" in found["updates_per_step"].how


def test_there_is_no_example_where_more_than_the_length_is_missing() -> None:
    loop = "if self._step >= self.cfg.episode_length * self.cfg.{}: self.learn()"
    known = counted(loop.format("num_envs"), num_envs=4)["seed_steps"]
    assert known.example.startswith("for episode_length=500: 2,000 here, 2,500 in the reference")
    unknown = counted(loop.format("walks"), num_envs=4)["seed_steps"]
    assert (unknown.here, unknown.example) == (None, "")


def test_what_has_no_effect_says_so() -> None:
    start = {"constraint_start_step": 5, "constraint_final_step": 9}
    off = counted("pass", CLONING, prior_coef=10.0, constrained_planning=0, **start)
    assert off["annealing_end"].remark == "It has no effect with constrained_planning off."
    assert "read in _loss_fn alone" in off["prior_coef"].remark
    on = counted("pass", prior_coef=10.0, constrained_planning=2, **start)
    assert (on["annealing_end"].remark, on["prior_coef"].remark) == ("", "")
