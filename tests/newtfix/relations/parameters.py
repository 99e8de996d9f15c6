"""What functions make of their parameters, and a tree of its settings."""

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
CONFIG = """
=== config.py
class Config:
    other: int = 1
    HERE
"""
PRETRAIN = "    def update_pi(self, t):\n        return self.cfg.coef * t\n"


TABLES = {
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
                ),
                "if td.shape[1] < 3:\n    return",
            ),
            method(
                "add(self, td, t, flag)",
                "if td.shape[1] < 3:\n    return",
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
    "set_plainly": [
        Table(
            ("coef",),
            "=== other.py\nHERE\n",
            ("pass", "cfg.coef = 1", "cfg.coef = other.coef", "cfg['coef'] = 2", "x = cfg.coef * 2", "f(coef=1)"),
            (
                "cfg.coef = x",
                "cfg.coef = cfg.coef * 2",
                "cfg.coef, y = x, 1",
                "cfg.coef: float = x",
                "cfg.coef += 1",
                "cfg['coef'] = x",
                "cfg['coef'] *= 2",
                "setattr(cfg, 'coef', x)",
                "object.__setattr__(cfg, 'coef', x)",
                "vars(cfg)['coef'] = x",
                "cfg.__dict__['coef'] = x",
                "for cfg.coef in x:\n    pass",
                "with x as cfg.coef:\n    pass",
                "del cfg.coef",
                "cfg = replace(cfg, coef=cfg.coef * 2)",
                "OmegaConf.update(cfg, 'coef', x)",
                "cfg.coef.mul_(2)",
                "for name in ('coef', 'other'):\n    setattr(cfg, name, x)",
                "if x:\n    cfg.coef = x",
            ),
        ),
    ],
    "is_number": [
        Table(
            ("coef",),
            CONFIG,
            ("coef: float = 1.0", "coef = 1", "coef: float = field(default=1.0)", "pass", "extra: int = other + 1"),
            (
                "coef: object = (1, 2)",
                "coef = [1, 2]",
                "coef: str = '1'",
                "coef: object = {}",
                "coef: object = field(default_factory=lambda: [1])",
                "coef: object = field(default='1')",
                "coef: float = 1.0\nextra: float = coef * 2",
                "coef: float = 1.0\nextra = coef",
                "coef, extra = (1, 2), 3",
                "coef: float = 1.0\nextra, more = coef, 1",
            ),
        ),
    ],
    "weighs_only": [
        Table(
            ("agent", "coef", "loss", "Q"),
            AGENT + PRETRAIN,
            (
                "pass",
                *method(
                    "pi_loss(self, t, flag)",
                    "return self.cfg.coef * t",
                    "c = self.cfg.coef\nreturn c * t",
                    "q = self.model.Q(t)\nreturn q + self.cfg.coef * t",
                    "return torch.mul(self.cfg.coef, t)",
                    "return {'coef': self.cfg.coef}",
                ),
            ),
            (
                "return self.cfg.coef * t",
                "t(getattr(self.cfg, 'coef') * t)",
                *method(
                    "pi_loss(self, t, flag)",
                    "return self.cfg.coef + t",
                    "return self.cfg.coef ** 2 * t",
                    "if self.cfg.coef > 0:\n    return t",
                    "return self.cfg.coef * self.model.Q(t)",
                    "q = self.model.Q(t)\nreturn self.cfg.coef * q",
                    "q: object = self.model.Q(t)\nreturn self.cfg.coef * q",
                    "q, y = self.model.Q(t), t\nreturn self.cfg.coef * q",
                    "c = self.cfg.coef\nreturn c * self.model.Q(t)",
                    "q = self.model.Q(t)\nreturn torch.mul(self.cfg.coef, q)",
                    "if (q := self.model.Q(t)) is not None:\n    return self.cfg.coef * q",
                    "y = t\ny += self.model.Q(t)\nreturn self.cfg.coef * y",
                    "return [self.cfg.coef * q for q in self.model.Q(t)]",
                    "f = self.model.Q\nreturn self.cfg.coef * f(t)",
                    "return max(self.cfg.coef, t) * flag",
                ),
            ),
        ),
    ],
}
