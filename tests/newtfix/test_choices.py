"""Losses that a setting chooses, a trainer's assertions, and what counts as the tree's own error."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from newtfix.model import NOT_OBSERVED, OTHER
from newtfix.parity.standin import StandIns
from newtfix.verify.choices import choices, named
from newtfix.verify.subject import Subject
from newtfix.verify.worker import observe

AGENT = """
class TDMPC2:
    def update_pi(self, zs, action, mu, std, task):
        if self.cfg.world_size > 1:
            self.sync()
        {test}:
            loss = self.constrained_pi_loss(zs, action, mu, std, task)
        else:
            loss = self.pi_loss(zs, action, task)
"""


def tree(test: str, **settings: Any) -> Any:
    return SimpleNamespace(
        text=lambda role: AGENT.format(test=test), default_config=lambda: SimpleNamespace(**settings)
    )


@pytest.mark.parametrize(
    ("test", "own", "found"),
    [
        ("if self.cfg.kind == 2", 1, [1, 2, 0]),
        (
            "if self.cfg.kind == 2:\n            loss = self.a_pi_loss(zs)\n        elif self.cfg.kind == 1",
            1,
            [1, 2, 0],
        ),
        ("if self.cfg.kind", True, [True, False]),
        ("if not self.cfg.kind", False, [False, True]),
        ("if self.cfg.kind == 'plain'", "other", ["other", "plain"]),
    ],
)
def test_every_loss_that_a_setting_chooses_is_looked_at(test: str, own: Any, found: list[Any]) -> None:
    assert [choice["kind"] for choice in choices(tree(test, kind=own, world_size=1))] == found


@pytest.mark.parametrize("test", ["if zs.ndim == 3", "with self.lock"])
def test_without_a_setting_there_is_one(test: str) -> None:
    text = AGENT.format(test=test).replace("        else:", "        if True:")
    subject: Any = SimpleNamespace(text=lambda role: text, default_config=SimpleNamespace)
    assert choices(subject) == [{}]


def test_a_choice_is_named() -> None:
    assert (named({}), named({"kind": 2})) == ("", ", kind=2")


def test_a_trainer_can_be_had_without_its_assertions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "class Trainer:\n    def __init__(self, cfg):\n        assert cfg > 1, 'too small'\n        self.cfg = cfg\n"
    (tmp_path / "trainer_that_checks.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    names = {"trainer": "trainer_that_checks"}
    subject = Subject(tmp_path, names, {"trainer": "Trainer"}, {"trainer": "trainer_that_checks.py"})
    with pytest.raises(AssertionError, match="too small"):
        subject.trainer({}, cfg=1)
    assert subject.trainer({}, asserts=False, cfg=1).cfg == 1


@pytest.mark.parametrize(
    ("body", "verdict"),
    [("return mu", OTHER), ("raise NameError('mine')", OTHER), ("raise OSError('gone')", NOT_OBSERVED)],
)
def test_a_name_that_a_tree_never_sets_is_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, verdict: str
) -> None:
    file = tmp_path / "agent.py"
    file.write_text(f"def act():\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "agent", raising=False)
    probe = "def probe(tree):\n    import agent\n    return agent.act()\n"
    tree: Any = SimpleNamespace(root=tmp_path, libraries=StandIns(tmp_path))
    found, _ = observe(tree, "mine.py", probe, 60.0, lambda: None)
    assert [one.verdict for one in found] == [verdict]
    assert "agent.py:2" in found[0].observed


def test_what_calls_a_library_that_is_not_there_is_not_observed_for_want_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a function, as the base of a class, and imported only when it is needed."""
    text = "import no_such_library as no\n\nclass Own(no.Base):\n    pass\n\ndef called(): return no.f(1) + 1\n"
    text += "def derived(): return Own(1).size\n"
    text += "def late():\n    import no_such_other\n    return no_such_other.f(1) + 1\n"
    (tmp_path / "lacking_agent.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    tree: Any = SimpleNamespace(root=tmp_path, libraries=StandIns(tmp_path))
    uses = ("called", "derived", "late")
    probes = "".join(f"def probe_{use}(_):\n    import lacking_agent as it\n    return it.{use}()\n" for use in uses)
    found, lacked = observe(tree, "mine.py", probes, 60.0, lambda: None)
    assert [one.verdict for one in found] == [NOT_OBSERVED] * 3
    names = ("no_such_library", "no_such_library", "no_such_other")
    assert [one.observed for one in found] == [f"{name} is not installed" for name in names]
    places = {"no_such_library": "lacking_agent.py:1", "no_such_other": "lacking_agent.py:9"}
    assert (lacked, tree.libraries.places) == (set(places), places)
