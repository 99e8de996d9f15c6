"""A fix counts as there, or as not needed, only where that was seen: `newtfix check` exits with 0 for nothing else.

seen.toml has trees with a discrepancy in other words than newt's, and trees in which something undoes a fix.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from edits.judging import PATCHES, tree

from newtfix.model import State
from newtfix.plan.engine import inspect, plan

TABLES = tomllib.loads(Path(__file__).with_name("seen.toml").read_text())


def _each(kind: str) -> list[Any]:
    return [
        pytest.param(row, after, id=f"{row['patch']}-{number}-{count}")
        for number, row in enumerate(TABLES[kind])
        for count, after in enumerate(row["after"])
    ]


def _state(sources: Mapping[str, str], row: Mapping[str, Any], after: str) -> State:
    text = sources[row["file"]]
    for old, new in ((row["before"], after), *row.get("also", ())):
        old, new = (part.replace("    ", "\t") for part in (old, new))
        assert old in text
        text = text.replace(old, new)
    return inspect({**sources, row["file"]: text}, PATCHES, [row["patch"]])[row["patch"]].state


@pytest.mark.parametrize(("row", "after"), _each("written"))
def test_a_discrepancy_in_other_words_is_not_taken_for_a_fix(row: Mapping[str, Any], after: str) -> None:
    assert _state(tree("plain"), row, after) not in (State.APPLIED, State.ABSENT)


@pytest.fixture(scope="module")
def patched() -> Mapping[str, str]:
    sources = tree("plain")
    texts = {**sources, **plan(sources, list(PATCHES), PATCHES).after}
    assert {one.state for one in inspect(texts, PATCHES).values()} == {State.APPLIED}
    return texts


@pytest.mark.parametrize(("row", "after"), _each("undone"))
def test_a_fix_that_something_undoes_does_not_count(
    patched: Mapping[str, str], row: Mapping[str, Any], after: str
) -> None:
    assert _state(patched, row, after) not in (State.APPLIED, State.ABSENT)
