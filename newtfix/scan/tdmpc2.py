"""The report on a tree of TD-MPC2's layout: what it has of newtfix's items, and what doesn't concern it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from newtfix import report
from newtfix.errors import Refused, TreeError
from newtfix.newt.roles import find_roles, without_rivals
from newtfix.newt.tdmpc2 import NAME, Answer, Told, is_tdmpc2, told
from newtfix.scan.text import fitted, table, wrapped
from newtfix.work.session import Session, usable

_HEAD = ("id", "severity", "answer", "where")


def answers(session: Session) -> dict[str, Told]:
    """What a tree of TD-MPC2's layout has; nothing for any other tree."""
    with suppress(TreeError, Refused):
        sources = usable(session.tree.sources)
        if is_tdmpc2(sources, find_roles(sources)):
            return {name: one for name, one in told(without_rivals(sources)).items() if name in session.patches}
    return {}


def draw(session: Session, found: Mapping[str, Told], reasons: bool) -> None:
    """The answers on standard output; with `reasons`, a sentence for each."""
    report.table(_HEAD, _rows(session, found))
    for name, one in found.items() if reasons else ():
        report.out()
        report.heading(f"{name}: {session.patches[name].title}")
        for line in wrapped(f"{one.answer.value}: {one.why}"):
            report.out(f"  {line}")
        if one.place:
            report.out(f"  {fitted(f'{one.place.file}:{one.place.line}: {one.place.text}')}")


def summary(session: Session, found: Mapping[str, Told]) -> str:
    """One line: whose layout it is, and how many items have which answer."""
    counts = {answer: sum(one.answer is answer for one in found.values()) for answer in Answer}
    words = f"it has {counts[Answer.HAS]}, lacks {counts[Answer.LACKS]}, {counts[Answer.UNCONCERNED]} don't concern it"
    unknown = f", and newtfix cannot tell about {counts[Answer.UNKNOWN]}" if counts[Answer.UNKNOWN] else ""
    layout = f"{session.target.name}: {NAME}'s layout, not newt's, which the patches are for."
    return f"{layout}\n{len(found)} items: {words}{unknown}."


def record(session: Session, found: Mapping[str, Told]) -> dict[str, Any]:
    """The answers for machines."""
    return {
        "tree": str(session.target.root),
        "layout": NAME,
        "summary": summary(session, found),
        "items": [
            {
                "id": name,
                "severity": session.patches[name].severity,
                "answer": one.answer.value,
                "why": one.why,
                "place": {"file": one.place.file, "line": one.place.line, "text": one.place.text}
                if one.place
                else None,
            }
            for name, one in found.items()
        ],
        "notes": session.notes,
    }


def markdown(session: Session, found: Mapping[str, Told]) -> str:
    """The answers as a document."""
    rows = [(*row, found[row[0]].why) for row in _rows(session, found)]
    return f"# {session.target.name}\n\n{summary(session, found)}\n\n{table((*_HEAD, 'why'), rows)}"


def _rows(session: Session, found: Mapping[str, Told]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            session.patches[name].severity.value,
            one.answer.value,
            f"{one.place.file}:{one.place.line}" if one.place else "",
        )
        for name, one in found.items()
    ]
