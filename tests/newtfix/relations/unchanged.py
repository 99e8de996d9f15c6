"""Whether values reach their ends as they were made."""

from __future__ import annotations

from relations.table import BINDS, CHANGES, Table, forms, method
from relations.trees import BUFFER, HELPERS

IN_THE_TRAINER = f"\n=== trainer.py{HELPERS}"
DRAWN = (
    IN_THE_TRAINER
    + """
class Trainer:
    def train(self, t, flag):
        action = self.env.rand_act()
        HERE
        td = self.to_td(obs, action)
    def _look(self, x):
        return x + 1
    def _clip(self, x):
        x.clamp_(-1, 1)
    def _clip_own(self):
        self.kept.clamp_(-1, 1)
    def to_td(self, obs, action=None):
        return obs
"""
)
TRAINER = (
    IN_THE_TRAINER
    + """
class Trainer:
    METHODS
    def to_td(self, obs, action=None, reward=None):
        return obs
"""
)
HARMLESS = (
    "pass",
    "y = {x} + 1\ny += 1\nt(y)",
    "y = {x}.clone()\ny.zero_()\nt(y)",
    "y = looks({x})\nt(y)",
    "y = {x}[0] * 2\nt(y)",
    "torch.mul({x}, 2, out=t)",
    "t.zero_()",
    "for y in {x}:\n    t(y + 1)",
    "y = deepcopy({x})\ny[0] = 1\nt(y)",
)
UNKNOWN = "project({x})", "self.shield.project({x})", "project(y={x})", "for _ in t:\n    project({x})"
ALSO = "f = zero\nf({x})", "y = {x}.numpy()\ny[0] = 1", "def inner(y={x}):\n    y.zero_()\ninner()"


def _changed(name: str, *but: str) -> tuple[str, ...]:
    return forms((*BINDS, *CHANGES, *ALSO), name, but=("del {x}\n", "del y, {x}", *but))


TABLES = {
    "unchanged": [
        Table(
            ("trainer", "random actions", "stored"),
            DRAWN,
            (
                *forms(HARMLESS, "action"),
                "y = self._look(action)\nt(y)",
                "action = action.float()",
                "self.kept = action",
                "if flag:\n    return",
                "y = action\ndel y",
                "with t:\n    action = action.cpu()",
            ),
            (
                *(code for code in _changed("action") if not code.startswith("del action")),
                *forms(UNKNOWN, "action"),
                "action = action * 2",
                "action = action if flag else t",
                "action = action.clamp(-1, 1)",
                "if (action := t) is not None:\n    t()",
                "self._clip(action)",
                "self._clip(x=action)",
                "self.kept = action\nself.kept.zero_()",
                "self.kept = action\nself._clip_own()",
                "f = self._clip\nf(action)",
                "def inner():\n    nonlocal action\n    action = t\ninner()",
                "t(action := action * 2)",
            ),
        ),
        Table(
            ("trainer", "random actions", "stored"),
            TRAINER,
            (
                "td = self.to_td(obs, self.env.rand_act())",
                "action: object = self.env.rand_act()\ntd = self.to_td(obs, action=action)",
                "action, y = self.env.rand_act(), t\ntd = self.to_td(obs, action, reward=y)",
                "f = self.to_td\naction = self.env.rand_act()\ntd = f(obs, action)",
                "td = self.to_td(obs, t)",
            ),
            (
                "action: object = self.env.rand_act()\naction *= 2\ntd = self.to_td(obs, action=action)",
                "action, y = self.env.rand_act(), t\ntd = self.to_td(obs, action * 2, reward=y)",
                "action = self.env.rand_act()\nrow = (obs, action * 2)\ntd = self.to_td(*row)",
                "action = self.env.rand_act()\nf = self.to_td\ntd = f(obs, action * 2)",
                "action = self.env.rand_act()\nrow = dict(action=action * 2)\ntd = self.to_td(obs, **row)",
                "draw = self.env.rand_act\naction = draw()\ntd = self.to_td(obs, action * 2)",
                "env = self.env\naction = env.rand_act()\ntd = self.to_td(obs, action * 2)",
                "td = self.to_td(obs, self.env.rand_act() * 2)",
                "td = self.to_td(obs, action=self.env.rand_act().clamp(-1, 1))",
                "if (action := self.env.rand_act()) is not None:\n    td = self.to_td(obs, action * 2)",
                "action = self.env.rand_act() * 2\ntd = self.to_td(obs, action)",
            ),
        ),
    ],
    "reaches": [
        Table(
            ("trainer", "random actions", "stored"),
            DRAWN,
            ("pass", "y = action + 1\nt(y)", "action = action.float()", "self._look(action)"),
            (
                "action = action * 2",
                "action = t",
                "if flag:\n    action = t",
                "action, y = t, flag",
                "action: object = t",
                "with t as action:\n    t()",
                "for action in t:\n    t()",
                "action *= 2",
                "action[0] = 1",
                "self._clip(action)",
                "self.to_td(obs, t)",
                "self.to_td(obs, action=t)",
                "f = self.to_td\nf(obs, t)",
                "self.to_td(*t)",
                "y = self.to_td(obs, t) if flag else t",
                "try:\n    action = t\nexcept ValueError:\n    pass",
                "match t:\n    case 1:\n        action = t",
            ),
        ),
    ],
    "never_changed": [
        Table(
            ("trainer", "observations"),
            TRAINER,
            (
                *tuple(f"obs, r, d, e, info = self.env.step(t)\n{code}" for code in forms(HARMLESS, "obs")),
                "obs = t\nobs.zero_()",
                "obs, r, d, e, info = self.env.step(t)\nobs = t",
            ),
            (
                *(f"obs, r, d, e, info = self.env.step(t)\n{code}" for code in forms((*CHANGES, *UNKNOWN), "obs")),
                "obs, *rest = self.env.step(t)\nobs[0] = 0",
                "step = self.env.step\nobs, r, d, e, info = step(t)\nobs[0] = 0",
                "env = self.env\nobs, r, d, e, info = env.step(t)\nobs[0] = 0",
            ),
        ),
    ],
    "goes_only_to": [
        Table(
            ("trainer", "episodes", "self.buffer.add"),
            TRAINER,
            (
                *tuple(
                    f"td = self._tds[:3, i].unsqueeze(0)\n{code}"
                    for code in ("self.buffer.add(td)", "self.buffer.add(td.to(t))", "e = td\nself.buffer.add(e)")
                ),
                "td = t\nt(td)",
            ),
            (
                *tuple(
                    f"td = self._tds[:3, i].unsqueeze(0)\n{code}\nself.buffer.add(td)"
                    for code in (
                        "t(td)",
                        "y = td['reward'].sum()\nt(y)",
                        "self.kept = td\nt(self.kept)",
                        "y, z = td, t\nt(y, z)",
                        "y: object = td\nt(y)",
                        "if (y := td) is not None:\n    t(y)",
                        "for y in td:\n    t(y)",
                        "t([y for y in td])",
                        "with td as y:\n    t(y)",
                        "return td",
                        "if td.sum() > 0:\n    t()",
                        "t(x=td)",
                        "y = {'a': td}\nt(y)",
                        "match td:\n    case 1:\n        t()",
                        "def inner():\n    return t(td)\ninner()",
                        "t(lambda: td.sum())",
                        "td['reward'] *= 2",
                        "y = t if flag else td\nt(y)",
                    )
                ),
                "td: object = self._tds[:3, i]\nt(td)",
                "rows = self._tds\ntd = rows[:3, i]\nt(td)",
            ),
        ),
    ],
    "taken_as_given": [
        Table(
            ("buffer", "add"),
            BUFFER,
            (
                *method("add(self, td, t, flag)", *forms(HARMLESS, "td", but=("clone", "deepcopy")), "td = td.to(t)"),
                "td[0] = 1",
            ),
            (
                *method("add(self, td, t, flag)", *forms((*CHANGES, *UNKNOWN), "td"), "td['reward'] = t"),
                "def add(self, td):\n    td = td.clone()\n    td[0] = 1\n    self.kept = td",
                "def add(self, td, /, t):\n    td[0] = t",
            ),
        ),
        Table(
            ("buffer", "add"),
            BUFFER,
            method("add(self, td, t)", "td['age'] = t", "td.set('age', t)", "td['age'].zero_()"),
            method("add(self, td, t)", "td['action'] = t", "td.set('action', t)", "td['action'].zero_()", "td.zero_()"),
            keys=("action",),
        ),
        Table(
            ("buffer", "add", "row by row"),
            BUFFER,
            method(
                "add(self, td, t)",
                "rows = {key: td[key][0] for key in t}\nrows['reward'] = rows['reward'] * SCALE",
                "rows = td.clone()\nrows['reward'] = rows['reward'].clamp(-1, 1)",
            ),
            (
                *method(
                    "add(self, td, t)",
                    "td['reward'] = td['reward'] * SCALE",
                    "rows = td.clone()\nrows['reward'] = rows['reward'] - rows['reward'].mean()",
                    "rows = td.clone()\nrows['reward'] *= t",
                ),
                "pass\n=== mine.py\nfrom common.buffer import Buffer\nclass Mine(Buffer):\n"
                "    def add(self, td):\n        td['reward'] = 2\n",
            ),
            keys=("reward",),
        ),
    ],
}
