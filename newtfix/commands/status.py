"""`newtfix status`: the state of every patch in a tree, and the places that show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.model import PatchReport, Place
from newtfix.session import Session, find_target, open_session, reports


def run(tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    found = reports(session, session.patches)
    if as_json:
        report.emit_json(_as_json(session, found))
        return 0
    for note in session.notes:
        report.say(note)
    report.say(_source(session))
    rows = [(name, session.patches[name].severity.value, one.state.value, _where(one)) for name, one in found.items()]
    report.table(("id", "severity", "state", "where"), rows)
    if session.edited:
        report.say(f"With edits of your own: {', '.join(session.edited)}; so the states come from the code.")
    if lost := [name for name in session.applied if name not in session.patches]:
        report.say(f"Applied, but not among the patches at hand: {', '.join(lost)}. Name them with --patches DIR.")
    return 0


def _source(session: Session) -> str:
    if session.target.new:
        return f"There is no {session.target.name} yet; this is newt_base, which the first apply copies."
    if session.ledger is None:
        return f"{session.target.root}: newtfix has no record here; the states come from the code alone."
    count = len(session.applied)
    return f"{session.target.root}: {count} {'patch' if count == 1 else 'patches'} applied by newtfix."


def _places(one: PatchReport) -> list[Place]:
    return [place for edit in one.edits for place in edit.places]


def _where(one: PatchReport) -> str:
    places = _places(one)
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0].file}:{places[0].line}{more}" if places else ""


def _as_json(session: Session, found: dict[str, PatchReport]) -> dict[str, Any]:
    return {
        "tree": str(session.target.root),
        "record": session.ledger is not None,
        "edited": session.edited,
        "patches": [
            {
                "id": name,
                "severity": session.patches[name].severity,
                "state": one.state,
                "applied_by_newtfix": name in session.applied,
                "requested": name in session.requested,
                "places": [{"file": place.file, "line": place.line, "text": place.text} for place in _places(one)],
            }
            for name, one in found.items()
        ],
        "notes": session.notes,
    }
