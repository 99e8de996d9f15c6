"""`newtfix diff`: what applying would change, or what a tree carries now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from newtfix import report
from newtfix.diff import diff_files, stat
from newtfix.errors import UsageError
from newtfix.outcome import compute
from newtfix.session import Session, choose, find_target, open_session

_NOT_XML = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def run(
    ids: Sequence[str],
    everything: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    only_stat: bool,
    svg: Path | None = None,
) -> int:
    session = open_session(find_target(tree), named)
    for note in session.notes:
        report.say(note)
    subject, before, after = _compare(session, ids, everything)
    files = diff_files(before, after)
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
        edits = f", and your edits in {', '.join(session.edited)}" if session.edited else ""
        return f"What {target.root} carries now: {', '.join(session.applied)}{edits}.", session.pristine, current
    chosen = choose(ids, everything or not ids, session.patches)
    outcome = compute(session, tuple(dict.fromkeys((*session.requested, *chosen))))
    where = f"{target.name}, to be copied from newt_base" if target.new else str(target.root)
    if ids:
        return f"What applying {', '.join(chosen)} would change in {where}.", outcome.before, outcome.after
    nothing = "" if everything else "Nothing is applied. "
    return f"{nothing}What applying all patches would change in {where}.", outcome.before, outcome.after


def _draw(path: Path, text: str, title: str) -> None:
    """Write a diff as a picture in colours, as wide as its longest line; it names no font that is elsewhere."""
    from io import StringIO

    from rich.console import Console
    from rich.syntax import Syntax

    shown = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text).expandtabs() or "no difference\n"
    width = max(len(line) for line in shown.splitlines())
    console = Console(record=True, width=width, file=StringIO(), color_system="truecolor")
    console.print(Syntax(shown, "diff", theme="monokai", background_color="default"))
    picture = _WEB_FONT.sub("", console.export_svg(title=title, unique_id="newtfix"))
    try:
        path.write_text(picture, "utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="Name a file in a folder that is there: --svg FILE"
        ) from error
