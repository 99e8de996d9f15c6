"""Where something is called, how often, and under which conditions: tables."""

from __future__ import annotations

from textwrap import indent

import pytest

from relations.table import BINDS, CALLS, SETS, Table, forms, rows, told

TRAINER = """
=== trainer.py
def zero(x):
    x.zero_()
def zero_it(value):
    zero(value)
class Trainer:
    def __init__(self, cfg, env, agent, buffer):
        self.cfg, self.env, self.agent, self.buffer = cfg, env, agent, buffer
    METHODS
"""
LOOP = """
=== trainer.py
class Trainer:
    def train(self, t, flag):
        while self._step <= self.cfg.steps:
            obs, reward, terminated, truncated, info = self.env.step(action)
            done = terminated | truncated
            self._tds[ep_len] = td
            HERE
    def _store(self, t):
        self.buffer.add(t)
    def _spend(self):
        self.agent.update(self.buffer)
"""
SELDOM = "    def _seldom(self, i, flag):\n        if flag:\n            self.buffer.add(i)\n"
EPISODES = "for i in done.nonzero():\n"
UPDATE = (
    "n = int(self._update_tokens)\nfor _ in range(n):\n    self.agent.update(self.buffer)\nself._update_tokens -= n"
)
AGENT = """
=== tdmpc2.py
class TDMPC2:
    METHODS
"""
SCALE = "def update_pi(self, t, flag):\n    {}\n    self.scale.update(t)"
METHODS_OF_SCALE = (
    "self.scale.reset()",
    "y = self.scale.reset()",
    "s = self.scale\ns.reset()",
    "getattr(self, 'scale').reset()",
)


def _in_loop(code: str) -> str:
    return EPISODES + indent(code, "    ")


TABLES = {
    "only_calls": [
        Table(
            ("trainer", "self.agent.update", "where update tokens are spent"),
            LOOP,
            (
                "pass",
                UPDATE,
                "if self._update_tokens >= 1:\n    self.agent.update(self.buffer)",
                "if self._update_tokens >= 1:\n    self._spend()",
                "n = self._update_tokens\nif n >= 1:\n    self.agent.update(self.buffer)",
                "self.agent.act(t)",
                "self.buffer.update(t)",
            ),
            (
                *forms(CALLS, "self.agent.update"),
                "map(self.agent.update, t)",
                "t(self.agent.update)",
                "self._spend()",
                "self.f = self.agent.update",
            ),
        ),
    ],
    "once": [
        Table(
            ("agent", "update", "backward"),
            AGENT,
            (
                "def update(self, t):\n    t.backward()",
                "def update(self, t):\n    for x in t:\n        y = x\n    t.backward()",
                "def update(self, t):\n    self.step(t)\ndef step(self, t):\n    t.backward()",
                "def update(self, t):\n    def inner():\n        t.backward()\n    inner()",
                "def other(self, t):\n    for x in t:\n        x.backward()",
            ),
            tuple(
                "def update(self, t):\n" + indent(code, "    ") + "\ndef step(self, t):\n    t.backward()"
                for code in (
                    "for x in t:\n    x.backward()",
                    "while t:\n    t.backward()",
                    "[x.backward() for x in t]",
                    "for x in t:\n    if x:\n        with x:\n            x.sum().backward()",
                    "for x in t:\n    self.step(x)",
                    "f = t.backward\nfor x in t:\n    f()",
                    "def inner():\n    t.backward()\nfor x in t:\n    inner()",
                    "for x in t:\n    getattr(x, 'backward')()",
                    "for x in t:\n    self.step(t=x)",
                    "for x in t:\n    torch.autograd.backward(x)",
                    "try:\n    for x in t:\n        x.backward()\nfinally:\n    pass",
                    "f = self.step\nfor x in t:\n    f(x)",
                )
            ),
        ),
    ],
    "always": [
        Table(
            ("trainer", "self.buffer.add", "an episode is over"),
            LOOP,
            (
                "pass",
                *map(
                    _in_loop,
                    (
                        "self.buffer.add(t)",
                        "self._store(t)",
                        "if done[i]:\n    self.buffer.add(t)",
                        "with t:\n    self.buffer.add(t)",
                        "try:\n    self.buffer.add(t)\nfinally:\n    pass",
                        "add = self.buffer.add\nadd(t)",
                        "if t > 0:\n    t()\nself.buffer.add(t)",
                    ),
                ),
                "if done.any():\n    for i in done.nonzero():\n        self.buffer.add(t)",
            ),
            (
                *map(
                    _in_loop,
                    (
                        "if flag:\n    self.buffer.add(t)",
                        "if not flag:\n    pass\nelse:\n    self.buffer.add(t)",
                        "if flag:\n    continue\nself.buffer.add(t)",
                        "if flag:\n    t()\n    break\nself.buffer.add(t)",
                        "with t:\n    if flag:\n        continue\nself.buffer.add(t)",
                        "try:\n    t()\nexcept ValueError:\n    self.buffer.add(t)",
                        "match flag:\n    case 1:\n        self.buffer.add(t)",
                        "match flag:\n    case 1:\n        continue\nself.buffer.add(t)",
                        "y = self.buffer.add(t) if flag else 0",
                        "flag and self.buffer.add(t)",
                        "y = flag or self.buffer.add(t)",
                        "while flag:\n    self.buffer.add(t)",
                        "add = self.buffer.add\nif flag:\n    add(t)",
                        "if flag:\n    self._store(t)",
                        "y = [self.buffer.add(t) for y in t if flag]",
                        "def inner():\n    self.buffer.add(t)\nif flag:\n    inner()",
                        "if len(t) > self.cfg.least:\n    if flag:\n        self.buffer.add(t)",
                    ),
                ),
                "if flag:\n    for i in done.nonzero():\n        self.buffer.add(t)",
                "for i in done.nonzero():\n    for j in t:\n        if flag:\n            continue\n        self.buffer.add(t)",
            ),
        ),
        Table(("trainer", "self.buffer.add", "an episode is over"), LOOP + SELDOM, (), ("self._seldom(t, flag)",)),
    ],
    "within": [
        Table(
            ("trainer", "self.buffer.add", "an episode is over"),
            LOOP,
            (
                "pass",
                "self.buffer.add(t)",
                *map(_in_loop, ("self.buffer.add(t)", "self._store(t)", "if flag:\n    self.buffer.add(t)")),
                "for i in range(self.cfg.num_envs):\n    if done[i]:\n        self.buffer.add(t)",
            ),
            (
                "for y in self._pending:\n    self.buffer.add(y)",
                "while self._pending:\n    self.buffer.add(self._pending.pop())",
                "y = [self.buffer.add(z) for z in self._pending]",
                "for y in self._pending:\n    self._store(y)",
                "add = self.buffer.add\nfor y in t:\n    add(y)",
                "for i in done.nonzero():\n    for y in t:\n        self.buffer.add(y)",
                "def inner(y):\n    self.buffer.add(y)\nfor y in t:\n    inner(y)",
            ),
        ),
    ],
    "begun_only": [
        Table(
            ("trainer", "self._tds", "an episode is over"),
            LOOP,
            tuple(
                f"t(self._tds[: ep_len[i] + 1, i])\n{code}"
                for code in (
                    "pass",
                    "ep_len[i] = 0",
                    "ep_len[done] = 0",
                    "ep_len += 1",
                    "ep_len = torch.zeros(self.cfg.num_envs)",
                    "ep_len[done], y = 0, t",
                    "other[flag] = 0",
                    "ep_len.masked_fill_(done, 0)",
                    "ep_len = torch.where(done, 0, ep_len)",
                )
            ),
            (
                *tuple(
                    f"t(self._tds[: ep_len[i] + 1, i])\n{code}"
                    for code in (
                        "ep_len[flag] = 0",
                        "ep_len[flag], y = 0, t",
                        "n = ep_len\nn[flag] = 0",
                        "ep_len.masked_fill_(flag, 0)",
                        "ep_len = torch.where(flag, 0, ep_len)",
                        "ep_len *= flag",
                        "ep_len[flag] *= 0",
                        "if t:\n    ep_len[flag]: int = 0",
                        "for j in t:\n    ep_len[j] = 0",
                        "torch.mul(ep_len, flag, out=ep_len)",
                        "for ep_len[flag] in t:\n    t()",
                        "with t as ep_len[flag]:\n    t()",
                    )
                ),
                "rows = self._tds\nt(rows[: ep_len[i] + 1, i])\nep_len[flag] = 0",
            ),
        ),
    ],
    "only_called_by": [
        Table(
            ("agent", "forward", "plan"),
            AGENT
            + "    def forward(self):\n        return self.plan(1)\n    def plan(self, t):\n        return t\n=== other.py\nclass Other:\n    def go(self):\n        self.plan()\n    def plan(self):\n        pass\n",
            (
                "pass",
                "y = self.forward(t)",
                "self.plan = torch.compile(self.plan)",
                "y = self.cfg.plan",
                "plan = t\nplan(1)",
            ),
            (
                *forms(CALLS, "self.plan"),
                "map(self.plan, t)",
                "pass\n=== third.py\ny = agent.plan(x)",
                "pass\n=== third.py\nf = agent.plan\nf(x)",
                "pass\n=== third.py\ny = getattr(agent, 'plan')(x)",
                "pass\n=== third.py\nclass Mine(TDMPC2):\n    def act(self):\n        return self.plan(1)",
                "pass\n=== third.py\ny = [a.plan(x) for a in agents]",
            ),
        ),
    ],
    "only_named_in": [
        Table(
            ("dist", "math"),
            "=== common/math.py\ndef dist(x):\n    return x\ny = dist(1)\n=== other.py\nHERE\n",
            ("pass", "from math import dist", "other(1)", "isinstance(x, dist)", "x.dist = 1"),
            (
                "dist(1)",
                "math.dist(1)",
                "from math import dist as d\nd(1)",
                "f = math.dist\nf(1)",
                "getattr(math, 'dist')(1)",
                "map(dist, x)",
                "class A(dist):\n    pass",
                "@dist\ndef f():\n    pass",
                "y = [dist(z) for z in x]",
                "y = dist if x else 1",
                "f = lambda: dist(1)",
            ),
        ),
    ],
    "asks_only": [
        Table(
            ("trainer", "self.env", "eval_mode", "reset", "step"),
            TRAINER,
            (
                *tuple(
                    f"self.agent(t, eval_mode=True)\n{code}"
                    for code in (
                        "pass",
                        "y = self.env.reset()",
                        "env = self.env\nenv.step(t)",
                        "y = self.other.seed(1)",
                        "f = self.env.step\nf(t)",
                    )
                ),
                "self.env.seed(1)",
            ),
            tuple(
                f"self.agent(t, eval_mode=True)\n{code}"
                for code in (
                    "self.env.seed(1)",
                    "t(self.env.mode)",
                    "self.env.mode = t",
                    "env = self.env\nenv.seed(1)",
                    "env, y = self.env, t\nenv.seed(1)",
                    "with self.env.testing():\n    t()",
                    "getattr(self.env, 'seed')(1)",
                    "setattr(self.env, 'mode', t)",
                    "randomise(self.env)",
                    "randomise(env=self.env)",
                    "y = [env.seed(1) for env in (self.env,)]",
                    "getattr(self, 'env').seed(1)",
                    "self.env.mode += 1",
                    "del self.env.mode",
                    "for y in self.env:\n    t()",
                )
            ),
        ),
    ],
    "made_once": [
        Table(
            ("layers", "deepcopy", "online"),
            "=== common/layers.py\nfrom copy import deepcopy\nimport copy as c\ntarget = deepcopy(self.online)\nHERE\n",
            ("pass", "y = deepcopy(x)", "y = copy(self.online)", "y = self.online.clone()"),
            (
                "y = deepcopy(self.online)",
                "y = c.deepcopy(self.online)",
                "y, z = deepcopy(self.online), 1",
                "y: object = deepcopy(online)",
                "f = deepcopy\ny = f(self.online)",
                "from copy import deepcopy as d\ny = d(self.online)",
                "y = [deepcopy(self.online) for _ in x]",
                "o = self.online\ny = deepcopy(o)",
                "y = deepcopy(x=self.online)",
                "q = QEnsemble()\ny = deepcopy(q)",
                "q: object = QEnsemble()\ny = deepcopy(q)",
                "y = deepcopy(getattr(self, 'online'))",
                "def f():\n    return deepcopy(self.online)",
            ),
        ),
    ],
    "once_a_turn": [
        Table(
            ("trainer", "kept first"),
            "=== trainer.py\nclass Trainer:\n    def train(self, t, flag):\n        while self._step <= self.cfg.steps:\n            HERE\n    def _begin(self, obs):\n        self._tds[0] = self.to_td(obs)\n",
            ("pass", "self._tds[0] = self.to_td(t)", "self._begin(t)", "self._tds[0] = t"),
            (
                "self._tds[0] = self.to_td(t)\nself._tds[1] = self.to_td(t)",
                "if flag:\n    self._tds[0] = self.to_td(t)\nelse:\n    self._tds[0] = self.to_td(t)",
                "self._begin(t)\nself._begin(flag)",
                "self._tds[0] = self.to_td(t)\nself._begin(t)",
                "self._tds[0]: object = self.to_td(t)\nwith t:\n    self._tds[0] = self.to_td(t)",
                "f = self._begin\nf(t)\nself._begin(t)",
            ),
        ),
        Table(
            ("trainer", "kept first"),
            TRAINER,
            ("for _ in t:\n    self._tds[0] = self.to_td(t)",),
            ("for _ in t:\n    self._tds[0] = self.to_td(t)\n    self._tds[0] = self.to_td(flag)",),
        ),
    ],
    "decided_once": [
        Table(
            ("trainer", "self.env.rand_act"),
            TRAINER,
            (
                *tuple(
                    f"use = t\n{code}"
                    for code in (
                        "if use:\n    y = self.env.rand_act()",
                        "if not use:\n    other = 1\n    y = self.env.rand_act()",
                        "y = self.env.rand_act()",
                    )
                ),
                "if self.cfg.use:\n    self.env.rand_act()",
            ),
            (
                *tuple(
                    f"x = flag\n{code}\nif x:\n    y = self.env.rand_act()" for code in forms(BINDS, "x", but=("del",))
                ),
                "x = t\nx &= flag\ny = self.env.rand_act() if x else 0",
                "x = t\nx = flag\nmatch x:\n    case 1:\n        y = self.env.rand_act()",
                "x = t\nx = flag\ny = x and self.env.rand_act()",
                "x = t\nx[0] = flag\nf = self.env.rand_act\nif x:\n    y = f()",
                "x = t\nwhile (x := flag):\n    y = self.env.rand_act()",
            ),
        ),
    ],
    "trains_once_nowhere": [
        Table(
            ("trainer", "self.agent", "self._update_tokens"),
            LOOP,
            (
                "pass",
                UPDATE,
                "if self._step == 10:\n    self.agent.save(t)",
                "if self._step > 10:\n    self.agent.update(t)",
                "if self._step == 0:\n    y = t",
            ),
            (
                *(f"if self._step == 10:\n{indent(code, '    ')}" for code in forms(CALLS, "self.agent.update")),
                "if self._step == 10:\n    self._spend()",
                "if self._step == 10:\n    self._update_tokens += 5",
                "if self._step == 10:\n    setattr(self, '_update_tokens', 5)",
                "if self._step == 10:\n    y, self._update_tokens = t, 5",
                "first = self._step == 10\nif first:\n    self.agent.update(t)",
                "first, y = self._step == 10, t\nif first:\n    self.agent.update(t)",
                "if not self._done:\n    self._done = True\n    self.agent.update(t)",
                "if not self._done:\n    self._done, y = True, t\n    self.agent.update(t)",
                "y = self.agent.update(t) if self._step == 10 else 0",
                "if self._step == 10:\n    y = fit(self.agent)",
                "agent = self.agent\nif self._step == 10:\n    fit(agent)",
                "n = 1\nif self._step == 10:\n    n = 5\nfor _ in range(n):\n    self.agent.update(t)",
            ),
        ),
    ],
    "nothing_else_with": [
        Table(
            ("agent", "update_pi", "self.scale", "update"),
            AGENT,
            (
                *tuple(
                    map(
                        SCALE.format,
                        (
                            "pass",
                            "y = self.scale(t)",
                            "y = self.scale.value.mean()",
                            "y = self.other.reset()",
                            "with t:\n        self.scale.update(t)",
                        ),
                    )
                ),
                "self.scale.reset()",
            ),
            tuple(
                "def update_pi(self, t, flag):\n" + indent(f"{code}\nself.scale.update(t)", "    ")
                for code in (
                    *forms(SETS, "self.scale.value"),
                    *forms(SETS, "self.scale"),
                    *forms(BINDS, "self.scale.value", but=("del",)),
                    *METHODS_OF_SCALE,
                    "self.scale.value.mul_(2)",
                    "fit(self.scale)",
                    "fit(t=self.scale)",
                    "y = [fit(s) for s in (self.scale,)]",
                    "if self.scale.reset():\n    t()",
                    "self.scale.value[0] = t",
                )
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
