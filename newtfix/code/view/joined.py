"""Calls, and conditions, whose result has a name for one line: shown to patterns as if it had none.

`x = f()` and `return x`, or `a, b = x`, in the next line, are shown as `return f()`, or `a, b = f()`, and a comment;
`x = a > b` and `if x:` as `if a > b:`. With `a, b = (y.float() for y in x)` it is as with `a, b = x`.
Where a patch leaves the statement one of that kind, the two stand there again afterwards. Objects that are made keep
their names. What times or reports is taken out of a `with` that holds something else as well.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from newtfix.code.equivalent import CASTS
from newtfix.code.syntax import dotted, last_name, walk
from newtfix.code.view.contexts import reports, runs_on
from newtfix.code.view.inert import readable
from newtfix.errors import Refused

_NAMED, _ITEMS = "#~named~", "#~items~"
_MARK = re.compile(rf"^([ \t]*){_NAMED}(\w+)~(.*?)(\r?)$")
_WITH = re.compile(rf"^([ \t]*)(with .*:)  {_ITEMS}(.*?)(\r?)$")
_MAYBE = re.compile(
    r"^[ \t]+(return \w+|if \w+:|[\w, ()\[\]*]+ = (\w+|[(\[].* for .*[)\]]))[ \t]*\r?$|^[ \t]+with .*,", re.MULTILINE
)
_BLOCKS = ("body", "orelse", "finalbody")


@lru_cache(maxsize=512)
def together(text: str) -> str:
    """`text` with such statements as one; it has the same lines."""
    if not _MAYBE.search(text) or _NAMED in text or _ITEMS in text or (module := readable(text)) is None:
        return text
    lines = text.split("\n")
    for function in (node for node in walk(module) if isinstance(node, ast.FunctionDef)):
        uses = Counter(node.id for node in walk(function) if isinstance(node, ast.Name))
        for first, then in _neighbours(function):
            match first, then:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)), (
                    ast.Return(value=read) | ast.Assign(targets=[ast.Tuple()], value=read)
                ) if (
                    _handed_on(read) == name
                    and uses[name] == 2
                    and not _makes(func)
                    and _have_own_lines(first, then, lines)
                ):
                    _put_together(first, then, name, lines)
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Compare() | ast.BoolOp() | ast.UnaryOp()
                ), ast.If(test=ast.Name(id=read)) if (
                    name == read and uses[name] == 2 and _is_asked_at_once(first, then, lines)
                ):
                    _put_together(first, then, name, lines, ":")
    for node in walk(module):
        if isinstance(node, ast.With) and len(node.items) > 1:
            _without_reports(node, lines)
    return "\n".join(lines)


def apart(text: str) -> str:
    """The text with two statements, and all items, where there were before."""
    if _NAMED not in text and _ITEMS not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if (mark := _WITH.match(line)) is not None:
            same = mark[2] == _other_items(mark[3])
            lines[number] = f"{mark[1]}{mark[3] if same else mark[2]}{mark[4]}"
    nodes = walk(ast.parse(text))
    ends: dict[int | None, ast.stmt] = {n.end_lineno: n for n in nodes if isinstance(n, (ast.Return, ast.Assign))}
    ends |= {
        n.lineno: n
        for n in nodes
        if isinstance(n, ast.If) and n.lineno == n.test.end_lineno and n.lineno < n.body[0].lineno
    }
    for number in range(len(lines) - 1, -1, -1):
        if (mark := _MARK.match(lines[number])) is None:
            continue
        before = next((one for one in range(number - 1, -1, -1) if _is_code(lines[one])), -1)
        node = ends.get(before + 1)
        start = _start(mark[2], mark[3])
        first = lines[node.lineno - 1] if node is not None else ""
        colon = ":" * mark[3].endswith(":")
        if node is None or not first.startswith(f"{mark[1]}{start}") or not first.rstrip().endswith(colon):
            if mark[3].endswith((")", "]")):
                raise Refused("a patch would lose what this tree does with each of some values", where=mark[3])
            del lines[number]
            continue
        given = first[len(mark[1]) + len(start) :].rstrip("\r").removesuffix(colon)
        lines[node.lineno - 1] = f"{mark[1]}{mark[2]} = {given}{mark[4]}"
        lines[number] = f"{mark[1]}{mark[3]}{mark[4]}"
    return "\n".join(lines)


def is_mark(comment: str) -> bool:
    """Whether a comment stands for a statement, or an item, that patterns don't see."""
    return comment.startswith((_NAMED, _ITEMS))


def _makes(function: ast.expr) -> bool:
    """Whether it is a class: what it makes has a name of its own right."""
    return last_name(function)[:1].isupper()


def _handed_on(value: ast.expr | None) -> str:
    """The variable that is handed on as it is, or each of its values moved or cast: `x.float() for x in found`."""
    match value:
        case ast.Name(id=name):
            return name
        case (
            ast.GeneratorExp(elt=ast.Call() as one, generators=[each])
            | ast.ListComp(elt=ast.Call() as one, generators=[each])
        ) if not each.ifs and isinstance(each.iter, ast.Name):
            moved: ast.expr = one
            while isinstance(moved, ast.Call) and isinstance(moved.func, ast.Attribute) and moved.func.attr in CASTS:
                moved = moved.func.value
            return each.iter.id if ast.dump(moved) == ast.dump(ast.Name(dotted(each.target), ast.Load())) else ""
    return ""


def _neighbours(function: ast.FunctionDef) -> Iterator[tuple[ast.stmt, ast.stmt]]:
    for node in walk(function):
        for block in _BLOCKS:
            statements = getattr(node, block, None)
            if isinstance(statements, list):
                yield from pairwise(statements)


def _have_own_lines(first: ast.stmt, then: ast.stmt, lines: list[str]) -> bool:
    begin, end, own = lines[first.lineno - 1], lines[then.lineno - 1], first.end_lineno or 0
    indent = begin[: first.col_offset]
    return (
        then.lineno == own + 1 == (then.end_lineno or 0)
        and not indent.strip()
        and end.strip() == ast.unparse(then) == end[len(indent) :].rstrip()
        and begin.startswith(f"{indent}{ast.unparse(first).partition(' = ')[0]} = ")
        and "#" not in lines[own - 1]
        and not any(line.rstrip().endswith("\\") for line in lines[first.lineno - 1 : own])
        and not any(runs_on(one) for one in walk(first))
    )


def _start(name: str, then: str) -> str:
    """What the one statement begins with: `return `, `if `, or the targets of the second."""
    if then.endswith((")", "]")):
        return then[: then.index(" = ") + 3]
    return then.removesuffix(":").removesuffix(name)


def _is_asked_at_once(first: ast.stmt, then: ast.If, lines: list[str]) -> bool:
    begin, header, own = lines[first.lineno - 1], lines[then.lineno - 1], first.end_lineno or 0
    indent, asked = begin[: first.col_offset], ast.unparse(then.test)
    return (
        first.lineno == own == then.lineno - 1
        and then.lineno < then.body[0].lineno
        and begin.startswith(f"{indent}{asked} = ")
        and header.rstrip() == f"{indent}if {asked}:"
        and not indent.strip()
        and "#" not in begin
        and not begin.rstrip().endswith(("\\", ";"))
        and not any(runs_on(one) or isinstance(one, ast.NamedExpr) for one in walk(first))
    )


def _put_together(first: ast.stmt, then: ast.stmt, name: str, lines: list[str], colon: str = "") -> None:
    begin, second = lines[first.lineno - 1], lines[then.lineno - 1]
    indent, end = begin[: first.col_offset], "\r" if second.endswith("\r") else ""
    statement, given = second.strip(), begin[len(f"{indent}{name} = ") :].rstrip("\r")
    lines[first.lineno - 1] = f"{indent}{_start(name, statement)}{given}{colon}{end}"
    lines[then.lineno - 1] = f"{indent}{_NAMED}{name}~{statement}{end}"


def _without_reports(node: ast.With, lines: list[str]) -> None:
    line = lines[node.lineno - 1]
    indent, header, end = line[: node.col_offset], line.strip(), "\r" if line.endswith("\r") else ""
    others = _other_items(header) if header.endswith(":") and not indent.strip() else header
    if others != header:
        lines[node.lineno - 1] = f"{indent}{others}  {_ITEMS}{header}{end}"


def _other_items(header: str) -> str:
    """The header of a `with` without what times or reports; where nothing else would be left, or to leave, as it is."""
    try:
        node = ast.parse(f"{header} pass").body[0]
    except SyntaxError:
        return header
    kept = [item for item in node.items if not reports(item)] if isinstance(node, ast.With) else []
    if not isinstance(node, ast.With) or len(kept) in (0, len(node.items)):
        return header
    return f"with {', '.join(map(ast.unparse, kept))}:"


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
