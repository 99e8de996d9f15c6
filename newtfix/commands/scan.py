"""`newtfix scan`: the discrepancy report of any tree, from its text alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from newtfix import report
from newtfix.errors import TreeError, UsageError
from newtfix.newt.tdmpc2 import NAME, Told
from newtfix.scan import tdmpc2
from newtfix.scan.record import record
from newtfix.scan.sarif import sarif
from newtfix.scan.survey import Survey, must_be_whole, survey
from newtfix.scan.text import draw, markdown
from newtfix.work.session import Session, find_target, open_session


def run(
    arguments: Sequence[str],
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    as_markdown: bool,
    as_sarif: bool,
) -> int:
    if as_json + as_markdown + as_sarif > 1:
        raise UsageError("--json, --markdown and --sarif exclude each other", hint="Run the command once for each.")
    target = find_target(tree)
    must_be_whole(target)
    session = open_session(target, named)
    if other := tdmpc2.answers(session):
        if as_sarif:
            raise TreeError(
                f"this tree has {NAME}'s layout, and SARIF is for what newtfix finds in trees of newt's",
                where=str(target.root),
                hint=f"newtfix scan --json{target.option} has for machines what the tree has of the fixes.",
            )
        return _of_tdmpc2(session, other, as_json, as_markdown)
    found = survey(session, arguments)
    if as_json:
        report.emit_json(record(found))
    elif as_sarif:
        report.out(json.dumps(report.shown(sarif(found)), indent=2))
    elif as_markdown:
        report.out(markdown(found).removesuffix("\n"))
    else:
        draw(found)
    if not as_json:
        _say(found)
    return 0


def _of_tdmpc2(session: Session, found: Mapping[str, Told], as_json: bool, as_markdown: bool) -> int:
    if as_json:
        report.emit_json(tdmpc2.record(session, found))
        return 0
    if as_markdown:
        report.out(tdmpc2.markdown(session, found))
    else:
        tdmpc2.draw(session, found, reasons=True)
    for note in session.notes:
        report.say(note)
    report.say(tdmpc2.summary(session, found))
    return 0


def _say(found: Survey) -> None:
    """For the person at the terminal: what could not be read, and the summary."""
    for note in found.notes:
        report.say(note)
    where = f"newt_base, which the first apply copies to {found.target.name}" if found.target.new else found.target.root
    report.say(f"{where}: {found.summary}")
