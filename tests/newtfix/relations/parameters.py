"""What functions are handed over, and what they make of it."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, Table, forms, method
from relations.trees import AGENT, BUFFER

MATH = """
=== common/math.py
def zero(x):
    x.zero_()
def dist(start, end, t, flag):
    HERE
    return start + end
"""


STORES = "=== trainer.py\nclass Trainer:\n    def train(self):\n        self.buffer.add(self._tds[:3])\n"

TABLES = {
    "copies_at_once": [
        Table(
            ("buffer", "add", "trainer", "self._tds"),
            f"{STORES}{BUFFER}class Slices:\n    def extend(self, rows):\n        self.kept.append(rows.clone())\n"
            "    def keep(self, rows):\n        self.kept.append(rows)\n",
            (
                *method(
                    "add(self, td, t)",
                    "self._buffer.extend(td)",
                    "self.kept.append(td[0].clone())",
                    "self.kept += [td.clone()]",
                    "self.kept.append(torch.cat([td]))",
                    "self.counts.append(t)",
                    "some = []\nsome.append(td)",
                ),
                "def add(self, td):\n    self.kept.append(td)"
                + STORES.replace("=== t", "\n=== t").replace("3]", "3].clone()"),
            ),
            method(
                "add(self, td, t)",
                "self.kept.append(td)",
                "self.kept.append(td[0])",
                "self.kept += [td]",
                "row = td.squeeze(0)\nself.kept.append(row)",
                "self._buffer.keep(td[0])",
            ),
        ),
    ],
    "leaves_as_given": [
        Table(
            ("step",),
            "=== envs.py\nclass Env:\n    def step(self, action, t):\n        HERE\n",
            ("return t(action)", "t[0] = action", "action = action.clone()\naction[0] = 1", "x = action + 1\nx[0] = t"),
            ("action[0] = 1", "action.clamp_(-1, 1)", "action *= 2", "if t:\n    action[t][0] = 2"),
        ),
    ],
    "takes_any_length": [
        Table(
            ("buffer", "add"),
            BUFFER,
            (
                *method(
                    "add(self, td, t, flag)",
                    "pass",
                    "td['episode'] = t",
                    "self._buffer.extend(td)",
                    "td = td.to(t)",
                    "n = td.shape[1]\nself.count += n",
                    "rows = dict(td)\nrows['reward'] = rows['reward'] * SCALE",
                    "rows = dict(td)\nrows['reward'] = (rows['reward'] / self.cfg.scale).clamp(-1.0, max=1.0) - 2",
                ),
                "if td.shape[1] < 3:\n    return",
            ),
            method(
                "add(self, td, t, flag)",
                "if td.shape[1] < 3:\n    return",
                "rows = dict(td)\nrows['reward'] = rows['reward'] - rows['reward'].mean()",
                "rows = dict(td)\nrows['reward'] = rows['reward'] * rows['reward'][-1]",
                "rows = dict(td)\nrows['reward'] = rows['reward'].cumsum(0)",
                "rows = dict(td)\nrows['reward'] = rows['reward'] * t",
                "n = td.shape[1]\nif n < 3:\n    return",
                "n, m = td.shape[1], t\nif n < m:\n    return",
                "n: int = td.shape[1]\nassert n == 3",
                "if (n := td.shape[1]) < 3:\n    return",
                "m, n = td.shape\nassert n == 3",
                "m, n, *rest = td.shape\nif n < 3:\n    return",
                "assert td.size(1) == 3",
                "if flag:\n    return",
                "td['reward'] = t",
                "td['reward'], y = t, flag",
                "td['reward'] *= 2",
                "td['reward'][0] = 0",
                "td.set('reward', t)",
                "td['reward'].zero_()",
                "r = td['reward'].mean()\nt(r)",
                "t(td['reward'] * 2)",
                "t(td['reward'].cumsum(0))",
                "t(td[:, 1:])",
                "td = td[:, ::2]",
                "for td['reward'] in t:\n    t()",
                "e = td\ne['reward'] = t",
                "r = td['reward']\nr.zero_()",
                "e = td[:, 1:]\nt(e)",
                "torch.mul(t, 2, out=td['reward'])",
                "while td.shape[1] < 3:\n    return",
                "match flag:\n    case 1:\n        return",
                "y = td if td.shape[1] > 3 else t\nt(y)",
            ),
        ),
    ],
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
                "LONG = 5\ndef f(x):\n    dist(x, cfg.start, LONG)",
            ),
        ),
    ],
}
