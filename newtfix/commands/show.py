"""`newtfix show ID`: one patch, what it is about and what it changes."""

from __future__ import annotations

import gc
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.errors import NewtfixError
from newtfix.files.tree import read_tree
from newtfix.model import Add, AnyEdit, Carry, Patch
from newtfix.patch.sections import sections, settings
from newtfix.work.page import Block, Change, change, markdown, page
from newtfix.work.places import base_tree
from newtfix.work.session import choose, find_patches, find_target

_WIDEST = 100
_LIST = re.compile(r"^(-|\||\d+\.) ", re.MULTILINE)
_LINK = re.compile(r"\[([^\]\n]+)\]\([^)\s]+\.md\)")


def run(name: str, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    patches, notes = find_patches(named, find_target(tree))
    for note in notes:
        report.say(note)
    patch = patches[choose([name], False, patches)[0]]
    result = _change(patch, patches)
    if as_json:
        report.emit_json(_as_json(patch, result))
    elif report.is_terminal():
        _draw(page(patch, result))
    else:
        report.out(markdown(page(patch, result)).removesuffix("\n"))
    return 0


def _change(patch: Patch, patches: Mapping[str, Patch]) -> Change:
    """What the patch does to newt_base; a patch for other trees is shown all the same.

    Garbage is not collected meanwhile: among so many nodes of syntax trees that takes a tenth of the time.
    """
    gc.disable()
    try:
        return change(patch, patches, read_tree(base_tree()).sources)
    except NewtfixError as problem:
        where = problem.where.partition("\n")[0]
        return Change("", f"Nothing to show: {problem.message}{f' ({where})' if where else ''}.", settings(patch, {}))
    finally:
        gc.enable()


def _draw(blocks: Iterable[Block]) -> None:
    """The page for a terminal: its text without the marks of Markdown, its code in colours, no links to pages."""
    for number, block in enumerate(block for block in blocks if not _LINK.fullmatch(block.text)):
        if number:
            report.out()
        if block.kind.startswith("h"):
            report.heading(_plain(block.text))
        elif block.kind == "table":
            head, *rows = (tuple(map(_plain, row)) for row in block.rows)
            report.table(head, rows)
        elif block.kind == "text":
            report.out(_wrapped(_plain(block.text)))
        elif block.kind == "diff":
            report.diff(block.text)
        elif block.kind == "python":
            report.code(block.text)
        else:
            report.out(textwrap.indent(block.text, "    "))


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).replace("`", "")


def _wrapped(text: str) -> str:
    """Paragraphs as wide as the terminal; lists keep their lines."""
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    return "\n\n".join(
        part if _LIST.search(part) else textwrap.fill(part, width, break_on_hyphens=False, break_long_words=False)
        for part in text.split("\n\n")
    )


def _as_json(patch: Patch, result: Change) -> dict[str, Any]:
    keys = ("id", "title", "severity", "kind", "requires", "after", "changes", "origin", "doc")
    return {
        **{key: getattr(patch, key) for key in keys},
        "edits": [_edit_as_json(edit) for edit in patch.edits],
        "sections": sections(patch.doc),
        "settings": [asdict(setting) for setting in result.settings],
        "newt_base": {"remark": result.remark, "diff": result.diff},
    }


def _edit_as_json(edit: AnyEdit) -> dict[str, Any]:
    common: dict[str, Any] = {"id": edit.id, "role": edit.role, "scope": edit.scope}
    if isinstance(edit, Add):
        return common | {"add": edit.code, "after": edit.after}
    if isinstance(edit, Carry):
        return common | {"taken": edit.taken, "value": edit.value, "names": edit.names}
    shapes = [{"before": shape.before, "after": shape.after, "count": shape.count} for shape in edit.shapes]
    return common | {"optional": edit.optional, "shapes": shapes}
