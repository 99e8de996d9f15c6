"""What a method does just as a patch takes it to do."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, CALLS, CHANGES, Table, forms, method
from relations.trees import AGENT, TRAINER

LOOP = """
=== trainer.py
class Trainer:
    def train(self, t, flag):
        while self._step <= self.cfg.steps:
            self.env.step(t)
            HERE
    def _spend(self):
        self.agent.update(self.buffer)
"""
ENV = (
    "self.env.reset()",
    "y = self.env.reset()",
    "y, z = self.env.reset(), t",
    "env = self.env\nenv.reset()",
    "getattr(self.env, 'reset')()",
    "randomise(self.env)",
    "self.env.mode = t",
    "self.env.mode += 1",
)
UPDATE = "self.agent.update(self.buffer)"


TABLES = {
    "cut_only": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "t(self._tds[:3, 1])",
                "t(self._tds['obs'])",
                "self._tds[t] = flag",
                "t(self._tds.shape)",
                "rows = self._tds\nt(rows[:3, 1])",
                "t(self.other[3])",
            ),
            (
                "t(self._tds[3])",
                "t(self._tds[t, 1])",
                "t(self._tds[3].sum())",
                "rows = self._tds\nt(rows[3])",
                "t((rows := self._tds)[3])",
                "t(getattr(self, '_tds')[3])",
                "for row in self._tds:\n    t(row)",
                "for i, row in enumerate(self._tds):\n    t(row)",
                "t([row for row in self._tds])",
                "t(self._tds.mean(1))",
                "t(self._tds)",
                "rows, y = self._tds, t\nt(rows[3], y)",
                "t(self._tds.unbind(0))",
            ),
        ),
    ],
    "decided_by": [
        Table(
            ("agent", "forward", "mpc", "self.cfg.mpc"),
            AGENT,
            method(
                "forward(self, t, mpc=None, flag=0)",
                "t(mpc)",
                "mpc = self.cfg.mpc if mpc is None else mpc\nt(mpc)",
                "use = flag\nt(use, mpc)",
                "if mpc is None:\n    mpc = self.cfg.mpc\nt(mpc)",
                "mpc: bool = self.cfg.mpc\nt(mpc)",
            ),
            method(
                "forward(self, t, mpc=None, flag=0)",
                *(f"{code}\nt(mpc)" for code in (*forms(BINDS, "mpc", but=("del",)), *forms(CHANGES, "mpc"))),
            ),
        ),
    ],
    "only_of": [
        Table(
            ("agent", "forward", "pi", "self.model"),
            AGENT,
            method(
                "forward(self, t, flag)",
                "t(self.model.pi(1))",
                "model = self.model\nt(model.pi(1))",
                "f = self.model.pi\nt(f(1))",
                "t(self.teacher.other(1))",
                "t(getattr(self, 'model').pi(1))",
            ),
            method(
                "forward(self, t, flag)",
                *forms(CALLS, "self.teacher.pi"),
                *forms(CALLS, "self.pi"),
                "t(self.models[0].pi(1))",
                "map(self.teacher.pi, t)",
            ),
        ),
    ],
    "read_once": [
        Table(
            ("math", "dist", "end"),
            "=== common/math.py\ndef dist(t, start, end):\n    HERE\ndef other(end):\n    return end + end\n",
            ("return t", "return start + end", "e = end\nreturn e", "return other(end)"),
            (
                "return end + end",
                "y = end * 2\nreturn y - end",
                "e = end\nreturn e + e",
                "e = end\nreturn e + end",
                "if end > 0:\n    return end",
                "return [t * end for _ in range(end)]",
                "def inner():\n    return end\nreturn inner() + end",
                "e, y = end, t\nreturn e / (e + y)",
                "if (e := end) > 0:\n    return e",
            ),
        ),
    ],
    "ends_by_setting": [
        Table(
            ("dist",),
            "=== other.py\nHERE\n",
            (
                "pass",
                "dist(x, cfg.start, cfg.end)",
                "dist(x, 1, 5)",
                "dist(x, end=cfg.end, start=cfg.start)",
                "dist(x, end=5, start=1)",
                "other(x, cfg.start, 5)",
                "start, end = cfg.start, cfg.end\ndist(x, start, end)",
            ),
            (
                "dist(x, cfg.start, 5)",
                "math.dist(x, cfg.start, 5)",
                "dist(x, start=cfg.start, end=5)",
                "dist(x, end=5, start=cfg.start)",
                "n = 5\ndist(x, cfg.start, n)",
                "n, m = 5, 6\ndist(x, cfg.start, n)",
                "n: int = 5\ndist(x, cfg.start, n)",
                "dist(x, cfg.start, cfg.start + 100)",
                "f = math.dist\nf(x, cfg.start, 5)",
                "dist(x, 5, 5)",
                "y = [dist(x, s, 5) for s in x]",
                "getattr(math, 'dist')(x, cfg.start, 5)",
            ),
        ),
    ],
    "never_none": [
        Table(
            ("agent", "update_pi", "task"),
            "=== tdmpc2.py\nclass TDMPC2:\n    def update_pi(self, zs, task=None):\n        pass\n    METHODS\n",
            (
                "pass",
                "self.update_pi(t, flag)",
                "self.update_pi(t, task=flag)",
                "self.update_pi(*t)",
                "self.update_pi(**t)",
                "f = self.update_pi\nf(t, flag)",
            ),
            (
                "self.update_pi(t, None)",
                "self.update_pi(t, task=None)",
                "self.update_pi(t)",
                "self.update_pi(t, None if flag else t)",
                "f = self.update_pi\nf(t, None)",
                "n = None\nself.update_pi(t, n)",
                "n, m = None, t\nself.update_pi(t, task=n)",
                "y = [self.update_pi(t, None) for _ in t]",
                "getattr(self, 'update_pi')(t, None)",
                "pass\n=== other.py\nagent.update_pi(x, None)",
                "pass\n=== other.py\nf = agent.update_pi\nf(x, task=None)",
            ),
        ),
    ],
    "called_only_in": [
        Table(
            ("agent", "self.scale", "pi_loss"),
            AGENT,
            (
                "pass",
                "def my_pi_loss(self, t):\n    return self.scale(t)",
                "def my_pi_loss(self, t):\n    s = self.scale\n    return s(t)",
                "t(self.other(t))",
                "t(self.scale.value)",
            ),
            forms(CALLS, "self.scale"),
        ),
    ],
    "reached": [
        Table(
            ("agent", "update_pi", "self.scale.update", "maxq"),
            AGENT
            + "    def _scale(self, t):\n        self.scale.update(t)\n    def _maybe(self, t):\n"
            + "        if t:\n            return\n        self.scale.update(t)\n",
            method(
                "update_pi(self, t, flag, maxq)",
                "self.scale.update(t)",
                "if maxq:\n    self.scale.update(t)",
                "with t:\n    self.scale.update(t)",
                "f = self.scale.update\nf(t)",
                "self._scale(t)",
                "self.scale.update(t)\nif flag:\n    return t",
                "try:\n    self.scale.update(t)\nfinally:\n    t()",
            ),
            method(
                "update_pi(self, t, flag, maxq)",
                "if flag:\n    self.scale.update(t)",
                "if flag:\n    return\nself.scale.update(t)",
                "return t",
                "y = self.scale.update(t) if flag else 0\nt(y)",
                "flag and self.scale.update(t)",
                "for x in t:\n    self.scale.update(x)",
                "while flag:\n    self.scale.update(t)",
                "match flag:\n    case 1:\n        self.scale.update(t)",
                "try:\n    t()\nexcept ValueError:\n    self.scale.update(t)",
                "if flag:\n    self._scale(t)",
                "if flag:\n    return\nself._scale(t)",
                "self._maybe(t)",
                "f = self.scale.update\nif flag:\n    f(t)",
                "[self.scale.update(x) for x in t]",
                "def inner():\n    self.scale.update(t)\nif flag:\n    inner()",
                "with t:\n    if flag:\n        return\nself.scale.update(t)",
                "f = lambda: self.scale.update(t)\nif flag:\n    f()",
            ),
        ),
    ],
    "one_name_for": [
        Table(
            ("layers", "QEnsemble", "_impl"),
            (
                "=== common/layers.py\nclass QEnsemble:\n    def __init__(self, t, flag):\n"
                "        self.f = torch.compile(self._impl)\n        HERE\n"
            ),
            ("pass", "self.f = self._impl", "self.g = self.other", "self.forward = t", "y = self._impl\nt(y)"),
            (
                "self.g = self._impl",
                "self.g, y = self._impl, t",
                "self.g: object = self._impl",
                "self.g = getattr(self, '_impl')",
                "setattr(self, 'g', self._impl)",
                "g = self._impl\nself.g = g",
                "self.g = t(self._impl)",
                "self.g = self._impl if flag else t",
                "t.forward = flag",
                "t.forward, y = flag, 1",
                "setattr(t, 'forward', flag)",
                "self.g = partial(self._impl, 1)",
                "with self._impl as self.g:\n    t()",
                "self.__dict__['g'] = self._impl",
                "self.g = lambda x: self._impl(x)",
            ),
        ),
    ],
    "undisturbed": [
        Table(
            ("trainer", "self.agent.update", "self.env"),
            LOOP,
            (
                UPDATE,
                "if flag:\n    y = t\n    self.agent.update(self.buffer)",
                "self.env.reset()\n" + UPDATE,
                "for _ in t:\n    self._spend()",
            ),
            (
                "with t:\n    self.agent.update(self.buffer)",
                *(
                    f"if flag:\n{indent(code, '    ')}\n    {call}"
                    for code in ENV
                    for call in (UPDATE, "self._spend()")
                ),
                *(f"for _ in t:\n    {UPDATE}\n{indent(code, '    ')}" for code in ENV),
                f"try:\n    {UPDATE}\nfinally:\n    t()",
                f"with self.env.paused():\n    {UPDATE}",
                "with self.env.paused():\n    self._spend()",
                f"with t, self.env.paused() as y:\n    if y:\n        {UPDATE}",
                "f = self.agent.update\nif flag:\n    self.env.reset()\n    f(t)",
                f"env = self.env\nwith env.paused():\n    {UPDATE}",
            ),
        ),
    ],
}
