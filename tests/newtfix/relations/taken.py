"""What methods make of what they are given."""

from __future__ import annotations

from relations.table import Table, method
from relations.trees import BUFFER

STORES = "=== trainer.py\nclass Trainer:\n    def train(self):\n        self.buffer.add(self._tds[:3])\n"

TABLES = {
    "copies_at_once": [
        Table(
            ("buffer", "add", "trainer", "self._tds"),
            f"{STORES}{BUFFER}class Slices:\n    def extend(self, rows):\n        self.kept.append(rows.clone())\n"
            "    def keep(self, rows):\n        self.kept.append(rows)\n",
            (
                *method(
                    "add(self, td, t)",
                    "self._buffer.extend(td)",
                    "self.kept.append(td[0].clone())",
                    "self.kept += [td.clone()]",
                    "self.kept.append(torch.cat([td]))",
                    "self.counts.append(t)",
                    "some = []\nsome.append(td)",
                ),
                "def add(self, td):\n    self.kept.append(td)"
                + STORES.replace("=== t", "\n=== t").replace("3]", "3].clone()"),
            ),
            method(
                "add(self, td, t)",
                "self.kept.append(td)",
                "self.kept.append(td[0])",
                "self.kept += [td]",
                "row = td.squeeze(0)\nself.kept.append(row)",
                "self._buffer.keep(td[0])",
            ),
        ),
    ],
    "leaves_as_given": [
        Table(
            ("step",),
            "=== envs.py\nclass Env:\n    def step(self, action, t):\n        HERE\n",
            ("return t(action)", "t[0] = action", "action = action.clone()\naction[0] = 1", "x = action + 1\nx[0] = t"),
            ("action[0] = 1", "action.clamp_(-1, 1)", "action *= 2", "if t:\n    action[t][0] = 2"),
        ),
    ],
    "takes_any_length": [
        Table(
            ("buffer", "add"),
            BUFFER,
            (
                *method(
                    "add(self, td, t, flag)",
                    "pass",
                    "td['episode'] = t",
                    "self._buffer.extend(td)",
                    "td = td.to(t)",
                    "n = td.shape[1]\nself.count += n",
                    "rows = dict(td)\nrows['reward'] = rows['reward'] * SCALE",
                    "rows = dict(td)\nrows['reward'] = (rows['reward'] / self.cfg.scale).clamp(-1.0, max=1.0) - 2",
                ),
                "if td.shape[1] < 3:\n    return",
            ),
            method(
                "add(self, td, t, flag)",
                "if td.shape[1] < 3:\n    return",
                "rows = dict(td)\nrows['reward'] = rows['reward'] - rows['reward'].mean()",
                "rows = dict(td)\nrows['reward'] = rows['reward'] * rows['reward'][-1]",
                "rows = dict(td)\nrows['reward'] = rows['reward'].cumsum(0)",
                "rows = dict(td)\nrows['reward'] = rows['reward'] * t",
                "n = td.shape[1]\nif n < 3:\n    return",
                "n, m = td.shape[1], t\nif n < m:\n    return",
                "n: int = td.shape[1]\nassert n == 3",
                "if (n := td.shape[1]) < 3:\n    return",
                "m, n = td.shape\nassert n == 3",
                "m, n, *rest = td.shape\nif n < 3:\n    return",
                "assert td.size(1) == 3",
                "if flag:\n    return",
                "td['reward'] = t",
                "td['reward'], y = t, flag",
                "td['reward'] *= 2",
                "td['reward'][0] = 0",
                "td.set('reward', t)",
                "td['reward'].zero_()",
                "r = td['reward'].mean()\nt(r)",
                "t(td['reward'] * 2)",
                "t(td['reward'].cumsum(0))",
                "t(td[:, 1:])",
                "td = td[:, ::2]",
                "for td['reward'] in t:\n    t()",
                "e = td\ne['reward'] = t",
                "r = td['reward']\nr.zero_()",
                "e = td[:, 1:]\nt(e)",
                "torch.mul(t, 2, out=td['reward'])",
                "while td.shape[1] < 3:\n    return",
                "match flag:\n    case 1:\n        return",
                "y = td if td.shape[1] > 3 else t\nt(y)",
            ),
        ),
    ],
}
