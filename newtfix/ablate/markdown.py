"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from newtfix.ablate.findings import Findings
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.tables import Table, along_table, arm_table, facts, failed_table, filled, pair_table, verdict_table
from newtfix.ablate.words import power_lines


def document(found: Findings, folder: Path) -> str:
    """Everything but the pictures."""
    return "\n".join(_lines(found, folder)).rstrip()


def _lines(found: Findings, folder: Path) -> Iterator[str]:
    yield from (f"# Which patches matter: {found.plan.task}", "", answer(found), "")
    for line in notes(found):
        yield f"- {line}"
    yield ""
    tables = [verdict_table, along_table, pair_table, arm_table, failed_table]
    for table in filled([one(found) for one in tables]):
        yield from (f"## {table.title}", "", *rows(table), "")
    yield from ("## Power", "", *(f"- {line}" for line in power_lines(found.plan)), "")
    yield from ("## Settings", "", *rows(Table("", ("what", "value"), tuple(facts(found, folder)))))


def rows(table: Table) -> Iterator[str]:
    yield _row(table.head)
    yield _row(tuple("---" for _ in table.head))
    for row in table.rows:
        yield _row(row)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
