"""What goes on around the places that a patch changes."""

from __future__ import annotations

from relations.table import CALLS, READS, Table, forms, method
from relations.trees import AGENT, SCRIPT, TRAINER

LOAD = "agent.load(x)"
OVERRIDDEN = """
=== trainer.py
class Trainer:
    def train(self):
        self._learn()
    def _learn(self):
        self.agent.update(self.buffer)
=== train.py
from trainer import Trainer
class Mine(Trainer):
    HERE
"""


TABLES = {
    "not_asked_before": [
        Table(
            ("trainer", "self._tokens", "self.buffer"),
            TRAINER,
            (
                "pass",
                "ready = t\nif ready:\n    self._tokens += 1",
                "if self.buffer.ready():\n    self._tokens += 1",
                "ready = self.buffer.ready()\nif flag:\n    self._tokens += 1",
                "ready = self.buffer.ready()\nt(ready)",
            ),
            (
                *tuple(
                    f"{code}\nif ready:\n    self._tokens += 1"
                    for code in (
                        "ready = self.buffer.ready()",
                        "ready, y = self.buffer.ready(), t",
                        "ready: bool = self.buffer.ready()",
                        "t(ready := self.buffer.ready())",
                        "b = self.buffer\nready = b.ready()",
                        "ready = getattr(self, 'buffer').ready()",
                        "with self.buffer.ready() as ready:\n    t()",
                        "for ready in self.buffer.ready():\n    t()",
                    )
                ),
                "ready = self.buffer.ready()\nif t and ready:\n    if flag:\n        self._tokens += 1",
                "ready = self.buffer.ready()\nwhile ready:\n    self._tokens += 1",
                "ready = self.buffer.ready()\nmatch ready:\n    case True:\n        self._tokens += 1",
            ),
        ),
    ],
    "not_selected": [
        Table(
            ("mc_value", "reward_pi"),
            SCRIPT,
            (
                "pass",
                "x = k.startswith('other')",
                "x = k.endswith('_q')",
                "x = {k for k in train if k.startswith('mc_v')}",
            ),
            (
                "x = k.startswith('mc_v')",
                "x = k.endswith('_value')",
                "x = [k for k in m if k.startswith('reward')]",
                "x = k.startswith(('other', 'mc_v'))",
                "x = re.match('mc_v', k)",
                "if not k.endswith('ward_pi'):\n    pass",
                "x = {k: 1 for k in m if k.removeprefix('mc_v') != k}",
                "x = lambda k: k.startswith('mc_v')",
            ),
        ),
    ],
    "reads": [
        Table(
            ("agent", "update", "self.rho"),
            AGENT + "    def _help(self):\n        return self.rho\n",
            (
                *method(
                    "update(self, t, flag)",
                    *forms(READS, "self.rho", but=("{x} += 1",)),
                    "t(self._help())",
                    "f = self._help\nt(f())",
                ),
                "pass",
            ),
            method(
                "update(self, t, flag)",
                "t(self.other)",
                "self.rho = t",
                "t(other.rho)",
                "return t",
                "rho = t\nt(rho)",
                "t('self.rho')",
            ),
        ),
    ],
    "loaded_only_for": [
        Table(
            ("eval", "resume"),
            "=== other.py\ndef main(cfg, agent, x, y):\n    HERE\n",
            (
                "pass",
                LOAD,
                f"if cfg.resume:\n    {LOAD}",
                "if y:\n    agent.save(x)",
                "if y:\n    agent.load(cfg.eval_file)",
                "if y:\n    other.load(x)",
                "if y:\n    agent.load(path=cfg.resume)",
            ),
            (
                f"if y:\n    {LOAD}",
                f"if y and not cfg.resume:\n    {LOAD}",
                f"while y:\n    {LOAD}",
                f"y and {LOAD}",
                f"y = {LOAD} if x else 1",
                f"match y:\n    case 1:\n        {LOAD}",
                f"if y:\n    with x:\n        {LOAD}",
                "if y:\n    agent.model.load_state_dict(x)",
                "f = agent.load\nif y:\n    f(x)",
                "a = agent\nif y:\n    a.load(x)",
                "if y:\n    getattr(agent, 'load')(x)",
                f"try:\n    y()\nexcept ValueError:\n    {LOAD}",
                f"x = [{LOAD} for a in x if a]",
                "if y:\n    f, z = agent.load, 1\n    f(x)",
                f"if y:\n    {LOAD}\n=== common/buffer.py\nclass Buffer:\n    pass",
            ),
        ),
        Table(
            ("demo",),
            TRAINER,
            (
                "self._pretrain()",
                "known = self.cfg.use_demos and t\nif known:\n    self._pretrain()",
                "if self.cfg.use_demos:\n    self._pretrain()",
                "if t:\n    self.train()",
            ),
            ("if t:\n    self._pretrain()", "while t and not self.cfg.use_demos:\n    self.pretrain(3)"),
        ),
    ],
    "at_one_place": [
        Table(
            ("agent", "coef"),
            AGENT,
            (
                "pass",
                "t(self.cfg.coef)",
                "t(self.cfg.coef, self.cfg.coef)",
                "if self.cfg.coef:\n    t()",
                "c = self.cfg.coef\nt(c, c)",
                "c, y = self.cfg.coef, flag\nt(c)\nt(y)",
                "t(self.cfg.coef)\nif flag < self.cfg.coef:\n    t()",
                "late = t >= self.cfg.coef\nt(self.cfg.coef)",
            ),
            (
                "c = self.cfg.coef\nt(c)\nt(c)",
                "c, y = self.cfg.coef, flag\nt(c)\nif c:\n    t()",
                *tuple(
                    f"t(self.cfg.coef)\n{code}"
                    for code in (
                        "t(self.cfg.coef)",
                        "if t(flag) < self.cfg.coef:\n    t()",
                        "y = flag + 1 < self.cfg.coef",
                        "y = flag == self.cfg.coef",
                        "if self.cfg.coef:\n    t()",
                        "return self.cfg.coef",
                        "t(getattr(self.cfg, 'coef'))",
                        "t(self.cfg.get('coef'))",
                        "for x in self.cfg.coef:\n    t()",
                        "with self.cfg.coef:\n    t()",
                        "t([self.cfg.coef for _ in t])",
                        "while self.cfg.coef:\n    t()",
                        "def inner():\n    return self.cfg.coef\ninner()",
                        "y = t if flag else self.cfg.coef",
                    )
                ),
            ),
        ),
    ],
    "passes_mode": [
        Table(
            ("world_model", "self._Qs"),
            (
                "=== common/world_model.py\nclass WorldModel:\n    def __init__(self):\n        self._Qs = None\n"
                "    METHODS\n"
            ),
            method(
                "train(self, mode=True)",
                "super().train(mode)",
                "self.training = mode\nself._Qs.train(mode)",
                "self._Qs.train(mode)\nreturn self.other.train(mode)",
            ),
            method("train(self, mode=True)", "self.training = mode", "self.other.train(mode)\nreturn self"),
        ),
        Table(
            ("world_model", "self._Qs"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "self._Qs.train()",
                *method(
                    "train(self, mode=True)",
                    "self._Qs.train(mode)",
                    "self._Qs.train(mode=mode)",
                    "m = mode\nself._Qs.train(m)",
                    "self.other.train()\nif not mode:\n    self._Qs.eval()",
                    "f = self._Qs.train\nf(mode)",
                ),
            ),
            method(
                "train(self, mode=True)",
                "self._Qs.train()",
                "super().train(mode)\nself._Qs.eval()",
                "return super().train(False)",
                "self._Qs.train(True)",
                "self._Qs.train(mode=False)",
                "q = self._Qs\nq.train()",
                "f = self._Qs.train\nf()",
                "getattr(self, '_Qs').train()",
                "for q in (self._Qs,):\n    q.train()",
                "if mode:\n    self._Qs.train()",
                "with mode:\n    self._Qs.train()",
                "[q.train() for q in (self._Qs,)]",
            ),
        ),
    ],
    "not_overridden": [
        Table(
            ("trainer", "self.agent.update"),
            OVERRIDDEN,
            ("pass", "def _log(self):\n    t()", "def train(self):\n    t()", "_learn = 1"),
            (
                "def _learn(self):\n    t()",
                "@t\ndef _learn(self, x):\n    pass",
                "x = 1\ndef _learn(self, *y):\n    t()",
            ),
        ),
        Table(
            ("trainer", "self.agent.update"),
            OVERRIDDEN.replace("class Mine(Trainer)", "class Mine(Other)"),
            ("def _learn(self):\n    t()",),
            ("pass\nclass Yours(Trainer):\n    def _learn(self):\n        t()",),
        ),
    ],
    "updated_only_in": [
        Table(
            ("agent", "model.update"),
            AGENT + "=== other.py\nclass Other:\n    METHODS\n",
            ("pass", "agent.model.update(t)", "self.other.update(t)", "self.agent.model.update(t)"),
            forms(CALLS, "self.model.update"),
        ),
    ],
    "asked_once": [
        Table(
            ("agent", "pi_loss", "self.model.Q"),
            AGENT,
            (
                *method(
                    "_pi_loss(self, t, flag)",
                    "pass",
                    "t(self.model.Q(t))",
                    "Q = self.model.Q\nt(Q(t))",
                    "t(self.model.Q(t), self.model.V(t))",
                ),
                "t(self.model.Q(t), self.model.Q(t))",
            ),
            method(
                "_pi_loss(self, t, flag)", *(f"t(self.model.Q(t))\n{code}" for code in forms(CALLS, "self.model.Q"))
            ),
        ),
    ],
    "reads_only": [
        Table(
            ("agent", "pi_loss", "rho", "coef"),
            AGENT,
            (
                *method(
                    "_pi_loss(self, t, flag)",
                    "pass",
                    "t(self.cfg.rho)",
                    "t(self.cfg.get('rho'))",
                    "c = self.cfg\nt(c.coef)",
                    "t(self.other)",
                ),
                "t(self.cfg.other)",
            ),
            method(
                "_pi_loss(self, t, flag)",
                *forms(READS, "self.cfg.other", but=("y = {x}[0]", "match {x}", "for y in")),
                "c = self.cfg\nt(c.other)",
                "t(self.cfg.get('other'))",
                "c, y = self.cfg, t\nt(c.other, y)",
                "t(cfg.other)",
            ),
        ),
    ],
    "refuses_nothing": [
        Table(
            ("trainer", "to_td", "reward"),
            TRAINER,
            method(
                "to_td(self, obs, reward=None)",
                "return obs",
                "if reward is None:\n    reward = 0\nreturn obs",
                "if obs is None:\n    raise ValueError(obs)",
                "assert reward > 0",
                "raise ValueError(reward)",
            ),
            method(
                "to_td(self, obs, reward=None)",
                "if reward is None:\n    raise ValueError(obs)",
                "if reward is None and self._step:\n    raise ValueError(obs)",
                "assert reward is not None",
                "assert obs is not None and reward is not None, obs",
                "if reward is not None:\n    pass\nelse:\n    raise ValueError(obs)",
                "if obs:\n    if reward is None:\n        raise ValueError(obs)",
            ),
        ),
    ],
    "asks_beside": [
        Table(
            ("agent", "coef", "prob", "density"),
            AGENT,
            (
                "pass",
                "t(self.cfg.coef, self.log_prob(t))",
                "x = math.density_of(t)\nt(self.cfg.get('coef') * x)",
                *method("_loss(self, log_prob)", "t(self.cfg.coef * log_prob)"),
            ),
            (
                "t(self.cfg.coef)",
                "t(self.cfg.coef, self.loss(t))",
                "t(getattr(self.cfg, 'coef'))",
                "x = t if flag else self.cfg.coef",
                "t(self.cfg.coef * prob)",
            ),
        ),
    ],
    "handed_as_sampled": [
        Table(
            ("agent", "mu", "std"),
            AGENT,
            (
                "pass",
                "mu = t.tanh()",
                "a, mu, std = buffer.sample()\nt(mu, std)",
                "a, mu, std = buffer.sample()\nmu = torch.where(mu.isnan(), a, mu)",
                "a, mu, std = buffer.sample()\nmu, std = mu.to(t), std.float()",
                "a, mu, std = buffer.sample()\nx = mu.tanh()",
                "b = buffer.sample()\nmu = b[1]",
            ),
            (
                "a, mu, std = buffer.sample()\nmu = mu.tanh()",
                "a, mu, std = buffer.sample()\nmu, std = mu, std.clamp(0.1).log()",
                "a, mu, std = buffer.sample()\nstd: object = std.exp()",
                "a, mu, std = buffer.sample()\nif flag:\n    std = torch.ones_like(std)",
                "a, mu, std = buffer.sample()\nt(mu := mu.atanh())",
            ),
        ),
    ],
    "begins_rows": [
        Table(
            ("trainer", "self.env.reset", "self._tds"),
            TRAINER,
            (
                "pass",
                "obs = self.env.reset()",
                "obs = self.env.reset()\nself._tds[t] = self.to_td(obs)",
                "self._tds[t] = flag",
                "if flag:\n    obs, _ = self.env.reset()\n    done = t\n    if done:\n        self._tds[t] = obs",
            ),
            (
                "self._tds[t] = flag\nobs = self.env.reset()",
                "if flag:\n    obs = self.env.reset()\nself._tds[t] = obs",
                "while t:\n    self._tds[t] = flag\n    if flag:\n        obs, _ = self.env.reset(seed=1)",
                "reset = self.env.reset\nself._tds[t] = flag\nobs = reset()",
                "self._tds[t] = flag\nwith t:\n    obs = self.env.reset()",
            ),
        ),
    ],
    "returns_unscaled": [
        Table(
            ("math", "bound"),
            "=== common/math.py\ndef bound(x, low, dif):\n    HERE\n",
            ("return low + dif * (x.tanh() + 1) / 2", "y = x / 2\nreturn y", "return x", "return x * low"),
            (
                "y = low + x\nreturn y / 2",
                "return (low + x) / 3",
                "return low(x) / SIZE",
                "return 0.5 * x",
                "return x * 0.5",
                "if low:\n    return x / 2\nreturn x",
            ),
        ),
    ],
}
