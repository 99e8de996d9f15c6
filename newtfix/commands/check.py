"""`newtfix check`: for CI and pre-commit, whether patches are in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.model import State
from newtfix.session import choose, find_target, open_session, reports

_GOOD = (State.APPLIED, State.ABSENT)


def run(ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    chosen = choose(ids, everything or not ids, session.patches)
    states = {name: one.state for name, one in reports(session, chosen).items()}
    missing = [name for name, state in states.items() if state not in _GOOD]
    if as_json:
        report.emit_json(
            {
                "tree": str(session.target.root),
                "ok": not missing,
                "missing": missing,
                "patches": [{"id": name, "state": state} for name, state in states.items()],
                "notes": session.notes,
            }
        )
        return 1 if missing else 0
    for note in session.notes:
        report.say(note)
    for name in missing:
        report.say(f"{name}: {states[name].value}")
    if missing:
        report.say(f"{session.target.root} lacks {len(missing)} of {len(states)} patches.")
        return 1
    report.say(f"{session.target.root} has what was asked for ({len(states)} patches).")
    return 0
