"""`newtfix list`: the patches at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.work.session import find_patches, find_target


def run(tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    patches, notes = find_patches(named, find_target(tree))
    for note in notes:
        report.say(note)
    if as_json:
        keys = ("id", "severity", "kind", "title", "requires", "changes", "origin")
        report.emit_json({"patches": [{key: getattr(patch, key) for key in keys} for patch in patches.values()]})
        return 0
    rows = [(name, patch.severity.value, patch.title, ", ".join(patch.requires)) for name, patch in patches.items()]
    report.table(("id", "severity", "title", "requires"), rows)
    return 0
