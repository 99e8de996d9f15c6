"""What must hold for a fix to count as there."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, CHANGES, SETS, Table, forms, method
from relations.trees import AGENT, BUFFER, TRAINER

INIT = "def __init__(self, t, flag):\n    self.rho = t\n"

TABLES = {
    "not_handed_to": [
        Table(
            ("trainer", "self.agent", "mu"),
            TRAINER,
            method(
                "store(self, t, td)",
                "self.buffer.add(td)",
                "self.buffer.note(td['mu'])",
                "self.agent.note(td['action'])",
                "self.log(td['mu'].mean())",
                "self.agent(td)",
            ),
            method(
                "store(self, t, td)",
                "self.agent.note(td['mu'])",
                "self.agent.start.lerp_(td['mu'][0].mean(0), 0.1)",
                "self.agent.model.note(x=td.get('mu'))",
            ),
        ),
    ],
    "takes_bare": [
        Table(
            ("trainer", "self.agent", "agent"),
            "=== trainer.py\nfrom common.smooth import Smooth\nclass Own:\n    pass\nclass Trainer:\n    METHODS\n"
            "=== common/smooth.py\nclass Smooth:\n    pass\n",
            method(
                "__init__(self, agent, buffer)",
                "self.agent = agent",
                "self.agent, self.buffer = agent, buffer",
                "self.agent = torch.compile(agent)",
                "self.agent = Smooth(cfg)",
                "self.agent = DistributedDataParallel(agent)",
                "self.buffer = Own(buffer)",
            ),
            method(
                "__init__(self, agent, buffer)",
                "self.agent = Own(agent)",
                "self.agent = Smooth(agent, 0.1)",
                "self.agent, self.buffer = Smooth(agent), buffer",
            ),
        ),
        Table(
            ("trainer", "self.agent", "agent"),
            "=== trainer.py\nclass Trainer:\n    def __init__(self, cfg, agent):\n        self.agent = agent\n"
            "=== tdmpc2.py\nclass TDMPC2:\n    def act(self, x):\n        return x\n"
            "=== run.py\nfrom trainer import Trainer\nfrom tdmpc2 import TDMPC2\nclass Other(TDMPC2):\n    pass\n"
            "class Many:\n    pass\nHERE\n",
            (
                "Trainer(cfg, TDMPC2(cfg))",
                "Trainer(cfg=cfg, agent=Other(cfg))",
                "agent = TDMPC2(cfg)\nTrainer(cfg, agent)",
                "x = Many(cfg)\nTrainer(x, make(cfg))",
                "Trainer(**parts)",
            ),
            (
                "Trainer(cfg, Many([TDMPC2(cfg)]))",
                "Trainer(cfg, agent=Many(agents))",
                "agent = Many(agents)\nTrainer(cfg, agent)",
            ),
        ),
    ],
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
                "some = 'action mu'.split()\nt(td.select(*some))",
            ),
            method(
                "add(self, td, t)",
                "t(td.select('action', 'obs'))",
                "names = ('obs', 'action')\nt(td.select(*names))",
                "names = 'obs action'.split()\nt(td.select(*names))",
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
