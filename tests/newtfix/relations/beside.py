"""What methods do beside what a patch knows of them."""

from __future__ import annotations

from textwrap import indent

from relations.table import Table, method
from relations.trees import AGENT, BUFFER, SCRIPT, TRAINER

LAYERS = """
=== common/layers.py
class QEnsemble:
    METHODS
"""
UPDATE = "def update(self, t):\n    {}\ndef count(self):\n    self.n += 1"
FORWARD = "def forward(self, x):\n    return x / self.value"


def scale(update: str, other: str = FORWARD) -> str:
    return f"class Scale:\n{indent(method('update(self, x)', update)[0], '    ')}\n{indent(other, '    ')}"


TABLES = {
    "independent": [
        Table(
            ("buffer", "add"),
            BUFFER,
            (
                *method(
                    "add(self, t, flag)",
                    "self.n += 1",
                    "if self.n == 0:\n    t()\nself.n += 1",
                    "if self.n == 0 and flag:\n    t()\nself.n += 1",
                    "self.n += 1\nif flag:\n    t()",
                    "n = self.n\nif n == 0:\n    t()\nself.n += 1",
                ),
            ),
            method(
                "add(self, t, flag)",
                *(
                    f"self.n += 1\n{code}"
                    for code in (
                        "if self.n > 3:\n    t()",
                        "if self.n % 2 == 0:\n    t()",
                        "if flag and self.n > 3:\n    t()",
                        "y = t() if self.n > 3 else 0\nt(y)",
                        "while self.n > 3:\n    t()",
                        "n = self.n\nif n > 3:\n    t()",
                        "if getattr(self, 'n') > 3:\n    t()",
                        "if (n := self.n) > 3:\n    t(n)",
                        "if self.n:\n    t()",
                    )
                ),
                "self.n = self.n + 1\nif self.n > 3:\n    t()",
                "self.n, y = self.n + 1, t\nif self.n > 3:\n    t(y)",
            ),
        ),
        Table(
            ("agent", "update"),
            AGENT,
            (
                UPDATE.format("return t"),
                UPDATE.format("if self.n == 0:\n        t()"),
                UPDATE.format("self.seen += 1\n    return t"),
                UPDATE.format("if self.cfg.many:\n        t()"),
                UPDATE.format("return min(t, self.cfg.n)"),
                UPDATE.format("self.n = min(self.n + 1, 9)"),
            ),
            (
                UPDATE.format("if self.n > 3:\n        t()"),
                UPDATE.format("y = t if self.n else 0"),
                UPDATE.format("return self.n % 3"),
                UPDATE.format("return min(1, self.n)"),
                UPDATE.format("if not self.fitted:\n        self.fitted = True"),
                UPDATE.format("return t * (self.n / 10)"),
            ),
        ),
    ],
    "subtracted": [
        Table(
            ("agent", "pi_loss", "entropy_coef"),
            AGENT,
            (
                "def _pi_loss(self, info, qs):\n    return -self.cfg.entropy_coef * info['entropy'] - qs",
                "def _pi_loss(self, info, qs):\n    return -(self.cfg.entropy_coef * info['entropy'] + qs)",
                "def _pi_loss(self, info, qs):\n    return self.cfg.entropy_coef * info['log_pi'] - qs",
                "def other(self, info, qs):\n    return self.cfg.entropy_coef * info['entropy'] - qs",
            ),
            (
                "def _pi_loss(self, info, qs):\n    return self.cfg.entropy_coef * info['entropy'] - qs",
                "def _pi_loss(self, info, qs):\n    return qs - (-self.cfg.entropy_coef * info['entropy'])",
            ),
        ),
    ],
    "plain_value": [
        Table(
            ("Scale", "self.value"),
            SCRIPT,
            ("class Scale:\n    def use(self, x):\n        return x / self.value", "y = self.value.exp()"),
            (
                "class Scale:\n    def use(self, x):\n        return x / self.value.exp()",
                "class Scale:\n    def use(self, x):\n        return x * self.value.reciprocal()",
            ),
        ),
    ],
    "reads_what_it_sets": [
        Table(
            ("Scale", "update", "forward", "__call__"),
            SCRIPT,
            (
                scale("self.value = x"),
                scale("self.value.lerp_(x, 0.1)"),
                scale("self.value[0] = x"),
                scale("value = self.value\nvalue.mul_(x)"),
                scale("self.value = x", "def __call__(self, x):\n    return x / self.value"),
                scale("self._set(x)", f"{FORWARD}\ndef _set(self, x):\n    self.value = x"),
                scale("self._value = x", f"{FORWARD}\n@property\ndef value(self):\n    return self._value"),
                scale("self.later = x", "def show(self, x):\n    return x / self.value"),
            ),
            (
                scale("self.later = self.value.lerp(x, 0.1)"),
                scale("self.pending.append(x)"),
                scale("self.value.lerp(x, 0.1)"),
            ),
        ),
    ],
    "read_by_none": [
        Table(
            ("burst_updates", "_burst", "_due"),
            TRAINER,
            (
                "def _burst(self):\n    return self.cfg.burst_updates",
                "def train(self):\n    self._due = self.cfg.burst_updates != 0",
                "pass",
            ),
            (
                "def train(self):\n    return min(3, self.cfg.burst_updates)",
                "def train(self):\n    for _ in range(self.cfg.burst_updates):\n        pass",
            ),
        ),
    ],
    "made_by_library": [
        Table(
            ("trainer", "self._tds"),
            "=== trainer.py\nclass Rows:\n    pass\nclass Trainer:\n    METHODS\n",
            ("self._tds = TensorDict(t)", "self._tds = None", "self.other = Rows()"),
            ("self._tds = Rows()", "self.x = self._tds = Rows(t)", "self._tds: object = Rows()"),
        ),
    ],
    "leaves_no_trace": [
        Table(
            ("trainer", "to_td"),
            TRAINER,
            ("def to_td(self, obs):\n    return obs", "def to_td(self, obs):\n    y = obs\n    y += 1\n    return y"),
            (
                "def to_td(self, obs):\n    self.n += 1\n    return obs",
                "def to_td(self, obs):\n    self.seen[0] = obs\n    return obs",
                "def to_td(self, obs):\n    self.seen.index_add_(0, obs, obs)\n    return obs",
                "def to_td(self, obs):\n    return self.b(obs)\ndef b(self, x):\n    self.n += 1\n    return x",
                "def to_td(self, obs):\n    self.seen.update(obs)\n    return obs",
            ),
        ),
        Table(
            ("trainer", "to_td", "self.n", "b"),
            TRAINER,
            (
                "def to_td(self, obs):\n    self.n += 1\n    return self.b(obs)\ndef b(self, x):\n    self.m = x",
                "def to_td(self, obs):\n    seen = {}\n    seen.update(obs)\n    return self.model.encode(obs)",
            ),
            ("def to_td(self, obs):\n    self.m += 1\n    return self.b(obs)\ndef b(self, x):\n    return x",),
        ),
    ],
    "holds_only": [
        Table(
            ("layers", "QEnsemble", "self._Qs"),
            LAYERS,
            ("self._Qs = nn.ModuleList(t)", "self.n = len(t)", "head = nn.Linear(1, 1)"),
            ("self.trunk = NormedLinear(1, 1)", "self.head: object = nn.Linear(1, 1)"),
        ),
    ],
    "not_set_by_name": [
        Table(
            ("layers", "QEnsemble", "_impl"),
            f"{LAYERS}=== other.py\nEND\n".replace("END", "pass"),
            ("self._forward = self._impl", "return self._impl(t)"),
            (
                "self._impl = t",
                "setattr(self, '_impl', t)",
                "pass=== common/world_model.py\nmodel.target._forward = compiled(model.online._impl)\n",
                "pass=== common/world_model.py\ngetattr(model.online, '_impl')(3)\n",
            ),
        ),
    ],
    "asks_for_none": [
        Table(
            ("agent", "forward", "plan", "self.model.Q"),
            AGENT,
            (
                "def forward(self, t):\n    return self.model.pi(t)",
                "def other(self, t):\n    return self.model.Q(t)",
                "def forward(self, t):\n    return self.plan(t)\ndef plan(self, t):\n    return self.model.Q(t)",
                "def forward(self, t):\n    return self.act(t)\ndef act(self, t):\n    return self.forward(t)",
            ),
            (
                "def forward(self, t):\n    return self.model.Q(t)",
                "def forward(self, t):\n    return self.act(t)\ndef act(self, t):\n    return self.model.Q(t)",
            ),
        ),
    ],
    "stepped_at_one_place": [
        Table(
            ("trainer", "self.env.step", "eval"),
            TRAINER,
            (
                "self.env.step(t)",
                "def train(self):\n    self.env.step(1)\ndef eval(self):\n    self.env.step(2)",
            ),
            (
                "self.env.step(t)\nself.env.step(flag)",
                "def train(self):\n    self.env.step(1)\ndef warm_up(self):\n    self.env.step(2)",
                "step = self.env.step\nstep(t)\nself.env.step(flag)",
            ),
        ),
    ],
    "undecorated": [
        Table(
            ("math", "interp_dist"),
            "=== common/math.py\ndef lasting(f):\n    return f\nHERE\n",
            ("def interp_dist(x):\n    return x", "@torch.no_grad()\ndef interp_dist(x):\n    return x"),
            (
                "@lasting\ndef interp_dist(x):\n    return x",
                "@lasting()\ndef interp_dist(x):\n    return x",
            ),
        ),
    ],
    "never_added": [
        Table(
            ("start", "final"),
            SCRIPT,
            ("y = cfg.final - cfg.start", "y = cfg.start + 1"),
            ("y = cfg.start + cfg.final", "if step < cfg.final + cfg.start:\n    pass"),
        ),
    ],
    "keeps_first": [
        Table(
            ("world_model", "squash"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            ("y, z = math.squash(t, flag)", "y, _ = squash(t, flag)", "y = math.squash(t)"),
            ("_, y = math.squash(t, flag)", "_mean, y = squash(t, flag)"),
        ),
    ],
    "not_spread": [
        Table(
            ("sample", "buffer"),
            f"=== common/buffer.py\nclass Buffer:\n    def go(self):\n        return t(*self.sample())\n{SCRIPT}",
            ("a, b = buffer.sample()", "t(buffer.sample())"),
            ("t(*buffer.sample())", "a, *b = [*buffer.sample()]"),
        ),
    ],
    "computes_plainly": [
        Table(
            ("world_model", "Q"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "def Q(self, z):\n    return z.mean(0)",
                "def Q(self, z):\n    return z / self.cfg.num_q",
                "def other(self, z):\n    return z / self.scale",
            ),
            ("def Q(self, z):\n    return z / self.scale", "def Q(self, z):\n    return self.scale * z"),
        ),
    ],
    "not_a_logarithm": [
        Table(
            ("world_model", "log_std"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            ("log_std = math.log_std(t, 1, 2)", "y = t.log()"),
            ("log_std = t.log()", "log_std: object = torch.log(t)"),
        ),
    ],
    "alone_in_loop": [
        Table(
            ("trainer", "self.agent.update", "self.agent"),
            "=== trainer.py\nclass Trainer:\n    def train(self, t, flag):\n        while flag:\n            HERE\n",
            (
                "for _ in t:\n    self.agent.update(t)",
                "self.agent.update(t)",
                "self.agent.save(t)\nfor _ in t:\n    y = self.agent.update(t)",
            ),
            (
                "for _ in t:\n    self.agent.update(t)\n    self.agent.model.follow()",
                "while t:\n    if flag:\n        self.agent.other()\n    self.agent.update(t)",
            ),
        ),
        Table(
            ("trainer", "self.agent.update", "self.agent"),
            "=== trainer.py\nclass Trainer:\n    def __init__(self, agent, t):\n        self.mean = Mean(agent.model)\n"
            "        self.seen = Counter(t)\n    def train(self, t, flag):\n        while flag:\n            HERE\n",
            (
                "for _ in t:\n    y = self.agent.update(t)\n    y.update(t)",
                "for _ in range(t):\n    self.seen.update(self.agent.update(t))",
                "for _ in t:\n    self.agent.update(t)\nself.mean.step()",
            ),
            ("for _ in t:\n    self.agent.update(t)\n    self.mean.step()",),
        ),
    ],
    "drops_first": [
        Table(
            ("layers",),
            LAYERS,
            ("return self.ln(self.dropout(t))", "return self.dropout(self.linear(t))"),
            ("return self.dropout(torch.relu(t))", "return self.dropout(self.ln(t))"),
        ),
    ],
    "made_of": [
        Table(
            ("layers", "QEnsemble", "self._Qs", "mlp"),
            LAYERS,
            (
                "self._Qs = nn.ModuleList([mlp(t) for _ in flag])",
                "self._Qs = nn.ModuleList(layers.mlp(t) for _ in t)",
                "make = partial(mlp, t)\nself._Qs = nn.ModuleList([make() for _ in flag])",
                "networks = []\nfor _ in t:\n    networks.append(mlp(t))\nself._Qs = nn.ModuleList(networks)",
                "def b(self):\n    self._Qs = nn.ModuleList([self.one() for _ in t])\ndef one(self):\n    return mlp()",
            ),
            (
                "self._Qs = nn.ModuleList([WithPrior(t) for _ in flag])",
                "make = partial(WithPrior, t)\nself._Qs = nn.ModuleList([make() for _ in flag])",
                "networks = []\nfor _ in t:\n    networks.append(WithPrior(t))\nself._Qs = nn.ModuleList(networks)",
            ),
        ),
        Table(
            ("layers", "QEnsemble", "self._Qs", "mlp"),
            LAYERS + "def one(t):\n    HERE\nclass QEnsemble:\n"
            "    def __init__(self, t):\n        self._Qs = nn.ModuleList([one(t) for _ in t])\n",
            ("return mlp(t)",),
            ("return WithPrior(mlp(t))",),
        ),
    ],
    "only_compared": [
        Table(
            ("trainer", "seeding_coef"),
            TRAINER,
            (
                "self.n = self.cfg.seeding_coef * t\nif self._step >= self.n:\n    t()",
                "self.n = self.cfg.other\nreturn t / self.n",
            ),
            ("self.n = self.cfg.seeding_coef * t\nreturn flag / self.n", "self.n = self.cfg.seeding_coef\nself.n += t"),
        ),
    ],
    "function_calls": [
        Table(
            ("math", "squash", "tanh"),
            "=== common/math.py\nHERE\n",
            (
                "def squash(x):\n    return torch.tanh(x)",
                "def squash(x):\n    return x.tanh_()",
                "def other(x):\n    return x",
            ),
            ("def squash(x):\n    return x.clamp(-1, 1)",),
        ),
    ],
}
