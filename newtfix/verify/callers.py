"""Calls of an agent in the files of a tree: what they pass, and whether they take the action alone or more."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from newtfix.verify.answers import ACTING
from newtfix.verify.subject import Subject

_POSITIONS = ("obs", "t0", "step", "eval_mode", "task", "mpc")


@dataclass(frozen=True)
class Caller:
    """A call of a method whose answer is kept: `takes` values, 1 being the action alone.

    `constants` are arguments written out.
    """

    place: str
    method: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    takes: int


def calls_of_agents(subject: Subject) -> list[Caller]:
    """All of them but the trainer's own."""
    found: list[Caller] = []
    for file in subject.sources:
        if file != subject.files.get("trainer") and file.endswith(".py"):
            found += _in_file(file, (subject.root / file).read_text("utf-8", "replace"))
    return found


def _in_file(file: str, text: str) -> Iterator[Caller]:
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError):
        return
    for scope in ast.walk(tree):
        if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            for node in _own_nodes(scope):
                if isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_agent_call(node.value):
                    takes = _takes(node.targets[0], scope)
                    if takes:
                        yield _caller(f"{file}:{node.lineno}", node.value, takes)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function that are not in another one inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child
            yield from _own_nodes(child)


def _is_agent_call(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or any(isinstance(argument, ast.Starred) for argument in node.args):
        return False
    return bool(_method(node.func)) and all(keyword.arg for keyword in node.keywords)


def _method(called: ast.expr) -> str:
    """What an agent is asked by: `agent(...)`, or one of its methods that act; "" where it is something else."""
    if _name(called) == "agent":
        return "__call__"
    is_own = isinstance(called, ast.Attribute) and _name(called.value) == "agent" and called.attr in ACTING
    return _name(called) if is_own else ""


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _takes(target: ast.expr, scope: ast.AST) -> int:
    """How many values are taken; 0 where a name is taken apart later, so that it may be either."""
    if isinstance(target, ast.Tuple):
        return len(target.elts)
    if not isinstance(target, ast.Name):
        return 0
    return 0 if any(_takes_apart(node, target.id) for node in ast.walk(scope)) else 1


def _takes_apart(node: ast.AST, name: str) -> bool:
    """Whether this indexes or unpacks what `name` stands for, or asks for its type."""
    parts: list[ast.expr] = []
    if isinstance(node, (ast.Subscript, ast.Assign)):
        parts = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        parts = node.args
    return any(isinstance(part, ast.Name) and part.id == name for part in parts)


def _caller(place: str, call: ast.expr, takes: int) -> Caller:
    assert isinstance(call, ast.Call)
    given = [*zip(_POSITIONS, call.args, strict=False), *((str(k.arg), k.value) for k in call.keywords)]
    constants = {name: value.value for name, value in given if isinstance(value, ast.Constant)}
    return Caller(place, _method(call.func), tuple(name for name, _ in given), constants, takes)
