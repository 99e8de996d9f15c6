"""Which class of a tree plays a role, and attributes by other names."""

from __future__ import annotations

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan


def test_of_a_class_and_its_subclass_the_one_that_has_it_all_plays_the_role() -> None:
    config = sources()["config.py"]
    more = "\n\n@dataclass\nclass Debugging(Settings):\n    num_samples: int = 8\n"
    tree = {**sources(), "config.py": config.replace("class Config:", "class Settings:") + more}
    after = plan(tree, ["prior-coef", "burst"], PATCHES).after["config.py"]
    assert after.count("prior_coef: Weight = 1.0") == 1
    assert after.index("burst_updates") < after.index("class Debugging")


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_two_trainers_that_are_equally_good_candidates_are_named():
    text = sources()["trainer.py"]
    start = text.index("class Trainer:")
    two = (
        text.replace("class Trainer:", "class OnlineTrainer:")
        + "\n\n"
        + text[start:].replace("Trainer", "DemoTrainer", 1)
    )
    with pytest.raises(Refused, match=r"two classes play the role of trainer(.|\n)*OnlineTrainer(.|\n)*DemoTrainer"):
        apply({**sources(), "trainer.py": two}, "seeding")


def test_a_subclass_with_a_loop_of_its_own_is_pointed_out():
    own = "\n\nclass DemoTrainer(Trainer):\n    def train(self):\n        use_mpc = True\n"
    tree = {**sources(), "trainer.py": sources()["trainer.py"] + own}
    (note,) = set(plan(tree, ["seeding"], PATCHES).notes) - set(plan(sources(), ["seeding"], PATCHES).notes)
    assert note.startswith("trainer.py: DemoTrainer has its own train; the patches changed Trainer alone")


def test_the_trainer_that_is_imported_is_the_one() -> None:
    tree = sources()
    kept = {**tree, "own_trainer.py": tree["trainer.py"].replace("class Trainer", "class OwnTrainer")}
    kept["archive/trainer.py"] = kept.pop("trainer.py")
    kept["train.py"] = "from .own_trainer import OwnTrainer\n"
    assert "own_trainer.py" in plan(kept, ["seeding"], PATCHES).after
    kept["train.py"] = "from .archive.trainer import Trainer\n"
    assert "archive/trainer.py" in plan(kept, ["seeding"], PATCHES).after


def test_a_subclass_with_a_patched_method_of_its_own_is_pointed_out() -> None:
    tree = {
        **texts("plain"),
        "agents.py": "from tdmpc2 import TDMPC2\n\n\nclass Soft(TDMPC2):\n\tdef plan(self, obs):\n\t\tpass\n",
    }
    with pytest.raises(Refused) as refused:
        plan(tree, ["planner-stats"], PATCHES)
    assert "agents.py: Soft has its own plan" in refused.value.where


RENAMED = [
    ("self.model", "self.world", "actor-modes"),
    ("self.cfg", "self.config", "seeding"),
    ("cfg.horizon", "cfg.plan_horizon", "seeding"),
    ("cfg.rank", "cfg.worker", "burst"),
    ("cfg.log_std_max", "cfg.widest", "mu-std"),
]


@pytest.mark.parametrize(("old", "new", "patch"), RENAMED, ids=lambda value: value)
def test_an_attribute_by_another_name_is_refused(old, new, patch):
    """Whether the patch does not find its place or finds it and would write the name that it knows."""
    tree = {
        file: text.replace(old, new).replace(old.replace("self.", ""), new.replace("self.", ""))
        for file, text in sources().items()
    }
    field = old.partition(".")[2]
    tree = {file: text.replace(f"    {field}: ", f"    {new.partition('.')[2]}: ") for file, text in tree.items()}
    with pytest.raises(Refused, match=rf"'{patch}'"):
        testing.apply(tree, patch, patches=PATCHES)
