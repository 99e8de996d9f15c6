"""Which methods are called in one place only, and can be shown there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeGuard

from newtfix.code.syntax import dotted, parsed, walk, words
from newtfix.code.values import bound
from newtfix.code.view.contexts import indent_of, runs_on

_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Yield, ast.YieldFrom, ast.Await)
_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Placed:
    """A method, the statement that called it, and what stands there instead: `given`, its body, and `tail`."""

    name: str
    header: tuple[str, ...]
    inner: str  # the indentation of its body
    returned: tuple[str, ...]  # its last statement, if that is a `return` that an assignment stands for
    call: tuple[str, ...]
    given: tuple[str, ...]
    tail: tuple[str, ...]
    parameters: frozenset[str]
    targets: frozenset[str]


def once(file: str, sources: Mapping[str, str]) -> frozenset[str]:
    """The names that stand twice in a file of a tree, and in no other."""
    twice = {name for name, count in _words(sources[file]).items() if count == 2}
    return frozenset(twice.difference(*(words(text) for other, text in sources.items() if other != file)))


@lru_cache(maxsize=512)
def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W\d]\w*", text))


def called_once(
    text: str, lines: Sequence[str], names: frozenset[str]
) -> Iterator[tuple[Placed, ast.FunctionDef, ast.stmt]]:
    """Methods, and functions of the module, that are called in one place only, and the statements that call them.

    Args:
        lines: those of the text. names: of what may be one of these.
    """
    module = parsed(text)
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    classes = [[one for one in node.body if isinstance(one, ast.FunctionDef)] for node in _classes(module)]
    for methods in (*classes, functions):
        callers = methods if methods is not functions else [*functions, *(one for cls in classes for one in cls)]
        for method in (one for one in methods if one.name in names and _is_plain(one, lines, methods is functions)):
            for caller in (one for one in callers if one is not method):
                for statement in _statements(caller.body):
                    call = _call(statement, method.name if methods is functions else f"self.{method.name}")
                    if call is not None and has_own_lines(statement, lines) and not _is_chosen(statement, caller):
                        one = _placed(method, caller, statement, call, lines)
                        if one is not None:
                            yield one, method, statement


def _classes(module: ast.Module) -> list[ast.ClassDef]:
    return [node for node in module.body if isinstance(node, ast.ClassDef)]


def _statements(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in block:
        yield statement
        if isinstance(statement, _NESTED):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _call(statement: ast.stmt, name: str) -> ast.Call | None:
    match statement:
        case (
            ast.Expr(value=ast.Call() as value)
            | ast.Return(value=ast.Call() as value)
            | ast.Assign(targets=[ast.Name() | ast.Attribute() | ast.Tuple()], value=ast.Call() as value)
        ) if dotted(value.func) == name:
            return value
    return None


def _is_chosen(statement: ast.stmt, caller: ast.FunctionDef) -> bool:
    """Whether it is one of several calls that give the same variables a value: such methods are things of their own."""

    def given(one: ast.stmt) -> str:
        match one:
            case ast.Assign(targets=[target], value=ast.Call(func=func)) if dotted(func).startswith("self."):
                return ast.unparse(target)
        return ""

    return bool(given(statement)) and [given(one) for one in _statements(caller.body)].count(given(statement)) > 1


def _is_plain(method: ast.FunctionDef, lines: Sequence[str], alone: bool) -> bool:
    """Whether it is written in lines that can stand elsewhere, and does nothing that a method alone can do."""
    args = method.args
    if method.decorator_list or args.posonlyargs or args.kwonlyargs or args.vararg or args.kwarg or args.defaults:
        return False
    if alone == ([one.arg for one in args.args[:1]] == ["self"]) or any(
        isinstance(n, _NESTED) for b in method.body for n in walk(b)
    ):
        return False
    if any(isinstance(n, (ast.Global, ast.Nonlocal)) or getattr(n, "id", "") == "super" for n in walk(method)):
        return False
    body = lines_of(method, lines)
    own = lines[body.start : method.end_lineno]
    if not own or any(line.rstrip().endswith("\\") or ";" in line for line in own):
        return False
    inner = indent_of(lines[method.body[-1].lineno - 1])
    return all(lines[at].startswith(inner) or not lines[at].strip() for at in body) and not any(
        runs_on(node) for one in code_of(method) for node in walk(one)
    )


def code_of(method: ast.FunctionDef) -> list[ast.stmt]:
    """The statements of a method behind its docstring."""
    first = method.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return method.body[1:] if is_text else method.body


def lines_of(method: ast.FunctionDef, lines: Sequence[str], whole: bool = False) -> range:
    """The lines of what it does, without those of its last statement if that is a `return`, unless `whole`."""
    code = code_of(method)
    if not code:
        return range(0)
    header = method.body[0].end_lineno if len(code) < len(method.body) else _header_end(method, lines)
    last = code[-1]
    end = last.lineno - 1 if isinstance(last, ast.Return) and not whole else method.end_lineno
    return range(header or 0, end or 0)


def _header_end(method: ast.FunctionDef, lines: Sequence[str]) -> int:
    """The line in which the header ends."""
    at = method.body[0].lineno - 1
    while at > method.lineno and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#")):
        at -= 1
    return at


def has_own_lines(statement: ast.stmt, lines: Sequence[str]) -> bool:
    """Whether nothing else stands in its lines, and none of them goes on in another way than in brackets."""
    own = lines[statement.lineno - 1 : statement.end_lineno]
    return (
        len(indent_of(own[0])) == statement.col_offset
        and not any(runs_on(node) for node in walk(statement))
        and not any(line.rstrip().endswith("\\") or ";" in line for line in own)
        and not lines[statement.lineno - 2].rstrip().endswith("\\")
    )


def _placed(
    method: ast.FunctionDef, caller: ast.FunctionDef, statement: ast.stmt, call: ast.Call, lines: Sequence[str]
) -> Placed | None:
    code = code_of(method)
    leaves = [node for one in code for node in walk(one) if isinstance(node, ast.Return)]
    last = code[-1]
    ends = [last] if isinstance(last, ast.Return) else []
    returned = ends[0].value if ends else None
    targets: list[str] = []
    tail: list[str] = []
    if isinstance(statement, ast.Return):
        if not ends:
            return None
        ends = []
    elif leaves != ends or isinstance(statement, ast.Assign) != (returned is not None):
        return None
    elif isinstance(statement, ast.Assign) and returned is not None:
        targets, tail = _names(statement.targets[0]), _assigned(statement.targets[0], returned)
    given = given_to(method, call)
    if given is None or len(given) != len(_parameters(method)) or (not targets and isinstance(statement, ast.Assign)):
        return None
    same = {name for name, value in given.items() if isinstance(value, ast.Name) and value.id == name}
    stored = stored_in(code) | (given.keys() - same)
    there = read_by(caller, range(statement.lineno, (statement.end_lineno or 0) + 1))
    changed = stored_in(code) & same
    if ((stored & there) | changed) - set(targets):
        return None
    end = method.end_lineno or method.lineno
    start = lines_of(method, lines).start
    return Placed(
        method.name,
        tuple(lines[method.lineno - 1 : start]),
        indent_of(lines[last.lineno - 1]),
        tuple(lines[last.lineno - 1 : end]) if ends else (),
        tuple(lines[statement.lineno - 1 : statement.end_lineno]),
        tuple(f"{name} = {ast.unparse(value)}" for name, value in given.items() if name not in same),
        tuple(tail),
        frozenset(given),
        frozenset(targets),
    )


def _parameters(method: ast.FunctionDef) -> list[str]:
    return [one.arg for one in method.args.args if one.arg != "self"]


def given_to(method: ast.FunctionDef, call: ast.Call) -> dict[str, ast.expr] | None:
    """What a call gives each parameter of a method; None where that cannot be told."""
    if any(isinstance(one, ast.Starred) for one in call.args) or any(one.arg is None for one in call.keywords):
        return None
    each = [(None, one) for one in call.args] + [(one.arg, one.value) for one in call.keywords]
    names = [name for name, _ in bound(method, each)]
    values = [value for _, value in bound(method, each)]
    if len(set(names)) != len(names) or not set(names) <= set(_parameters(method)):
        return None
    given = dict(zip(names, values, strict=True))
    read = {node.id for value in values for node in walk(value) if isinstance(node, ast.Name)}
    others = {name for name, value in given.items() if not (isinstance(value, ast.Name) and value.id == name)}
    return None if read & others else given


def _names(target: ast.expr) -> list[str]:
    each = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [dotted(one) for one in each]
    return names if all(names) else []


def _assigned(target: ast.expr, value: ast.expr) -> list[str]:
    """The assignments that stand for `target = value`, one for each part where their order is no matter."""
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)):
        same = ast.unparse(target) == ast.unparse(value)
        return [] if same else [f"{ast.unparse(target)} = {ast.unparse(value)}"]
    pairs = [(name, one) for name, one in zip(_names(target), value.elts, strict=True)]
    others = [(name, one) for name, one in pairs if not (_is_name(one) and dotted(one) == name)]
    for index, (name, _) in enumerate(others):
        if any(dotted(node) == name for _, later in others[index + 1 :] for node in walk(later) if _is_name(node)):
            return [f"{ast.unparse(target)} = {ast.unparse(value)}"]
    return [f"{name} = {ast.unparse(one)}" for name, one in others]


def _is_name(node: ast.AST) -> TypeGuard[ast.Name | ast.Attribute]:
    return isinstance(node, (ast.Name, ast.Attribute))


def stored_in(code: Sequence[ast.AST]) -> set[str]:
    """Variables that get a value."""
    caught = {node.name for one in code for node in walk(one) if isinstance(node, ast.ExceptHandler) and node.name}
    return caught | {one.id for one in variables(code) if not isinstance(one.ctx, ast.Load)}


def read_by(function: ast.FunctionDef, lines: range) -> set[str]:
    """Variables that a function reads, but for these lines and where a loop behind or before them sets them anew."""
    loops = [
        node
        for node in walk(function)
        if isinstance(node, ast.For) and not node.lineno <= lines.start <= (node.end_lineno or 0)
    ]
    own = {
        part
        for loop in loops
        for one in loop.body
        for part in walk(one)
        if isinstance(part, ast.Name) and part.id in stored_in([loop.target])
    }
    names = [one for one in variables(function.body) if isinstance(one.ctx, ast.Load) and one.lineno not in lines]
    return {one.id for one in names if one not in own}


def variables(code: Sequence[ast.AST], own: frozenset[str] = frozenset()) -> Iterator[ast.Name]:
    """The names in code, but for those of comprehensions in them."""
    for node in code:
        if isinstance(node, ast.Name) and node.id not in own:
            yield node
        names = own
        if isinstance(node, _SCOPES):
            names |= {one.id for each in node.generators for one in walk(each.target) if isinstance(one, ast.Name)}
        yield from variables(list(ast.iter_child_nodes(node)), names)
