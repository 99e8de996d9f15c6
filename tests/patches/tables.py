"""What rows of tables come to: a tree with other code in one file, and what a patch makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import plan
from newtfix.testing import assert_leaves_alone, assert_refused, assert_rewrites, variant

Changes = Sequence[tuple[str, str]]


def refused(patch: str, file: str, old: str, new: str, words: str) -> None:
    """newt_base with other code, wherever that stands: the patch refuses it with these words."""
    _refuses(variant(sources(), file, (old, new), everywhere=True), patch, words)


def refused_in_plain(patch: str, file: str, old: str, new: str, words: str) -> None:
    """The same for the specimen `plain`, which the patch fits as it is."""
    assert plan(texts("plain"), [patch], PATCHES).after
    _refuses(variant(texts("plain"), file, (old, new)), patch, words)


def _refuses(tree: Mapping[str, str], patch: str, words: str) -> None:
    with pytest.raises(Refused) as problem:
        plan(tree, [patch], PATCHES)
    assert words in f"{problem.value}\n{problem.value.detail}"


def rewritten(patch: str, file: str, changes: Changes, there: Sequence[str], gone: Sequence[str]) -> None:
    """newt_base with other code: what is there once the patch is in, and what is gone."""
    assert_rewrites(variant(sources(), file, *changes, everywhere=True), patch, PATCHES, file, there, gone)


def left_alone(patch: str, file: str, changes: Changes, state: State | None) -> None:
    """newt_base with other code, which the patch leaves alone in this state; None: refuses."""
    tree = variant(sources(), file, *changes, everywhere=True)
    if state is None:
        assert_refused(tree, patch, PATCHES)
    else:
        assert_leaves_alone(tree, patch, PATCHES, state)


def name_of(row: Sequence[Any]) -> str:
    """What a row of changes is about: the first code that a tree has instead."""
    return row[1][0][1].split("  #")[0].strip()[:40] if row[1] else "base"
