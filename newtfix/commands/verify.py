"""`newtfix verify`: what a tree does with fakes around it, against what the patches should make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from newtfix import report
from newtfix.model import AS_PATCHED, NOT_OBSERVED, Observation
from newtfix.patch.order import with_requirements
from newtfix.running import first_run_note, require_libraries
from newtfix.work.session import Session, choose, find_target, open_session

if TYPE_CHECKING:
    from newtfix.verify.launch import Seen


def run(ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    require_libraries("verifying a tree", ("torch", "tensordict", "numpy"))
    from newtfix.verify.launch import observe
    from newtfix.verify.observation import verdicts

    session = open_session(find_target(tree), named)
    shown = choose(ids, everything or not ids, session.patches)
    counted = _counted(session, shown, asked=bool(ids) or everything)
    if not session.target.new and (note := first_run_note(session.target.root, "newtfix verify, confined,")):
        report.say(note)
    seen = observe(session.tree, {name: session.patches[name] for name in shown})
    found = verdicts(seen.observations, shown)
    failing = [name for name in counted if found[name] != AS_PATCHED]
    if as_json:
        _emit(session, found, counted, failing, seen)
    else:
        _print(session, found, counted, failing, seen)
    return 1 if failing else 0


def _counted(session: Session, shown: Sequence[str], asked: bool) -> tuple[str, ...]:
    """The patches that the exit code is about: those asked for, else what newtfix applied and that needs, else all."""
    applied = [name for name in session.applied if name in session.patches]
    if asked or not applied:
        return tuple(shown)
    needed, _ = with_requirements(applied, session.patches)
    return tuple(name for name in shown if name in needed)


def _emit(session: Session, found: dict[str, str], counted: Sequence[str], failing: Sequence[str], seen: Seen) -> None:
    report.emit_json(
        {
            "tree": str(session.target.root),
            "ok": not failing,
            "failing": list(failing),
            "patches": [
                {
                    "id": name,
                    "counts": name in counted,
                    "verdict": verdict,
                    "observations": [one.as_dict() for one in seen.observations if one.patch == name],
                }
                for name, verdict in found.items()
            ],
            "notes": [*session.notes, *seen.notes, *seen.wanted],
        }
    )


def _print(session: Session, found: dict[str, str], counted: Sequence[str], failing: Sequence[str], seen: Seen) -> None:
    for note in (*session.notes, *seen.notes, *seen.wanted):
        report.say(note)
    shown = [one for name in found for one in seen.observations if one.patch == name]
    reasons = _shared_reasons(shown)
    rows = [
        (one.patch, one.what, one.expected, one.observed, one.verdict) for one in shown if one.observed not in reasons
    ]
    if rows:
        report.table(("patch", "what", "expected", "observed", "verdict"), rows)
    for reason, names in reasons.items():
        if not any(line.startswith(reason) for line in seen.wanted):
            report.say(f"not observed of {', '.join(names)}: {reason}")
    left_out = len(found) - len(counted)
    others = f" {left_out} that newtfix did not apply do not count (--all counts them)." if left_out else ""
    report.say(f"{len(counted) - len(failing)} of {len(counted)} patches behave as they should.{others}")
    for name in failing:
        report.say(f"{name}: {found[name]}")


def _shared_reasons(observations: Sequence[Observation]) -> dict[str, tuple[str, ...]]:
    """What keeps several things from being observed, and the patches that those belong to: said once for all."""
    found: dict[str, list[str]] = {}
    for one in observations:
        if one.verdict == NOT_OBSERVED:
            found.setdefault(one.observed, []).append(one.patch)
    return {reason: tuple(dict.fromkeys(names)) for reason, names in found.items() if len(names) > 1}
