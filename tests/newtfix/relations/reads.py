"""Where attributes and settings are read and written."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, DIVIDES, READS, SETS, Table, forms

AGENT = """
    === tdmpc2.py
    def zero(x):
        x.zero_()
    def zero_it(value):
        zero(value)
    def looks(x):
        return x.sum()
    class TDMPC2:
        def __init__(self, cfg):
            self.cfg = cfg
            self.rho = torch.ones(3)
            self.other = torch.ones(3)
        METHODS
    """
TRAINER = """
    === trainer.py
    def zero(x):
        x.zero_()
    def zero_it(value):
        zero(value)
    class Trainer:
        def __init__(self, cfg):
            self.cfg = cfg
        METHODS
    """
HARMLESS = (
    "y = self.rho + 1\ny += 1",
    "y = self.rho.clone()\ny.zero_()",
    "y = deepcopy(self.rho)\ny[0] = 1",
    "y = looks(self.rho)",
    "self.other.zero_()",
    "self.other[0] = self.rho[0]",
    "rho = t\nrho += 1",
    "t.rho = 1",
    "for y in self.rho:\n    z = y + 1",
    "torch.mul(self.rho, 2, out=t)",
    "n = int(self.rho)\nn += 1",
)

TABLES = {
    "written_only_in": [
        Table(
            ("agent", "self.rho", "__init__"),
            AGENT,
            ("pass", *HARMLESS),
            (*forms((*BINDS, *SETS, *CHANGES), "self.rho"), "y = getattr(self, 'rho')\ny[0] = 1"),
        ),
    ],
    "not_read_by": [
        Table(
            ("agent", "self.rho", "step"),
            AGENT,
            ("pass", "self.rho = t", "y = self.other", "y = t.rho", "def help(self):\n    return self.rho"),
            (
                *forms(READS, "self.rho"),
                *(
                    f"def step(self, t):\n    {call}\ndef help(self, t=None):\n    return self.rho"
                    for call in ("self.help()", "f = self.help; f()", "getattr(self, 'help')()", "map(self.help, t)")
                ),
                (
                    "def step(self, t):\n    self.made(t)\ndef set(self):\n"
                    "    self.made = self._wrapped(self._made)\ndef _made(self, t):\n    return self.rho"
                ),
                "def step(self, t):\n    self.w(t)\ndef set(self):\n    self.w = self.rho\n",
            ),
        ),
    ],
    "used_as_it_is": [
        Table(
            ("agent", "self.rho", "__init__"),
            AGENT,
            (
                "pass",
                "y = self.rho * t",
                "y = (self.rho * t).sum()",
                "y = t / 2 + self.rho",
                *forms(DIVIDES, "self.other"),
            ),
            (
                *forms(DIVIDES, "self.rho"),
                "y = self.rho / self.rho.sum()",
                "y = self.rho.softmax(0)",
                "y = F.normalize(self.rho)",
                "y = self.rho.mean()",
                "y = self.rho\ny /= y.sum()",
                "y = self.rho[:2] / t",
            ),
        ),
    ],
    "read_only_in": [
        Table(
            ("coef", "trainer"),
            TRAINER + "=== other.py\nHERE\n",
            ("pass", "coef = 1", "x.coef = 1"),
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
    ],
    "attribute_only_in": [
        Table(
            ("rho", "trainer"),
            TRAINER + "=== other.py\nHERE\n",
            ("pass", "rho = 1", "y = cfg.rho"),
            (
                "y = agent.rho",
                "agent.rho = 1",
                "getattr(agent, 'rho')",
                "vars(agent)['rho']",
                "y = [a.rho for a in x]",
                "agent.rho.zero_()",
                "f(agent.rho)",
                "del agent.rho",
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
                "y = self._step > t",
                "y = self._step % self.cfg.freq == 0",
                "y = t >= self.cfg.coef",
            ),
            (
                "y = self._step >= self.cfg.coef",
                "y = self.cfg.coef <= self._step",
                "y = 0 < self._step < self.cfg.coef",
                "s = self._step\ny = s >= self.cfg.coef",
                "y = (s := self._step) > self.cfg.freq",
                "y = getattr(self, '_step') > self.cfg.coef",
                "y = self._step - self.cfg.coef > 0",
                "while self._step < self.cfg.coef:\n    pass",
                "y = t if self._step > self.cfg.freq else 0",
                "y = [z for z in t if self._step > self.cfg.coef]",
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
    "written_whole": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "self._tds[t] = flag",
                "self._tds[t], y = flag, 1",
                "self._tds = t",
                "y = self._tds[t].clone()\ny.zero_()",
                "self._tds[t]: object = flag",
            ),
            (
                *forms(CHANGES, "self._tds", but=("{x}[0] = t", "{x}[0], y", "as {x}[0]", "for {x}[0]", "y: object")),
                "self._tds[t]['reward'] = 0",
                "self._tds['reward'] = t",
                "self._tds[t][0] = flag",
                "self._tds['reward'][t] = 0",
                "row = self._tds[t]\nrow[0] = 1",
                "self._tds.set('reward', t)",
                "self._tds.update(t)",
            ),
        ),
    ],
    "taken_as_stored": [
        Table(
            ("buffer", "reward"),
            "=== common/buffer.py\nclass Buffer:\n    METHODS\n",
            (
                "pass",
                "y = td['reward'].unsqueeze(-1)",
                "y = td['reward'][1:].to(t)",
                "y = td.get('reward')[1:]",
                "y = td['other'] * 2",
                "td['reward'] = t",
                "y = torch.zeros_like(td['reward'])",
                "y = t * 2",
            ),
            (
                "y = td['reward'] * 2",
                "y = -td['reward']",
                "y = td['reward'].clamp(-1, 1)",
                "y = torch.tanh(td['reward'])",
                "y = torch.tanh(input=td['reward'])",
                "r = td['reward']\ny = r * 2",
                "r, y = td['reward'], t\ny = r * 2",
                "r = td['reward'][1:]\ns = r\ny = s.clamp(0)",
                "td['reward'] *= 2",
                "td['reward'].mul_(2)",
                "td['reward'][0] = 0",
                "r = td['reward']\nr[0] = 0",
                "torch.mul(t, 2, out=td['reward'])",
                "y = [r * 2 for r in (td['reward'],)]",
                "if (r := td['reward']) is not None:\n    y = r + 1",
                "y = td.get('reward') + 1",
            ),
        ),
    ],
    "read_only_after": [
        Table(
            ("agent", "self.scale", "self.model.Q"),
            AGENT,
            (
                "pass",
                "y = self.model.Q(t, return_type='avg')\nz = self.scale(y)",
                "y = self.scale(t)",
                "f = self.model.Q\ny = f(t, return_type='avg')\nz = self.scale(y)",
            ),
            (
                *tuple(
                    f"{read}\nq = self.model.Q(t, return_type='avg')\nreturn y, q"
                    for read in forms(READS, "self.scale", but=("return", "yield", "f'"))
                ),
                "y = self.scale(t)\nf = self.model.Q\ny = f(t, return_type='avg')",
            ),
        ),
    ],
    "flat": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "i = torch.zeros(3)\nself._tds[i] = t",
                "i = torch.zeros((3,))\nself._tds[i] = t",
                "i = torch.zeros(3, 2)",
                "i = torch.zeros(3)\nself._tds[i], y = t, 1",
            ),
            (
                "i = torch.zeros(3, 2)\nself._tds[i] = t",
                "i = torch.zeros((3, 2))\nself._tds[i] = t",
                "i: object = torch.zeros(3, 2)\nself._tds[i] = t",
                "i, y = torch.zeros(3, 2), t\nself._tds[i] = t",
                "i = torch.zeros(3, 2)\nself._tds[i], y = t, 1",
                "rows = self._tds\ni = (1, 2)\nrows[i] = t",
                "if (i := torch.zeros(3, 2)) is not None:\n    self._tds[i] = t",
                "i = torch.zeros(3, 2)\nself._tds[i] += t",
                "for i in (torch.zeros(3, 2),):\n    self._tds[i] = t",
            ),
        ),
    ],
    "indexes_alone": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "self._tds[i] = t",
                "self._tds[i] = t\nself.other[j] = t",
                "self._tds[i] = self.other[i]",
                "self.other[i] = t",
            ),
            (
                *tuple(
                    f"self._tds[i] = t\n{other}"
                    for other in (
                        "self.other[i] = t",
                        "self.other[i] += t",
                        "self.other[i], y = t, 1",
                        "y = self.other\ny[i] = t",
                        "j = i\nself.other[j] = t",
                        "for self.other[i] in t:\n    t()",
                        "with t as self.other[i]:\n    pass",
                        "self.other.index_copy_(0, i, t)",
                        "self.other.__setitem__(i, t)",
                        "del self.other[i]",
                    )
                ),
                "rows = self._tds\nrows[i] = t\nself.other[i] = t",
            ),
        ),
    ],
}
