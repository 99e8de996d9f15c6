"""`newtfix diff`: what applying would change, or what a tree carries now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from newtfix import report
from newtfix.diff import diff_files, stat
from newtfix.session import Session, choose, compute, find_target, open_session


def run(
    ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool, only_stat: bool
) -> int:
    session = open_session(find_target(tree), named)
    for note in session.notes:
        report.say(note)
    subject, before, after = _compare(session, ids, everything)
    files = diff_files(before, after)
    if as_json:
        listed = [
            {
                "path": file.path,
                "added": file.added,
                "removed": file.removed,
                "diff": file.text.encode("utf-8", "replace").decode(),
            }
            for file in files
        ]
        report.emit_json({"tree": str(session.target.root), "subject": subject, "files": listed})
        return 0
    report.say(subject)
    if only_stat:
        for line in stat(files):
            report.out(line)
    else:
        report.diff("".join(file.text for file in files))
    return 0


def _compare(
    session: Session, ids: Sequence[str], everything: bool
) -> tuple[str, Mapping[str, bytes], Mapping[str, bytes]]:
    """What is compared, in words, and the two sides of it."""
    target = session.target
    if not ids and not everything and session.ledger:
        current = {path: session.tree.raw[path] for path in session.pristine if path in session.tree.raw}
        return f"What {target.root} carries now: {', '.join(session.applied)}.", session.pristine, current
    chosen = choose(ids, everything or not ids, session.patches)
    outcome = compute(session, tuple(dict.fromkeys((*session.requested, *chosen))))
    where = f"{target.name}, to be copied from newt_base" if target.new else str(target.root)
    if ids:
        return f"What applying {', '.join(chosen)} would change in {where}.", outcome.before, outcome.after
    nothing = "" if everything else "Nothing is applied. "
    return f"{nothing}What applying all patches would change in {where}.", outcome.before, outcome.after
