"""Who plays a role in a tree that has more than one of something: what the trainer and the agent import and use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from trees import PATCHES, sources

from newtfix.commands import status
from newtfix.errors import Refused
from newtfix.newt.roles import find_roles, overrides, without_rivals
from newtfix.plan.engine import plan

BASE = sources()
OTHER = "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    episodes: int = 10\n"
LAYERS = ("from . import init, layers, math", "from . import init, math\nfrom . import nets as layers")
TRAINER = (
    "class Trainer:\n    def train(self): ...\n    def to_td(self): ...\n    def common_metrics(self): ...\n\n"
    "if __name__ == '__main__':\n    Trainer().train()\n"
)


def inside(folder: str, tree: Mapping[str, str] = BASE) -> dict[str, str]:
    return {f"{folder}/{file}": text for file, text in tree.items()}


def beside(*files: str) -> dict[str, str]:
    return {file.replace(".py", "_old.py"): BASE[file] for file in files}


ADDED = {
    "a copy under old": inside("old"),
    "a copy under a name that sorts first": inside("a"),
    "a checkout of the same tree": inside("third_party/newt/tdmpc2"),
    "a copy inside a package": inside("common/backup"),
    "a copy without its entry script": {f: t for f, t in inside("tests").items() if f != "tests/train.py"},
    "the settings of a run": {"outputs/2026-01-01/config.py": BASE["config.py"]},
    "old versions beside the new ones": beside("trainer.py", "tdmpc2.py", "config.py", "common/layers.py"),
    "a trainer of a test": {"tests/test_trainer.py": TRAINER},
}
HARMLESS = {
    "a second Config at the top": {"aaa.py": OTHER},
    "a second Config that is imported": {"envs/zzz.py": OTHER, "envs/use.py": "from .zzz import Config\n"},
}


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
def test_a_rival_that_nothing_uses_plays_no_role_and_is_left_out(added: dict[str, str]) -> None:
    roles = find_roles({**added, **BASE})
    assert roles == find_roles(BASE)
    rivals = {rival.file for found in roles.values() for rival in found.rivals}
    left = without_rivals({**added, **BASE})
    assert rivals and rivals <= added.keys() - left.keys()
    assert BASE.items() <= left.items()
    assert left == BASE or "tests/tdmpc2.py" in added  # without its script, not all belongs to the copy


@pytest.mark.parametrize("added", HARMLESS.values(), ids=HARMLESS)
def test_four_unrelated_lines_change_nothing(added: dict[str, str]) -> None:
    tree = {**BASE, **added}
    assert find_roles(tree) == find_roles(BASE) and without_rivals(tree) == tree
    ids = ("actor-modes", "prior-coef")
    assert plan(tree, ids, PATCHES).after == plan(BASE, ids, PATCHES).after


def test_the_file_that_the_entry_script_imports_wins_over_one_with_the_usual_name() -> None:
    tree = {f: t for f, t in BASE.items() if f not in ("trainer.py", "config.py", "common/layers.py")}
    tree = {f: t.replace("from .trainer import", "from .learn import") for f, t in tree.items()}
    tree = {f: t.replace("from .config import", "from .settings import") for f, t in tree.items()}
    tree["common/world_model.py"] = tree["common/world_model.py"].replace(*LAYERS)
    own = {"learn.py": BASE["trainer.py"], "settings.py": BASE["config.py"], "common/nets.py": BASE["common/layers.py"]}
    roles = find_roles({**tree, **own, **inside("old"), **{f: BASE[f] for f in ("trainer.py", "common/layers.py")}})
    assert [roles[name].file for name in ("trainer", "config", "layers")] == list(own)


@pytest.mark.parametrize("both", ["{0}{1}", "try:\n    {1}except ImportError:\n    {0}"])
def test_of_two_imports_of_a_name_the_one_that_python_uses_counts(both: str) -> None:
    first, second = "from .tdmpc2 import TDMPC2\n", "from .newer import TDMPC2\n"
    script = BASE["train.py"].replace(first, both.format(first, second))
    found = find_roles({**BASE, "train.py": script, "newer.py": BASE["tdmpc2.py"]})["agent"]
    assert found.file == "newer.py" and [rival.file for rival in found.rivals] == ["tdmpc2.py"]


def test_a_module_that_is_imported_for_something_else_is_not_the_one_in_use() -> None:
    second = BASE["common/layers.py"].replace("class SimNorm", "class OtherNorm")
    user = "from .common.blocks import OtherNorm\n"
    trainer = user + BASE["trainer.py"]
    roles = find_roles({**BASE, "common/blocks.py": second, "trainer.py": trainer})
    assert roles["layers"].file == "common/layers.py"
    assert [rival.file for rival in roles["layers"].rivals] == ["common/blocks.py"]


def test_a_rival_in_use_for_something_else_counts_only_as_far_as_it_is_used() -> None:
    world_model = BASE["common/world_model.py"].replace(LAYERS[0], LAYERS[1])
    agent = "from .common.layers import SimNorm\n" + BASE["tdmpc2.py"]
    own = {"common/nets.py": BASE["common/layers.py"], "common/world_model.py": world_model, "tdmpc2.py": agent}
    tree = {**BASE, **own}
    assert find_roles(tree)["layers"].file == "common/nets.py"
    assert "class SimNorm" in (left := without_rivals(tree)["common/layers.py"]) and "class QEnsemble" not in left
    assert len(left.splitlines()) == len(BASE["common/layers.py"].splitlines())
    assert plan(tree, ("q-dropout", "target-q"), PATCHES).after.keys() == {"common/nets.py", "config.py"}


def test_a_file_that_plays_one_role_and_lost_another_is_whole() -> None:
    both = BASE["common/math.py"] + "\n\ndef mlp(): ...\n\n\nclass QOnlineTargetEnsemble: ...\n"
    tree = {**BASE, "common/math.py": both}
    roles = find_roles(tree)
    assert roles["math"].file == "common/math.py" and [one.file for one in roles["layers"].rivals] == ["common/math.py"]
    assert without_rivals(tree)["common/math.py"] == both


def test_a_script_that_uses_the_tree_is_still_looked_at() -> None:
    script = "from newt.old.tdmpc2 import TDMPC2\nfrom newt.tdmpc2 import TDMPC2 as New\n"
    tree = {**BASE, **inside("old"), "scripts/compare.py": script}
    assert without_rivals(tree) == {**BASE, "scripts/compare.py": script}


def test_two_that_are_used_alike_are_refused_by_name() -> None:
    tree = {f: t for f, t in BASE.items() if f not in ("train.py", "trainer.py")}
    two = {
        f"{name}.py": TRAINER.partition("if __name__")[0].replace("Trainer", name.title()) for name in ("one", "two")
    }
    with pytest.raises(Refused, match=r"One in one.py and Two in two.py"):
        find_roles({**tree, **two})


def test_a_subclass_counts_only_if_it_derives_from_the_class_that_is_used() -> None:
    own = "\n\nclass Mine(Trainer):\n    def train(self): ...\n"
    found = find_roles(BASE)["trainer"]
    tree = {**BASE, "mine.py": "from .trainer import Trainer" + own, "x.py": "from lightning import Trainer" + own}
    after = {
        "trainer.py": BASE["trainer.py"].replace("        train_metrics = defaultdict(list)\n", "        pass\n", 1)
    }
    assert overrides(tree, found, after, relied_on=False) == ["mine.py: Mine has its own train"]


def test_status_names_what_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, text in {**BASE, **inside("old"), "config_old.py": BASE["config.py"]}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert status.run(tmp_path, [], False) == 0
    told = capsys.readouterr().err
    assert "Left alone: old/trainer.py (Trainer), for the trainer is in trainer.py, and 7 more in old/." in told
    assert "Left alone: config_old.py (Config), for the config is in config.py." in told
    assert status.run(tmp_path, [], True) == 0
    rivals = json.loads(capsys.readouterr().out)["rivals"]
    assert {"role": "config", "file": "config_old.py", "class": "Config", "used": "config.py"} in rivals
