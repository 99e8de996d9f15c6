"""What a tree makes of its settings."""

from __future__ import annotations

from relations.table import Table, method
from relations.trees import AGENT, TRAINER

CONFIG = """
=== config.py
class Config:
    other: int = 1
    HERE
"""
PRETRAIN = "    def update_pi(self, t):\n        return self.cfg.coef * t\n"


TABLES = {
    "counts_all": [
        Table(
            ("trainer", "self._step", "num_envs", "world_size"),
            TRAINER,
            (
                "self._step += self.cfg.num_envs * self.cfg.world_size",
                "self._step += 1",
                "self.other += self.cfg.repeat",
                "self.other += 1\nself.n = self.cfg.num_envs",
            ),
            (
                "self._step += 1\nself.n = self.cfg.num_envs",
                "self._step += self.cfg.num_envs * self.cfg.action_repeat",
                "self._frames = self.cfg.num_envs * self.cfg.action_repeat\nself._step += self._frames",
            ),
        ),
    ],
    "read_only_in": [
        Table(
            ("coef", "trainer"),
            TRAINER + "=== other.py\nHERE\n",
            ("pass", "coef = 1", "x.coef = 1", "write(f'{cfg.coef}')"),
            (
                "y = cfg.coef",
                "y = getattr(cfg, 'coef')",
                "y = cfg['coef']",
                "y = vars(cfg)['coef']",
                "y = f'{cfg.coef}'",
                "if cfg.coef > 0:\n    pass",
                "y = [cfg.coef for _ in x]",
                "match cfg:\n    case Config(coef=y):\n        pass",
                "cfg.coef += 1",
                "del cfg['coef']",
            ),
        ),
        Table(("coef", "trainer", "agent"), TRAINER, ("t(self.cfg.coef)",), ("pass\n=== other.py\ny = cfg.coef",)),
        Table(
            ("coef", "config"),
            "=== config.py\nclass Config:\n    coef: float = 1.0\ndef parse(cfg):\n    HERE\n",
            (
                "pass",
                "assert cfg.coef > 0",
                "if cfg.coef > 1:\n    raise ValueError(cfg.coef)",
                "cfg.coef = 2",
                "n = cfg.coef",
            ),
            (
                "cfg.other = cfg.coef * 2",
                "cfg.a, cfg.b = cfg.coef, 1",
                "if x:\n    cfg.other = max(1, cfg.coef)",
                "if cfg.steps <= cfg.coef * 2:\n    raise ValueError",
                "if 0 < cfg.steps < (n := cfg.coef * x):\n    raise ValueError(n)",
            ),
        ),
    ],
    "asked_alike": [
        Table(
            ("trainer", "self._step", "coef", "freq"),
            TRAINER + "    def known(self):\n            return self._step >= self.cfg.coef * 2\n",
            (
                "pass",
                "y = self._step >= self.cfg.coef * 2",
                "y = self._step >= 2 * self.cfg.coef",
                "y = self._step > t",
                "y = self._step % self.cfg.freq == 0",
                "y = t >= self.cfg.coef",
            ),
            (
                "y = self._step >= self.cfg.coef",
                "y = self._step >= self.cfg.coef / 2",
                "y = self.cfg.coef <= self._step",
                "y = 0 < self._step < self.cfg.coef",
                "s = self._step\ny = s >= self.cfg.coef",
                "y = (s := self._step) > self.cfg.freq",
                "y = getattr(self, '_step') > self.cfg.coef",
                "y = self._step - self.cfg.coef > 0",
                "while self._step < self.cfg.coef:\n    pass",
                "y = t if self._step > self.cfg.freq else 0",
                "y = [z for z in t if self._step > self.cfg.coef]",
                "if self._step == self.cfg.coef * 2:\n    pass",
                "y = self.cfg.coef * 2 != self._step",
            ),
        ),
    ],
    "not_under": [
        Table(
            ("coef", "log", "sqrt"),
            "=== other.py\nfrom math import log as ln\nfrom torch import sqrt\nHERE\n",
            ("pass", "y = log(x)", "y = exp(cfg.coef)", "y = log('cfg.other')"),
            (
                "y = math.log(cfg.coef)",
                "y = ln(cfg.coef)",
                "y = sqrt(cfg.coef)",
                "y = torch.log(torch.tensor(cfg.coef))",
                "y = torch.tensor(cfg.coef).log()",
                "c = cfg.coef\ny = math.log(c)",
                "c, d = cfg.coef, 1\ny = math.log(c + 1)",
                "y = math.log(getattr(cfg, 'coef'))",
                "f = math.log\ny = f(cfg.coef)",
                "y = [math.log(c) for c in (cfg.coef,)]",
                "y = math.log(x=cfg.coef)",
            ),
        ),
    ],
    "not_scaled": [
        Table(
            ("agent", "coef", "61"),
            AGENT,
            (
                "pass",
                "y = self.cfg.coef * t",
                "y = self.cfg.coef * 61",
                "y = self.cfg.coef * 1",
                "y = t * 0.5",
                "y = -self.cfg.coef * t",
            ),
            (
                "y = self.cfg.coef * 0.5",
                "y = 0.5 * t * self.cfg.coef",
                "y = self.cfg.coef / 2",
                "y = -0.5 * self.cfg.coef",
                "c = self.cfg.coef\ny = c * 0.5",
                "c = self.cfg.coef\nc *= 0.5",
                "y = torch.mul(self.cfg.coef, 0.5)",
                "y = getattr(self.cfg, 'coef') * 0.5",
                "self.cfg.coef = t",
                "self.cfg.coef, y = t",
                "setattr(self.cfg, 'coef', t)",
                "for self.cfg.coef in t:\n    pass",
                "y = [c * 2 for c in (self.cfg.coef,)]",
                "self.cfg.coef *= 0.5",
            ),
        ),
    ],
    "set_plainly": [
        Table(
            ("coef",),
            "=== other.py\nHERE\n",
            (
                "pass",
                "cfg.coef = 1",
                "cfg.coef = other.coef",
                "cfg['coef'] = 2",
                "x = cfg.coef * 2",
                "f(coef=1)",
                "info['coef'] = torch.tensor(float(cfg.coef))",
            ),
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
                    "if self.cfg.coef > 0:\n    return t",
                    "if not self.cfg.coef:\n    return t",
                    "return {'coef': self.cfg.coef}",
                    "info['coef'] = torch.tensor(float(self.cfg.coef))\nreturn info",
                ),
            ),
            (
                "return self.cfg.coef * t",
                "t(getattr(self.cfg, 'coef') * t)",
                *method(
                    "pi_loss(self, t, flag)",
                    "return self.cfg.coef + t",
                    "return self.cfg.coef ** 2 * t",
                    "if self.cfg.coef > 1:\n    return t",
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
