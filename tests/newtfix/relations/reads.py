"""Where attributes are read and written."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, DIVIDES, READS, SETS, Table, forms
from relations.trees import TRAINER

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
    "bound_only_in": [
        Table(
            ("trainer", "self._tds", "__init__"),
            TRAINER,
            (
                "pass",
                "self._tds[0] = t",
                "self._tds.zero_()",
                "y = self._tds",
                "def __init__(self, t):\n    self._tds = t",
            ),
            ("self._tds = t", "self._tds, self._spare = self._spare, self._tds", "setattr(self, '_tds', t)"),
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
        Table(
            ("agent", "self.rho", "__init__"),
            "=== tdmpc2.py\nclass TDMPC2:\n    def __init__(self, t):\n        self.rho = t / t.sum()\n        HERE\n",
            ("self.rho = self.rho / self.rho.sum()", "self.rows = len(self.rho)", "self.half = self.rho[:2] * 2"),
            ("self.pi_rho = self.rho / self.rho.sum()", "self.pi_rho = self.rho[:-1] / self.rho[:-1].sum()"),
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
        Table(
            ("_tds", "trainer"),
            TRAINER + "=== other.py\nHERE\n",
            ("y = 'a _tds'", "y = tds"),
            ("y = ('_step', '_tds')", "y = trainer._tds", "y = state['_tds']"),
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
    "paid_in": [
        Table(
            ("trainer", "self._update_tokens", "self.agent.update"),
            TRAINER,
            (
                *tuple(
                    f"self.agent.update(t)\n{code}"
                    for code in (
                        "pass",
                        "self._update_tokens += t",
                        "self._update_tokens -= 1",
                        "self._update_tokens = self._update_tokens - 1",
                        "self._update_tokens = 0",
                        "self._update_tokens %= 1",
                        "y = {'left': self._update_tokens}\ny.update(t)",
                    )
                ),
                "self._update_tokens = t",
            ),
            (
                *tuple(
                    f"self.agent.update(t)\n{code}"
                    for code in (
                        *forms((*BINDS, *SETS), "self._update_tokens"),
                        "self._update_tokens *= 0.5",
                        "self._update_tokens /= 2",
                    )
                ),
                "f = self.agent.update\nf(t)\nself._update_tokens = t",
                "def __init__(self, t):\n    self._update_tokens = 5 * t",
                "def __init__(self, t):\n    self._update_tokens = 1.0",
            ),
        ),
    ],
    "never_under": [
        Table(
            ("agent", ".discount", "Pow"),
            AGENT,
            ("pass", "y = self.discount * t\nt(y)", "t(t ** 2)", "t(2 ** self.discount)", "t(self.other ** 2)"),
            (
                "t(self.discount ** 2)",
                "t(self.discount[t] ** 2)",
                "y = self.discount\nt(y ** 2)",
                "y, z = self.discount, t\nt(y ** 2)",
                "y: object = self.discount\nt(y ** 2)",
                "t((y := self.discount) ** 2)",
                "t(self.discount.pow(2))",
                "t(torch.pow(self.discount, 2))",
                "t(torch.pow(input=self.discount, exponent=2))",
                "self.discount.pow_(2)",
                "self.discount **= 2",
                "t([y ** 2 for y in self.discount])",
                "for y in self.discount:\n    t(y ** 2)",
                "t(getattr(self, 'discount') ** 2)",
                "t(pow(self.discount, 2))",
                "t(self.discount.cumprod(0))",
                "t((self.discount + 0) ** 2)",
                "t(self.discount ** 2 if flag else 1)",
            ),
        ),
        Table(
            ("agent", ".discount", "Div"),
            AGENT,
            ("t(self.discount / t)", "return {'a': t.detach() / self.discount, 'b': (t / self.discount).item()}"),
            (
                "t(t / self.discount)",
                "return {'a': t / self.discount}",
                "y = self.discount\nt(t / y)",
                "t(torch.div(t, self.discount))",
                "t(t.div(self.discount))",
                "t(t * (1 / self.discount))",
                "t /= self.discount\nt()",
                "t.div_(self.discount)",
                "t(t / self.discount[0])",
            ),
        ),
        Table(
            ("agent", ".discount", "Sub"),
            AGENT,
            ("pass", "t(self.discount * t(1))", "t(t(2) - self.discount * t(1))", "t(1 - self.other)"),
            ("t(1 - self.discount)", "t(self.discount[0] - 0.8)", "y = self.discount\nt(0.5 + 2 * (y - 0.5))"),
        ),
    ],
}
