"""prior-coef: the default weight of the prior."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from observed import Tree
from tables import left_alone, name_of, rewritten
from trees import PATCHES, sources, tree

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import inspect, plan
from newtfix.testing import variant


@pytest.mark.parametrize("value", ["0.3", "5.0"])
def test_a_prior_that_somebody_chose_stays(value: str) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", f"prior_coef: float = {value}"))
    assert inspect(tree, PATCHES, ["prior-coef"])["prior-coef"].state is State.ABSENT
    assert not plan(tree, ["prior-coef"], PATCHES).after


def test_settings_that_a_base_class_has() -> None:
    config = sources()["config.py"]
    start = config.index("    horizon: ")
    line = config[start : config.index("\n", start) + 1]
    base = f"@dataclass\nclass Planning:\n{line}    prior_coef: float = 10.0\n\n\n@dataclass\nclass Config(Planning):\n"
    text = config.replace(line, "").replace("@dataclass\nclass Config:\n", base)
    own = next(one for one in config.splitlines(keepends=True) if one.startswith("    prior_coef:"))
    tree = {**sources(), "config.py": text.replace(own, "")}
    after = plan(tree, ["prior-coef", "burst"], PATCHES).after["config.py"]
    assert "    prior_coef: float = 1.0\n" in after
    assert "burst_updates" in after[after.index("class Config(Planning)") :]


@pytest.mark.parametrize(
    ("default", "answer"),
    [("field(default=10.0)", "field(default=1.0)"), ("PRIOR", None)],
)
def test_a_prior_s_default_that_is_no_number(default: str, answer: str | None) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", f"prior_coef: float = {default}"))
    if answer is None:
        with pytest.raises(Refused):
            plan(tree, ["prior-coef"], PATCHES)
    else:
        assert f"prior_coef: float = {answer}  #" in plan(tree, ["prior-coef"], PATCHES).after["config.py"]


@pytest.mark.parametrize(
    ("default", "patched"),
    [
        ("prior_coef: float = Field(10.0, ge=0)", "prior_coef: float = Field(1.0, ge=0)"),
        (
            'prior_coef: float = field(default=10, metadata={"a": 1})',
            'prior_coef: float = field(default=1.0, metadata={"a": 1})',
        ),
        ("prior_coef = 10.0", "prior_coef = 1.0"),
    ],
)
def test_defaults_of_the_prior_s_weight_in_other_words(default: str, patched: str) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", default))
    assert patched in plan(tree, ["prior-coef"], PATCHES).after["config.py"]


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    """The same policy noise and the same two Q networks in every draw."""
    monkeypatch.setattr(torch, "randn_like", lambda x, **_: torch.linspace(-1, 1, x.numel()).view_as(x))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))


@pytest.mark.parametrize(("ids", "default"), [([], 10.0), (["prior-coef"], 1.0)], ids=["newt", "patched"])
def test_the_default_prior_coefficient(ids, default):
    config = tree(ids).config
    assert config.Config().prior_coef == default
    assert config.load_cfg([]).prior_coef == default
    assert config.load_cfg(["prior_coef=3"]).prior_coef == 3.0


PRIOR = "    prior_coef: Weight = 10.0  # weight of the policy's prior term\n"


REWRITES = [
    (
        "config.py",
        [],
        ["    prior_coef: Weight = 1.0  # weight of the policy's prior term\n"],
        [PRIOR],
    ),
    (
        "config.py",
        [(PRIOR, "    prior_coef: float=10  # bc\n")],
        ["    prior_coef: float = 1.0  # bc\n"],
        [],
    ),
    (
        "config.py",
        [(PRIOR, "    prior_coef: Optional[float] = 1e1\n")],
        ["Optional[float] = 1.0\n"],
        ["1e1"],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("prior-coef", *row)


ALONE = [
    (
        "config.py",
        [(PRIOR, "    prior_coef: float = 1.0\n")],
        State.APPLIED,
    ),
    (
        "config.py",
        [(PRIOR, "    prior_coef: float = 1\n")],
        State.APPLIED,
    ),
    (
        "config.py",
        [(PRIOR, "    # prior_coef: float = 10.0\n    prior_coef: float = 1.0\n")],
        State.APPLIED,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("prior-coef", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    assert tree.modules.config.Config().prior_coef == 1
