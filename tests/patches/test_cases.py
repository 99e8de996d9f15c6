"""Tables of cases: code in shapes that trees have it in, what the smaller patches make of it, and what they leave."""

from __future__ import annotations

import pytest
from trees import PATCHES, sources

from newtfix.model import State
from newtfix.testing import assert_leaves_alone, assert_refused, assert_rewrites, variant

RHO = "        self.rho = self.rho / self.rho.sum()\n"
SUM = "        return (weights * x).sum(0).mean()\n"
Q = '        qs = self.model.Q(zs, pi_action, task, return_type="avg")\n'
UPDATE = "        with torch.no_grad():\n            self.scale.update(qs)\n"
FORWARD = "        return self.activated(super().forward(x))\n"
LAYERS = sources()["common/layers.py"]
LOOP = LAYERS[LAYERS.index("    def _forward_impl(") : LAYERS.index("\n    def forward(self, x, drawn=None):")]
NETWORKS = (
    "        self._Qs = nn.ModuleList("
    "[mlp(in_dim, 2 * [cfg.mlp_dim], max(cfg.num_bins, 1)) for _ in range(cfg.num_q)])\n"
)
COPY = "        self.target = deepcopy(self.online)\n"
COMPILED = (
    "        if cfg.compile:\n            self._forward = torch.compile(self._forward_impl)\n"
    "        else:\n            self._forward = self._forward_impl\n"
)
ROW = "                self._tds[ep_len] = td\n"
_TRAINER = sources()["trainer.py"]
CHECK = _TRAINER[_TRAINER.index("    def _check_in_step(") : _TRAINER.index("    def _round_is_over(")]
IN_STEP = [("                self._check_in_step(ep_len)\n", ""), (CHECK, "")]
TD = "                td = self.to_td(_obs, action, mu, std, reward, terminated)\n"
DEN = "    den = max(1, end)\n"
EVAL = "                    eval_metrics = self.eval()\n"
OWN_ROW = "self._tds[ep_len.long(), torch.arange(ep_len.shape[0])] = "
PRIOR = "    prior_coef: Weight = 10.0  # weight of the policy's prior term\n"

# patch, file, what a tree has instead of newt_base's code, what must be there afterwards, what must be gone
REWRITES = [
    (
        "target-q",
        "common/layers.py",
        [("        if cfg.compile:\n", "        if cfg.compile or cfg.fast:\n")],
        ["        if cfg.compile or cfg.fast:\n            self.target._forward = torch.compile("],
        [],
    ),
    (
        "target-q",
        "common/layers.py",
        [(COMPILED, "        self._forward = torch.compile(self._forward_impl)\n")],
        ["(self.online)\n        self.target._forward = torch.compile(self.target._forward_impl)\n"],
        ["if cfg.compile"],
    ),
    ("prior-coef", "config.py", [], ["    prior_coef: Weight = 1.0  # weight of the policy's prior term\n"], [PRIOR]),
    (
        "prior-coef",
        "config.py",
        [(PRIOR, "    prior_coef: float=10  # bc\n")],
        ["    prior_coef: float = 1.0  # bc\n"],
        [],
    ),
    (
        "prior-coef",
        "config.py",
        [(PRIOR, "    prior_coef: Optional[float] = 1e1\n")],
        ["Optional[float] = 1.0\n"],
        ["1e1"],
    ),
    (
        "rho",
        "tdmpc2.py",
        [(RHO, "        self.rho /= self.rho.sum()  # one\n")],
        ["_mean_over_time(self, x)"],
        ["rho.sum"],
    ),
    (
        "rho",
        "tdmpc2.py",
        [
            (RHO, ""),
            (
                "self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1, device=self.device))",
                "rho = self.cfg.rho ** torch.arange(self.cfg.horizon + 1)\n        self.rho = rho / rho.sum()",
            ),
        ],
        ["        self.rho = rho\n", "return (weights * x).mean()"],
        ["rho / rho", "_sum_over_time"],
    ),
    ("rho", "tdmpc2.py", [(RHO, "        # normalise\n" + RHO)], ["(weights * x).mean()"], ["self.rho / "]),
    (
        "scale-order",
        "tdmpc2.py",
        [(UPDATE, "        self.scale.update(qs)\n")],
        [Q + "        with torch.no_grad():\n            self.scale.update(qs[0])\n"],
        ["self.scale.update(qs)"],
    ),
    (
        "scale-order",
        "tdmpc2.py",
        [(UPDATE, UPDATE + "            self.all_reduce(self.scale.value)  # ranks agree\n")],
        [
            Q
            + "        with torch.no_grad():\n            self.scale.update(qs[0])\n"
            + "            self.all_reduce(self.scale"
        ],
        ["self.scale.update(qs)"],
    ),
    (
        "scale-order",
        "tdmpc2.py",
        [(Q, Q.replace("qs", "values")), ("- self.scale(qs))", "- self.scale(values))"), ("qs[0].d", "values[0].d")],
        ["            self.scale.update(values[0])\n"],
        ["self.scale.update(qs)"],
    ),
    (
        "q-dropout",
        "common/layers.py",
        [(FORWARD, "        x = super().forward(x)  # affine\n        return self.act(self.ln(x))\n")],
        [
            "        x = self._drop(super().forward(x))  # affine\n",
            "            network[0].dropout = nn.Dropout(cfg.dropout).p\n",
        ],
        [],
    ),
    (
        "q-dropout",
        "common/layers.py",
        [
            (
                NETWORKS,
                "        networks = [mlp(in_dim, [8, 8], 1)]\n        self._Qs = nn.ModuleList(networks)\n",
            )
        ],
        ["        self._Qs = nn.ModuleList(networks)\n        for network in self._Qs:\n"],
        [],
    ),
    (
        "q-ensemble",
        "common/layers.py",
        [],
        [
            "        return self._Qs(x, drawn)\n",
            "            self._forward = self._forward_impl\n        self._Qs = StackedNetworks(",
        ],
        ["q(x) for q"],
    ),
    (
        "q-ensemble",
        "common/layers.py",
        [
            (
                LOOP,
                "    def _forward_impl(self, x):\n        values = [net(x) for net in self._Qs]  # one by one\n"
                "        return torch.stack(values)\n",
            )
        ],
        ["    def _forward_impl(self, x):\n        return self._Qs(x)\n"],
        ["net(x)"],
    ),
    (
        "q-ensemble",
        "common/layers.py",
        [(LOOP, LOOP.replace("for q in chosen])", "for q in chosen], dim=0)"))],
        ["        return self._Qs(x, drawn)\n"],
        ["q(x) for q"],
    ),
    (
        "eval-modes",
        "trainer.py",
        [(EVAL, EVAL.replace("eval_metrics", "numbers")), ("eval_metrics.update(", "numbers.update(")],
        ["                    numbers.update(self.eval_policy())\n"],
        [],
    ),
    (
        "target-q",
        "common/layers.py",
        [("torch.compile(self._forward_impl)", "torch.compile(self._forward_impl, mode='reduce-overhead')")],
        ["            self.target._forward = torch.compile(self.target._forward_impl, mode='reduce-overhead')\n"],
        [],
    ),
    (
        "target-q",
        "common/layers.py",
        [
            (COMPILED, "        self._run = torch.compile(self._impl) if cfg.compile else self._impl\n"),
            ("_forward_impl(", "_impl("),
        ],
        ["        if cfg.compile:\n            self.target._run = torch.compile(self.target._impl)\n"],
        [],
    ),
    ("episode-rows", "trainer.py", [], [f"                {OWN_ROW}td\n"], [ROW]),
    (
        "episode-rows",
        "trainer.py",
        [(TD + ROW, TD.replace(" td =", " self._tds[ep_len] ="))],
        [f"                {OWN_ROW}self.to_td(_obs, action, mu, std, reward, terminated)\n"],
        [],
    ),
    (
        "episode-rows",
        "trainer.py",
        [
            (
                TD + ROW,
                TD.replace("td =", "row =") + "                # store\n                self._tds[t] = row  # t\n",
            )
        ],
        ["                # store\n                self._tds[t.long(), torch.arange(t.shape[0])] = row  # t\n"],
        [],
    ),
    (
        "first-obs",
        "trainer.py",
        [("                if done.any():\n", "                if done.any():  # some\n")],
        [
            "                if done.any():  # some\n",
            "                    self._tds[0, done] = self.to_td(obs)[done]\n",
        ],
        [],
    ),
    (
        "plan-anneal",
        "common/math.py",
        [(DEN, "    den = max(1.0, end)  # steps\n")],
        ["max(1.0, end - start)  # steps"],
        [],
    ),
    (
        "plan-anneal",
        "common/math.py",
        [(DEN, ""), ("num / den", "num / max(1, end)")],
        ["1.0 - num / max(1, end - start)"],
        [],
    ),
]

# patch, what a tree has instead of newt_base's code, the state that it has by its code; None: refused
ALONE = [
    ("rho", "tdmpc2.py", [(RHO, "        self.rho = F.normalize(self.rho, p=1, dim=0)\n")], None),
    (
        "scale-order",
        "tdmpc2.py",
        [("        return pi_loss, qs[0].detach(), info\n", "        return pi_loss, qs.detach(), info\n")],
        None,
    ),
    ("target-q", "common/layers.py", [("        if cfg.compile:\n", "        if self.wanted:\n")], None),
    ("plan-anneal", "common/math.py", [(DEN, "    den = max(1, end) - start\n")], State.APPLIED),
    (
        "q-dropout",
        "common/layers.py",
        [
            (
                FORWARD,
                "        x = super().forward(x)\n        x = self.dropout(x)\n        return self.act(self.ln(x))\n",
            ),
            (NETWORKS, NETWORKS.replace("max(cfg.num_bins, 1))", "max(cfg.num_bins, 1), dropout=cfg.dropout)")),
            (
                "def mlp(in_dim, mlp_dims, out_dim, act=None):",
                "def mlp(in_dim, mlp_dims, out_dim, act=None, dropout=0.0):",
            ),
        ],
        None,
    ),
    ("prior-coef", "config.py", [(PRIOR, "    prior_coef: float = 1.0\n")], State.APPLIED),
    ("prior-coef", "config.py", [(PRIOR, "    prior_coef: float = 1\n")], State.APPLIED),
    (
        "prior-coef",
        "config.py",
        [(PRIOR, "    # prior_coef: float = 10.0\n    prior_coef: float = 1.0\n")],
        State.APPLIED,
    ),
    ("rho", "tdmpc2.py", [(SUM, SUM.replace(".sum(0).mean()", ".sum()"))], None),
    ("rho", "tdmpc2.py", [(RHO, "        self.rho = self.rho / self.rho.amax()\n")], None),
    ("scale-order", "tdmpc2.py", [(Q, Q + "        self.scale.update(qs[0].detach())\n"), (UPDATE, "")], State.APPLIED),
    ("scale-order", "tdmpc2.py", [(UPDATE, "")], None),
    (
        "q-dropout",
        "common/layers.py",
        [(FORWARD, "        return self.act(super().forward(x))\n"), (NETWORKS, "        self._Qs = make(cfg)\n")],
        None,
    ),
    ("q-ensemble", "common/layers.py", [(LOOP, "        return self._vmap(x)\n")], None),
    ("target-q", "common/layers.py", [(COMPILED, "        self._forward = self._forward_impl\n")], State.ABSENT),
    ("target-q", "common/layers.py", [(COPY, "        self.target = QEnsemble(cfg)\n")], State.ABSENT),
    (
        "target-q",
        "common/layers.py",
        [(COPY, COPY + "        self.target._forward = torch.compile(self.target._forward_impl)\n")],
        State.APPLIED,
    ),
    (
        "episode-rows",
        "trainer.py",
        [(ROW, "                self._tds[ep_len, torch.arange(4)] = td\n"), *IN_STEP],
        State.APPLIED,
    ),
    (
        "episode-rows",
        "trainer.py",
        [(ROW, f"                # self._tds[ep_len] = td\n                {OWN_ROW}td\n"), *IN_STEP],
        State.APPLIED,
    ),
    (
        "first-obs",
        "trainer.py",
        [(ROW, ROW + "                self._tds[0, done] = self.to_td(obs)[done]\n")],
        State.APPLIED,
    ),
    ("plan-anneal", "common/math.py", [(DEN, "    den = max(1, end - start)\n")], State.APPLIED),
    ("plan-anneal", "common/math.py", [(DEN, "    den = float(end)\n")], None),
    (
        "eval-modes",
        "trainer.py",
        [
            (EVAL, EVAL + "                    eval_metrics.update(self.eval_policy())\n"),
            ("    def to_td(", "    def eval_policy(self):\n        return {}\n\n    def to_td("),
        ],
        None,
    ),
]


def name(case):
    return f"{case[0]}-{case[2][0][1].split('  #')[0].strip()[:40] if case[2] else 'base'}"


@pytest.mark.parametrize(("patch", "file", "changes", "there", "gone"), REWRITES, ids=map(name, REWRITES))
def test_rewrites(patch, file, changes, there, gone):
    assert_rewrites(variant(sources(), file, *changes, everywhere=True), patch, PATCHES, file, there, gone)


@pytest.mark.parametrize(("patch", "file", "changes", "state"), ALONE, ids=map(name, ALONE))
def test_leaves_alone(patch, file, changes, state):
    tree = variant(sources(), file, *changes, everywhere=True)
    if state is None:
        assert_refused(tree, patch, PATCHES)
    else:
        assert_leaves_alone(tree, patch, PATCHES, state)


def test_a_patch_with_cases_has_them_of_both_kinds():
    assert {case[0] for case in REWRITES} == {case[0] for case in ALONE} <= set(PATCHES)
