"""The lines at which patterns matched."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from newtfix.code.syntax import parse
from newtfix.code.view import line_of_owner, seen_text
from newtfix.match.pattern import Path
from newtfix.match.render import at

_BLOCKS = (cst.Module, cst.IndentedBlock, cst.SimpleStatementSuite)
_ELSEWHERE = ("decorators", "handlers", "orelse", "finalbody")


def line_of(text: str, module: cst.Module, path: Path) -> int:
    """The line at which a node in the view of a text begins.

    Python's own syntax tree tells the lines of statements; LibCST counts them, but only inside of the innermost one, as
    counting through a module takes longer than parsing it.
    """
    statement, known, rest = _innermost(module, path, text)
    first = line_of_owner(text, known.lineno)
    body = getattr(known, "body", None)
    last = body[0].lineno - 1 if isinstance(body, list) else known.end_lineno
    if not rest or (known.lineno == last and rest[0][0] not in _ELSEWHERE):
        return first
    whole = isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
    alone = cst.Module([statement if whole else cst.SimpleStatementLine([statement])])
    positions: Any = MetadataWrapper(alone, unsafe_skip_copy=True).resolve(PositionProvider)
    return first + int(positions[at(statement, rest)].start.line - positions[statement].start.line)


def _innermost(module: cst.Module, path: Path, text: str) -> tuple[Any, Any, Path]:
    """The innermost statement on a path, the same in Python's own syntax tree, and the path from there."""
    here: Any = module
    known: Any = parse(seen_text(text))
    block, position = "body", 0
    found: tuple[Any, Any, Path] = here, known, path
    around: Any = ()
    for depth, (name, index) in enumerate(path):
        part = getattr(here, name) if index is None else getattr(here, name)[index]
        if isinstance(here, _BLOCKS):
            around, position = getattr(known, block), _count(here.body[:index])
            known, block = around[position], "body"
            found = part, known, path[depth + 1 :]
        elif isinstance(here, cst.SimpleStatementLine):
            found = part, around[position + (index or 0)], path[depth + 1 :]
            break
        elif name == "handlers":
            known = known.handlers[index]
        elif isinstance(part, cst.If) and name == "orelse":
            known = known.orelse[0]
            found = part, known, path[depth + 1 :]
        elif name in ("orelse", "finalbody"):
            block = name
        elif name != "body":
            break
        here = part
    return found


def _count(statements: Any) -> int:
    """How many statements these are where each in a line counts."""
    return sum(len(one.body) if isinstance(one, cst.SimpleStatementLine) else 1 for one in statements)
