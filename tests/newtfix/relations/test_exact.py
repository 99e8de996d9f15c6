"""Whether a method does just what a patch takes it to do: tables."""

from __future__ import annotations

from textwrap import indent

import pytest

from relations.table import BINDS, CALLS, CHANGES, DIVIDES, SETS, Table, forms, rows, told

TRAINER = """
=== trainer.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
class Trainer:
    METHODS
"""
AGENT = """
=== tdmpc2.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
class TDMPC2:
    METHODS
"""
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


def _method(header: str, *codes: str) -> tuple[str, ...]:
    return tuple(f"def {header}:\n{indent(code, '    ')}" for code in codes)


TABLES = {
    "cut_only": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "t(self._tds[:3, 1])",
                "t(self._tds['obs'])",
                "self._tds[t] = flag",
                "t(self._tds.shape)",
                "rows = self._tds\nt(rows[:3, 1])",
                "t(self.other[3])",
            ),
            (
                "t(self._tds[3])",
                "t(self._tds[t, 1])",
                "t(self._tds[3].sum())",
                "rows = self._tds\nt(rows[3])",
                "t((rows := self._tds)[3])",
                "t(getattr(self, '_tds')[3])",
                "for row in self._tds:\n    t(row)",
                "for i, row in enumerate(self._tds):\n    t(row)",
                "t([row for row in self._tds])",
                "t(self._tds.mean(1))",
                "t(self._tds)",
                "rows, y = self._tds, t\nt(rows[3], y)",
                "t(self._tds.unbind(0))",
            ),
        ),
    ],
    "decided_by": [
        Table(
            ("agent", "forward", "mpc", "self.cfg.mpc"),
            AGENT,
            _method(
                "forward(self, t, mpc=None, flag=0)",
                "t(mpc)",
                "mpc = self.cfg.mpc if mpc is None else mpc\nt(mpc)",
                "use = flag\nt(use, mpc)",
                "if mpc is None:\n    mpc = self.cfg.mpc\nt(mpc)",
                "mpc: bool = self.cfg.mpc\nt(mpc)",
            ),
            _method(
                "forward(self, t, mpc=None, flag=0)",
                *(f"{code}\nt(mpc)" for code in (*forms(BINDS, "mpc", but=("del",)), *forms(CHANGES, "mpc"))),
            ),
        ),
    ],
    "only_of": [
        Table(
            ("agent", "forward", "pi", "self.model"),
            AGENT,
            _method(
                "forward(self, t, flag)",
                "t(self.model.pi(1))",
                "model = self.model\nt(model.pi(1))",
                "f = self.model.pi\nt(f(1))",
                "t(self.teacher.other(1))",
                "t(getattr(self, 'model').pi(1))",
            ),
            _method(
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
            ("return t", "return start + end", "e = end\nreturn e", "return other(end)"),
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
            ),
        ),
    ],
    "summed_only": [
        Table(
            ("agent", "gaussian_logprob"),
            AGENT,
            (
                *tuple(
                    f"p = math.gaussian_logprob(t)\n{code}"
                    for code in (
                        "return p",
                        "return p.sum(-1)",
                        "return p.mean()",
                        "return p / 2",
                        "return t / flag + p",
                        "return p * mask",
                        "return torch.mean(p)",
                    )
                ),
                "return math.gaussian_logprob(t)",
                "return math.gaussian_logprob(t) * mask",
                "return t / flag",
            ),
            (
                *(f"p = math.gaussian_logprob(t)\n{code}\nt(y, z)" for code in forms(DIVIDES, "p")),
                "p = math.gaussian_logprob(t)\nt(p.mean(-1))",
                "p = math.gaussian_logprob(t)\nt(p.mean(dim=-1))",
                "p = math.gaussian_logprob(t)\nt(torch.mean(p, -1))",
                "p = math.gaussian_logprob(t)\nt(torch.nanmean(p, dim=-1))",
                "p = math.gaussian_logprob(t)\np /= flag\nt(p)",
                "t(math.gaussian_logprob(t) / flag)",
                "t(math.gaussian_logprob(t) * flag)",
                "p, y = math.gaussian_logprob(t), t\nt(p / flag)",
                "p: object = math.gaussian_logprob(t)\nt(p / flag)",
                "if (p := math.gaussian_logprob(t)) is not None:\n    t(p / flag)",
                "t([p / flag for p in (math.gaussian_logprob(t),)])",
                "p = math.gaussian_logprob(t)\nq = p\nt(q.mean(-1))",
            ),
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
    "taken_together": [
        Table(
            ("_Qs", "QEnsemble"),
            "=== common/layers.py\nclass QEnsemble:\n    def f(self):\n        return [q.parameters() for q in self._Qs]\n=== other.py\nHERE\n",
            (
                "pass",
                "x = m._Qs.parameters()",
                "x = [q(1) for q in m._Qs]",
                "x = m._Qs.online.parameters()",
                "for q in m.others:\n    x = q.parameters()",
                "x = m._Qs[0](1)",
            ),
            (
                "x = m._Qs[0].parameters()",
                "for q in m._Qs:\n    x = q.parameters()",
                "for i, q in enumerate(m._Qs):\n    x = q.parameters()",
                "for q, y in zip(m._Qs, z):\n    x = q.state_dict()",
                "x = [q.parameters() for q in m._Qs]",
                "q = m._Qs[0]\nx = q.parameters()",
                "qs = m._Qs\nx = qs[0].parameters()",
                "q, y = m._Qs[0], 1\nx = q.parameters()",
                "m._Qs[0] = x",
                "m._Qs[0], y = x, 1",
                "qs = m._Qs\nqs[0] = x",
                "m._Qs[0][1].load_state_dict(x)",
                "f = m._Qs[0].parameters\nx = f()",
                "x = getattr(m, '_Qs')[0].parameters()",
                "for m._Qs[0] in x:\n    x()",
                "with x as m._Qs[0]:\n    x()",
                "del m._Qs[0]",
            ),
        ),
    ],
    "divided_only_by": [
        Table(
            ("agent", "loss", "y_loss", "z_loss", "horizon"),
            AGENT,
            (
                "pass",
                "loss = t",
                "loss = t / self.cfg.horizon",
                "loss /= self.cfg.horizon",
                "other = t / 2",
                "loss = t.mean(0)",
                "loss = t * flag",
                "return t / 2",
            ),
            (
                "loss = t / 2",
                "loss /= 2",
                "loss *= 1 / t",
                "loss, y = t / flag, 1",
                "loss: object = t / flag",
                "loss = torch.div(t, flag)",
                "loss = t.div(flag)",
                "loss.div_(flag)",
                "loss = t * (1 / flag)",
                "loss += t / flag",
                "if (loss := t / flag) > 0:\n    t(loss)",
                "y = loss / flag",
                "x = loss\ny = x / flag",
                "y_loss = sum(x / flag for x in t)",
                "t(z_loss.div(flag))",
                "return {'loss': loss / flag}",
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
                "t(self.other(t))",
                "t(self.scale.value)",
            ),
            forms(CALLS, "self.scale"),
        ),
    ],
    "reached": [
        Table(
            ("agent", "update_pi", "self.scale.update", "maxq"),
            AGENT
            + "    def _scale(self, t):\n        self.scale.update(t)\n    def _maybe(self, t):\n        if t:\n            return\n        self.scale.update(t)\n",
            _method(
                "update_pi(self, t, flag, maxq)",
                "self.scale.update(t)",
                "if maxq:\n    self.scale.update(t)",
                "with t:\n    self.scale.update(t)",
                "f = self.scale.update\nf(t)",
                "self._scale(t)",
                "self.scale.update(t)\nif flag:\n    return t",
                "try:\n    self.scale.update(t)\nfinally:\n    t()",
            ),
            _method(
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
            "=== common/layers.py\nclass QEnsemble:\n    def __init__(self, t, flag):\n        self.f = torch.compile(self._impl)\n        HERE\n",
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
    ],
    "only_checks": [
        Table(
            ("trainer", "_check"),
            TRAINER,
            (
                "pass",
                *_method(
                    "_check(self, t)",
                    "if t:\n    raise ValueError",
                    "'''Words.'''\nif t.any():\n    raise ValueError(t)",
                ),
            ),
            _method(
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
            ),
        ),
    ],
    "adds_nothing": [
        Table(
            ("agent", "_td_target", "self.model.Q"),
            AGENT,
            _method(
                "_td_target(self, t, flag)",
                "return self.model.Q(t)",
                "q = self.model.Q(t)\nreturn t + flag * q",
                "q = t + 1\nreturn self.model.Q(q)",
                "q = self.other(t)\nreturn q + 1",
            ),
            _method(
                "_td_target(self, t, flag)",
                "q = self.model.Q(t)\nreturn q + t",
                "return self.model.Q(t) - t",
                "return t + self.model.Q(t)",
                "q = self.model.Q(t)\nq += t\nreturn q",
                "q = self.model.Q(t)\nq.add_(t)\nreturn q",
                "q = self.model.Q(t)\nreturn q.sub(t)",
                "q = self.model.Q(t)\nreturn torch.add(t, q)",
                "q = self.model.Q(t)\nreturn torch.add(input=q, other=t)",
                "q, y = self.model.Q(t), flag\nreturn q + y",
                "q: object = self.model.Q(t)\nreturn q + t",
                "if (q := self.model.Q(t)) is not None:\n    return q + t",
                "f = self.model.Q\nq = f(t)\nreturn q + t",
                "m = self.model\nreturn m.Q(t) + t",
                "q = self.model.Q(t)\np = q\nreturn p + t",
                "return [q + t for q in (self.model.Q(t),)]",
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
            ),
        ),
    ],
}


@pytest.mark.parametrize(("relation", "table", "row"), rows(TABLES, holds=True))
def test_it_holds(relation: str, table: Table, row: str) -> None:
    assert told(relation, table, row) == ""


@pytest.mark.parametrize(("relation", "table", "row"), rows(TABLES, holds=False))
def test_it_is_broken(relation: str, table: Table, row: str) -> None:
    assert told(relation, table, row)
