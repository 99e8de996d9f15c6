"""How the parts of networks, and of losses, are made and used."""

from __future__ import annotations

from textwrap import indent

from relations.table import BINDS, CALLS, CHANGES, Table, forms

ENSEMBLE = """
=== common/layers.py
class QEnsemble:
    def __init__(self, n, t, flag):
        self._Qs = nn.ModuleList([mlp(512) for i in range(n)])
        HERE
    def _impl(self, x):
        return [q(x) for q in self._Qs]
"""
FORWARD = """
=== common/layers.py
class QEnsemble:
    def __init__(self, n):
        self._Qs = nn.ModuleList([mlp(512) for i in range(n)])
    METHODS
"""
MLP = """
=== common/layers.py
import torch.nn as nn
def mlp(sizes, dropout=0., t=0, flag=0):
    layers = []
    HERE
    return nn.Sequential(*layers)
def other(x):
    return nn.Dropout(0.1)
"""
MADE = """
=== common/layers.py
import torch.nn as nn
from torch import nn as N
def mlp(sizes, t=0, flag=0):
    HERE
"""
LINEAR = """
=== common/layers.py
import torch.nn as nn
from torch.nn.functional import dropout as drop
class NormedLinear(nn.Linear):
    METHODS
"""
AGENT = """
=== tdmpc2.py
class TDMPC2:
    def __init__(self, cfg):
        self.discount = torch.ones(3)
    METHODS
"""
Q = "q = self.model.Q(t, return_type='avg')"


def _pi(*codes: str) -> tuple[str, ...]:
    return tuple(f"def pi(self, t, flag):\n{indent(code, '    ')}" for code in codes)


def _loss(*codes: str) -> tuple[str, ...]:
    return tuple(f"def _pi_loss(self, t, flag):\n{indent(code, '    ')}" for code in codes)


TABLES = {
    "alike": [
        Table(
            ("layers", "QEnsemble", "self._Qs", "dropout"),
            ENSEMBLE,
            (
                "pass",
                "for q in self._Qs:\n    q.train()",
                "for q in self._Qs:\n    q[-1].weight.data.fill_(0)",
                "for q in self._Qs:\n    q.dropout = t",
                "self.other = nn.ModuleList([mlp(i) for i in range(n)])",
                "for i, q in enumerate(self._Qs):\n    t(i, q)",
                "x = self._Qs[0](t)",
                "self.other[0] = t",
                "for q in self._Qs:\n    nn.init.zeros_(q[-1].weight)",
            ),
            (
                "self._Qs = nn.ModuleList([mlp(i) for i in range(n)])",
                "self._Qs: object = nn.ModuleList([mlp(512 + i) for i in range(n)])",
                "self._Qs = nn.ModuleList([mlp(512) if i else t for i in range(n)])",
                "self._Qs = nn.ModuleList([mlp(w) for w in (1, 2)])",
                "self._Qs[0] = t",
                "self._Qs[0], y = t, 1",
                "self._Qs[0][1] = t",
                "for q in self._Qs:\n    q[0] = t",
                "q = self._Qs[0]\nq[1] = t",
                "for q in self._Qs:\n    q.act = t",
                "self._Qs[0].act = t",
                "setattr(self._Qs[0], 'act', t)",
                "q = self._Qs[0]\nq.act = t",
                "self._Qs.append(t)",
                "self._Qs.insert(0, t)",
                "self._Qs += [t]",
                "qs = self._Qs\nqs.append(t)",
                "self._Qs[0].train()",
                "self._Qs[-1].requires_grad_(False)",
                "q = self._Qs[0]\nq.half()",
                "qs = self._Qs\nqs[0].half()",
                "nn.init.zeros_(self._Qs[0][-1].weight)",
                "self._Qs[0][-1].weight.data.fill_(0)",
                "self._Qs[0][-1].weight *= 2",
                "for i, q in enumerate(self._Qs):\n    if i == 0:\n        q.train()",
                "for i, q in enumerate(self._Qs):\n    y = q.train() if i else t",
                "del self._Qs[0]",
                "for q in self._Qs:\n    q.add_module('a', t)",
                "getattr(self, '_Qs')[0].train()",
                "self._Qs[0].register_forward_hook(t)",
            ),
        ),
    ],
    "called_whole": [
        Table(
            ("layers", "QEnsemble", "self._Qs"),
            FORWARD,
            (
                "pass",
                "return [q(t) for q in self._Qs]",
                "return self._Qs[0](t)",
                "for q in self._Qs:\n    t(q)",
                "return t[0]",
                "x = torch.stack([q(t) for q in self.others])\nreturn x[0]",
            ),
            (
                "return [q[0](t) for q in self._Qs]",
                "for q in self._Qs:\n    t(q[-1])",
                "for i, q in enumerate(self._Qs):\n    t(q[0])",
                "for q, x in zip(self._Qs, t):\n    t(q[0](x))",
                "q = self._Qs[0]\nreturn q[0](t)",
                "return self._Qs[0][0](t)",
                "qs = self._Qs\nfor q in qs:\n    t(q[0])",
                "qs: object = self._Qs\nreturn [q[0] for q in qs]",
                "qs, y = self._Qs, t\nreturn [q[0] for q in qs]",
                "qs = list(self._Qs)\nfor q in qs:\n    t(q[0])",
                "for q in self._Qs:\n    for layer in q:\n        t(layer)",
                "return [layer(t) for q in self._Qs for layer in q]",
                (
                    "params = [dict(q.named_parameters()) for q in self._Qs]\n"
                    "return {k: [p[k] for p in params] for k in params[0]}"
                ),
                "for q in self._Qs:\n    p = q\n    t(p[0])",
                "for q in getattr(self, '_Qs'):\n    t(q[0])",
                "if (q := self._Qs[0]) is not None:\n    return q[1]",
            ),
        ),
    ],
    "first_is": [
        Table(
            ("layers", "mlp", "Sequential", "NormedLinear"),
            MADE,
            (
                "return nn.Sequential(NormedLinear(1), nn.Linear(1))",
                "return nn.Sequential(*t)",
                "return nn.Sequential(t)",
                "first = NormedLinear(1)\nreturn nn.Sequential(first, t)",
                "return other(nn.Linear(1))",
                "S = nn.Sequential\nreturn S(NormedLinear(1))",
            ),
            (
                "return nn.Sequential(nn.Linear(1), NormedLinear(1))",
                "return nn.Sequential(nn.LayerNorm(1))",
                "S = nn.Sequential\nreturn S(nn.Linear(1))",
                "first = nn.Linear(1)\nreturn nn.Sequential(first, t)",
                "first, y = nn.Linear(1), t\nreturn nn.Sequential(first, y)",
                "first: object = nn.Linear(1)\nreturn nn.Sequential(first)",
                "return nn.Sequential((first := nn.Linear(1)), first)",
                "return t(nn.Sequential(nn.Linear(1)))",
                "return N.Sequential(N.Linear(1)) if flag else t",
                "if flag:\n    first = NormedLinear(1)\nelse:\n    first = nn.Linear(1)\nreturn nn.Sequential(first)",
            ),
        ),
    ],
    "calls_no": [
        Table(
            ("layers", "mlp", "Dropout", "dropout"),
            MLP,
            (
                "pass",
                "layers.append(nn.Linear(1))",
                "layers.append(NormedLinear(1, dropout=dropout))",
                "t(dropout)",
                "y = dropout * 2\nt(y)",
            ),
            (
                "layers.append(nn.Dropout(0.1))",
                "layers.append(Dropout(0.1))",
                "D = nn.Dropout\nlayers.append(D(0.1))",
                "D, y = nn.Dropout, t\nlayers.append(D(0.1))",
                "layers.append(getattr(nn, 'Dropout')(0.1))",
                "layers += [nn.Dropout(0.1) for _ in t]",
                "y = F.dropout(t)\nt(y)",
                "layers += map(nn.Dropout, t)",
                "layers.append(partial(nn.Dropout, 0.1)())",
                "layers.append(nn.Dropout(0.1) if flag else t)",
                "def inner():\n    return nn.Dropout(0.1)\nlayers.append(inner())",
                "t(lambda: nn.Dropout(0.1))",
                "for D in (nn.Dropout,):\n    layers.append(D())",
            ),
        ),
    ],
    "drops_nothing": [
        Table(
            ("layers", "NormedLinear"),
            LINEAR,
            (
                "pass",
                "self.dropout = nn.Dropout(dropout) if dropout else None",
                "if self.dropout:\n    t = self.dropout(t)",
                "t = F.dropout(t, p=self.dropout)",
                "t = drop(t, self.dropout)",
            ),
            (
                "t = F.dropout(t, 0.1)",
                "t = torch.nn.functional.dropout(t, p=0.1)",
                "t = drop(t, 0.1)",
                "self.drop = nn.Dropout(0.1)",
                "self.drop = nn.AlphaDropout(0.1)",
                "f = F.dropout\nt(f(t, 0.1))",
                "f, y = F.dropout, t\nt(f(t, 0.1))",
                "t(getattr(F, 'dropout')(t, 0.1))",
                "if (y := F.dropout(t)) is not None:\n    t(y)",
                "t([F.dropout(x) for x in t])",
                "t(torch.dropout(t, 0.1, True))",
                "t(F.dropout1d(t))",
                "def inner():\n    return F.dropout(t)\nt(inner())",
            ),
        ),
    ],
    "called_nowhere": [
        Table(
            ("register_forward_hook",),
            "=== other.py\nHERE\n",
            ("pass", "def register_forward_hook():\n    pass", "x.other(1)"),
            (
                *forms(CALLS, "x.register_forward_hook", but=("return", "vars")),
                "map(x.register_forward_hook, y)",
                "f(x.register_forward_hook)",
                "x[0].register_forward_hook(1)",
                "f().register_forward_hook(1)",
            ),
        ),
    ],
    "plain": [
        Table(
            ("world_model", "pi", "logprob", "randn_like"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            _pi(
                "return t",
                "eps = torch.randn_like(t)\nreturn math.logprob(eps, t)",
                "return math.logprob(torch.randn_like(t))",
                "eps = torch.randn_like(t) * mask\nreturn math.logprob(eps)",
                "eps = t(flag)\nreturn math.logprob(eps)",
                "eps: object = torch.randn_like(t)\nreturn math.logprob(eps)",
                "y = torch.randn_like(t) * 2\nreturn y",
            ),
            _pi(
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
    "uses_only": [
        Table(
            ("agent", "_pi_loss", "pi", "Q", "mean"),
            AGENT,
            _loss(
                "return self.model.Q(t).mean()",
                "y = self.model.pi(t)\nreturn y",
                "return self._own(t)",
                "x = Thing(t)\nreturn x",
                "x: object = t\nx += flag\nreturn x",
                "with torch.mean(t):\n    return t",
            ),
            _loss(
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
    "each_divides": [
        Table(
            ("agent", "pi_loss", "self.model.Q", "self.scale"),
            AGENT,
            _loss(
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
                *_loss(
                    *(
                        f"{Q}\n{code}\nreturn self.scale(q)"
                        for code in (
                            *forms(BINDS, "q", but=("del",)),
                            *forms(CHANGES, "q", but=("zero(", "zero_it(", "y: object")),
                        )
                    )
                ),
                *_loss("return self.scale(t)", "f = self.scale\nreturn f(t)"),
                "def _pi_loss_more(self, t):\n    return t / self.scale.value",
                "def _pi_loss_more(self, t):\n    s = self.scale\n    return t / s.value",
            ),
        ),
    ],
    "never_under": [
        Table(
            ("agent", ".discount", "Pow"),
            AGENT,
            ("pass", "y = self.discount * t\nt(y)", "t(t ** 2)", "t(2 ** self.discount)", "t(self.other ** 2)"),
            (
                "t(self.discount ** 2)",
                "t(self.discount[t] ** 2)",
                "y = self.discount\nt(y ** 2)",
                "y, z = self.discount, t\nt(y ** 2)",
                "y: object = self.discount\nt(y ** 2)",
                "t((y := self.discount) ** 2)",
                "t(self.discount.pow(2))",
                "t(torch.pow(self.discount, 2))",
                "t(torch.pow(input=self.discount, exponent=2))",
                "self.discount.pow_(2)",
                "self.discount **= 2",
                "t([y ** 2 for y in self.discount])",
                "for y in self.discount:\n    t(y ** 2)",
                "t(getattr(self, 'discount') ** 2)",
                "t(pow(self.discount, 2))",
                "t(self.discount.cumprod(0))",
                "t((self.discount + 0) ** 2)",
                "t(self.discount ** 2 if flag else 1)",
            ),
        ),
        Table(
            ("agent", ".discount", "Div"),
            AGENT,
            ("t(self.discount / t)",),
            (
                "t(t / self.discount)",
                "y = self.discount\nt(t / y)",
                "t(torch.div(t, self.discount))",
                "t(t.div(self.discount))",
                "t(t * (1 / self.discount))",
                "t /= self.discount\nt()",
                "t.div_(self.discount)",
                "t(t / self.discount[0])",
            ),
        ),
    ],
}
