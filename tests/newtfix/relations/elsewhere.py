"""What a tree does elsewhere with what a patch changes."""

from __future__ import annotations

from relations.table import Table, method
from relations.trees import AGENT, TRAINER

FUNCTIONS = "\n=== common/math.py\ndef centred(x):\n    return x - x.mean(-1)\ndef density(x):\n    return x.sum(-1)\n"
SCALE = "=== common/scale.py\nclass RunningScale:\n    METHODS\n"
WHOLE = "\n=== other.py\nf = torch.compile(g, fullgraph={})"
OWN = """
=== common/energy.py
class Plain:
    def __init__(self):
        self.net = net()
class Energy:
    def __init__(self):
        self._forward = torch.compile(self._impl)
"""

TABLES = {
    "without_deadline": [
        Table(
            ("trainer",),
            TRAINER,
            method(
                "train(self)", "self.agent.update(1)", "self.alarms += 1", "time.time()", "with Timer('a'):\n    pass"
            ),
            method(
                "train(self)",
                "signal.alarm(60)",
                "faulthandler.dump_traceback_later(self.cfg.stall, exit=True)",
                "timer = threading.Timer(60, stop)",
                "with timeout(60):\n    self.agent.update(1)",
            ),
        ),
    ],
    "averages_nowhere": [
        Table(
            ("agent", "_log_prior"),
            AGENT + FUNCTIONS,
            (
                "def _log_prior(self, x):\n    return math.density(x)",
                "def other(self, x):\n    return x.mean()",
                "def _log_prior(self, x):\n    return x.sum(-1)",
            ),
            (
                "def _log_prior(self, x):\n    return x.mean(-1)",
                "def _log_prior(self, x):\n    return math.centred(x)",
                "def _log_prior(self, x):\n    return self.each(x)\ndef each(self, x):\n    return x.nanmean(-1)",
            ),
        ),
    ],
    "asks_not_for": [
        Table(
            ("math", "horizon", "steps"),
            "=== common/math.py\nHERE\n",
            (
                "def f(x, cfg):\n    return x * cfg.scale",
                "def steps(cfg):\n    return cfg.horizon",
                "def f(x, horizon):\n    return x / horizon",
            ),
            ("def f(x, cfg):\n    return x / cfg.horizon", "def f(x, c):\n    n = c.cfg.horizon\n    return n"),
        ),
    ],
    "saves_all": [
        Table(
            ("target",),
            AGENT,
            (
                "def save(self, f):\n    torch.save(self.state_dict(), f)",
                "def load(self, s):\n    return {k: v for k, v in s.items() if k.startswith('_Qs.target.')}",
                "def save(self, f):\n    torch.save({'targets': 1}, f)",
            ),
            (
                "def save(self, s, f):\n    torch.save({k: s[k] for k in s if not k.startswith('_Qs.target.')}, f)",
                "def save(self, s, f):\n    s.pop('target')\n    torch.save(s, f)",
            ),
        ),
    ],
    "decided_without": [
        Table(
            ("agent", "compile", "follow"),
            AGENT,
            method(
                "update(self)",
                "self.follow()",
                "if self.cfg.warm:\n    self.follow()",
                "if self.cfg.compile:\n    self.other()",
            ),
            method(
                "update(self)",
                "if not self.cfg.compile:\n    self.follow()",
                "if self.cfg.warm or self.cfg.compile:\n    self.model.follow()",
                "if self.cfg.compile:\n    pass\nelse:\n    self.follow()",
            ),
        ),
    ],
    "copied_with_nothing_compiled": [
        Table(
            ("layers", "QEnsemble"),
            f"=== common/layers.py\nclass QEnsemble:\n    pass\n{OWN}"
            "class Critic:\n    def __init__(self):\n        HERE\n",
            (
                "self.net = Plain()\nself.copy = deepcopy(self.net)",
                "self.net = Energy()",
                "self.net = Energy()\nself.other = Plain()\nself.copy = deepcopy(self.other)",
            ),
            (
                "self.net = Energy()\nself.copy = deepcopy(self.net)",
                "self.net = Energy(1)\nself.copy = copy.deepcopy(self.net).eval()",
            ),
        ),
    ],
    "alone_of_its_name": [
        Table(
            ("trainer", "self.env", "reset"),
            TRAINER,
            method("train(self)", "self.env.reset()", "self.env.close()", "self.agent.reset_all()", "self.env.step(1)"),
            method("train(self)", "self.env.reset_where(1)", "obs = self.env.partial_reset(done=1)"),
        ),
    ],
    "traceable": [
        Table(
            ("RunningScale", "update"),
            SCALE,
            (
                "def update(self, x):\n    self.value.lerp_(x, 0.1)",
                "def update(self, x):\n    if x > 1:\n        return\n    self.value.lerp_(x, 0.1)",
                "def show(self):\n    return self.value.item()",
                f"def update(self, x):\n    self.value.lerp_(x, 0.1){WHOLE.format(True)}",
                f"def update(self, x):\n    if x > 1:\n        self.n(x){WHOLE.format(False)}",
            ),
            (
                "def update(self, x):\n    self.value.lerp_(x.item(), 0.1)",
                "def update(self, x):\n    self.value.fill_(median(x.cpu().tolist()))",
                f"def update(self, x):\n    if x > 1:\n        return\n    self.value.fill_(x){WHOLE.format(True)}",
                f"def update(self, x):\n    while x > 1:\n        x = x / 2{WHOLE.format('flag')}",
            ),
        ),
    ],
}
