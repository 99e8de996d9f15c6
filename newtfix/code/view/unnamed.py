"""Variables that are set once, to something that nothing changes before it is used: shown to patterns as that.

`weight = self.rho[t]` becomes a comment, and `weight` what it stands for, in parentheses with a number of blanks behind
the first one that tells which it is. Where a patch leaves that as it is, the variable stands there again afterwards.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from newtfix.code.effects import own_attributes_set
from newtfix.code.names import own_attributes_changed, writes
from newtfix.code.syntax import dotted, parsed, walk
from newtfix.code.view.contexts import indent_of, runs_on
from newtfix.code.view.once import code_of, given_to, has_own_lines

_MARK = "#~unnamed~"
_MARKED = re.compile(rf"^([ \t]*){_MARK}(\d+)(\r?)$")
_BLANKS = 200  # more than anybody writes, and than names for settings take
_LONGEST = 400  # what stands for something that stands for something may grow without end
_PURE = frozenset(
    """
    abs all any arange bool cat clamp clone ceil cos detach div dot exp expand fill_value flatten float floor full
    getattr int isfinite len list log log1p logical_and logical_not logical_or long max mean min mul neg new_ones
    new_zeros nonzero norm numel ones ones_like permute pow prod range reshape round sigmoid sin size sqrt square
    squeeze stack std sub sum tanh to tolist tuple unbind unsqueeze var view where zeros zeros_like
    """.split()
)
_WITHOUT_NAMES = (ast.NamedExpr, ast.Lambda, ast.Await, ast.Yield, ast.YieldFrom, ast.JoinedStr, ast.Starred)
_WITH_NAMES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_APART = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.JoinedStr)


@dataclass(frozen=True)
class _Variable:
    """A variable: its function, what it stands for, the lines that set it, and those that set what they set besides."""

    function: str
    name: str
    code: str
    lines: tuple[str, ...]
    rest: tuple[str, ...]


_Found = tuple[_Variable, ast.stmt, Sequence[ast.expr]]  # with what sets it, and where it is used


@dataclass(frozen=True)
class Unnamed:
    """A text without such variables, and for each of its lines the one in the owner's text."""

    text: str
    lines: tuple[int, ...]
    variables: tuple[_Variable, ...]

    def back(self, patched: str) -> str:
        """The owner's text with what patches made of this one."""
        for number in range(len(self.variables) - 1, -1, -1):
            patched = _back(number, self.variables[number], patched)
        return patched


def is_mark(comment: str) -> bool:
    """Whether a comment stands for what sets such a variable."""
    return comment.startswith(_MARK)


@lru_cache(maxsize=64)
def unnamed(text: str, known: frozenset[str] | None, once: frozenset[str] = frozenset()) -> Unnamed | None:
    """`text` without such variables; None where there are none.

    Args:
        known: names that patterns look for; None: variables keep theirs. once: those of methods that may be called in
            one place only; where such a method answers with one expression, the call is shown as that.
    """
    if _MARK in text or "\r" in text:
        return None
    lines, numbers = text.split("\n"), list(range(1, text.count("\n") + 2))
    found: list[_Variable] = []
    while True:
        text = "\n".join(lines)
        some: list[_Found] = list(islice(_answers(text, lines, once), 1))
        if not some and known is not None:
            some = list(_found(text, lines, known))
        if not some:
            break
        swaps: list[tuple[int, int, int, list[str]]] = []  # line, from, to, and what stands there then
        for variable, statement, uses in some:
            blanks = " " * (_BLANKS + len(found))
            for use in uses:
                stop = use.col_offset + len(variable.name)
                swaps.append((use.lineno - 1, use.col_offset, stop, [f"({blanks}{variable.code})"]))
            last = statement.end_lineno or statement.lineno
            first = last - len(variable.lines)
            mark = [f"{_MARK}{len(found)}", *variable.rest]
            swaps.append((first, -1, last, [indent_of(lines[first]) + line for line in mark]))
            found.append(variable)
        for line, start, stop, new in sorted(swaps, key=lambda swap: swap[:2], reverse=True):
            if start >= 0:
                lines[line] = lines[line][:start] + new[0] + lines[line][stop:]
            else:
                numbers[line:stop] = [numbers[line]] * len(new)
                lines[line:stop] = new
    return Unnamed("\n".join(lines), tuple(numbers), tuple(found)) if found else None


# --- which ------------------------------------------------------------------------------------------------------------


def _found(text: str, lines: Sequence[str], known: frozenset[str]) -> Iterator[_Found]:
    """Such variables, none of which stands in what another one of them is set to, or is set beside it."""
    for cls, function in _functions(parsed(text)):
        nodes = walk(function)
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = Counter(node.id for node in names if not isinstance(node.ctx, ast.Load))
        stored.update(node.arg for node in nodes if isinstance(node, ast.arg))
        stored.update(name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names)
        hidden = {part for node in nodes if isinstance(node, _APART) and node is not function for part in walk(node)}
        taken: set[ast.AST] = set()
        for block in _blocks(function):
            for index, statement in enumerate(block):
                if not isinstance(statement, ast.Assign) or not has_own_lines(statement, lines):
                    continue
                for name, value in _pairs(statement):
                    uses = [one for one in names if one.id == name and isinstance(one.ctx, ast.Load)]
                    if (
                        name not in known
                        and stored[name] == 1
                        and uses
                        and all(lines[one.lineno - 1].isascii() for one in uses)  # columns are counted in bytes
                        and not (hidden | taken).intersection(uses)
                        and taken.isdisjoint(walk(statement))
                        and _is_plain(value)
                        and _stays(value, uses, block[index + 1 :], cls)
                    ):
                        rest = [
                            f"{other} = {ast.unparse(given)}" for other, given in _pairs(statement) if other != name
                        ]
                        own = tuple(lines[statement.lineno - 1 : statement.end_lineno])
                        taken |= {*walk(statement), *uses}
                        yield _Variable(function.name, name, ast.unparse(value), own, tuple(rest)), statement, uses


def _answers(text: str, lines: Sequence[str], once: frozenset[str]) -> Iterator[_Found]:
    """Methods, and properties, that are one expression, and where that is asked for."""
    for cls in (node for node in parsed(text).body if isinstance(node, ast.ClassDef)):
        for method in (one for one in cls.body if isinstance(one, ast.FunctionDef) and one.name in once):
            decorators = [ast.unparse(one) for one in method.decorator_list]
            match code_of(method):
                case [ast.Return(value=ast.expr() as value)] if decorators in ([], ["property"]) and _is_one(value):
                    pass
                case _:
                    continue
            for node in (part for one in cls.body if one is not method for part in walk(one)):
                given = _asked(method, node, bool(decorators))
                if given is None or not isinstance(node, ast.expr) or not _may_stand_for(given, value):
                    continue
                if node.lineno != node.end_lineno or not lines[node.lineno - 1].isascii():
                    continue
                name = lines[node.lineno - 1][node.col_offset : node.end_col_offset]
                code = ast.unparse(_Given(given).visit(deepcopy(value)))
                first = min([method.lineno, *(one.lineno for one in method.decorator_list)])
                own = tuple(lines[first - 1 : method.end_lineno])
                yield _Variable(method.name, name, code, own, ()), method, [node]


def _asked(method: ast.FunctionDef, node: ast.AST, is_property: bool) -> dict[str, ast.expr] | None:
    """What a method is given where that is asked for it; None where something else is asked."""
    if is_property:
        return {} if isinstance(node, ast.Attribute) and dotted(node) == f"self.{method.name}" else None
    if not isinstance(node, ast.Call) or dotted(node.func) != f"self.{method.name}":
        return None
    args, given = method.args, given_to(method, node)
    others = [*args.posonlyargs, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    return given if given is not None and not others and len(given) == len(args.args) - 1 else None


def _is_one(value: ast.expr) -> bool:
    """Whether it means the same where it is asked for."""
    apart = (ast.NamedExpr, ast.Lambda, ast.Await, ast.Yield, ast.YieldFrom, ast.JoinedStr)
    for node in walk(value):
        if isinstance(node, apart) or getattr(node, "id", "") == "super" or runs_on(node):
            return False
    return len(ast.unparse(value)) <= _LONGEST


def _may_stand_for(given: Mapping[str, ast.expr], value: ast.expr) -> bool:
    """Whether what is given may stand for the parameters: it is computed once, and has no name of a comprehension."""
    names = Counter(node.id for node in walk(value) if isinstance(node, ast.Name))
    simple = (ast.Name, ast.Attribute, ast.Constant)
    once = all(isinstance(one, simple) or names[name] == 1 for name, one in given.items())
    return once and (not given or not any(isinstance(node, _WITH_NAMES) for node in walk(value)))


class _Given(ast.NodeTransformer):
    """Puts what is given in the place of parameters."""

    def __init__(self, given: Mapping[str, ast.expr]) -> None:
        self.given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.given.get(node.id, node)


def _functions(module: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            yield from ((node, one) for one in node.body if isinstance(one, ast.FunctionDef))


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield block
            for statement in block:
                if not isinstance(statement, _APART):
                    yield from _blocks(statement)
    for handler in getattr(node, "handlers", ()):
        yield from _blocks(handler)


def _pairs(statement: ast.Assign) -> list[tuple[str, ast.expr]]:
    """What variables are given, where each is given something of its own that needs none of the others."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return [(name, value)]
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(values):
            names = [one.id for one in targets if isinstance(one, ast.Name)]
            read = {part.id for value in values for part in walk(value) if isinstance(part, ast.Name)}
            if len(names) == len(targets) and not read.intersection(names):
                return list(zip(names, values, strict=True))
    return []


def _is_plain(value: ast.expr) -> bool:
    """Whether it is computed from something, in the same way each time, and has no variables of its own."""
    for node in walk(value):
        if isinstance(node, (*_WITHOUT_NAMES, *_WITH_NAMES)) or runs_on(node):
            return False
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in _PURE:
                return False
    named = not isinstance(value, (ast.Constant, ast.Name, ast.List, ast.Dict, ast.Set))
    return named and len(ast.unparse(value)) <= _LONGEST


def _stays(value: ast.expr, uses: Sequence[ast.Name], then: Sequence[ast.stmt], cls: ast.ClassDef | None) -> bool:
    """Whether all uses are in the statements that follow, and nothing there changes what it is made of."""
    wanted, reached = set(uses), 0
    for number, statement in enumerate(then, 1):
        if wanted.intersection(walk(statement)):
            wanted.difference_update(walk(statement))
            reached = number
    if wanted:
        return False
    passed: list[ast.AST] = [*then[:reached]]
    last = then[reached - 1]
    if isinstance(last, ast.If) and not {*uses}.intersection(_behind_test(last)):
        passed[-1] = last.test
    nodes = [node for statement in passed for node in walk(statement)]
    read = {dotted(part) for part in walk(value) if isinstance(part, (ast.Name, ast.Attribute))} - {"", "self"}
    changed = {dotted(_root(one.target)) for node in nodes for one in writes(node)} - {""}
    if any(_touches(one, other) for one in changed for other in read):
        return False
    own = {name for name in read if name.startswith("self.")}
    if cls is None or not own or not any(_is_own_call(node) for node in nodes):
        return True
    methods = [one for one in cls.body if isinstance(one, ast.FunctionDef) and one.name != "__init__"]
    set_there = {name for one in methods for name in (*own_attributes_set(one), *own_attributes_changed(one))}
    return not any(_touches(one, other) for one in set_there for other in own)


def _behind_test(choice: ast.If) -> Iterator[ast.AST]:
    return (node for statement in (*choice.body, *choice.orelse) for node in walk(statement))


def _root(target: ast.expr) -> ast.expr:
    while isinstance(target, (ast.Subscript, ast.Starred, ast.Call)):
        target = target.func if isinstance(target, ast.Call) else target.value
    return target


def _touches(one: str, other: str) -> bool:
    """Whether one name is the other, or a part of it, or it of it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _is_own_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func).startswith("self.")


# --- and back ---------------------------------------------------------------------------------------------------------


def _back(number: int, variable: _Variable, text: str) -> str:
    places = list(_places(number, text))
    same = {place: _dump(text[place.start + 1 : place.stop - 1]) for place in places}
    codes, code = set(same.values()), variable.code
    is_set = re.search(rf"{_MARK}{number}$", text, re.MULTILINE) is not None
    if len(codes) == 1 and codes != {_dump(code)} and len(places) > 1:
        code = text[places[0].start + 1 : places[0].stop - 1].strip()
    used = False
    for place in reversed(places):
        inside = text[place.start + 1 : place.stop - 1].strip()
        if is_set and same[place] == _dump(code):
            inside, used = variable.name, True
        elif _dump(f"({inside})", text, place) != _dump(inside, text, place):
            inside = f"({inside})"
        text = text[: place.start] + inside + text[place.stop :]
    lines = text.split("\n")
    at = next((at for at, line in enumerate(lines) if (mark := _MARKED.match(line)) and int(mark[2]) == number), None)
    if at is None:
        return text
    indent, rest = indent_of(lines[at]), lines[at + 1 : at + 1 + len(variable.rest)]
    whole = [line.strip() for line in rest] == list(variable.rest)
    if code == variable.code and whole and used:
        old = indent_of(variable.lines[0])
        lines[at : at + 1 + len(rest)] = [indent + line.removeprefix(old) for line in variable.lines]
    elif used:
        lines[at : at + 1] = [f"{indent}{variable.name} = {code}"]
    else:
        is_method = variable.lines[-1].lstrip().startswith("return ")
        lines[at : at + 1 + (is_method and not any(lines[at + 1 : at + 2]))] = []
    return "\n".join(lines)


def _places(number: int, text: str) -> Iterator[range]:
    """Where parentheses with so many blanks stand, from one to the other."""
    blanks = " " * (_BLANKS + number)
    if f"({blanks}" not in text:
        return
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        at = starts[token.start[0] - 1] + token.start[1]
        if token.string in ("(", "[", "{") and token.type == tokenize.OP:
            opened.append(at)
        elif token.string in (")", "]", "}") and token.type == tokenize.OP:
            start = opened.pop()
            if text.startswith(f"({blanks}", start) and text[start + 1 + len(blanks)] != " ":
                yield range(start, at + 1)


def _dump(code: str, text: str = "", place: range | None = None) -> str:
    """The syntax of code; of a whole text where it stands in a place of it."""
    if place is not None:
        try:
            return ast.dump(ast.parse(text[: place.start] + code + text[place.stop :]))
        except SyntaxError:
            return ""
    return ast.dump(ast.parse(code.strip(), mode="eval"))
