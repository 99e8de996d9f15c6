"""`newtfix status`: the state of every patch in a tree, and the places that show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.errors import Refused, TreeError
from newtfix.model import PatchReport, State
from newtfix.newt.roles import Found, find_roles
from newtfix.newt.tdmpc2 import Told
from newtfix.scan import tdmpc2
from newtfix.work.doubts import doubts
from newtfix.work.session import (
    Session,
    find_target,
    lost,
    nearest_place,
    open_session,
    reports,
    shown_places,
    unseen,
    usable,
)


def run(tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    if other := tdmpc2.answers(session):
        return _of_tdmpc2(session, other, as_json)
    found = _reports(session)
    gone = tuple(lost(session, found))
    doubted = {name: why for name, why in doubts(session).items() if name not in gone}
    roles = _roles(session)
    if as_json:
        report.emit_json(_as_json(session, found, gone, doubted, roles))
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
    if doubted:
        report.say("There, but edited since, so that newtfix cannot tell whether they still do what they should:")
        for name, why in doubted.items():
            report.say(f"  {name}: {why}")
    for line in _rivals(roles):
        report.say(line)
    if unknown := [name for name in session.applied if name not in session.patches]:
        report.say(f"Applied, but not among the known patches: {', '.join(unknown)}. Name them with --patches DIR.")
    return 0


def _of_tdmpc2(session: Session, found: Mapping[str, Told], as_json: bool) -> int:
    if as_json:
        report.emit_json(tdmpc2.record(session, found))
        return 0
    for note in session.notes:
        report.say(note)
    report.say(tdmpc2.summary(session, found))
    tdmpc2.draw(session, found, reasons=False)
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


def _roles(session: Session) -> dict[str, Found]:
    """Who plays which role; nobody where that cannot be told."""
    with suppress(TreeError, Refused):
        return find_roles(usable(session.tree.sources))
    return {}


def _rivals(roles: Mapping[str, Found]) -> Iterator[str]:
    """Files that could play a role and are left alone, as nothing that trains uses them: a line for each folder."""
    folders: dict[str, list[str]] = {}
    for name, found in roles.items():
        for rival in found.rivals:
            top, slash, _ = rival.file.partition("/")
            folders.setdefault(top + slash, []).append(
                f"{rival.file}{f' ({rival.cls})' if rival.cls else ''}, for the {name} is in {found.file}"
            )
    for folder, files in folders.items():
        more = f", and {len(files) - 1} more in {folder}" if len(files) > 1 else ""
        yield f"Left alone: {files[0]}{more}."


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


def _as_json(
    session: Session,
    found: Mapping[str, PatchReport],
    gone: Sequence[str],
    doubted: Mapping[str, str],
    roles: Mapping[str, Found],
) -> dict[str, Any]:
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
                "doubt": doubted.get(name, ""),
                "places": [{"file": place.file, "line": place.line, "text": place.text} for place in shown_places(one)],
            }
            for name, one in found.items()
        ],
        "rivals": [
            {"role": name, "file": rival.file, "class": rival.cls, "used": found.file}
            for name, found in roles.items()
            for rival in found.rivals
        ],
        "notes": session.notes,
    }
