"""What losses add up, average, divide and scale."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, DIVIDES, Table, forms, method
from relations.trees import AGENT

Q = "q = self.model.Q(t, return_type='avg')"


OVER_TIME = """
    def over_time(self, x):
        return (self.rho[: len(x)] * x).sum(0)
    def at_once(self, x):
        return self.rho[0] * x
"""

TABLES = {
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
                "def first(self, t):\n    return t\ndef second(self, t):\n    return math.gaussian_logprob(t).mean(-1)",
            ),
        ),
    ],
    "divided_only_by": [
        Table(
            ("agent", "loss", "y_loss", "z_loss", "horizon"),
            AGENT + OVER_TIME,
            ("x = [self.over_time(y) for y in t]\nloss = sum(x) / len(x)\nreturn loss",),
            (
                "x = [self.at_once(y) for y in t]\nloss = sum(x) / len(x)\nreturn loss",
                "x = [self.over_time(y) for y in t]\nloss = sum(x) / len(t)\nreturn loss",
                "x = [y.mean() for y in t]\nloss = sum(x) / len(x)\nreturn loss",
            ),
        ),
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
    "has_powers": [
        Table(
            ("agent", "self.rho", "rho"),
            AGENT,
            (
                *method(
                    "__init__(self, cfg)",
                    "pass",
                    "self.rho = torch.pow(cfg.rho, torch.arange(cfg.horizon + 1, device=self.device))",
                    "self.rho = cfg.rho ** torch.arange(cfg.horizon, dtype=torch.float32).to(self.device)",
                    "self.rho = torch.pow(cfg.rho, torch.arange(4))\nself.rho = self.rho / self.rho.sum()",
                    "n = cfg.horizon + 1\nself.rho = torch.tensor([cfg['rho'] ** t for t in range(n)])[:, None]",
                    "x = cfg.rho ** torch.arange(4)\nself.register_buffer('rho', x / x.sum(), persistent=False)",
                    "self.rho = torch.exp(torch.log(torch.tensor(cfg.rho)) * torch.arange(4))",
                    "self.rho = torch.full((3,), cfg.rho).cumprod(0)\nself.rho /= cfg.rho",
                    "self.rho = torch.pow(cfg.rho, torch.arange(4))\nif flag:\n    x = 3\nprint(self.rho)",
                    "x = []\nfor t in range(cfg.horizon + 1):\n    x.append(cfg.rho ** t)\nself.rho = torch.tensor(x)",
                    "with x:\n    self.rho = torch.cat([torch.ones(1), torch.full((3,), cfg.rho)]).cumprod(0)",
                    "self.rho = torch.pow(cfg.rho, torch.arange(4))\nself.rho.div_(self.rho.sum())",
                    "self.rho = torch.softmax(math.log(cfg.rho) * torch.arange(4), dim=0)",
                ),
                "def __init__(self, cfg):\n    self.horizon = cfg.horizon\n    self.rho = self._powers()\n"
                "def _powers(self):\n    return torch.pow(self.cfg.rho, torch.arange(self.horizon + 1))",
            ),
            method(
                "__init__(self, cfg)",
                "self.rho = 0.5 * torch.pow(cfg.rho, torch.arange(4))",
                "self.rho = torch.pow(cfg.rho, torch.arange(4) + 1)",
                "self.rho = torch.exp(torch.log(torch.tensor(cfg.rho)) * torch.arange(4) * 2)",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\nself.rho[0] = 0",
                "self.rho = torch.pow(cfg.rho, torch.arange(4).flip(0))",
                "if flag:\n    self.rho = torch.ones(4)\nelse:\n    self.rho = torch.pow(cfg.rho, torch.arange(4))",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\nif flag:\n    self.rho *= 2",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\nwhile flag:\n    self.rho[0] = 0",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\nnn.init.ones_(self.rho)",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\ntorch.mul(self.rho, 2, out=self.rho)",
                "x = []\nfor t in range(4):\n    if t:\n        break\n    x.append(0.7 ** t)\nself.rho = tensor(x)",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\ny, self.rho = t",
                "self.rho = torch.linspace(1, 0, cfg.horizon + 1)",
                "self.rho = weights_of(cfg)",
                "self.rho = torch.ones(4)",
                "self.rho = torch.pow(1 - cfg.rho, torch.arange(4))",
                "self.rho = torch.pow(cfg.rho, torch.arange(5))",
            ),
        ),
        Table(
            ("agent", "self.rho", "rho", "as they are"),
            AGENT,
            method("__init__(self, cfg)", "self.rho = torch.pow(cfg.rho, torch.arange(4))"),
            method(
                "__init__(self, cfg)",
                "self.rho = torch.pow(cfg.rho, torch.arange(4))\nself.rho /= self.rho.sum()",
                "self.rho = torch.softmax(math.log(cfg.rho) * torch.arange(4), dim=0)",
                "x = torch.arange(4) * math.log(cfg.rho)\nself.rho = (x - x.logsumexp(0)).exp()",
            ),
        ),
    ],
    "normalised_last": [
        Table(
            ("agent", "self.rho"),
            AGENT,
            method(
                "__init__(self, cfg, n)",
                "self.rho = torch.pow(cfg.rho, torch.arange(n))",
                "self.rho = torch.pow(cfg.rho, torch.arange(n))\nself.rho = self.rho / self.rho.sum()",
                "self.rho = cfg.rho ** torch.arange(n)\nself.rho /= self.rho.sum()",
                "powers = torch.pow(cfg.rho, torch.arange(n))\nself.rho = powers / powers.sum()",
                "powers = torch.pow(cfg.rho, torch.arange(n))\nself.register_buffer('rho', powers / powers.sum())",
                "half = n / 2\nself.rho = cfg.rho ** torch.arange(n)",
            ),
            method(
                "__init__(self, cfg, n)",
                *(
                    f"rho = cfg.rho ** torch.arange(n)\n{code}"
                    for code in (
                        "rho = rho / rho.sum()\nself.rho = rho",
                        "rho /= rho.sum()\nself.register_buffer('rho', rho)",
                        "rho.div_(rho.sum())\nself.rho = rho",
                        "total = 1 / rho.sum()\nself.rho = rho * total",
                        "shares = torch.softmax(rho, 0)\nself.rho = shares",
                        "self.rho = F.normalize(rho, p=1, dim=0)",
                        "self.rho = (rho / n) / rho.sum()",
                    )
                ),
            ),
        ),
    ],
    "adds_nothing": [
        Table(
            ("agent", "_td_target", "self.model.Q"),
            AGENT,
            method(
                "_td_target(self, t, flag)",
                "return self.model.Q(t)",
                "q = self.model.Q(t)\nreturn t + flag * q",
                "q = t + 1\nreturn self.model.Q(q)",
                "q = self.other(t)\nreturn q + 1",
            ),
            method(
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
    "scaled_by": [
        Table(
            ("agent", "Q", "self.scale"),
            AGENT,
            ("pass", "q = self.model.Q(t)\nt(self.scale(q))", "t(self.norm(t))"),
            (
                "q = self.model.Q(t)\nt(self.norm(q))",
                "q = self.model.Q(t)\nq = (q - q.mean()) / q.std()",
                "q = self.model.Q(t)\np = q.abs()\nt(q / p.max())",
                "t(self.norm(self.model.Q(t)))",
                "q, y = self.model.Q(t), t\nt(self.norm(q), y)",
                "q: object = self.model.Q(t)\nt(self.norm(q))",
                "t(q := self.model.Q(t))\nt(self.norm(q))",
                "q = self.model.Q(t)\nn = self.norm\nt(n(q))",
                "q = self.model.Q(t)\nt(self.norm(x=q))",
                "q = self.model.Q(t)\np = q\nt(self.norm(p))",
                "q = self.model.Q(t)\nt(getattr(self, 'norm')(q))",
                "t([self.norm(q) for q in (self.model.Q(t),)])",
                "q = self.model.Q(t)\nt(self.norm(q) if flag else q)",
            ),
        ),
    ],
    "each_divides": [
        Table(
            ("agent", "pi_loss", "self.model.Q", "self.scale"),
            AGENT,
            method(
                "_pi_loss(self, t, flag)",
                "return t",
                f"{Q}\nreturn self.scale(q)",
                f"{Q}\nq = self.scale(q)\nreturn q",
                f"{Q}\ny = self.scale(q)\nreturn y",
                "q: object = self.model.Q(t, return_type='avg')\nreturn self.scale(q)",
                "Q = self.model.Q\nq = Q(t, return_type='avg')\nreturn self.scale(q)",
                "q, y = self.model.Q(t, return_type='avg'), t\nreturn self.scale(q)",
                f"scale = self.scale\n{Q}\nreturn scale(q)",
            ),
            (
                *method(
                    "_pi_loss(self, t, flag)",
                    *(
                        f"{Q}\n{code}\nreturn self.scale(q)"
                        for code in (
                            *forms(BINDS, "q", but=("del",)),
                            *forms(CHANGES, "q", but=("zero(", "zero_it(", "y: object")),
                        )
                    ),
                ),
                *method("_pi_loss(self, t, flag)", "return self.scale(t)", "f = self.scale\nreturn f(t)"),
                "def _pi_loss_more(self, t):\n    return t / self.scale.value",
                "def _pi_loss_more(self, t):\n    s = self.scale\n    return t / s.value",
            ),
        ),
    ],
    "uses_only": [
        Table(
            ("agent", "_pi_loss", "pi", "Q", "mean"),
            AGENT,
            method(
                "_pi_loss(self, t, flag)",
                "return self.model.Q(t).mean()",
                "y = self.model.pi(t)\nreturn y",
                "return self._own(t)",
                "x = Thing(t)\nreturn x",
                "x: object = t\nx += flag\nreturn x",
                "with torch.mean(t):\n    return t",
            ),
            method(
                "_pi_loss(self, t, flag)",
                "return smooth(t)",
                "y = t.relu()\nreturn y",
                "self.count = t\nreturn t",
                "self.count += 1\nreturn t",
                "self.count, y = t, flag\nreturn y",
                "self.seen['a'] = t\nreturn t",
                "setattr(self, 'count', t)\nreturn t",
                "if (y := smooth(t)) is not None:\n    return y",
                "return [smooth(x) for x in t]",
                "with smooth(t):\n    return t",
                "for self.count in t:\n    t()\nreturn t",
                "def inner():\n    return smooth(t)\nreturn inner()",
                "return t if flag else smooth(t)",
                "with t as self.kept:\n    return t",
                "del self.count\nreturn t",
                "try:\n    return t\nfinally:\n    smooth(t)",
            ),
        ),
    ],
}
