"""`newtfix status`: the state of every patch in a tree, and the places that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.errors import TreeError
from newtfix.model import PatchReport, State
from newtfix.work.session import (
    Session,
    find_target,
    lost,
    nearest_place,
    open_session,
    reports,
    shown_places,
    unseen,
)


def run(tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    found = _reports(session)
    gone = tuple(lost(session, found))
    if as_json:
        report.emit_json(_as_json(session, found, gone))
        return 0
    for note in session.notes:
        report.say(note)
    report.say(_source(session, len(gone)))
    rows = [
        (name, session.patches[name].severity.value, one.state.value, _where(session, one))
        for name, one in found.items()
    ]
    report.table(("id", "severity", "state", "where"), rows)
    if edited := [path for path in session.edited if path not in session.unreadable]:
        report.say(f"With edits of your own: {', '.join(edited)}; so the states come from the code.")
    if gone:
        names, option = " ".join(gone), session.target.option
        report.say(f"In the record, but their code is not in the tree any more, or not whole: {', '.join(gone)}.")
        report.say("It was edited, or reverted with git.")
        report.say(f"  newtfix apply {names}{option}  # puts it in again, where edits leave room")
        report.say(f"  newtfix revert {names}{option}  # takes it out of the record")
    if unknown := [name for name in session.applied if name not in session.patches]:
        report.say(f"Applied, but not among the patches at hand: {', '.join(unknown)}. Name them with --patches DIR.")
    return 0


def _reports(session: Session) -> dict[str, PatchReport]:
    """The states; where nothing can be looked at, the error says what the record knows."""
    try:
        return reports(session, session.patches)
    except TreeError as problem:
        if session.ledger is None:
            raise
        known = f"The record: newtfix applied {', '.join(session.applied)}, in {', '.join(session.ledger.files)}."
        raise replace(problem, where=f"{problem.where}\n{known}".strip()) from None


def _source(session: Session, lost: int) -> str:
    if session.target.new:
        return f"There is no {session.target.name} yet; this is newt_base, which the first apply copies."
    if session.ledger is None:
        which = "no record that fits these files" if session.stale else "no record here"
        return f"{session.target.root}: newtfix has {which}; the states come from the code alone."
    count = len(session.applied) - lost
    return f"{session.target.root}: {count} {'patch' if count == 1 else 'patches'} applied by newtfix."


def _where(session: Session, one: PatchReport) -> str:
    if files := unseen(session, one):
        return f"by the record; {', '.join(files)} cannot be read"
    if one.state is State.DRIFTED:
        return nearest_place(one)
    places = shown_places(one)
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0].file}:{places[0].line}{more}" if places else ""


def _as_json(session: Session, found: dict[str, PatchReport], gone: tuple[str, ...]) -> dict[str, Any]:
    return {
        "tree": str(session.target.root),
        "record": session.ledger is not None,
        "edited": session.edited,
        "lost": gone,
        "unreadable": session.unreadable,
        "patches": [
            {
                "id": name,
                "severity": session.patches[name].severity,
                "state": one.state,
                "applied_by_newtfix": name in session.applied,
                "requested": name in session.requested,
                "unreadable": unseen(session, one),
                "places": [{"file": place.file, "line": place.line, "text": place.text} for place in shown_places(one)],
            }
            for name, one in found.items()
        ],
        "notes": session.notes,
    }
