"""What a tree does apart from what a patch knows."""

from __future__ import annotations

from relations.table import Table, method
from relations.trees import AGENT, BUFFER, SCRIPT, TRAINER

LAYERS = "=== common/layers.py\nclass QEnsemble:\n    METHODS\n"
LOSS = "def pi_loss(self, t, flag):\n    {}\n    return t"
ASKS = "def train(self, n):\n    if {}:\n        pass"
NOISE = ("torch.randn_like(x)", "torch.rand(3)", "torch.normal(x, 1)", "x.bernoulli_()", "torch.empty(3).uniform_()")

TABLES = {
    "draws_evenly": [
        Table(
            ("buffer",),
            BUFFER,
            method(
                "sample(self, n)",
                "random.choices(self.episodes, k=n)",
                "random.choices(self.episodes, weights=[len(one) for one in self.episodes], k=n)",
                "torch.randint(9, (n,))",
                "np.random.choice(9, n)",
                "np.random.choice(2, n, p=[0.5, 0.5])",
                "random.choice(self.episodes)",
            ),
            method(
                "sample(self, n)",
                "random.choices(self.episodes, self.weights, k=n)",
                "random.choices(self.episodes, weights=self.returns, k=n)",
                "torch.multinomial(self.priorities, n)",
                "np.random.choice(9, n, p=self.shares)",
            ),
        ),
    ],
    "shares_no_function": [
        Table(
            ("layers", "QEnsemble"),
            LAYERS,
            tuple(
                f"def __init__(self, cfg):\n    {line}"
                for line in (
                    "self._forward = torch.compile(self._impl)",
                    "self._forward = torch.compile(self._impl) if cfg.compile else self._impl",
                    "self.act = lambda x: x.tanh()",
                    "f = lambda q: q(self.x)",
                    "self.calls = [self.one, self.two]",
                )
            ),
            tuple(
                f"def __init__(self, cfg):\n    {line}"
                for line in (
                    "self._forward = torch.compile(self._impl)\n    self.spread = torch.compile(self._spread)",
                    "self.calls = [lambda x, q=q: q(x) for q in self._Qs]",
                    "self.call = lambda x: self._Qs[0](x)",
                    "def run(x):\n        return self._Qs[0](x)\n    self.run = (run, self)",
                )
            ),
        ),
    ],
    "reads_attributes": [
        Table(
            ("agent", "pi_loss", "cfg", "model"),
            AGENT,
            (
                *map(LOSS.format, ("y = self.cfg.horizon", "y = self.model(t)", "y = t.alpha", "self.note(t)")),
                "def other(self, t):\n    y = self.alpha",
                "def pi_loss(self, t):\n    return self.other(t)\ndef other(self, t):\n    return t",
            ),
            tuple(map(LOSS.format, ("t = self.alpha", "t = self.log_alpha.exp()", "self.seen += 1", "t(self.alpha)"))),
        ),
    ],
    "names_no_number": [
        Table(
            ("agent", "61"),
            "=== tdmpc2.py\nHERE\nclass TDMPC2:\n    x = 1 / 61\n",
            ("x = 60", "x = '61'", "def f(x):\n    return x / 6.1"),
            ("x = 21 / 61", "x = {'a': 21 / 61.0}", "def f(x):\n    return x / 61"),
        ),
    ],
    "maps_randomly": [
        Table(
            ("layers",),
            LAYERS,
            (
                "def forward(self, x):\n    return torch.vmap(f, randomness='different')(x)",
                "def forward(self, x):\n    return x",
            ),
            tuple(
                f"def forward(self, x):\n    return {call}(x)"
                for call in (
                    "torch.vmap(f)",
                    "vmap(f, 0)",
                    "torch.vmap(f, randomness='same')",
                    "torch.func.vmap(f, randomness=r)",
                )
            ),
        ),
    ],
    "not_told_apart": [
        Table(
            ("parameters",),
            SCRIPT,
            (
                "x = [p for p in model.parameters()]",
                "x = [p for p in model.parameters() if p.requires_grad]",
                "x = [n for n, p in model.named_parameters() if 'bias' in n]",
                "for p in model.parameters():\n    y = p.shape",
                "x = [t for t in batch if t.ndim > 1]",
                "x = clip_grad_norm_(model.parameters(), 1)",
                "x = [p.norm() for p in batch]",
            ),
            (
                "x = [p for p in model.parameters() if p.ndim > 1]",
                "x = [clip_grad_norm_(p, 1) for p in model.parameters()]",
                "y = [p for p in model.parameters() if p.grad]\nfor p in y:\n    clip_grad_norm_(p, 1)",
                "y = list(model.parameters())\nx = [torch.linalg.vector_norm(p.grad) for p in y]",
                "x = {p for p in model.parameters() if p.dim() == 1}",
                "y = list(model.parameters())\nx = [p for p in y if p.ndim >= 2]",
                "x = f(n for n, p in model.named_parameters() if len(p.shape) < 2)",
                "for p in model.parameters():\n    if p.ndim > 1:\n        y.append(p)",
                "for n, p in model.named_parameters():\n    y = a if p.size(0) > 1 else b",
            ),
        ),
    ],
    "ranges_by": [
        Table(
            ("agent", "__init__ _loss_fn", "horizon", "num_q"),
            AGENT,
            (
                "def _loss_fn(self, t):\n    for i in range(self.cfg.horizon):\n        pass",
                "def _loss_fn(self, t):\n    for i in range(len(t)):\n        pass",
                "def __init__(self, cfg):\n    self.rho = torch.arange(cfg.horizon + 1)",
                "def plan(self, t):\n    for i in range(self.cfg.iterations):\n        pass",
            ),
            (
                "def _loss_fn(self, t):\n    for i in range(self.cfg.unroll):\n        pass",
                "def _loss_fn(self, t):\n    return [x for i in range(1, self.cfg.steps)]",
                "def __init__(self, cfg):\n    self.rho = torch.arange(cfg.unroll + 1)",
            ),
        ),
    ],
    "bounded_below": [
        Table(
            ("agent", "std"),
            AGENT,
            tuple(
                LOSS.format(code)
                for code in (
                    "std = torch.clamp(std, min=0.1)",
                    "std = std.clamp(0.1)",
                    "std = std.clamp_min(0.1)",
                    "mean = mean.clamp(-1, 1)",
                    "std = torch.maximum(std, t)",
                )
            ),
            tuple(
                LOSS.format(code)
                for code in (
                    "std = torch.clamp(std, 0.1, 2)",
                    "std = std.clamp(0.1, 2)",
                    "std.clamp_(max=2)",
                    "std = torch.clip(std, max=2)",
                    "std = std.clamp_max(2)",
                    "std = torch.minimum(std, t)",
                    "y = f(std.clip(0, 1))",
                )
            ),
        ),
    ],
    "compared_alone": [
        Table(
            ("trainer", "self._step", "seeding_coef"),
            TRAINER,
            tuple(
                ASKS.format(test)
                for test in (
                    "self._step >= self.cfg.seeding_coef * n",
                    "self._step >= self.cfg.seeding_coef * n and self.ready",
                    "self._step >= self.cfg.seeding_coef * n and self.count > 0",
                    "self._step >= n and self.count > 5",
                    "self._step >= self.cfg.seeding_coef * n or self.count > 5",
                )
            ),
            tuple(
                ASKS.format(test)
                for test in (
                    "self._step >= self.cfg.seeding_coef * n and self.count >= n",
                    "n < self.count and self._step > self.cfg.seeding_coef * n",
                    "self._step >= self.cfg.seeding_coef * n and (self.loss < 5 and n)",
                )
            ),
        ),
    ],
    "asked_within": [
        Table(
            ("dropout", "layers", "QEnsemble"),
            "=== common/layers.py\nclass QEnsemble:\n    def f(self, cfg):\n        return cfg.dropout\nHERE\n",
            ("pass", "class Other:\n    dropout = 0.0", "def f(x):\n    return x.dropout", "y = cfg.other"),
            (
                "class Encoder:\n    def __init__(self, cfg):\n        self.rate = cfg.dropout",
                "def enc(cfg):\n    return nn.Dropout(cfg.dropout)",
                "def enc(self):\n    return self.cfg.dropout",
            ),
        ),
    ],
    "begins_by_setting": [
        Table(
            ("interp", "first", "last"),
            SCRIPT,
            (
                "interp(x, cfg.first, cfg.last)",
                "interp(x, start=cfg.first, end=cfg.last)",
                "interp(x)",
                "other(cfg.last)",
            ),
            ("interp(x, self._began, cfg.last)", "math.interp(x, 0, self.cfg.last)", "y = interp(x, end=cfg.last)"),
        ),
    ],
    "without_alternatives": [
        Table(
            ("trainer", "demo_steps"),
            TRAINER,
            tuple(
                ASKS.format(test)
                for test in (
                    "demos and self.cfg.demo_steps > 0",
                    "self.cfg.demo_steps > 0",
                    "n or (demos and self.cfg.demo_steps > 0)",
                    "(demos or n) and self.cfg.other",
                )
            ),
            tuple(
                ASKS.format(test)
                for test in (
                    "(demos or n) and self.cfg.demo_steps > 0",
                    "self.cfg.demo_steps and n and (demos or self.x)",
                )
            ),
        ),
    ],
    "draws_nothing": [
        Table(
            ("layers", "QEnsemble"),
            LAYERS,
            (
                "def forward(self, x):\n    return x",
                "def forward(self, x):\n    return x[torch.randperm(3)]",
                "def __init__(self, x):\n    self.w = torch.randn(3)",
            ),
            tuple(f"def forward(self, x):\n    return x + {noise}" for noise in NOISE),
        ),
    ],
    "computed_nowhere": [
        Table(
            ("trainer", "self.env.step"),
            TRAINER,
            (
                "def train(self, a):\n    obs, r = self.env.step(a)\n    new = obs + 1",
                "def train(self, a):\n    new, r = self.env.step(a)\n    obs = new",
                "def train(self, a):\n    obs, r = self.env.step(a)\n    obs = obs.to(a)",
                "def train(self, a):\n    obs, r = self.env.step(a)\ndef other(self, obs):\n    obs = obs + 1",
            ),
            (
                "def train(self, a):\n    obs, r = self.env.step(a)\n    obs = obs + 1",
                "def train(self, a):\n    obs, r = self.env.step(a)\n    old, obs = obs, obs * 2",
                "def train(self, a):\n    obs, r = self.env.step(a)\n    obs += 1",
                "def train(self, a):\n    obs, r = self.env.step(a)\n    obs = obs if a else a",
            ),
        ),
    ],
}
