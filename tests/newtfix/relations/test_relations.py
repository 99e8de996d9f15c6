"""What every relation says of small trees: it holds, or it is broken, which is said as well where it cannot be told."""

from __future__ import annotations

import pytest

from newtfix.facts.relations import RELATIONS
from relations import (
    apart,
    around,
    beside,
    calls,
    closed,
    conditions,
    elsewhere,
    exact,
    losses,
    parameters,
    parts,
    reads,
    rows,
    settings,
    taken,
    terms,
    there,
    turns,
    unchanged,
)
from relations.table import told

MODULES = (
    *(apart, around, beside, calls, closed, conditions, elsewhere, exact, losses, parameters),
    *(parts, reads, rows, settings, taken, terms, there, turns, unchanged),
)
TABLES = {relation: tables for module in MODULES for relation, tables in module.TABLES.items()}


EACH = [(relation, number) for relation, tables in TABLES.items() for number in range(len(tables))]


@pytest.mark.parametrize(("relation", "number"), EACH)
def test_it_holds(relation: str, number: int) -> None:
    table = TABLES[relation][number]
    assert [(row, what) for row in table.holds if (what := told(relation, table, row))] == []


@pytest.mark.parametrize(("relation", "number"), EACH)
def test_it_is_broken(relation: str, number: int) -> None:
    table = TABLES[relation][number]
    assert [row for row in table.broken if not told(relation, table, row)] == []


def test_every_relation_has_rows_that_hold_and_rows_that_break_it() -> None:
    assert set(TABLES) == set(RELATIONS) and sum(len(module.TABLES) for module in MODULES) == len(RELATIONS)
    for tables in TABLES.values():
        assert any(table.holds for table in tables) and any(table.broken for table in tables)
