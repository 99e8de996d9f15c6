"""The functions of a file, the fields of its classes and what stands between them, each by itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

from newtfix.code.flat import Line, joined
from newtfix.code.names import bindings
from newtfix.code.syntax import walk

_HEAD = re.compile(r"(?P<indent> *)(?P<kind>@|(?:async )?def |class )(?P<name>\w*)")
Units = dict[str, list[Line]]  # by "Class.method", "Class." for its fields, "function", and "" for the rest


def units(lines: Sequence[Line]) -> Units:
    """The lines of a file by what they belong to, in their order. A second one of a name has a number behind it."""
    found: Units = {"": []}
    cls, key, decorators = "", "", []
    for line in lines:
        indent = len(line.text) - len(line.text.lstrip())
        head = _HEAD.match(line.text) if indent == 0 or (indent == 4 and cls) else None
        if head is not None and head["kind"] == "@":
            decorators.append(line)
            continue
        if head is not None:
            cls = "" if indent == 0 else cls
            key = (
                _new(found, f"{cls}{head['name']}.")
                if head["kind"] == "class "
                else _new(found, f"{cls}{head['name']}")
            )
            cls = key if head["kind"] == "class " and indent == 0 else cls
            found[key] = [*decorators, line]
            decorators = []
            continue
        if indent == 0:
            cls = key = ""
        elif indent == 4 and cls:
            key = cls
        found[key].append(line)
    return found


def _new(found: Units, key: str) -> str:
    number = 2
    known = key
    while key in found:
        key, number = f"{known.removesuffix('.')}~{number}{'.' * known.endswith('.')}", number + 1
    return key


def parses(lines: Sequence[Line]) -> bool:
    """Whether a unit, or nothing, is Python."""
    indent = len(lines[0].text) - len(lines[0].text.lstrip()) if lines else 0
    try:
        ast.parse("if True:\n" * bool(indent) + joined(lines))
    except SyntaxError:
        return False
    return True


def bound_in(texts: Iterable[str]) -> set[str]:
    """What lines give a value to by itself: variables, attributes and entries, as they are written."""
    return {ast.unparse(target) for text in texts for node in _nodes(text) for target in _given(node)} - {"_"}


def brought_in(texts: Iterable[str]) -> set[str]:
    """The attributes that texts give a value to, and the functions that they define, by their last names."""
    found: set[str] = set()
    for node in (node for text in texts for node in _nodes(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.endswith("__"):
            found.add(node.name)
        found |= {target.attr for target in _given(node) if isinstance(target, ast.Attribute)}
    return found


def _given(node: ast.AST) -> list[ast.expr]:
    return [node.target] if isinstance(node, ast.AugAssign) else [target for target, _, _ in bindings(node)]


def _nodes(text: str) -> list[ast.AST]:
    """The nodes of a text, or of a line of one; none where it is no Python by itself."""
    for whole in (text, text.strip(), f"{text.strip()} pass"):
        try:
            return walk(ast.parse(whole))
        except SyntaxError:
            continue
    return []
