"""`newtfix revert`: takes patches out of a tree; with the last one, its bytes are as before the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.errors import Refused, UsageError
from newtfix.files.git import is_committed, must_be_clean, not_committed
from newtfix.files.ledger import take_up
from newtfix.files.write import commit
from newtfix.model import State
from newtfix.patch.order import with_requirements
from newtfix.work.outcome import Outcome, compute, save, without
from newtfix.work.session import Session, choose, find_target, lost, required_by, writing


def run(
    ids: Sequence[str],
    everything: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    allow_dirty: bool = False,
) -> int:
    target = find_target(tree)
    if not ids and not everything:
        see = f"newtfix status{target.option}"
        raise UsageError("nothing to revert is named", hint=f"Name patches, or say --all. See them: `{see}`.")
    if target.new:
        raise Refused(f"there is no {target.name} here, so nothing to revert", hint="Name your tree with --tree DIR.")
    with writing(target, named) as session:
        remaining = () if everything else _remaining(session, ids)
        _must_have_ledger(session)
        files = tuple(session.ledger.files) if session.ledger else ()
        committed = is_committed(target.root, files)
        absent = [name for name, one in lost(session).items() if one.state in (State.AVAILABLE, State.ABSENT)]
        outcome = _compute(session, remaining, absent)
        if not allow_dirty:
            must_be_clean(target.root, outcome.before, session.written)
        aside = outcome.ledger is None and len(absent) == len(session.applied) and committed
        if aside:
            commit(target.root, take_up(target.root, None))
        else:
            save(session, outcome)
    kept = ("The files are as git has them; the record is kept aside, and counts again when they come back.",) * aside
    gone = {name: _word(name, absent) for name in session.applied if name not in outcome.applied}
    if as_json:
        report.emit_json(
            {
                "tree": str(target.name),
                "reverted": list(gone),
                "applied": outcome.applied,
                "written": list(outcome.after),
                "notes": [*session.notes, *kept],
            }
        )
        return 0
    for line in (*session.notes, *(f"{name}: {word}" for name, word in gone.items()), *kept):
        report.say(line)
    report.say(f"{target.name}: {_left(session, outcome)}.")
    if committed and (how := not_committed(target.root, outcome.after)):
        report.say(f"Git still has what was taken out: {how}")
    return 0


def _word(name: str, absent: Sequence[str]) -> str:
    return "taken out of the record; its code was not in the tree any more" if name in absent else "reverted"


def _compute(session: Session, remaining: Sequence[str], absent: Sequence[str]) -> Outcome:
    """What the tree becomes; of a patch whose code is gone already, edits in its place are in nobody's way."""
    try:
        return compute(session, remaining)
    except Refused:
        kept, _ = with_requirements((name for name in remaining if name in session.patches), session.patches)
        gone = [name for name in absent if name not in kept]
        if not gone:
            raise
        return compute(without(session, gone), remaining)


def _left(session: Session, outcome: Outcome) -> str:
    if outcome.applied:
        return f"still in: {', '.join(outcome.applied)}"
    edited = [path for path in session.edited if outcome.after.get(path) != session.pristine[path]]
    kept = f", but for your edits in {', '.join(edited)}" if edited else ""
    return f"every file is as before the first patch{kept}"


def _must_have_ledger(session: Session) -> None:
    name = session.target.name
    if session.stale:
        raise Refused(
            f"newtfix's record of {', '.join(session.stale)} does not fit the files in {name}, so it takes none out",
            where="They are as before these patches (as on another branch, or after git stash), or changed since.",
            hint="Nothing was written; the record is kept, and counts again when its files come back.\n"
            "Patches that are in the code all the same came with it: take them out with git (git revert, say).",
        )
    if session.ledger is None:
        raise Refused(
            f"newtfix has no record of patches in {name}, so it cannot take any out",
            hint="If the patches came with the code, take them out where they came from (git revert, say).",
        )


def _remaining(session: Session, ids: Sequence[str]) -> tuple[str, ...]:
    """The patches that stay wanted."""
    gone = choose(ids, False, (*session.patches, *(name for name in session.requested if name not in session.patches)))
    _must_have_ledger(session)
    remaining = tuple(name for name in session.requested if name not in gone)
    for name in gone:
        if name not in session.applied:
            raise Refused(
                f"{name} was not applied to {session.target.name} by newtfix",
                hint=f"It has put in: {', '.join(session.applied)}",
            )
        if needed := required_by(name, remaining, session.patches):
            raise Refused(
                f"{name} is required by {', '.join(needed)}, still applied to {session.target.name}",
                hint=f"Revert these too: newtfix revert {' '.join((name, *needed))}{session.target.option}",
            )
    return remaining
