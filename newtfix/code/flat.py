"""A file as lines that say what it does: one for each statement or head of a block, without layout and comments."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_BLOCKS = (("body", ""), ("orelse", "else:"), ("finalbody", "finally:"))
_LISTS = ("handlers", "cases")
_INDENT = "    "


@dataclass(frozen=True)
class Line:
    """A statement or a head, and the line of the file, from 1, that it begins in."""

    text: str
    place: int = field(compare=False)


def flat(text: str) -> list[Line]:
    """The lines of a file; what only reports or times is left out. Raises SyntaxError or ValueError."""
    lines = _flat(text)
    while len(fewer := _flat(joined(lines))) < len(lines):  # more can be told apart with a line for each statement
        lines = [Line(one.text, lines[one.place - 1].place) for one in fewer]
    return lines


def joined(lines: Iterable[Line]) -> str:
    """The file that these lines are."""
    return "".join(f"{line.text}\n" for line in lines)


def _flat(text: str) -> list[Line]:
    from newtfix.code.view import contexts, inert, line_of_owner  # with LibCST, which most commands can do without

    module = ast.parse(contexts.without(inert.hidden(text)).lstrip("\ufeff"))
    return [Line(line, line_of_owner(text, place)) for line, place in _block(module.body, "", 1)]


def _block(body: Sequence[Any], indent: str, place: int) -> Iterator[tuple[str, int]]:
    said = [one for one in body if not _is_text(one)]
    if not said:
        yield f"{indent}pass", place
    for one in said:
        yield from _statement(one, indent)


def _statement(node: Any, indent: str) -> Iterator[tuple[str, int]]:
    place = getattr(node, "lineno", None) or node.pattern.lineno
    fields = {name: value for name, value in ast.iter_fields(node) if _is_block(name, value)}
    head = type(node)(**{name: [] if name in fields else value for name, value in ast.iter_fields(node)})
    for line in ast.unparse(ast.copy_location(head, node)).split("\n"):
        yield f"{indent}{line}", place
    for name, word in _BLOCKS:
        if block := fields.get(name, []):
            if word:
                yield f"{indent}{word}", block[0].lineno
            yield from _block(block, indent + _INDENT, place)
        if name == "body":
            deeper = indent + _INDENT if "cases" in fields else indent
            for part in (part for kind in _LISTS for part in fields.get(kind, [])):
                yield from _statement(part, deeper)


def _is_block(name: str, value: Any) -> bool:
    return name in (*_LISTS, *(one for one, _ in _BLOCKS)) and isinstance(value, list)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
