"""What functions are handed over, and what they make of it."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, Table, forms, method
from relations.trees import AGENT

MATH = """
=== common/math.py
def zero(x):
    x.zero_()
def dist(start, end, t, flag):
    HERE
    return start + end
"""


TABLES = {
    "matters": [
        Table(
            ("agent", "forward", "mpc"),
            AGENT,
            (
                *method(
                    "forward(self, t, mpc=None)",
                    "t(mpc)",
                    "if mpc:\n    return t",
                    "use = mpc\nt(use)",
                    "return t if mpc else 0",
                    "mpc = self.cfg.mpc if mpc is None else mpc\nt(mpc)",
                    "return [x for x in t if mpc]",
                    "while mpc:\n    t()",
                    "def inner():\n    return mpc\nreturn inner()",
                ),
                "def forward(self, t):\n    return t",
            ),
            (
                *method(
                    "forward(self, t, mpc=None)",
                    "return t",
                    "mpc = self.cfg.mpc\nt(mpc)",
                    "mpc, y = t, 1\nt(mpc, y)",
                    "for mpc in t:\n    t(mpc)",
                    "with t as mpc:\n    t(mpc)",
                    "t(self.mpc)",
                ),
                "def forward(self, t, *, mpc=None):\n    return t",
            ),
        ),
    ],
    "bounds_keep": [
        Table(
            ("math", "dist", "start", "end"),
            MATH,
            ("pass", "y = start + 1", "t.zero_()", "y = end.clone()\ny.zero_()", "starts = t"),
            (*forms((*BINDS, *CHANGES), "start", but=("{x} = t\n", "del", "zero_it(")), "t(end := 1)"),
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
                "f = partial(dist, start=cfg.start, end=cfg.end)",
                "both = cfg.start, cfg.end\ndist(x, *both)",
                "both = {'start': cfg.start, 'end': cfg.end}\ndist(x, **both)",
                "both = dict(start=cfg.start, end=cfg.end)\ndist(x, **both)",
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
                "dist(x, cfg.start, cfg.end)\ndist(y, 1, 5)",
                "dist(x, 1, 5)\ndist(y, cfg.start, cfg.end)",
                "f = partial(dist, start=cfg.start, end=cfg.end - cfg.start)",
                "both = cfg.start, cfg.end - cfg.start\ndist(x, *both)",
                "dist(x, *cfg.both)",
                "both = {'start': cfg.start, 'end': 5}\ndist(x, **both)",
                "LONG = 5\ndef f(x):\n    dist(x, cfg.start, LONG)",
            ),
        ),
    ],
}
