"""How often something is called, and under which conditions."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, Table, forms
from relations.trees import LOOP, TRAINER

SELDOM = "    def _seldom(self, i, flag):\n        if flag:\n            self.buffer.add(i)\n"
EPISODES = "for i in done.nonzero():\n"


def _in_loop(code: str) -> str:
    return EPISODES + indent(code, "    ")


TABLES = {
    "always": [
        Table(
            ("trainer", "self.buffer.add", "an episode is over"),
            LOOP,
            (
                "pass",
                *map(
                    _in_loop,
                    (
                        "self.buffer.add(t)",
                        "self._store(t)",
                        "if done[i]:\n    self.buffer.add(t)",
                        "with t:\n    self.buffer.add(t)",
                        "try:\n    self.buffer.add(t)\nfinally:\n    pass",
                        "add = self.buffer.add\nadd(t)",
                        "if t > 0:\n    t()\nself.buffer.add(t)",
                    ),
                ),
                "if done.any():\n    for i in done.nonzero():\n        self.buffer.add(t)",
            ),
            (
                *map(
                    _in_loop,
                    (
                        "if flag:\n    self.buffer.add(t)",
                        "if not flag:\n    pass\nelse:\n    self.buffer.add(t)",
                        "if flag:\n    continue\nself.buffer.add(t)",
                        "if flag:\n    t()\n    break\nself.buffer.add(t)",
                        "with t:\n    if flag:\n        continue\nself.buffer.add(t)",
                        "try:\n    t()\nexcept ValueError:\n    self.buffer.add(t)",
                        "match flag:\n    case 1:\n        self.buffer.add(t)",
                        "match flag:\n    case 1:\n        continue\nself.buffer.add(t)",
                        "y = self.buffer.add(t) if flag else 0",
                        "flag and self.buffer.add(t)",
                        "y = flag or self.buffer.add(t)",
                        "while flag:\n    self.buffer.add(t)",
                        "add = self.buffer.add\nif flag:\n    add(t)",
                        "if flag:\n    self._store(t)",
                        "y = [self.buffer.add(t) for y in t if flag]",
                        "def inner():\n    self.buffer.add(t)\nif flag:\n    inner()",
                        "if len(t) > self.cfg.least:\n    if flag:\n        self.buffer.add(t)",
                    ),
                ),
                "if flag:\n    for i in done.nonzero():\n        self.buffer.add(t)",
                (
                    "for i in done.nonzero():\n    for j in t:\n        if flag:\n            continue\n"
                    "        self.buffer.add(t)"
                ),
            ),
        ),
        Table(("trainer", "self.buffer.add", "an episode is over"), LOOP + SELDOM, (), ("self._seldom(t, flag)",)),
    ],
    "within": [
        Table(
            ("trainer", "self.buffer.add", "an episode is over"),
            LOOP,
            (
                "pass",
                "self.buffer.add(t)",
                *map(_in_loop, ("self.buffer.add(t)", "self._store(t)", "if flag:\n    self.buffer.add(t)")),
                "for i in range(self.cfg.num_envs):\n    if done[i]:\n        self.buffer.add(t)",
                "for i in [n for n, over in enumerate(done.tolist()) if over]:\n    self.buffer.add(t)",
                "for i, over in enumerate(done.tolist()):\n    if over:\n        self.buffer.add(t)",
            ),
            (
                "for i in [n for n, over in enumerate(done.tolist()) if not over]:\n    self.buffer.add(t)",
                "for i in [n for n, over in enumerate(self._pending) if over]:\n    self.buffer.add(t)",
                "for y in self._pending:\n    self.buffer.add(y)",
                "while self._pending:\n    self.buffer.add(self._pending.pop())",
                "y = [self.buffer.add(z) for z in self._pending]",
                "for y in self._pending:\n    self._store(y)",
                "add = self.buffer.add\nfor y in t:\n    add(y)",
                "for i in done.nonzero():\n    for y in t:\n        self.buffer.add(y)",
                "def inner(y):\n    self.buffer.add(y)\nfor y in t:\n    inner(y)",
            ),
        ),
    ],
    "begun_only": [
        Table(
            ("trainer", "self._tds", "an episode is over"),
            LOOP,
            tuple(
                f"t(self._tds[: ep_len[i] + 1, i])\n{code}"
                for code in (
                    "pass",
                    "ep_len[i] = 0",
                    "ep_len[done] = 0",
                    "ep_len += 1",
                    "ep_len = torch.zeros(self.cfg.num_envs)",
                    "ep_len[done], y = 0, t",
                    "other[flag] = 0",
                    "ep_len.masked_fill_(done, 0)",
                    "ep_len = torch.where(done, 0, ep_len)",
                    "torch.mul(input=ep_len, other=done, out=ep_len)",
                )
            ),
            (
                *tuple(
                    f"t(self._tds[: ep_len[i] + 1, i])\n{code}"
                    for code in (
                        "ep_len[flag] = 0",
                        "ep_len[flag], y = 0, t",
                        "n = ep_len\nn[flag] = 0",
                        "ep_len.masked_fill_(flag, 0)",
                        "ep_len = torch.where(flag, 0, ep_len)",
                        "ep_len *= flag",
                        "ep_len[flag] *= 0",
                        "if t:\n    ep_len[flag]: int = 0",
                        "for j in t:\n    ep_len[j] = 0",
                        "torch.mul(ep_len, flag, out=ep_len)",
                        "torch.mul(input=ep_len, other=flag, out=ep_len)",
                        "for ep_len[flag] in t:\n    t()",
                        "with t as ep_len[flag]:\n    t()",
                    )
                ),
                "rows = self._tds\nt(rows[: ep_len[i] + 1, i])\nep_len[flag] = 0",
            ),
        ),
    ],
    "once_a_turn": [
        Table(
            ("trainer", "kept first"),
            (
                "=== trainer.py\nclass Trainer:\n    def train(self, t, flag):\n"
                "        while self._step <= self.cfg.steps:\n            HERE\n    def _begin(self, obs):\n"
                "        self._tds[0] = self.to_td(obs)\n"
            ),
            (
                "pass",
                "self._tds[0] = self.to_td(t)",
                "self._begin(t)",
                "self._tds[0] = t",
                "self._begin(t)\nself._begin(flag)",
                "f = self._begin\nf(t)\nself._begin(t)",
            ),
            (
                "self._tds[0] = self.to_td(t)\nself._tds[1] = self.to_td(t)",
                "if flag:\n    self._tds[0] = self.to_td(t)\nelse:\n    self._tds[0] = self.to_td(t)",
                "self._tds[0] = self.to_td(t)\nself._begin(t)",
                "self._tds[0]: object = self.to_td(t)\nwith t:\n    self._tds[0] = self.to_td(t)",
            ),
        ),
        Table(
            ("trainer", "kept first"),
            TRAINER,
            ("for _ in t:\n    self._tds[0] = self.to_td(t)",),
            ("for _ in t:\n    self._tds[0] = self.to_td(t)\n    self._tds[0] = self.to_td(flag)",),
        ),
    ],
    "decided_once": [
        Table(
            ("trainer", "self.env.rand_act"),
            TRAINER,
            (
                *tuple(
                    f"use = t\n{code}"
                    for code in (
                        "if use:\n    y = self.env.rand_act()",
                        "if not use:\n    other = 1\n    y = self.env.rand_act()",
                        "y = self.env.rand_act()",
                    )
                ),
                "if self.cfg.use:\n    self.env.rand_act()",
            ),
            (
                *tuple(
                    f"x = flag\n{code}\nif x:\n    y = self.env.rand_act()" for code in forms(BINDS, "x", but=("del",))
                ),
                "x = t\nx &= flag\ny = self.env.rand_act() if x else 0",
                "x = t\nx = flag\nmatch x:\n    case 1:\n        y = self.env.rand_act()",
                "x = t\nx = flag\ny = x and self.env.rand_act()",
                "x = t\nx[0] = flag\nf = self.env.rand_act\nif x:\n    y = f()",
                "x = t\nwhile (x := flag):\n    y = self.env.rand_act()",
            ),
        ),
    ],
}
