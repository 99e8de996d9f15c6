"""How rows are written, counted and cut out."""

from __future__ import annotations

from relations.table import CHANGES, Table, forms
from relations.trees import TRAINER

CUT = "t(self._tds[: ep_len[i] + 1, i])\n"


TABLES = {
    "written_whole": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "self._tds[t] = flag",
                "self._tds[t], y = flag, 1",
                "self._tds = t",
                "y = self._tds[t].clone()\ny.zero_()",
                "self._tds[t]: object = flag",
            ),
            (
                *forms(CHANGES, "self._tds", but=("{x}[0] = t", "{x}[0], y", "as {x}[0]", "for {x}[0]", "y: object")),
                "self._tds[t]['reward'] = 0",
                "self._tds['reward'] = t",
                "self._tds[t][0] = flag",
                "self._tds['reward'][t] = 0",
                "row = self._tds[t]\nrow[0] = 1",
                "self._tds.set('reward', t)",
                "self._tds.update(t)",
            ),
        ),
    ],
    "taken_as_stored": [
        Table(
            ("buffer", "reward"),
            "=== common/buffer.py\nclass Buffer:\n    METHODS\n",
            (
                "pass",
                "y = td['reward'].unsqueeze(-1)",
                "y = td['reward'][1:].to(t)",
                "y = td.get('reward')[1:]",
                "y = td['other'] * 2",
                "td['reward'] = t",
                "y = torch.zeros_like(td['reward'])",
                "y = t * 2",
            ),
            (
                "y = td['reward'] * 2",
                "y = -td['reward']",
                "y = td['reward'].clamp(-1, 1)",
                "y = torch.tanh(td['reward'])",
                "y = torch.tanh(input=td['reward'])",
                "r = td['reward']\ny = r * 2",
                "r, y = td['reward'], t\ny = r * 2",
                "r = td['reward'][1:]\ns = r\ny = s.clamp(0)",
                "td['reward'] *= 2",
                "td['reward'].mul_(2)",
                "td['reward'][0] = 0",
                "r = td['reward']\nr[0] = 0",
                "torch.mul(t, 2, out=td['reward'])",
                "y = [r * 2 for r in (td['reward'],)]",
                "if (r := td['reward']) is not None:\n    y = r + 1",
                "y = td.get('reward') + 1",
            ),
        ),
    ],
    "flat": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "i = torch.zeros(3)\nself._tds[i] = t",
                "i = torch.zeros((3,))\nself._tds[i] = t",
                "i = torch.zeros(3, 2)",
                "i = torch.zeros(3)\nself._tds[i], y = t, 1",
            ),
            (
                "i = torch.zeros(3, 2)\nself._tds[i] = t",
                "i = torch.zeros((3, 2))\nself._tds[i] = t",
                "i: object = torch.zeros(3, 2)\nself._tds[i] = t",
                "i, y = torch.zeros(3, 2), t\nself._tds[i] = t",
                "i = torch.zeros(3, 2)\nself._tds[i], y = t, 1",
                "rows = self._tds\ni = (1, 2)\nrows[i] = t",
                "if (i := torch.zeros(3, 2)) is not None:\n    self._tds[i] = t",
                "i = torch.zeros(3, 2)\nself._tds[i] += t",
                "for i in (torch.zeros(3, 2),):\n    self._tds[i] = t",
            ),
        ),
    ],
    "indexes_alone": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "self._tds[i] = t",
                "self._tds[i] = t\nself.other[j] = t",
                "self._tds[i] = self.other[i]",
                "self.other[i] = t",
            ),
            (
                *tuple(
                    f"self._tds[i] = t\n{other}"
                    for other in (
                        "self.other[i] = t",
                        "self.other[i] += t",
                        "self.other[i], y = t, 1",
                        "y = self.other\ny[i] = t",
                        "j = i\nself.other[j] = t",
                        "for self.other[i] in t:\n    t()",
                        "with t as self.other[i]:\n    pass",
                        "self.other.index_copy_(0, i, t)",
                        "self.other.__setitem__(i, t)",
                        "del self.other[i]",
                    )
                ),
                "rows = self._tds\nrows[i] = t\nself.other[i] = t",
            ),
        ),
    ],
    "cut_only": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "t(self._tds[:3, 1])",
                "t(self._tds['obs'])",
                "self._tds[t] = flag",
                "t(self._tds.shape)",
                "t(len(self._tds))",
                "rows = self._tds\nt(rows[:3, 1])",
                "t(self.other[3])",
            ),
            (
                "t(self._tds[3])",
                "t(self._tds[t, 1])",
                "t(self._tds[3].sum())",
                "rows = self._tds\nt(rows[3])",
                "t((rows := self._tds)[3])",
                "t(getattr(self, '_tds')[3])",
                "for row in self._tds:\n    t(row)",
                "for i, row in enumerate(self._tds):\n    t(row)",
                "t([row for row in self._tds])",
                "t(self._tds.mean(1))",
                "t(self._tds)",
                "rows, y = self._tds, t\nt(rows[3], y)",
                "t(self._tds.unbind(0))",
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
                        "ep_len = torch.full((3,), 2)",
                        "ep_len = torch.ones(3)",
                        "ep_len[t] = 1",
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
    "cut_by_environment": [
        Table(
            ("trainer", "self._tds"),
            TRAINER,
            (
                "pass",
                "for i in t:\n    t(self._tds[: ep_len[i] + 1, i])",
                "for i in t:\n    n = ep_len[i]\n    t(self._tds[:n, i])",
                "for i, n in enumerate(ep_len):\n    t(self._tds[: n + 1, i])",
                "for i in t:\n    t(self._tds[1:, i])",
                "for i in t:\n    t(self.other[:5, i])",
                "for i in t:\n    t(self._tds[:n, 0])",
            ),
            (
                "for i in t:\n    t(self._tds[:n, i])",
                "for i in t:\n    t(self._tds[: ep_len.max() + 1, i])",
                "for i in t:\n    t(self._tds[:201, i])",
                "for i, done in enumerate(t):\n    if done:\n        t(self._tds[: self.cfg.length + 1, i])",
                "rows = self._tds\nfor i in t:\n    t(rows[:n, i])",
                "for i in t:\n    t(getattr(self, '_tds')[:n, i])",
                "for i in t:\n    for j in t:\n        t(self._tds[:n, i])",
                "for i in t:\n    j = i\n    t(self._tds[:n, j])",
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
}
