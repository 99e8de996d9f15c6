"""`newtfix parity`: a tree's world model and losses against recorded numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newtfix import report
from newtfix.errors import NewtfixError, UsageError
from newtfix.model import State
from newtfix.patch.order import with_requirements
from newtfix.running import first_run_note, require_libraries
from newtfix.work import planning
from newtfix.work.session import Session, applied_by, find_target, open_session, reports

if TYPE_CHECKING:
    from newtfix.parity.compare import Row
    from newtfix.parity.fixture import Fixture

_LACKING = (State.AVAILABLE, State.PARTIAL, State.DRIFTED)
_OWN = "no patch: a difference of the tree's own"


def run(path: Path, tree: Path | None, named: Sequence[Path], tol: float, as_json: bool) -> int:
    if not 0 <= tol < float("inf"):
        raise UsageError(f"--tol {tol} is no tolerance", hint="Give a relative error, such as 1e-4.")
    require_libraries("comparing numbers", ("torch", "numpy"))
    from newtfix.parity.compare import compare
    from newtfix.parity.fixture import read_fixture
    from newtfix.parity.launch import probe

    fixture = read_fixture(path)
    session = open_session(find_target(tree), named)
    if not session.target.new and (note := first_run_note(session.target.root, "newtfix parity, confined,")):
        report.say(note)
    computed = probe(session.tree, fixture)
    rows = compare(fixture, computed.arrays, computed.errors, tol)
    rows, states = _explained(session, fixture, rows)
    notes = (*session.notes, *computed.notes, *(f"Not compared, for it is unknown: {key}." for key in fixture.ignored))
    if as_json:
        _emit(session, fixture, rows, tol, notes)
    else:
        _print(session, rows, states, tol, notes)
    return 0 if all(row.ok for row in rows) else 1


def _explained(session: Session, fixture: Fixture, rows: list[Row]) -> tuple[list[Row], dict[str, State]]:
    """The rows with the patches they wait for, and the states of all patches that may matter."""
    from newtfix.parity.compare import patches_of, waiting

    threshold = float(fixture.settings.get("scale_threshold", 0.0))
    asked = {name for row in rows if not row.ok for name in patches_of(row.name, threshold)} & session.patches.keys()
    needed, _ = with_requirements(asked, session.patches)
    found = reports(session, [name for name in session.patches if name in needed])
    states = {name: one.state for name, one in found.items()}
    return waiting(rows, fixture, _lacking(session, asked, states)), states


def _lacking(session: Session, asked: Set[str], states: Mapping[str, State]) -> set[str]:
    """The patches that have something to fix in the tree, or will have once others of them are in."""
    lacking = {name for name in asked if states[name] in _LACKING}
    if lacking and any(states[name] is State.ABSENT for name in asked):
        with suppress(NewtfixError):  # what does not fit is for `apply` to say
            lacking |= asked & {*applied_by(planning.plan(session.tree.sources, asked, session.patches))}
    return lacking


def _emit(session: Session, fixture: Fixture, rows: Sequence[Row], tol: float, notes: Sequence[str]) -> None:
    report.emit_json(
        {
            "tree": str(session.target.root),
            "fixture": str(fixture.path),
            "recorded_from": fixture.kind,
            "tol": tol,
            "ok": all(row.ok for row in rows),
            "rows": [_as_json(row) for row in rows],
            "notes": notes,
        }
    )


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "group": row.group,
        "shape": row.shape,
        "recorded": row.recorded,
        "computed": row.computed,
        "relative_error": row.relative_error,
        "ok": row.ok,
        "waits_for": row.waits_for,
        "error": row.error or None,
    }


def _print(session: Session, rows: Sequence[Row], states: dict[str, State], tol: float, notes: Sequence[str]) -> None:
    for note in notes:
        report.say(note)
    report.table(("quantity", "recorded", "computed", "rel. error", "verdict", "waits for"), _lines(rows))
    failed = [row for row in rows if not row.ok]
    report.say(_summary(rows, failed, tol))
    for row in failed:
        if row.error and not row.error.startswith("missing"):
            report.say(f"{row.name}: {row.error}")
    if step := _next_step(session, failed, states):
        report.say(step)


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line per row, and an empty one where another group of quantities starts."""
    lines: list[tuple[str, ...]] = []
    for index, row in enumerate(rows):
        if index and row.group != rows[index - 1].group:
            lines.append(("",) * 6)
        waits_for = "" if row.ok else ", ".join(row.waits_for) or _OWN
        lines.append((row.name, _number(row.recorded), _number(row.computed), _error(row), _verdict(row), waits_for))
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value + 0.0:.6g}"


def _error(row: Row) -> str:
    return "-" if row.relative_error is None else f"{row.relative_error:.1e}"


def _verdict(row: Row) -> str:
    if row.ok:
        return "ok"
    if row.error:
        return "missing" if row.error.startswith("missing") else "error"
    return "differs"


def _summary(rows: Sequence[Row], failed: Sequence[Row], tol: float) -> str:
    from newtfix.parity.compare import lacked

    waiting = [row for row in failed if row.waits_for]
    parts = [f"{len(rows) - len(failed)} of {len(rows)} quantities agree to {tol:g}"]
    if waiting:
        parts.append(f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for {', '.join(lacked(waiting))}")
    if own := len(failed) - len(waiting):
        parts.append(f"{own} {'waits' if own == 1 else 'wait'} for {_OWN}")
    return "; ".join(parts) + "."


def _next_step(session: Session, failed: Sequence[Row], states: dict[str, State]) -> str:
    from newtfix.parity.compare import lacked

    names = lacked(failed)
    drifted = [name for name in names if states[name] is State.DRIFTED]
    fitting = [name for name in names if name not in drifted]
    option = session.target.option
    if fitting:
        return f"Next: newtfix apply {' '.join(fitting)}{option}"
    return f"Next: newtfix status{option}, for {', '.join(drifted)} cannot be recognised" if drifted else ""
