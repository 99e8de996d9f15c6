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
                "plans = self.cfg.mpc if mpc is None else mpc\nif plans:\n    t(mpc)",
            ),
            method(
                "forward(self, t, mpc=None, flag=0)",
                "if mpc or flag:\n    t(mpc)",
                "plans = mpc\nif plans or flag:\n    t(mpc)",
                "plans = mpc or flag\nif plans:\n    t(mpc)",
                "mpc = mpc or self.cfg.mpc\nif mpc:\n    t(mpc)",
                "plans = mpc or self.cfg.mpc\nif plans:\n    t(mpc)",
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
            ("return start + end", "e = end\nreturn e", "return other(end)", "if end <= 0:\n    return t\nreturn end"),
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
    "called_only_in": [
        Table(
            ("agent", "self.scale", "pi_loss"),
            AGENT,
            (
                "pass",
                "def my_pi_loss(self, t):\n    return self.scale(t)",
                "def my_pi_loss(self, t):\n    s = self.scale\n    return s(t)",
                "def soft(self, t):\n    return self.scale(t)\ndef my_pi_loss(self, t):\n    return self.soft(t)",
                "t(self.other(t))",
                "t(self.scale.value)",
            ),
            (
                *forms(CALLS, "self.scale"),
                "def soft(self, t):\n    return self.scale(t)\ndef update_pi(self, t):\n    return self.soft(t)",
            ),
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
        Table(
            ("trainer", "self.agent.update", "self.env"),
            TRAINER,
            (UPDATE, f"with t:\n    {UPDATE}"),
            (f"with self.env.paused():\n    {UPDATE}", f"if flag:\n    {UPDATE}\nelse:\n    self.env.reset()"),
        ),
    ],
    "only_checks": [
        Table(
            ("trainer", "_check"),
            TRAINER,
            (
                "pass",
                *method(
                    "_check(self, t)",
                    "if t:\n    raise ValueError",
                    "'''Words.'''\nif t.any():\n    raise ValueError(t)",
                ),
            ),
            method(
                "_check(self, t)",
                "t()",
                "if t:\n    raise ValueError\nt()",
                "if t:\n    t()\n    raise ValueError",
                "if t:\n    raise ValueError\nelse:\n    t()",
                "for x in t:\n    raise ValueError",
                "with t:\n    raise ValueError",
                "if t:\n    raise ValueError\nif t:\n    raise TypeError",
                "return t",
                "if (y := t.pop()):\n    raise ValueError",
                "if t.zero_():\n    raise ValueError",
            ),
        ),
    ],
    "not_asserted": [
        Table(
            ("agent", "rho"),
            AGENT,
            (
                "pass",
                "assert t",
                "if self.rho > 1:\n    t()",
                "if t:\n    raise ValueError(self.rho)",
                "assert self.other > 0",
            ),
            (
                "assert self.rho.sum() == 1",
                "if self.rho > 1:\n    raise ValueError",
                "if self.rho > 1:\n    t()\n    raise ValueError",
                "if self.rho < 1:\n    pass\nelse:\n    raise ValueError",
                "r = self.rho\nassert r > 0",
                "r, y = self.rho, t\nassert r > 0",
                "r: object = self.rho.sum()\nassert r > 0",
                "assert (r := self.rho) > 0",
                "torch.testing.assert_close(self.rho, t)",
                "np.testing.assert_allclose(actual=self.rho, desired=t)",
                "if self.rho > 1:\n    sys.exit(1)",
                "match self.rho:\n    case 1:\n        raise ValueError",
                "assert getattr(self, 'rho') > 0",
                "for r in self.rho:\n    assert r > 0",
                "while self.rho > 1:\n    raise ValueError",
                "self.make(rho=self.weights)\nassert self.weights.sum() == 1",
                "pass\n=== other.py\nassert agent.rho > 1",
            ),
        ),
    ],
    "split_at_once": [
        Table(
            ("world_model", "self._pi"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "pass",
                "a, b = self._pi(t).chunk(2)",
                "p = self._pi(t)\na, b = p.chunk(2)",
                "p: object = self._pi(t)\na, b = p.chunk(2)",
                "a, b = torch.chunk(self._pi(t), 2)",
                "a, b = self._pi(t).float().split(3)",
                "a, b = (p := self._pi(t)).chunk(2)",
            ),
            (
                "t(self._pi(t))",
                "p = self._pi(t)\na, b = p.chunk(2)\nt(p)",
                "p = self._pi(t)\nt(p[0])",
                "a, b = self._pi(t)",
                "f = self._pi\nt(f(t))",
                "p, y = self._pi(t), t\na, b = p.chunk(2)\nt(p)",
                "t(getattr(self, '_pi')(t))",
                "for p in self._pi(t):\n    t(p)",
                "t([p for p in self._pi(t)])",
                "t(*self._pi(t))",
                "a, b = (self._pi(t) * 2).chunk(2)",
                "p = self._pi(t)\np *= 2\na, b = p.chunk(2)",
                "log_std, mean = self._pi(t).chunk(2)",
            ),
        ),
    ],
    "no_exponent": [
        Table(
            ("math", "mix", "end"),
            "=== common/math.py\ndef mix(x, start, end, t, flag):\n    HERE\n",
            ("pass", "t(1 - x / end)", "t((x / end) ** 2)", "t(2**x)", "w = x / end\nt(w**3)", "t(math.exp(x))"),
            (
                "t(0.5 ** (x / end))",
                "w = x / end\nt(0.5**w)",
                "w = x / end\nv = 2 * w\nt(math.exp(-v))",
                "t(pow(0.5, x / end))",
                "t(torch.exp(-x / end))",
                "t(torch.exp2(-x / end))",
                "w, y = x / max(1, end), t\nt(0.5**w)",
                "t(0.5 ** (w := x / end))",
                "if flag:\n    t(0.5 ** (x - end))",
            ),
        ),
    ],
    "hands_on": [
        Table(
            ("agent", "forward", "self.plan"),
            AGENT,
            method(
                "forward(self, t, flag)",
                "return t",
                "a, b = self.plan(t)\nreturn a, b",
                "a, *b = self.plan(t)\nreturn a, *b",
                "a, b, c = self.plan(t)\nreturn a.cpu(), c.cpu()",
                "a, b = self.other(t)\nreturn a",
                "return self.plan(t)",
            ),
            method(
                "forward(self, t, flag)",
                "a, b = self.plan(t)\nreturn a",
                "a, *_ = self.plan(t)\nreturn a, t",
                "if flag:\n    a, b, c = self.plan(t)\n    return a, t\nreturn t",
            ),
        ),
    ],
    "plain": [
        Table(
            ("world_model", "pi", "logprob", "randn_like"),
            """
            === common/world_model.py
            class WorldModel:
                def pi(self, t):
                    y, eps = self.draw(t)
                    return math.logprob(eps)
                def draw(self, t):
                    eps = torch.randn_like(t)
                    HERE
            """,
            ("return t, eps", "return eps * 2, eps", "y = eps\nreturn t, y"),
            ("return eps, eps * 2", "eps.mul_(2)\nreturn t, eps", "return (t, eps) if t else (eps, t)", "t()"),
        ),
        Table(
            ("world_model", "pi", "logprob", "randn_like"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            method(
                "pi(self, t, flag)",
                "return t",
                "eps = torch.randn_like(t)\nreturn math.logprob(eps, t)",
                "return math.logprob(torch.randn_like(t))",
                "eps = torch.randn_like(t) * mask\nreturn math.logprob(eps)",
                "eps = t(flag)\nreturn math.logprob(eps)",
                "eps: object = torch.randn_like(t)\nreturn math.logprob(eps)",
                "y = torch.randn_like(t) * 2\nreturn y",
            ),
            method(
                "pi(self, t, flag)",
                *(
                    f"{code}\nreturn math.logprob(eps)"
                    for code in (
                        "eps = torch.randn_like(t) * 2",
                        "eps = torch.randn_like(t).clamp(-1, 1)",
                        "eps, y = torch.randn_like(t) * 2, t",
                        "eps: object = torch.randn_like(t) + 1",
                        "eps = torch.randn_like(t)\neps = eps + torch.randn_like(t)",
                        "eps = torch.randn_like(t)\neps *= 2",
                        "eps = torch.randn_like(t)\neps.mul_(2)",
                        "eps = torch.randn_like(t)\neps[0] = 0",
                        "t(eps := torch.randn_like(t) * 2)",
                        "x = torch.randn_like(t) * 2\neps = x",
                        "eps = torch.randn_like(t) * 2 if flag else t",
                        "f = torch.randn_like\neps = f(t) * 2",
                        "for eps in (torch.randn_like(t) * 2,):\n    t()",
                    )
                ),
                "return math.logprob(torch.randn_like(t) * 2)",
                "eps = torch.randn_like(t) * 2\nreturn math.logprob(x=eps)",
                "eps = torch.randn_like(t) * 2\nf = math.logprob\nreturn f(eps)",
            ),
        ),
    ],
}
