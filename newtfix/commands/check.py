"""`newtfix check`: for CI and pre-commit, whether patches are in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.model import State, Value, show
from newtfix.scan.survey import survey
from newtfix.work.doubts import doubts
from newtfix.work.session import Session, choose, find_target, lost, open_session, reports, unseen

_GOOD = (State.APPLIED, State.ABSENT)
_UNKNOWN = "cannot tell"


def run(ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    session = open_session(find_target(tree), named)
    chosen = choose(ids, everything or not ids, session.patches)
    found = reports(session, chosen)
    hidden = {name: files for name, one in found.items() if (files := unseen(session, one))}
    gone = lost(session)
    doubted = {name: why for name, why in doubts(session).items() if name in found}
    own = _of_the_tree(session, [name for name, one in found.items() if one.state in _GOOD and name not in hidden])
    words = {n: own.get(n) or _word(one.state, hidden.get(n, ()), doubted.get(n, "")) for n, one in found.items()}
    bad = {*hidden, *gone, *own, *doubted}
    missing = [name for name, one in found.items() if one.state not in _GOOD or name in bad]
    if as_json:
        report.emit_json(
            {
                "tree": str(session.target.root),
                "ok": not missing,
                "missing": missing,
                "patches": [
                    {
                        "id": name,
                        "state": one.state,
                        "unreadable": hidden.get(name, ()),
                        "doubt": doubted.get(name, ""),
                    }
                    for name, one in found.items()
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
        report.say(
            _summary(session, missing, [name for name in missing if words[name].startswith(_UNKNOWN)], len(found))
        )
        return 1
    report.say(f"{session.target.root} has what was asked for ({len(found)} patch{'es' * (len(found) != 1)}).")
    return 0


def _summary(session: Session, missing: Sequence[str], unknown: Sequence[str], count: int) -> str:
    lacks = f"lacks {len(missing) - len(unknown)} of {count} patches" if len(missing) > len(unknown) else ""
    if not unknown:
        return f"{session.target.root} {lacks}."
    edits = f"edits touch {len(unknown)} of {count} patches (newtfix diff{session.target.option})"
    return f"{session.target.root}{f' {lacks};' if lacks else ':'} {edits}."


def _of_the_tree(session: Session, names: Sequence[str]) -> dict[str, str]:
    """Patches that are there, or not needed, though the tree's own number is another than the reference's."""
    measured = {name: patch.measured for name in names if (patch := session.patches[name]).measured}
    numbers = survey(session, ()).numbers if measured else {}
    others = {name: numbers[key] for name, key in measured.items() if key in numbers}
    return {
        name: f"the tree's own number, {_exactly(one.here, one.reference)}; in the reference {show(one.reference)}"
        for name, one in others.items()
        if one.ratio not in (None, 1)
    }


def _exactly(here: Value, reference: Value) -> str:
    """A number, to as many digits as it takes to tell it from another."""
    return show(here) if show(here) != show(reference) else str(here)


def _word(state: State, unreadable: Sequence[str], doubt: str) -> str:
    if unreadable:
        return f"not seen, as {', '.join(unreadable)} cannot be read"
    return f"{_UNKNOWN}: {doubt}" if doubt and state in _GOOD else state.value
