"""What is called, and by whom."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, CALLS, SETS, Table, forms
from relations.trees import AGENT, LOOP, TRAINER

UPDATE = (
    "n = int(self._update_tokens)\nfor _ in range(n):\n    self.agent.update(self.buffer)\nself._update_tokens -= n"
)
SCALE = "def update_pi(self, t, flag):\n    {}\n    self.scale.update(t)"
METHODS_OF_SCALE = (
    "self.scale.reset()",
    "y = self.scale.reset()",
    "s = self.scale\ns.reset()",
    "getattr(self, 'scale').reset()",
)


def repeated(*counts: tuple[str, str]) -> tuple[str, ...]:
    """Loops that train, by what stands before and how often they go round."""
    loop = "{}self._update_tokens -= 1\nfor _ in range({}):\n    self.agent.update(t)"
    return tuple(loop.format(*count) for count in counts)


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
    "called_before": [
        Table(
            ("agent", "self.scale.update", "self.scale"),
            AGENT,
            (
                "def loss(self, t):\n    self.scale.update(t)\n    return self.scale(t)",
                "def loss(self, t):\n    return self.scale(t)",
                "def step(self, t):\n    self.scale.update(t)",
                "def loss(self, t):\n    return self.scale(t)\ndef step(self, t):\n    self.scale.update(t)",
            ),
            tuple(
                "def loss(self, t, flag):\n    y = self.scale(t)\n" + indent(code, "    ") + "\n    return y"
                for code in forms(CALLS, "self.scale.update")
            ),
        ),
    ],
    "ends_after": [
        Table(
            ("agent", "update", "backward"),
            AGENT,
            (
                "def update(self, t):\n    t.backward()\n    return t",
                "def update(self, t):\n    if t:\n        t.backward()\n    return t",
                "def update(self, t):\n    def size(x):\n        return x.sum()\n    size(t).backward()\n    return t",
                "def update(self, t):\n    return self.step(t)\ndef step(self, t):\n    t.backward()",
                "def update(self, t):\n    return t",
            ),
            tuple(
                "def update(self, t):\n" + indent(code, "    ") + "\ndef step(self, t):\n    t.backward()"
                for code in (
                    "if self.n < 3:\n    return {}\nt.backward()",
                    "if self.n < 3:\n    return {}\nreturn self.step(t)",
                    "for x in t:\n    if x is None:\n        return None\nself.step(t)",
                    "try:\n    t.check()\nexcept ValueError:\n    return None\nt.backward()",
                )
            ),
        ),
    ],
    "handed_only_to": [
        Table(
            ("agent", "loss", "compile"),
            AGENT,
            tuple(
                f"def __init__(self, t):\n    {code}\ndef _loss(self, x):\n    return x"
                for code in (
                    "self.loss = torch.compile(self._loss)",
                    "self._maybe_compile(self._loss)",
                    "t(self._loss(3))",
                )
            ),
            tuple(
                f"def __init__(self, t):\n    {code}\ndef _loss(self, x):\n    return x"
                for code in (
                    "self.loss = partial(checkpoint, self._loss)",
                    "t(3, function=self._loss)",
                    "self.loss = torch.compile(self._loss)\n    t(self.loss, 3)",
                )
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
    "only_called_by": [
        Table(
            ("agent", "forward", "plan"),
            AGENT
            + "    def forward(self):\n        return self.plan(1)\n    def plan(self, t):\n"
            + "        return t\n=== other.py\nclass Other:\n    def go(self):\n        self.plan()\n"
            + "    def plan(self):\n        pass\n",
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
                "y = deepcopy(self.target)",
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
    "same_for_all_episodes": [
        Table(
            ("trainer", "to_td"),
            "=== trainer.py\nclass Trainer:\n    def to_td(self, obs):\n        return obs + self._bias - self._tasks\n"
            "    def train(self):\n        obs, r, terminated, truncated, info = self.env.step(a)\n"
            "        self._done = terminated | truncated\n        HERE\n",
            (
                "pass",
                "self._other[self._done] = t",
                "self._bias = t",
                "self._bias[0] = t",
                "self._count = torch.where(self._done, 0, self._count)",
            ),
            (
                "self._bias[self._done] = t",
                "for i in self._done.nonzero():\n            self._tasks[self._done] += 1",
                "self._bias = torch.where(self._done, t, self._bias)",
            ),
        ),
    ],
    "repeated_by": [
        Table(
            ("trainer", "self.agent.update", "self._update_tokens"),
            LOOP,
            (
                "for _ in range(self.cfg.demo_steps):\n    self.agent.update(t)",
                "for _ in range(3):\n    self.agent.update(t)\nwhile flag:\n    self._update_tokens += 1",
                *repeated(
                    ("", "int(self._update_tokens)"),
                    ("n = int(self._update_tokens)\n", "n"),
                    ("n = max(1, int(self._update_tokens))\n", "n"),
                    ("n = min(int(self._update_tokens), self.cfg.most)\n", "n"),
                    ("n, self._update_tokens = divmod(self._update_tokens, 1.0)\n", "int(n)"),
                ),
            ),
            repeated(
                ("", "5"),
                ("n = 5000 if flag else int(self._update_tokens)\n", "n"),
                ("n = int(self._update_tokens)\nif flag:\n    n = 5000\n", "n"),
                ("", "self.first or int(self._update_tokens)"),
                ("n = self.cfg.most\n", "n"),
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
                f"{UPDATE}\nself._update_tokens -= 1\nif self._updates >= 5:\n    self.agent.reset_heads()",
                f"{UPDATE}\nself._update_tokens -= 1\nif self._updates % 5 == 0:\n    self.agent.reset_heads()",
            ),
        ),
    ],
}
