"""A study of a tree whose training takes a moment, planned once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from newtfix.ablate.planning import allocated, draft
from newtfix.ablate.settings import Resolved
from newtfix.ablate.study import save_plan
from newtfix.ablate.trees import Variants
from newtfix.ablate.wish import Wish, find_parts

from .faketree import fake_tree


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `fake`, a tree, and `study`: base against all with four seeds; its two variants are made."""
    home = tmp_path_factory.mktemp("planned")
    wish = Wish(("task=cartpole-swingup",), tree=str(fake_tree(home)), design="pairs", budget=8)
    variants = Variants(home / "study", Path(wish.tree), ())
    plan = draft(wish, variants, find_parts(wish, variants), Resolved("cartpole-swingup", 6_000, 1, 1_000, True))
    save_plan(home / "study", allocated(plan, 8))
    for patches in (plan.on, plan.all):
        variants.make(patches)
    return home


@pytest.fixture
def study(planned: Path, tmp_path: Path) -> Path:
    """A copy of that study, of the same tree."""
    return Path(shutil.copytree(planned / "study", tmp_path / "study"))
