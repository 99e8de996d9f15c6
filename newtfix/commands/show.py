"""`newtfix show ID`: one patch, what it is about and what it changes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.model import Add, Edit, Patch
from newtfix.session import choose, find_patches, find_target


def run(name: str, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    patches = find_patches(named, find_target(tree))
    patch = patches[choose([name], False, patches)[0]]
    if as_json:
        report.emit_json(_as_json(patch))
    else:
        _print(patch)
    return 0


def _print(patch: Patch) -> None:
    report.heading(f"{patch.id}: {patch.title}")
    report.out(f"severity: {patch.severity.value}")
    if patch.requires:
        report.out(f"requires: {', '.join(patch.requires)}")
    if patch.after:
        report.out(f"comes after: {', '.join(patch.after)}")
    if patch.doc:
        report.out(f"\n{inspect.cleandoc(patch.doc)}")
    for edit in patch.edits:
        report.out()
        report.heading(f"{edit.id}: {edit.role}{f', {edit.scope}' if edit.scope else ''}{_remark(edit)}")
        for label, code in _texts(edit):
            report.out(f"  {label}:")
            report.code(inspect.cleandoc("\n" + code))


def _remark(edit: Edit | Add) -> str:
    return " (optional)" if isinstance(edit, Edit) and edit.optional else ""


def _texts(edit: Edit | Add) -> list[tuple[str, str]]:
    if isinstance(edit, Add):
        return [("add" if edit.after is None else f"add after {edit.after}", edit.code)]
    several = len(edit.shapes) > 1
    return [
        (f"{label}, shape {number}" if several else label, text)
        for number, shape in enumerate(edit.shapes, 1)
        for label, text in (("before", shape.before), ("after", shape.after))
    ]


def _as_json(patch: Patch) -> dict[str, Any]:
    keys = ("id", "title", "severity", "kind", "requires", "after", "changes", "origin", "doc")
    return {key: getattr(patch, key) for key in keys} | {"edits": [_edit_as_json(edit) for edit in patch.edits]}


def _edit_as_json(edit: Edit | Add) -> dict[str, Any]:
    common: dict[str, Any] = {"id": edit.id, "role": edit.role, "scope": edit.scope}
    if isinstance(edit, Add):
        return common | {"add": edit.code, "after": edit.after}
    shapes = [{"before": shape.before, "after": shape.after, "count": shape.count} for shape in edit.shapes]
    return common | {"optional": edit.optional, "shapes": shapes}
