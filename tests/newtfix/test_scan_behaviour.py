"""What `newtfix scan` reads of the trainer and the agent: thresholds, bursts, priors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run

from newtfix.newt.roles import Found
from newtfix.scan.behaviour import read_agent, read_trainer
from newtfix.scan.evaluate import Evaluator

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


def test_a_prior_coefficient_that_nothing_reads_online() -> None:
    """As in upstream: read in the model loss alone, where the prior is 0 unless the agent is being pretrained."""
    text = """
class A:
    def __init__(self):
        self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
        self.rho = self.rho / self.rho.sum()
    def _loss_fn(self):
        if self.cloning: prior = self.bc()
        else: prior = 0
        return 1 + self.cfg.prior_coef * prior
"""
    agent = read_agent({"a.py": text}, Found("a.py", "A"))
    assert (agent.prior_readers, agent.prior_is_zero, agent.normalised) == (("_loss_fn",), True, True)
    other = read_agent(
        {"a.py": text.replace("else: prior = 0", "").replace("/ self.rho.sum()", "")}, Found("a.py", "A")
    )
    assert (other.prior_is_zero, other.normalised) == (False, False)
