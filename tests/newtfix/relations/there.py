"""What must hold for a fix to count as there."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, CHANGES, SETS, Table, forms, method
from relations.trees import AGENT, BUFFER

INIT = "def __init__(self, t, flag):\n    self.rho = t\n"

TABLES = {
    "set_once": [
        Table(
            ("agent", "self.rho", "__init__"),
            AGENT,
            (
                INIT,
                f"{INIT}    self.rho = self.rho.to(t)",
                f"{INIT}    self.rho = self.rho.detach().cpu()",
                f"{INIT}    self.other = self.rho / t",
                f"{INIT}    y = self.rho.sum()",
                f"{INIT}def step(self, t):\n    self.rho = t",
            ),
            tuple(INIT + indent(code, "    ") for code in forms((*BINDS, *SETS, *CHANGES), "self.rho")),
        ),
    ],
    "selects_all": [
        Table(
            ("buffer", "action", "mu"),
            BUFFER,
            method(
                "add(self, td, t)",
                "pass",
                "t(td.select('action', 'mu'))",
                "x, y = t\nt(td.select('action', 'mu', strict=False))",
                "t(td.select('obs'))",
                "t(td.select(*COLUMNS))\n=== other.py\nCOLUMNS = ('action',)",
            ),
            method(
                "add(self, td, t)", "t(td.select('action', 'obs'))", "names = ('obs', 'action')\nt(td.select(*names))"
            ),
        ),
    ],
    "numbers_each": [
        Table(
            ("agent", "self._prior", "61"),
            AGENT,
            (
                "def loss(self, t):\n    return self._prior(t) / 61\ndef _prior(self, t):\n    return t",
                "def loss(self, t):\n    return self._prior(t)\ndef _prior(self, t):\n    return t / 61.0",
                "def loss(self, t):\n    return self.other(t)",
            ),
            (
                "def loss(self, t):\n    return self._prior(t) / 61\ndef more(self, t):\n    return self._prior(t)",
                "def loss(self, t):\n    f = self._prior\n    return f(t)",
            ),
        ),
    ],
}
