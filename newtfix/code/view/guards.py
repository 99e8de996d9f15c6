"""Guards (`if T: continue` in a loop, `if T: return` in a function): shown to patterns as `if not T:` around the rest.

Where more is done before the guard leaves, the rest is shown as an `else`. Where a patch leaves the condition as it is,
and adds nothing behind the rest, the guard stands there again afterwards.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from newtfix.code.syntax import walk
from newtfix.code.view.contexts import indent_of, is_code, runs_on
from newtfix.code.view.inert import readable

_GUARD, _ELSE = "#~guard~", "#~else~"
_OTHERWISE = re.compile(rf"^([ \t]*)else:  {_ELSE}(continue|return)(\r?)$")
_MARK = re.compile(rf"^([ \t]*){_GUARD}(continue|return)~(.*)$")
_MAYBE = re.compile(r"^[ \t]+(continue|return)[ \t]*\r?$", re.MULTILINE)
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


_Guarded = ast.For | ast.While | ast.FunctionDef


@lru_cache(maxsize=512)
def nested(text: str) -> str:
    """`text` with the rest of such a block under the condition; it has the same lines."""
    if not _MAYBE.search(text) or _GUARD in text or _ELSE in text:
        return text
    while True:
        if (module := readable(text)) is None:
            return text
        lines, done = text.split("\n"), 0
        blocks = [node for node in walk(module) if isinstance(node, _Guarded)]
        for loop in sorted(blocks, key=lambda one: one.lineno):
            if loop.lineno > done and (guard := _last_guard(loop, lines)) is not None:
                _put_under(guard, loop, lines)
                done = loop.end_lineno or loop.lineno
        if not done:
            return text
        text = "\n".join(lines)


def flat(text: str) -> str:
    """The text with the guards whose conditions are unchanged."""
    if _GUARD not in text and _ELSE not in text:
        return text
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        if (otherwise := _OTHERWISE.match(lines[number])) is not None:
            _put_behind(number, otherwise, lines)
            continue
        mark = _MARK.match(lines[number])
        if mark is None:
            continue
        inner, leaves, header = mark[1], mark[2], mark[3].rstrip("\r")
        outer = indent_of(lines[number - 1])
        end = "\r" if lines[number].endswith("\r") else ""
        if not inner.startswith(outer) or lines[number - 1] != f"{outer}if {_opposite(header)}:{end}":
            del lines[number]
            continue
        if _goes_on_behind(number, outer, inner, lines):
            del lines[number]
            continue
        lines[number - 1], lines[number] = f"{outer}{header}{end}", f"{inner}{leaves}{end}"
        _move_out(number, outer, inner, lines)
    return "\n".join(lines)


def _put_behind(number: int, mark: re.Match[str], lines: list[str]) -> None:
    """What stands under an `else` again behind what leaves before it."""
    outer, leaves, end = mark[1], mark[2], mark[3]
    first = next((line for line in lines[number + 1 :] if is_code(line)), "")
    inner = indent_of(first)
    if len(inner) <= len(outer) or _goes_on_behind(number, outer, inner, lines):
        lines[number] = f"{outer}else:{end}"
        return
    lines[number] = f"{inner}{leaves}{end}"
    _move_out(number, outer, inner, lines)


def _goes_on_behind(number: int, outer: str, inner: str, lines: list[str]) -> bool:
    """Whether something that is not under the condition follows in the block that the guard would leave."""
    behind = (line for line in lines[number + 1 :] if is_code(line) and not line.startswith(inner))
    return next(behind, "").startswith(outer) and bool(outer)


def _move_out(number: int, outer: str, inner: str, lines: list[str]) -> None:
    for below in range(number + 1, len(lines)):
        if lines[below].strip():
            if not lines[below].startswith(inner):
                break
            lines[below] = outer + lines[below][len(inner) :]


def is_mark(comment: str) -> bool:
    """Whether a comment stands for a guard."""
    return comment.startswith((_GUARD, _ELSE))


def _opposite(header: str) -> str:
    """The condition that does not hold where that of a guard's header does."""
    statement = ast.parse(f"{header.strip()} pass").body[0]
    assert isinstance(statement, ast.If)
    match statement.test:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _OPPOSITES:
            return ast.unparse(ast.Compare(left, [_OPPOSITES[type(operator)]()], [right]))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ast.unparse(operand)
    return ast.unparse(ast.UnaryOp(ast.Not(), statement.test))


def _last_guard(block: _Guarded, lines: list[str]) -> ast.If | None:
    """The last guard in a loop or a function, with something behind it, in lines of its own."""
    for statement in reversed(block.body[:-1]):
        if isinstance(statement, ast.If) and not statement.orelse and _leaves(statement.body[-1], block):
            return statement if _has_own_lines(statement, block, lines) else None
    return None


def _leaves(statement: ast.stmt, block: _Guarded) -> bool:
    if isinstance(block, ast.FunctionDef):
        return isinstance(statement, ast.Return) and statement.value is None
    return isinstance(statement, ast.Continue)


def _has_own_lines(guard: ast.If, loop: _Guarded, lines: list[str]) -> bool:
    header, last = lines[guard.lineno - 1], guard.body[-1].lineno
    leaves, outer = lines[last - 1], indent_of(header)
    rest = lines[last : _end(loop, outer, lines)]
    return (
        header.strip().startswith("if ")
        and header.rstrip().endswith(":")
        and ("#" not in header or len(guard.body) > 1)
        and guard.body[0].lineno > guard.lineno
        and leaves.strip() in ("continue", "return")
        and all(line.startswith(outer) or not line.strip() for line in rest)
        and not any(line.rstrip().endswith("\\") for line in rest)
        and not any(runs_on(node) for one in loop.body for node in walk(one) if one.lineno > guard.lineno)
    )


def _end(loop: _Guarded, outer: str, lines: list[str]) -> int:
    """Where a loop ends, with the comments behind it that stand in it."""
    end = loop.body[-1].end_lineno or 0
    for number in range(end, len(lines)):
        if lines[number].strip():
            if not lines[number].startswith(outer) or not lines[number].lstrip().startswith("#"):
                break
            end = number + 1
    return end


def _put_under(guard: ast.If, loop: _Guarded, lines: list[str]) -> None:
    header, last = lines[guard.lineno - 1], guard.body[-1].lineno
    leaves = lines[last - 1]
    outer, inner = indent_of(header), indent_of(leaves)
    end = "\r" if header.endswith("\r") else ""
    if len(guard.body) > 1:
        lines[last - 1] = f"{outer}else:  {_ELSE}{leaves.strip()}{end}"
    else:
        lines[guard.lineno - 1] = f"{outer}if {_opposite(header)}:{end}"
        lines[last - 1] = f"{inner}{_GUARD}{leaves.strip()}~{header.strip()}{end}"
    for number in range(last, _end(loop, outer, lines)):
        if lines[number].strip():
            lines[number] = inner + lines[number][len(outer) :]
