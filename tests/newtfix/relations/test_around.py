"""What goes on around the places that a patch changes: tables."""

from __future__ import annotations

from textwrap import indent

import pytest

from relations.table import CALLS, READS, Table, forms, rows, told

TRAINER = """
=== trainer.py
class Trainer:
    METHODS
"""
AGENT = """
=== tdmpc2.py
class TDMPC2:
    METHODS
"""
BUFFER = """
=== common/buffer.py
class Buffer:
    METHODS
"""
SCRIPT = """
=== other.py
HERE
"""
CUT = "t(self._tds[: ep_len[i] + 1, i])\n"
LOAD = "agent.load(x)"


def _method(header: str, *codes: str) -> tuple[str, ...]:
    return tuple(f"def {header}:\n{indent(code, '    ')}" for code in codes)


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
    "counts_rows": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            tuple(
                CUT + code
                for code in (
                    "pass",
                    "ep_len += 1",
                    "ep_len = ep_len + 1",
                    "ep_len[t] = 0",
                    "ep_len += torch.ones(3)",
                    "other += 2",
                    "ep_len.add_(1)",
                )
            ),
            (
                *tuple(
                    CUT + code
                    for code in (
                        "ep_len += 2",
                        "ep_len = ep_len + 2",
                        "ep_len: object = ep_len + 2",
                        "ep_len, y = ep_len + 2, t",
                        "ep_len = t // 2",
                        "ep_len[t] += 2",
                        "n = ep_len\nn += 2\nt(n)",
                        "ep_len.add_(2)",
                        "t(ep_len := ep_len + 2)",
                        "ep_len += int(flag)",
                        "rows = self._tds\nep_len = t / 2",
                    )
                ),
                "rows = self._tds\nt(rows[: n[i], i])\nn += 2",
            ),
        ),
    ],
    "cut_from_first": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            ("pass", "t(self._tds[:3])", "t(self._tds[0:3, 1])", "t(self._tds[flag:3])", "t(self.other[1:3])"),
            (
                "t(self._tds[1:3])",
                "t(self._tds[1:, 2])",
                "rows = self._tds\nt(rows[1:])",
                "rows, y = self._tds, t\nt(rows[1:], y)",
                "t((rows := self._tds)[1:])",
                "t(getattr(self, '_tds')[1:])",
                "t([rows[1:] for rows in (self._tds,)])",
                "t(self._tds[-3:])",
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
                *_method(
                    "update(self, t, flag)",
                    *forms(READS, "self.rho", but=("{x} += 1",)),
                    "t(self._help())",
                    "f = self._help\nt(f())",
                ),
                "pass",
            ),
            _method(
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
            ),
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
                "c = self.cfg.coef\nt(c)\nt(c)",
            ),
            tuple(
                f"t(self.cfg.coef)\n{code}"
                for code in (
                    "t(self.cfg.coef)",
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
    ],
    "passes_mode": [
        Table(
            ("world_model", "self._Qs"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "self._Qs.train()",
                *_method(
                    "train(self, mode=True)",
                    "self._Qs.train(mode)",
                    "self._Qs.train(mode=mode)",
                    "m = mode\nself._Qs.train(m)",
                    "self.other.train()",
                    "f = self._Qs.train\nf(mode)",
                ),
            ),
            _method(
                "train(self, mode=True)",
                "self._Qs.train()",
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
    "updated_only_in": [
        Table(
            ("agent", "model.update"),
            AGENT + "=== other.py\nclass Other:\n    METHODS\n",
            ("pass", "agent.model.update(t)", "self.other.update(t)", "self.agent.model.update(t)"),
            forms(CALLS, "self.model.update"),
        ),
    ],
    "scaled_by": [
        Table(
            ("agent", "Q", "self.scale"),
            AGENT,
            ("pass", "q = self.model.Q(t)\nt(self.scale(q))", "t(self.norm(t))"),
            (
                "q = self.model.Q(t)\nt(self.norm(q))",
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
    "asked_once": [
        Table(
            ("agent", "pi_loss", "self.model.Q"),
            AGENT,
            (
                *_method(
                    "_pi_loss(self, t, flag)",
                    "pass",
                    "t(self.model.Q(t))",
                    "Q = self.model.Q\nt(Q(t))",
                    "t(self.model.Q(t), self.model.V(t))",
                ),
                "t(self.model.Q(t), self.model.Q(t))",
            ),
            _method(
                "_pi_loss(self, t, flag)", *(f"t(self.model.Q(t))\n{code}" for code in forms(CALLS, "self.model.Q"))
            ),
        ),
    ],
    "reads_only": [
        Table(
            ("agent", "pi_loss", "rho", "coef"),
            AGENT,
            (
                *_method(
                    "_pi_loss(self, t, flag)",
                    "pass",
                    "t(self.cfg.rho)",
                    "t(self.cfg.get('rho'))",
                    "c = self.cfg\nt(c.coef)",
                    "t(self.other)",
                ),
                "t(self.cfg.other)",
            ),
            _method(
                "_pi_loss(self, t, flag)",
                *forms(READS, "self.cfg.other", but=("y = {x}[0]", "match {x}", "for y in")),
                "c = self.cfg\nt(c.other)",
                "t(self.cfg.get('other'))",
                "c, y = self.cfg, t\nt(c.other, y)",
                "t(cfg.other)",
            ),
        ),
    ],
    "columns_in_order": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "t(self._tds[:3, i])",
                "self._tds[t] = self.to_td(t, flag)",
                "td = self.to_td(t, flag)\nself._tds[t] = td",
                "td = self.to_td(t, flag)\nt(td['reward'])",
                "t(self.to_td(t)[i])",
            ),
            (
                "t(self._tds[:3, order[i]])",
                "self._tds[t] = self.to_td(t, flag)[order]",
                "td = self.to_td(t, flag)\nself._tds[t] = td[order]",
                "td, y = self.to_td(t, flag), t\nself._tds[t] = td[order]",
                "td: object = self.to_td(t, flag)\nself._tds[t] = td[order]",
                "rows = self._tds\nt(rows[:3, order[i]])",
                "t(getattr(self, '_tds')[:3, order[i]])",
                "td = self.to_td(t, flag)[torch.randperm(3)]\nself._tds[t] = td",
                "if (td := self.to_td(t, flag)) is not None:\n    self._tds[t] = td[order]",
            ),
        ),
    ],
    "not_read_in": [
        Table(
            ("utd", "agent"),
            AGENT + "=== other.py\ny = cfg.utd\n",
            ("pass", "t(self.cfg.other)", "self.cfg.utd = t", "utd = t\nt(utd)"),
            (*forms(READS, "self.cfg.utd"), "t(self.cfg.get('utd'))"),
        ),
    ],
    "only_called": [
        Table(
            ("world_model", "self._pi"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "pass",
                "t(self._pi(t))",
                "t(self._pi.parameters())",
                "pi = self._pi\nt(pi(t))",
                "self._pi = t",
                "t(self.other.bias)",
            ),
            (
                "t(self._pi.bias)",
                "self._pi.bias = t",
                "self._pi.bias, y = t, 1",
                "setattr(self._pi, 'bias', t)",
                "pi = self._pi\nt(pi.bias)",
                "pi, y = self._pi, t\npi.bias = y",
                "self._pi.register_parameter('bias', t)",
                "self._pi.add_module('bias', t)",
                "t(getattr(self._pi, 'bias'))",
                "t(getattr(self, '_pi').bias)",
                "with t as self._pi.bias:\n    t()",
                "for self._pi.bias in t:\n    t()",
                "self._pi.bias += t",
                "t([pi.bias for pi in (self._pi,)])",
            ),
        ),
    ],
    "begins_anew": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "n = 0\nself._tds[n] = self.to_td(t)",
                "m, n = 0, 0\nself._tds[n] = self.to_td(t)",
                "self._tds[n] = self.to_td(t, flag)",
                "while flag:\n    n = 0\n    self._tds[n] = self.to_td(t)",
                "self._tds[0] = self.to_td(t)",
                "n: int = 0\nself._tds[n], y = self.to_td(t), 1",
            ),
            (
                "self._tds[n] = self.to_td(t)",
                "self._tds[n], y = self.to_td(t), 1",
                "self._tds[n]: object = self.to_td(t)",
                "rows = self._tds\nrows[n] = self.to_td(t)",
                "n = 0\nwhile flag:\n    self._tds[n] = self.to_td(t)",
                "getattr(self, '_tds')[n] = self.to_td(t)",
                "if flag:\n    n = 0\nself._tds[n] = self.to_td(t)",
                "with t:\n    self._tds[n] = self.to_td(t)",
                "for self._tds[n] in (self.to_td(t),):\n    t()",
                "self._tds[n] = self.to_td(t)\nn = 0",
            ),
        ),
    ],
    "no_logarithm": [
        Table(
            ("agent", "forward"),
            AGENT,
            (
                *_method(
                    "forward(self, t, flag)",
                    "return t, flag.exp()",
                    "return t, info['std']",
                    "log_std = t.log()\nreturn t, log_std.exp()",
                    "return t.log()",
                    "std = t\nreturn t, std",
                ),
                "return t, t.log()",
            ),
            _method(
                "forward(self, t, flag)",
                "return t, t.log()",
                "return t, torch.log(t)",
                "return t, log(t)",
                "return t, info['log_std']",
                "std = t.log()\nreturn t, std",
                "std, y = t.log(), 1\nreturn t, std",
                "std: object = t.log()\nreturn t, std.cpu()",
                "if (std := t.log()) is not None:\n    return t, std",
                "std = t.log()\ns = std\nreturn t, s",
                "for std in (t.log(),):\n    return t, std",
                "return t, t.log().cpu()",
                "std = info['log_std']\nreturn t, std",
            ),
        ),
    ],
    "set_nowhere_else": [
        Table(
            ("coef", "1"),
            "=== config.py\nclass Config:\n    coef: float = 0.5\n=== other.py\nHERE\n",
            ("pass", "x = {'coef': 1}", "f(coef=1.0)", "f(coef=x)", "cfg.coef = 1", "other = 0.5"),
            (
                "x = {'coef': 0.5}",
                "f(coef=0.5)",
                "cfg.coef = 0.5",
                "cfg.coef, y = 0.5, 1",
                "cfg.coef: float = 0.5",
                "setattr(cfg, 'coef', 0.5)",
                "cfg['coef'] = 0.5",
                "vars(cfg)['coef'] = 0.5",
                "for cfg.coef in (0.5,):\n    pass",
                "x = [dict(coef=0.5) for _ in y]",
                "x = {'a': {'coef': 0.5}}",
            ),
        ),
    ],
    "not_compared": [
        Table(
            ("coef",),
            SCRIPT,
            ("pass", "x = cfg.coef > 0", "x = cfg.coef == y", "x = y > 1", "f(cfg.coef)"),
            (
                "x = cfg.coef > y",
                "x = y <= cfg.coef",
                "x = 1 < cfg.coef < 2",
                "c = cfg.coef\nx = c > y",
                "c, d = cfg.coef, 1\nx = c > y",
                "c: float = cfg.coef\nx = c > y",
                "x = (c := cfg.coef) > y",
                "x = getattr(cfg, 'coef') > y",
                "if cfg.coef > 1:\n    pass",
                "while y < cfg.coef:\n    pass",
                "x = [c for c in y if c > cfg.coef]",
                "x = [c > y for c in (cfg.coef,)]",
                "x = 1 if cfg.coef > y else 2",
            ),
        ),
    ],
    "weighs_plainly": [
        Table(
            ("agent", "coef"),
            AGENT,
            (
                "pass",
                "t(self.cfg.coef * t)",
                "t(self.cfg.coef * self.scale(t))",
                "t(max(t, 1))",
                "t(self.cfg.other * min(t, 1))",
            ),
            (
                "t(self.cfg.coef * min(t, 1))",
                "t(min(t, 1) * self.cfg.coef)",
                "t(self.cfg.coef * (1 if flag else 0))",
                "t(self.cfg.coef * math.exp(t))",
                "t(self.cfg.coef * flag * float(t))",
                "c = self.cfg.coef\nt(c * max(t, 1))",
                "c, y = self.cfg.coef, t\nt(c * max(y, 1))",
                "t(torch.mul(self.cfg.coef, min(t, 1)))",
                "t(getattr(self.cfg, 'coef') * min(t, 1))",
                "t([c * min(t, 1) for c in (self.cfg.coef,)])",
                "c = self.cfg.coef\nc *= min(t, 1)\nt(c)",
            ),
        ),
    ],
    "not_counted": [
        Table(
            ("buffer", "add"),
            BUFFER,
            (
                *_method(
                    "add(self, t, flag)",
                    "self.n += 1",
                    "if self.n == 0:\n    t()\nself.n += 1",
                    "if self.n == 0 and flag:\n    t()\nself.n += 1",
                    "self.n += 1\nif flag:\n    t()",
                    "n = self.n\nif n == 0:\n    t()\nself.n += 1",
                ),
                "self.n += 1\nif self.n > 3:\n    t()",
            ),
            _method(
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
    ],
    "not_given_by_hand": [
        Table(
            ("encoder",),
            SCRIPT,
            ("pass", "agent.model.other.x = 1", "encoder.x = 1", "y = agent.model.encoder.x", "agent.model.encoder(x)"),
            (
                "agent.model.encoder.x = 1",
                "agent.model.encoder.x, y = 1, 2",
                "agent.model.encoder.x += 1",
                "agent.model.encoder.x: int = 1",
                "setattr(agent.model.encoder, 'x', 1)",
                "e = agent.model.encoder\ne.x = 1",
                "e, y = agent.model.encoder, 1\ne.x = y",
                "m = agent.model\nm.encoder.x = 1",
                "for agent.model.encoder.x in y:\n    pass",
                "with y as agent.model.encoder.x:\n    pass",
                "del agent.model.encoder.x",
                "getattr(agent.model, 'encoder').x = 1",
                "def f():\n    agent.model.encoder.x = 1",
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
