"""A tree in TD-MPC2's layout is recognised, and answered item by item."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trees import PATCHES, sources

from newtfix.commands import check, diff, scan, status
from newtfix.errors import TreeError
from newtfix.newt.roles import find_roles
from newtfix.newt.tdmpc2 import ITEMS, Answer, is_tdmpc2, told

TRAINER = """\
class OnlineTrainer:
    def common_metrics(self):
        return {}

    def to_td(self, obs, action=None):
        return obs

    def train(self):
        while self._step <= self.cfg.steps:
            if self._step > self.cfg.seed_steps:
                action = self.agent.act(obs, t0=len(self._tds) == 1)
            else:
                action = self.env.rand_act()
            obs = self.env.step(action)
            if self._step == self.cfg.seed_steps:
                num_updates = self.cfg.seed_steps
            else:
                num_updates = 1
            for _ in range(num_updates):
                self.agent.update(self.buffer)
"""
AGENT = """\
class TDMPC2:
    def act(self, obs, t0=False, eval_mode=False):
        return self.plan(obs, t0)

    def update_pi(self, zs):
        qs = self.model.Q(zs)
        self.scale.update(qs[0])
        qs = self.scale(qs)
        rho = torch.pow(self.cfg.rho, torch.arange(len(qs)))
        return (-qs * rho).mean()

    def _td_target(self, next_z, reward):
        return reward

    def update(self, buffer):
        consistency_loss = 0
        for t in range(self.cfg.horizon):
            consistency_loss = consistency_loss + self.step(t) * self.cfg.rho**t
        reward_loss, value_loss = 0, 0
        for t in range(self.cfg.horizon):
            reward_loss = reward_loss + self.reward(t) * self.cfg.rho**t
            value_loss = value_loss + self.value(t) * self.cfg.rho**t
        consistency_loss = consistency_loss / self.cfg.horizon
        reward_loss = reward_loss / self.cfg.horizon
        value_loss = value_loss / (self.cfg.horizon * self.cfg.num_q)
"""
LAYERS = """\
class Ensemble:
    def forward(self, *args):
        return torch.vmap(self._call, (0, None))(self.params, *args)


class NormedLinear:
    def __init__(self, dropout=0.0):
        self.dropout = nn.Dropout(dropout, inplace=False) if dropout else None

    def forward(self, x):
        if self.dropout:
            x = self.dropout(x)
        return x


def mlp(in_dim, mlp_dims, out_dim, dropout=0.0):
    return [NormedLinear(dropout=dropout * (i == 0)) for i in range(len(mlp_dims))]


def q(cfg):
    return mlp(1, [2], 3, dropout=cfg.dropout)
"""
TREE = {
    "trainer/online_trainer.py": TRAINER,
    "tdmpc2.py": AGENT,
    "common/layers.py": LAYERS,
    "envs/__init__.py": "def make_env(cfg):\n    cfg.seed_steps = max(1000, 5*cfg.episode_length)\n",
    "config.yaml": "seed_steps: ???\nrho: 0.5\ndropout: 0.01  # of Q\n",
}
HAS = {"seeding", "burst", "rho", "scale-order", "q-dropout", "q-ensemble"}
LACKS = {"planner-stats", "mu-std", "actor-modes", "eval-modes"}


def of(answer: Answer, tree: dict[str, str]) -> set[str]:
    return {name for name, one in told(tree).items() if one.answer is answer}


def test_every_answer_is_about_a_patch() -> None:
    assert ITEMS.keys() <= PATCHES.keys()


def test_the_layout_is_told_by_the_agent_that_acts() -> None:
    assert is_tdmpc2(TREE, find_roles(TREE))
    assert not is_tdmpc2(sources(), find_roles(sources()))
    both = {
        **TREE,
        "tdmpc2.py": AGENT.replace("    def update_pi", "    def forward(self, obs): ...\n\n    def update_pi"),
    }
    assert not is_tdmpc2(both, find_roles(both))


def test_what_it_has_lacks_and_need_not_have() -> None:
    assert of(Answer.HAS, TREE) == HAS
    assert of(Answer.LACKS, TREE) == LACKS
    assert of(Answer.UNCONCERNED, TREE) == ITEMS.keys() - HAS - LACKS


@pytest.mark.parametrize(
    ("file", "old", "new", "item", "answer"),
    [
        ("envs/__init__.py", "max(1000, 5*cfg.episode_length)", "2500", "seeding", Answer.UNKNOWN),
        ("envs/__init__.py", "cfg.seed_steps = max(1000, 5*cfg.episode_length)", "pass", "seeding", Answer.LACKS),
        ("envs/__init__.py", "length)", "length) * 10", "seeding", Answer.UNKNOWN),
        ("trainer/online_trainer.py", "num_updates = self.cfg", "num_updates = 2 * self.cfg", "burst", Answer.UNKNOWN),
        ("trainer/online_trainer.py", "range(num_updates)", "range(1)", "burst", Answer.UNKNOWN),
        ("trainer/online_trainer.py", "== self.cfg.seed_steps", "== 0", "burst", Answer.UNKNOWN),
        ("tdmpc2.py", "step(t) * self.cfg.rho**t", "step(t) * self.cfg.rho**t / 1.875", "rho", Answer.UNKNOWN),
        ("tdmpc2.py", "reward_loss = reward_loss / self.cfg.horizon", "pass", "rho", Answer.UNKNOWN),
        ("tdmpc2.py", "(self.cfg.horizon * self.cfg.num_q)", "self.cfg.num_q", "rho", Answer.UNKNOWN),
        ("config.yaml", "0.01", "0", "q-dropout", Answer.UNKNOWN),
        ("common/layers.py", "x = self.dropout(x)", "pass", "q-dropout", Answer.UNKNOWN),
        ("common/layers.py", "(i == 0)", "(i == 0) * 0", "q-dropout", Answer.UNKNOWN),
        ("tdmpc2.py", "len(qs)))", "len(qs)))\n        rho = rho / rho.sum()", "rho", Answer.UNKNOWN),
        ("tdmpc2.py", "        self.scale.update(qs[0])\n", "", "scale-order", Answer.UNKNOWN),
        ("tdmpc2.py", "mean()\n", "mean() + self.prior_loss(zs)\n", "prior-norm", Answer.UNKNOWN),
        ("common/layers.py", "torch.vmap(self._call, (0, None))", "torch.stack", "q-ensemble", Answer.LACKS),
        ("trainer/online_trainer.py", "== 1)", "== 1)  # mu, std", "planner-stats", Answer.LACKS),
    ],
)  # fmt: skip
def test_what_is_not_recognised_is_not_taken_for_there(
    file: str, old: str, new: str, item: str, answer: Answer
) -> None:
    assert old in TREE[file]
    assert told({**TREE, file: TREE[file].replace(old, new)})[item].answer is answer


def test_the_commands_say_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, text in TREE.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "two\nlines").mkdir()
    assert scan.run([], tmp_path, [], False, False, False) == 0
    shown = capsys.readouterr()
    assert "TD-MPC2's layout, not newt's" in shown.err and "its name has a line break in it" in shown.err
    assert "16 items: it has 6, lacks 4, 6 don't concern it." in shown.err
    assert "envs/__init__.py:2" in shown.out and "drifted" not in shown.out
    assert status.run(tmp_path, [], True) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["layout"] == "TD-MPC2" and len(seen["items"]) == 16
    seeding = next(item for item in seen["items"] if item["id"] == "seeding")
    line = {"file": "envs/__init__.py", "line": 2, "text": "cfg.seed_steps = max(1000, 5 * cfg.episode_length)"}
    ours = {"id": "seeding", "severity": "critical", "answer": "has it", "why": seeding["why"], "place": line}
    assert seeding == ours and "as in the reference" in seeding["why"]
    assert scan.run([], tmp_path, [], True, False, False) == 0
    assert json.loads(capsys.readouterr().out)["items"] == seen["items"]
    assert scan.run([], tmp_path, [], False, True, False) == 0
    assert "| seeding |" in (written := capsys.readouterr().out) and "envs/\\_\\_init\\_\\_.py:2" in written
    assert status.run(tmp_path, [], False) == 0
    shown = capsys.readouterr()
    assert "16 items: it has 6, lacks 4" in shown.err and "envs/__init__.py:2" in shown.out
    assert "its name has a line break in it" in shown.err
    for command in (lambda: check.run([], True, tmp_path, [], False), lambda: diff.run(*_all(tmp_path))):
        with pytest.raises(TreeError, match="TD-MPC2's layout, not newt's"):
            command()
    with pytest.raises(TreeError, match=f"newtfix scan --json --tree {tmp_path} has for machines"):
        scan.run([], tmp_path, [], False, False, True)


def _all(tree: Path) -> tuple[object, ...]:
    return ([], True, tree, [], False, False, None, True)
