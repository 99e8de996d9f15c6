"""Methods that are called in one place only: shown to patterns as what they do, where they are called.

The lines of the method stand between two comments where the call was, parameters that have another name there get their
values first, and `return` becomes an assignment. What a patch makes of these lines goes back into the method; it must
not need more of the caller than the method is given, nor leave more there than it returns.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache

from newtfix.code.syntax import parse, parsed, walk
from newtfix.code.view.contexts import indent_of, is_code
from newtfix.code.view.once import Placed, called_once, lines_of, read_by, variables
from newtfix.errors import Refused

_MARK = "#~placed~"
_MARKED = re.compile(rf"^([ \t]*){_MARK}(call|back|here)~(\w+)\r?$")


@dataclass(frozen=True)
class InPlace:
    """A text with such calls in place, and for each of its lines the one in the owner's text."""

    text: str
    lines: tuple[int, ...]
    placed: tuple[Placed, ...]

    def back(self, patched: str) -> str:
        """The owner's text with what patches made of this one. Raises Refused where a method cannot do that."""
        for one in reversed(self.placed):
            patched = _back(one, patched)
        return patched


def is_mark(comment: str) -> bool:
    """Whether a comment stands for a method, or for where its lines begin or end."""
    return comment.startswith(_MARK)


@lru_cache(maxsize=64)
def in_place(text: str, once: frozenset[str]) -> InPlace | None:
    """`text` with all such calls in place; None where there are none.

    Args:
        once: the names of methods and functions that may be called in one place only.
    """
    lines, numbers = text.split("\n"), tuple(range(1, text.count("\n") + 2))
    placed: list[Placed] = []
    if _MARK in text or "\r" in text:
        return None
    while (found := next(called_once("\n".join(lines), lines, once), None)) is not None:
        one, method, statement = found
        body = lines_of(method, lines, isinstance(statement, ast.Return))
        indent = indent_of(lines[statement.lineno - 1])
        block = [
            f"{indent}{_MARK}call~{one.name}",
            *(indent + line for line in one.given),
            *(indent + lines[at][len(one.inner) :] if lines[at].strip() else lines[at] for at in body),
            *(indent + line for line in one.tail),
            f"{indent}{_MARK}back~{one.name}",
        ]
        at = numbers[statement.lineno - 1]
        back = numbers[(method.end_lineno or method.lineno) - 1]
        owners = [at, *[at] * len(one.given), *(numbers[line] for line in body), *[back] * len(one.tail), at]
        here = [f"{indent_of(lines[method.lineno - 1])}{_MARK}here~{one.name}"]
        swaps = [
            (statement.lineno - 1, statement.end_lineno, block, owners),
            (method.lineno - 1, method.end_lineno, here, [numbers[method.lineno - 1]]),
        ]
        for start, stop, new, owned in sorted(swaps, key=lambda swap: -swap[0]):
            lines[start:stop] = new
            numbers = (*numbers[:start], *owned, *numbers[stop:])
        placed.append(one)
    return InPlace("\n".join(lines), numbers, tuple(placed)) if placed else None


def _back(one: Placed, text: str) -> str:
    lines = text.split("\n")
    marks = [
        (number, mark) for number, line in enumerate(lines) if (mark := _MARKED.match(line)) and mark[3] == one.name
    ]
    at = {mark[2]: number for number, mark in marks}
    if len(marks) != 3 or len(at) != 3 or not at["call"] < at["back"]:
        raise _torn(one)
    start, stop, indent = at["call"], at["back"], indent_of(lines[at["call"]])
    if (end := _end_of(one, [line.removeprefix(indent) for line in lines[start + 1 : stop]])) is not None:
        behind = start + 1 + end  # what a patch adds behind what is returned belongs to the caller
        lines[behind : stop + 1] = [lines[stop], *lines[behind:stop]]
        stop, text = behind, "\n".join(lines)
    block = lines[start + 1 : stop]
    _may_stand_apart(one, text, start + 1, stop + 1)  # from mark to mark
    if any(line.strip() and not line.startswith(indent) for line in block):
        raise _torn(one)
    bare = [line[len(indent) :] if line.strip() else line for line in block]
    if tuple(bare[: len(one.given)]) != one.given:
        raise _torn(one)
    body = bare[len(one.given) :]
    if not any(map(is_code, body)):
        del lines[start : stop + 1]
        here = at["here"] - (stop + 1 - start) * (at["here"] > stop)
        lines[here : here + 1 + (not any(lines[here + 1 : here + 2]))] = []
        return "\n".join(lines)
    body, returned = _returned(one, body)
    old = indent_of(one.call[0])
    call = [indent + line[len(old) :] if line.startswith(old) else line for line in one.call]
    method = [*one.header, *(one.inner + line if line.strip() else line for line in body), *returned]
    if at["here"] > stop:
        lines[at["here"] : at["here"] + 1] = method
        lines[start : stop + 1] = call
    else:
        lines[start : stop + 1] = call
        lines[at["here"] : at["here"] + 1] = method
    return "\n".join(lines)


def _end_of(one: Placed, body: list[str]) -> int | None:
    """How many lines there are up to what stands for the `return`, where that is not the end."""
    size = len(one.tail)
    ends = [at + size for at in range(len(body) - size) if size and tuple(body[at : at + size]) == one.tail]
    return ends[-1] if ends else None


def _returned(one: Placed, body: list[str]) -> tuple[list[str], list[str]]:
    """What a method does, and the `return` behind it, of the lines that stand for both."""
    tail = tuple(body[len(body) - len(one.tail) :])
    if tail == one.tail:
        return body[: len(body) - len(tail)], list(one.returned)
    try:
        last = parse("\n".join(body)).body[-1]
    except SyntaxError:
        raise _torn(one) from None
    if (
        len(one.tail) != 1
        or not isinstance(last, ast.Assign)
        or ast.unparse(last.targets[0]) != one.tail[0].partition(" =")[0]
    ):
        raise _torn(one)
    first = body[last.lineno - 1]
    value = [first[last.value.col_offset :], *body[last.lineno : last.end_lineno]]
    return body[: last.lineno - 1], [f"{one.inner}return {value[0]}", *(one.inner + line for line in value[1:])]


def _may_stand_apart(one: Placed, text: str, first: int, last: int) -> None:
    """Raise Refused where the lines of a method and the others of the caller have more in common than is handed on."""
    callers = [
        node
        for node in walk(parsed(text))
        if isinstance(node, ast.FunctionDef) and node.lineno < first and last <= (node.end_lineno or 0) + 1
    ]
    if not callers:
        raise _torn(one)
    nodes = list(variables(callers[-1].body))
    inside = [node for node in nodes if first + len(one.given) < node.lineno < last - len(one.tail)]
    outside = [node for node in nodes if not first < node.lineno < last]
    made = {node.id for node in inside if not isinstance(node.ctx, ast.Load)}
    read = {node.id for node in inside if isinstance(node.ctx, ast.Load)}
    of_caller = {node.id for node in outside if not isinstance(node.ctx, ast.Load)}
    of_caller |= {arg.arg for arg in callers[-1].args.args} - {"self"}
    needed = read_by(callers[-1], range(first, last + 1))
    if extra := sorted((made & needed) - one.targets) or sorted((read & of_caller) - made - one.parameters):
        raise Refused(
            f"a patch would have {one.name} and the method that calls it share {', '.join(extra)}",
            where=one.header[0].strip(),
            hint="put what it does where it is called, or leave the patch out; nothing was written",
        )


def _torn(one: Placed) -> Refused:
    return Refused(
        f"a patch would take {one.name} apart",
        where=one.header[0].strip(),
        hint="put what it does where it is called, or leave the patch out; nothing was written",
    )
