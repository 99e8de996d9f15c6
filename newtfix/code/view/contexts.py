"""Blocks in a context that only reports, times, keeps random numbers or precision, or whose errors go on: as outside.

The header becomes a comment, the block moves to its indentation, and a comment stands at its end, or the handlers do as
comments. All is put back as it was.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from newtfix.code.syntax import dotted, last_name, walk
from newtfix.code.view.inert import readable
from newtfix.errors import Refused

_WITH, _END, _TAIL, _MORE = "#~with~", "#~end~", "#~tail~", "#~more~"
_MARK = re.compile(rf"^([ \t]*)(?:{_WITH}([ \t]+)~(.*)|({_END})\r?|({_TAIL}|{_MORE})(.*))$")
_HEADER = re.compile(r"[^#]*:[ \t]*(#.*)?\r?")
_MAYBE = re.compile(r"^[ \t]+(with|try)\b", re.MULTILINE)
_REPORTS = re.compile(
    r"([\w.]+\.)?(record_function|nullcontext|enable_grad|fork_rng|set_detect_anomaly|detect_anomaly|emit_nvtx|profile"
    r"|nvtx\.(range|annotate)"
    r"|\w*(timer|timing|timed|stopwatch|profiler|profiled|time_block))",
    re.IGNORECASE,
)
_WITHOUT_GRADIENTS = re.compile(r"(torch\.)?(no_grad|inference_mode)")
_TAKES_GRADIENTS = re.compile(r"\bnn\b|\bbackward\b|\bautograd\.grad\b")


_Block = ast.With | ast.Try
_ENDS = (ast.Return, ast.Continue, ast.Break)


@lru_cache(maxsize=512)
def without(text: str) -> str:
    """`text` with what stands in such blocks outside of them; it has a line more for each block."""
    if not _MAYBE.search(text) or _WITH in text or _END in text:
        return text
    gradients = _TAKES_GRADIENTS.search(text) is not None
    while True:
        if (module := readable(text)) is None:
            return text
        lines = text.split("\n")
        found = [node for node in walk(module) if isinstance(node, _Block) and _only_reports(node, gradients)]
        found = [node for node in found if _has_own_lines(node, lines)]
        if not found:
            return text
        for node in sorted(_innermost(found), key=lambda one: -one.lineno):
            _take_out(node, lines)
        text = "\n".join(lines)


def around(text: str) -> str:
    """The text with the blocks in their contexts again, but for those that nothing is left of.

    Raises Refused where a patch has torn one apart.
    """
    if _WITH not in text and _END not in text:
        return text
    out: list[str] = []
    units: list[tuple[str, str, int]] = []  # indentation of the header, what the block adds to it, lines before it
    for line in text.split("\n"):
        mark = _MARK.match(line)
        inner = "".join(unit for _, unit, _ in units)
        if mark is None:
            out.append(_indented(line, units[-1][0], inner) if units and line.strip() else line)
        elif mark[2] is not None:
            out.append(_indented(f"{mark[1]}{mark[3]}", units[-1][0], inner) if units else f"{mark[1]}{mark[3]}")
            units.append((mark[1], mark[2], len(out)))
        elif mark[5] == _MORE:
            out.append(_indented(f"{mark[1]}{mark[6]}", units[-1][0], inner) if units else f"{mark[1]}{mark[6]}")
        elif not units or units[-1][0] != mark[1]:
            raise _torn(text)
        elif not any(map(is_code, out[units[-1][2] :])):
            if mark[5]:
                raise _torn(text)
            del out[units.pop()[2] - 1]
        else:
            units.pop()
            if mark[5]:
                around = "".join(unit for _, unit, _ in units)
                out.append(_indented(f"{mark[1]}{mark[6]}", units[-1][0], around) if units else f"{mark[1]}{mark[6]}")
    if units:
        raise _torn(text)
    return "\n".join(out)


def is_mark(comment: str) -> bool:
    """Whether a comment stands for the beginning or the end of such a block."""
    return comment.startswith((_WITH, _END, _TAIL, _MORE))


def line_before(text: str, line: int) -> int:
    """The line of the owner's text that a line of `without(text)` is."""
    seen = without(text)
    return line - sum(_END in one for one in seen.split("\n")[: line - 1]) if seen is not text else line


def is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indented(line: str, header: str, inner: str) -> str:
    if not line.startswith(header):
        raise _torn(line)
    return f"{header}{inner}{line[len(header) :]}"


def _torn(text: str) -> Refused:
    headers = [mark[3] for mark in map(_MARK.match, text.split("\n")) if mark is not None and mark[3]]
    return Refused(
        "a patch would take a block of this tree apart",
        where="; ".join(headers) or text.strip(),
        hint="take the block out of that context, or leave the patch out; nothing was written",
    )


def _only_reports(node: _Block, gradients: bool) -> bool:
    """Whether what stands in the block means the same outside of it."""
    if isinstance(node, ast.Try):
        raised = [handler.body for handler in node.handlers]
        again = all(isinstance(body[-1], ast.Raise) and not _leaves_early(body) for body in raised)
        return bool(raised) and again and not node.orelse and not node.finalbody
    return all(
        reports(item) or (not gradients and _is_bare(item, _WITHOUT_GRADIENTS) and item.optional_vars is None)
        for item in node.items
    )


def _leaves_early(body: list[ast.stmt]) -> bool:
    """Whether a handler may end in another way than with its last statement."""
    return any(isinstance(part, _ENDS) for statement in body[:-1] for part in walk(statement))


def reports(item: ast.withitem) -> bool:
    """Whether an item of a `with` only times or reports what happens in it, or lowers precision by a setting."""
    return item.optional_vars is None and (_is_bare(item, _REPORTS) or _may_be_off(item.context_expr))


def _may_be_off(context: ast.expr) -> bool:
    given = context.keywords if isinstance(context, ast.Call) and last_name(context.func) == "autocast" else []
    return any(one.arg == "enabled" and getattr(one.value, "value", None) is not True for one in given)


def _is_bare(item: ast.withitem, names: re.Pattern[str]) -> bool:
    return names.fullmatch(dotted(_called(item))) is not None


def _called(item: ast.withitem) -> ast.expr:
    return item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr


def _innermost(found: list[_Block]) -> list[_Block]:
    return [node for node in found if not any(one is not node and one in walk(node) for one in found)]


def _has_own_lines(node: _Block, lines: list[str]) -> bool:
    """Whether the header is a line, the block has lines, and no line of these but the first of a statement is bound."""
    first, last = node.body[0].lineno, _last_line(node, lines)
    header, block = lines[node.lineno - 1], lines[node.lineno : last]
    runs_over = any(item.context_expr.end_lineno != node.lineno for item in getattr(node, "items", ()))
    if (
        not _HEADER.fullmatch(header)
        or runs_over
        or first == node.lineno
        or lines[node.lineno - 2].rstrip().endswith("\\")
    ):
        return False
    if any(line.rstrip().endswith("\\") for line in (header, *block)):
        return False
    if any(runs_on(part) for part in walk(node)) or (isinstance(node, ast.Try) and not _has_own_tail(node, lines)):
        return False
    indent = indent_of(lines[first - 1])
    return all(line.startswith(indent) or not line.strip() for line in block) and node.body[0].col_offset == len(indent)


def _last_line(node: _Block, lines: list[str]) -> int:
    """Where the block ends, with the ends of blocks within it that were taken out before."""
    last, inner = node.body[-1].end_lineno or node.lineno, indent_of(lines[node.body[0].lineno - 1])
    if isinstance(node, ast.Try):
        return node.handlers[0].lineno - 1
    while last < len(lines) and _ends_block(lines[last], inner, lines[last + 1 :]):
        last += 1
    return last


def _ends_block(line: str, inner: str, after: list[str]) -> bool:
    """Whether a line belongs to the end of a block that was taken out before."""
    next_one = next((one for one in (line, *after) if one.strip()), "")
    return next_one.startswith((f"{inner}{_TAIL}", f"{inner}{_MORE}")) or line.rstrip() == f"{inner}{_END}"


def runs_on(node: ast.AST) -> bool:
    """Whether it is a string that runs over a line's end."""
    return isinstance(node, (ast.Constant, ast.JoinedStr)) and node.lineno != node.end_lineno


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _has_own_tail(node: ast.Try, lines: list[str]) -> bool:
    """Whether the handlers are lines at the indentation of the header, or further in, with no marks among them."""
    outer, first = indent_of(lines[node.lineno - 1]), node.handlers[0].lineno
    tail = lines[first - 1 : node.end_lineno]
    own = all(line.startswith(outer) for line in tail if line.strip()) and indent_of(tail[0]) == outer
    own = own and not any(_MARK.match(line) for line in tail)
    return own and lines[node.lineno - 1].strip() == "try:" and not any(line.endswith("\\") for line in tail)


def _take_out(node: _Block, lines: list[str]) -> None:
    last = _last_line(node, lines)
    header = lines[node.lineno - 1]
    outer, inner = indent_of(header), indent_of(lines[node.body[0].lineno - 1])
    unit = inner[len(outer) :]
    lines[node.lineno - 1] = f"{outer}{_WITH}{unit}~{header[len(outer) :]}"
    for number in range(node.lineno, last):
        if lines[number].strip():
            lines[number] = outer + lines[number][len(inner) :]
    if isinstance(node, ast.Try):
        for number in (one for one in range(last, node.end_lineno or last) if lines[one].strip()):
            mark = _TAIL if number == last else _MORE
            lines[number] = f"{outer}{mark}{lines[number][len(outer) :]}"
        return
    lines.insert(last, f"{outer}{_END}{header[len(header.rstrip()) :].strip(' ')}")
