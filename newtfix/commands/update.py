"""`newtfix update`: writes the applied patches again, as the patches at hand are now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import __version__, report
from newtfix.errors import Refused
from newtfix.files.git import must_be_clean
from newtfix.work.outcome import Outcome, compute, save
from newtfix.work.session import Session, changed_patches, find_target, writing


def run(tree: Path | None, named: Sequence[Path], as_json: bool, allow_dirty: bool) -> int:
    target = find_target(tree)
    if target.new:
        raise Refused(f"there is no {target.name} here, so nothing to update", hint="Name your tree with --tree DIR.")
    with writing(target, named) as session:
        _must_have_record(session)
        outcome = compute(session, session.requested)
        if not allow_dirty:
            must_be_clean(target.root, outcome.before, session.written)
        save(session, outcome)
    changed = changed_patches(session)
    if as_json:
        report.emit_json(
            {
                "tree": str(target.name),
                "version": {"before": session.ledger.version if session.ledger else "", "now": __version__},
                "changed": changed,
                "added": _fresh(session, outcome),
                "removed": _gone(session, outcome),
                "applied": outcome.applied,
                "written": list(outcome.after),
                "notes": [*session.notes, *outcome.notes],
            }
        )
        return 0
    for line in (*session.notes, *outcome.notes, *_words(session, outcome, changed), _summary(session, outcome)):
        report.say(line)
    return 0


def _must_have_record(session: Session) -> None:
    if session.ledger is None:
        raise Refused(
            f"newtfix has no record of patches in {session.target.name}, so there is none to update",
            hint=f"Patches that are in the code came with it (newtfix status{session.target.option}). "
            f"A record begins with what it lacks: newtfix apply --all{session.target.option}",
        )


def _fresh(session: Session, outcome: Outcome) -> list[str]:
    return [name for name in outcome.applied if name not in session.applied]


def _gone(session: Session, outcome: Outcome) -> list[str]:
    return [name for name in session.applied if name not in outcome.applied]


def _words(session: Session, outcome: Outcome, changed: Sequence[str]) -> list[str]:
    gone = _gone(session, outcome)
    return [
        *(f"{name}: changed since it was applied" for name in changed if name not in gone),
        *(f"{name}: applied, as another patch requires it now" for name in _fresh(session, outcome)),
        *(f"{name}: taken out, as nothing requires it any more" for name in gone),
    ]


def _summary(session: Session, outcome: Outcome) -> str:
    name = session.target.name
    if outcome.broken or session.unreadable:
        wrote = f"wrote {', '.join(outcome.after)}" if outcome.after else "nothing was written"
        return f"{name}: {wrote}; not all code of the patches in the record is in the tree, see above."
    if not outcome.after:
        return f"{name}: nothing to do; it has what newtfix {__version__} makes of its patches."
    merged = [path for path in outcome.after if path in session.edited]
    kept = f" Your edits in {', '.join(merged)} are kept." if merged else ""
    return f"{name}: wrote {', '.join(outcome.after)}.{kept} See it with `newtfix diff{session.target.option}`."
