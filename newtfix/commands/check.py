"""`newtfix check`: for CI and pre-commit, whether patches are in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.model import State
from newtfix.work.session import choose, find_target, lost, open_session, reports, unseen

_GOOD = (State.APPLIED, State.ABSENT)


def run(ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    chosen = choose(ids, everything or not ids, session.patches)
    found = reports(session, chosen)
    hidden = {name: files for name, one in found.items() if (files := unseen(session, one))}
    words = {name: _word(one.state, hidden.get(name, ())) for name, one in found.items()}
    gone = lost(session)
    missing = [name for name, one in found.items() if one.state not in _GOOD or name in hidden or name in gone]
    if as_json:
        report.emit_json(
            {
                "tree": str(session.target.root),
                "ok": not missing,
                "missing": missing,
                "patches": [
                    {"id": name, "state": one.state, "unreadable": hidden.get(name, ())} for name, one in found.items()
                ],
                "notes": session.notes,
            }
        )
        return 1 if missing else 0
    for note in session.notes:
        report.say(note)
    for name in missing:
        report.say(f"{name}: {words[name]}")
    if missing:
        report.say(f"{session.target.root} lacks {len(missing)} of {len(found)} patches.")
        return 1
    report.say(f"{session.target.root} has what was asked for ({len(found)} patches).")
    return 0


def _word(state: State, unreadable: Sequence[str]) -> str:
    return f"not seen, as {', '.join(unreadable)} cannot be read" if unreadable else state.value
