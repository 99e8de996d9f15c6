"""Names that occur only where a patch knows them."""

from __future__ import annotations

from textwrap import indent

from relations.table import READS, Table, forms

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


def _method(header: str, *codes: str) -> tuple[str, ...]:
    return tuple(f"def {header}:\n{indent(code, '    ')}" for code in codes)


TABLES = {
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
