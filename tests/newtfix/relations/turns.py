"""What goes on in loops that train."""

from __future__ import annotations

from relations.table import Table, method
from relations.trees import TRAINER

LEARN = "self._tokens -= 1\nfor _ in t:\n    new = self.agent.update(t)\n"
MORE = (
    "flag['loss'].append(float(new['loss']))",
    "flag.update(new)",
    "for key, value in new.items():\n        flag[key].append(value.item())",
    "self._tokens -= 1",
    "n = len(new)",
)

TABLES = {
    "only_kept": [
        Table(
            ("trainer", "self.agent.update", "self._tokens"),
            TRAINER,
            method(
                "train(self, t, flag)",
                LEARN,
                *(f"{LEARN}    {code}" for code in MORE),
                "self._tokens -= 1\nwhile t:\n    with flag:\n        flag.update(self.agent.update(t))",
                "for _ in t:\n    self.agent.update(t)\n    self.env.step(t)",  # neither paid for nor returned
                # before all steps
                "for _ in t:\n    self.agent.update(t)\n    self.log(t)\nwhile t:\n    self._tokens -= 1",
            ),
            method(
                "train(self, t, flag)",
                *(
                    f"{LEARN}    {code}"
                    for code in (
                        "self.env.step(t)",
                        "t(new)",
                        "self.n += 1",
                        "self.seen.append(new)",
                        "flag.append(self.agent(t))",
                        "if flag:\n        break",
                    )
                ),
                "self._tokens -= 1\nfor _ in t:\n    if flag:\n        self.agent.update(t)",
                "for _ in t:\n    new = self.agent.update(t)\n    t(new)\nreturn new",
            ),
        ),
    ],
}
