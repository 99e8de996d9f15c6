"""`newtfix diff`: what applying would change, or what a tree carries now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newtfix import report
from newtfix.commands.wishes import grant, refusal, wish_of
from newtfix.errors import UsageError
from newtfix.files.diff import diff_files, stat
from newtfix.work.session import Session, choose, find_target, lost, open_session

_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def run(
    ids: Sequence[str],
    everything: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    only_stat: bool,
    svg: Path | None = None,
    only_fitting: bool = False,
) -> int:
    session = open_session(find_target(tree), named)
    for note in session.notes:
        report.say(note)
    found = _compare(session, ids, everything, only_fitting)
    files = diff_files(found.before, found.after)
    if svg is not None:
        title = " ".join(("newtfix diff", *(("--all",) if everything else ids)))
        _draw(svg, "".join(file.text for file in files), title)
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
        report.emit_json({"tree": str(session.target.root), "subject": found.subject, "files": listed})
        return 0
    for line in (*found.notes, found.subject):
        report.say(line)
    if only_stat:
        for line in stat(files):
            report.out(line)
    else:
        report.diff("".join(file.text for file in files))
    return 0


@dataclass(frozen=True)
class _Compared:
    """What is compared, in words, the two sides of it, and what else is to be said."""

    subject: str
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


def _compare(session: Session, ids: Sequence[str], everything: bool, only_fitting: bool) -> _Compared:
    target = session.target
    if not ids and not everything and session.ledger:
        current = {path: session.tree.raw[path] for path in session.pristine if path in session.tree.raw}
        return _Compared(_carried(session), session.pristine, current)
    chosen = choose(ids, everything or not ids, session.patches)
    wish = wish_of(session, chosen, only_fitting)
    granted = grant(session, wish)
    here = "this folder" if target.root == Path() else str(target.root)
    where = f"{target.name}, to be copied from newt_base" if target.new else here
    what = "all patches" if not ids and not wish.refused else ", ".join(wish.chosen)
    none = "Nothing is applied. " if target.new else "newtfix has no record here. "
    no_record = "" if ids or everything else none
    notes = (*granted.outcome.notes, *(line for name, one in wish.refused.items() for line in refusal(name, one)))
    nothing = "" if granted.outcome.after else " Nothing: what fits is in the code already."
    return _Compared(
        f"{no_record}What applying {what} would change in {where}.{nothing}",
        granted.outcome.before,
        granted.outcome.after,
        notes,
    )


def _carried(session: Session) -> str:
    gone = lost(session)
    there = ", ".join(name for name in session.applied if name not in gone) or "no patch"
    edits = f", and your edits in {', '.join(session.edited)}" if session.edited else ""
    return f"What {session.target.root} carries now: {there}{edits}."


def _draw(path: Path, text: str, title: str) -> None:
    """Write a diff as a picture in colours, as wide as its longest line; it names no font that is elsewhere."""
    from io import StringIO

    from rich.console import Console
    from rich.syntax import Syntax

    shown = report.visible(text.replace("\r\n", "\n")).expandtabs() or "no difference\n"
    width = max(len(line) for line in shown.splitlines())
    console = Console(record=True, width=width, file=StringIO(), color_system="truecolor")
    console.print(Syntax(shown, "diff", theme="monokai", background_color="default"))
    picture = _WEB_FONT.sub("", console.export_svg(title=report.visible(title), unique_id="newtfix"))
    try:
        path.write_text(picture, "utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="Name a file in a folder that is there: --svg FILE"
        ) from error
