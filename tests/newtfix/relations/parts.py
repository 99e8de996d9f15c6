"""How networks are put together and used."""

from __future__ import annotations

from relations.table import CALLS, Table, forms
from relations.trees import AGENT

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


DERIVED = """
=== common/layers.py
class QEnsemble(nn.Module):
    def __init__(self):
        super().__init__()
    def forward(self, x):
        return x
class Mine(QEnsemble):
    HERE
"""


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
                "for _ in range(n):\n    self._Qs.append(mlp(512))",
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
        Table(
            ("layers", "QEnsemble", "self._Qs", "dropout"),
            ENSEMBLE.replace("([mlp(512) for i in range(n)])", "()"),
            ("for _ in range(n):\n    self._Qs.append(mlp(512))",),
            (
                "for i in range(n):\n    self._Qs.append(mlp(i))",
                "for _ in t:\n    self._Qs.append(mlp(512))\nfor _ in t:\n    self._Qs.append(mlp(256))",
                "for _ in range(n):\n    self._Qs.append(mlp(512))\nself._Qs.append(t)",
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
                "t(t.to(self._Qs[0][-1].weight.dtype))",
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
                "for first, *rest in self._Qs:\n    t(first)",
                "return [last(first(t)) for first, last in self._Qs]",
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
                "Dropout = 0.1\nt(Dropout)",
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
                "self.ln.register_forward_pre_hook(thin_out)",
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
        Table(("layers", "NormedLinear"), "=== other.py\nHERE\n", ("pass", "y = F.dropout(x)"), ()),
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
    "none_replaced": [
        Table(
            ("_Qs", "QEnsemble"),
            (
                "=== common/layers.py\nclass QEnsemble:\n    def f(self):\n"
                "        for q in self._Qs:\n            q[0].act = None\n=== other.py\nHERE\n"
            ),
            (
                "pass",
                "for q in m._Qs:\n    q.requires_grad = False",
                "for q in m._Qs:\n    q[0].rate = 0.1",
                "init.zero_(m._Qs[0][-1].weight)",
                "for q in m.others:\n    q[0].act = x",
                "for q in m._Qs:\n    x.append(q[0].act)",
                "for q in m._Qs:\n    q[-1].weight[0] = 0",
            ),
            (
                "for q in m._Qs:\n    q[0].act = x",
                "m._Qs[0].act = x",
                "for q in m._Qs:\n    q[0] = x",
                "for e in (m._Qs.online, m._Qs.target):\n    for q in e._Qs:\n        q[0] = f(act=x)",
                "for e in (m._Qs.online, m._Qs.target):\n    for q in e._Qs:\n        setattr(q[0], 'act', x)",
                "q = m._Qs[1]\nq[0].act, y = x",
                "for q in (*m._Qs.online._Qs, *m.target._Qs):\n    q[0].register_forward_pre_hook(x)",
            ),
        ),
    ],
    "not_named": [
        Table(
            ("_Qs",),
            "=== other.py\ndef f(model, x):\n    HERE\n",
            (
                "pass",
                "for name, p in model.named_parameters():\n    x[name] = p",
                "x = [n for n in model.state_dict() if n.startswith('_Qs.')]",
                "for name, p in model.named_parameters():\n    if 'encoder' in name:\n        x()",
            ),
            (
                "for name, p in model.named_parameters():\n    if name.startswith('_Qs.online'):\n        x(p)",
                "x = [p for n, p in model.named_parameters() if '_Qs' in n]",
            ),
        ),
    ],
    "none_derived": [
        Table(
            ("agent", "pi_loss"),
            AGENT,
            tuple(
                f"def _pi_loss(self, x):\n    return x\n=== mine.py\nfrom tdmpc2 import TDMPC2\n{code}"
                for code in (
                    "class Mine(TDMPC2):\n    def plan(self):\n        pass",
                    "class Other:\n    def _pi_loss(self, x):\n        pass",
                    "class Mine(Other):\n    def _pi_loss(self, x):\n        pass",
                )
            ),
            tuple(
                f"def _pi_loss(self, x):\n    return x\n=== mine.py\nimport tdmpc2\n{code}"
                for code in (
                    "class Mine(tdmpc2.TDMPC2):\n    def _pi_loss(self, x):\n        pass",
                    "from tdmpc2 import TDMPC2 as Base\nclass Mine(Base):\n    def _pi_loss(self, x):\n        pass",
                )
            ),
        ),
    ],
    "taken_together": [
        Table(
            ("_Qs", "QEnsemble"),
            (
                "=== common/layers.py\nclass QEnsemble:\n    def f(self):\n"
                "        return [q.parameters() for q in self._Qs]\n=== other.py\nHERE\n"
            ),
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
                "a, b = (each._Qs for each in (m.online, m.target))\na[0].apply(x)",
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
    "set_in_no_derived": [
        Table(
            ("layers", "QEnsemble"),
            DERIVED.replace("super().__init__()", "self._run = t(self.forward)", 1),
            (
                "pass",
                "def __init__(self):\n    super().__init__()\n    self.name = t",
                "def forward(self, x):\n    return x",
            ),
            (
                "def __init__(self):\n    self._run = t",
                "def other(self):\n    if t:\n        setattr(self, '_run', t)",
                "def other(self):\n    self.name, self._run = t, t",
            ),
        ),
    ],
    "not_derived": [
        Table(
            ("layers", "QEnsemble"),
            DERIVED,
            ("pass", "def __init__(self):\n    super().__init__()", "def other(self):\n    t()"),
            ("def forward(self, x):\n    return x", "@t\ndef forward(self, *x):\n    pass"),
        ),
        Table(
            ("layers", "QEnsemble"),
            DERIVED.replace("(QEnsemble)", "(Other)"),
            ("def forward(self, x):\n    return x",),
            ("pass\nclass Yours(layers.QEnsemble):\n    def forward(self, x):\n        t()",),
        ),
    ],
}
