"""Statements that only report or check something: hidden from patterns as comments, line by line, and shown again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from newtfix.code.syntax import dotted, parse, parts, walk

_MARK, _WHOLE = "#~hidden~", "#~whole~"
_SHOWN = re.compile(rf"^([ \t]*){re.escape(_MARK)}(.*)$", re.MULTILINE)
_SHOWN_WHOLE = re.compile(rf"^[ \t]*{re.escape(_WHOLE)}(.*)$", re.MULTILINE)
_LINE_END = re.compile(r"\r(?!\n)|[\x0b\x0c\x85\u2028\u2029]")
_REPORTS = re.compile(
    r"(print|pprint|breakpoint|warn|logging\.\w+|_?logger\.(debug|info|warning|warn|error)|log\.(debug|info|warning)"
    r"|(self\.)?_?log(ger)?\.(debug|info|warning|error)|warnings\.warn|tqdm\.write|sys\.std(out|err)\.(write|flush)"
    r"|wandb\.log|(self\.)?_?(tb|tb_writer|writer|summary_writer)\.add_\w+|console\.print|gc\.collect)"
)
_HARMLESS = frozenset(
    "time perf_counter monotonic process_time len float int str repr id range min max round sum bool type isinstance "
    "item detach cpu numel size dim keys values items format join tolist get getattr hasattr".split()
)
_BLOCKS = ("body", "orelse", "finalbody")


@lru_cache(maxsize=512)
def hidden(text: str) -> str:
    """`text` with its inert statements as marked comments in the same lines; text that cannot be read is left alone."""
    if _MARK in text or _WHOLE in text or (module := readable(text)) is None:
        return text
    lines = text.split("\n")
    for function in _functions(module):
        for statement in _inert_statements(function):
            if _has_own_lines(statement, lines):
                _hide(statement, lines)
    return "\n".join(lines)


def readable(text: str) -> ast.Module | None:
    """The module, where its lines can be shown in another way: nothing but newlines ends them, and it is Python."""
    try:
        return None if has_odd_lines(text) else parse(text)
    except (SyntaxError, ValueError):
        return None


def has_odd_lines(text: str) -> bool:
    """Whether something else than a newline ends lines in it."""
    return _LINE_END.search(text) is not None


def shown(text: str) -> str:
    """The text with the hidden statements back in their places."""
    if _MARK not in text and _WHOLE not in text:
        return text
    return _SHOWN_WHOLE.sub(r"\1", _SHOWN.sub(r"\1\2", text))


def is_mark(comment: str) -> bool:
    """Whether a comment is a line of a hidden statement."""
    return comment.startswith((_MARK, _WHOLE))


def _functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The outermost functions of a module and of its classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)


def _inert_statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """The outermost inert statements of a function, but for blocks that consist of nothing else."""
    unused = _unused_names(function)
    found: list[ast.stmt] = []
    blocks: list[list[ast.stmt]] = [function.body]
    while blocks:
        block = blocks.pop()
        inert = [statement for statement in block if _is_inert(statement, unused)]
        kept = [statement for statement in block if not any(statement is one for one in inert)]
        if any(not _is_docstring(statement) for statement in kept):
            found += inert
        for statement in kept:
            blocks += list(_inner_blocks(statement))
    return found


def _inner_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in _BLOCKS:
        block = getattr(statement, name, None)
        if block:
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body


def _is_docstring(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)


def _is_inert(statement: ast.stmt, unused: frozenset[str]) -> bool:
    match statement:
        case ast.Pass() | ast.Assert():
            return True
        case ast.Expr(value=ast.Call(func=function)):
            return _REPORTS.fullmatch(dotted(function)) is not None
        case ast.If(test=test):
            return _is_harmless(test) and _all_inert((*statement.body, *statement.orelse), unused)
        case ast.For(iter=values):
            return _is_harmless(values) and _all_inert((*statement.body, *statement.orelse), unused)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name in unused and _is_harmless(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return name in unused and (value is None or _is_harmless(value))
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            return name in unused and _is_harmless(value)
        case ast.Import() | ast.ImportFrom():
            return all((alias.asname or alias.name.partition(".")[0]) in unused for alias in statement.names)
    return False


def _all_inert(statements: Iterable[ast.stmt], unused: frozenset[str]) -> bool:
    return all(_is_inert(statement, unused) for statement in statements)


def _is_harmless(expression: ast.expr) -> bool:
    """Whether evaluating it changes nothing, as far as its looks go."""
    for node in walk(expression):
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in _HARMLESS:
                return False
    return True


def _unused_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Names that nothing but inert statements reads."""
    nodes = walk(function)
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            bound -= set(node.names)
    unused = frozenset(bound)
    heads: dict[ast.stmt, frozenset[str]] = {}
    while unused:
        read = unused.intersection(_read_names(function.body, unused, heads))
        if not read:
            break
        unused -= read
    return unused


def _read_names(
    statements: Iterable[ast.stmt], unused: frozenset[str], heads: dict[ast.stmt, frozenset[str]]
) -> Iterator[str]:
    """The names that occur in statements that are not inert; `heads`: those that are known of some by themselves."""
    for statement in statements:
        if _is_inert(statement, unused):
            continue
        blocks = list(_inner_blocks(statement))
        if statement not in heads:
            heads[statement] = frozenset(_names_of_head(statement, {part for block in blocks for part in block}))
        yield from heads[statement]
        for block in blocks:
            yield from _read_names(block, unused, heads)


def _names_of_head(statement: ast.stmt, inner: set[ast.stmt]) -> Iterator[str]:
    """The names that occur in a statement, but for those in its blocks."""
    pending = parts(statement)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name):
            yield node.id
        elif node not in inner and not isinstance(node, ast.ExceptHandler):
            pending += parts(node)


def _has_own_lines(statement: ast.stmt, lines: list[str]) -> bool:
    """Whether nothing else stands in its lines, and no string in it runs over a line's end."""
    first, last = lines[statement.lineno - 1], lines[(statement.end_lineno or statement.lineno) - 1]
    before = first.encode()[: statement.col_offset]
    behind = last.encode()[statement.end_col_offset or 0 :].strip()
    if before.strip() or (behind and not behind.startswith(b"#")):
        return False
    if first.lstrip().startswith("elif"):
        return False
    if lines[statement.lineno - 2].rstrip().endswith("\\") or last.rstrip().endswith("\\"):
        return False
    strings = (node for node in walk(statement) if isinstance(node, (ast.Constant, ast.JoinedStr)))
    return all(node.lineno == node.end_lineno for node in strings)


def _hide(statement: ast.stmt, lines: list[str]) -> None:
    first = lines[statement.lineno - 1]
    indent = first[: len(first) - len(first.lstrip())]
    for number in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
        line = lines[number]
        if line.startswith(indent) and line.strip():
            lines[number] = f"{indent}{_MARK}{line[len(indent) :]}"
        else:
            lines[number] = f"{indent}{_WHOLE}{line}"
