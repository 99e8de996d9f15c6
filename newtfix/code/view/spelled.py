"""Names for settings and parts spelled out for patterns, and put back.

A name that is spelled out stands in parentheses with a number of blanks behind the first one that tells which name it
is; where a patch moves it to another function, the parentheses stay and the blanks go.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import libcst as cst

from newtfix.code.view import shared
from newtfix.code.view.aliases import Alias, Vocabulary, aliases

_BLANKS = 8  # more than anybody writes


def holding(names: tuple[Alias, ...], cls: str, function: str) -> tuple[tuple[int, Alias], ...]:
    """The names that mean something in an outermost function, with their numbers."""
    scopes = {cls, f"{cls}.{function}"} if cls else {function}
    return tuple((number, name) for number, name in enumerate(names) if name.scope in scopes)


def out(function: cst.FunctionDef, cls: str, names: tuple[Alias, ...]) -> cst.FunctionDef:
    """An outermost function of a module, or of a class, with such names spelled out."""
    new = function.visit(_Out(names, cls))
    assert isinstance(new, cst.FunctionDef)
    return new


def out_in(module: ast.Module, names: tuple[Alias, ...]) -> ast.Module:
    """A module of Python's own syntax tree, changed in place, with such names spelled out in its functions."""
    for node in module.body:
        cls, body = (node.name, node.body) if isinstance(node, ast.ClassDef) else ("", [node])
        for one in body:
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and (here := holding(names, cls, one.name)):
                _OutInSyntax({name.name: name.code for _, name in reversed(here)}).visit(one)
    return module


class _OutInSyntax(ast.NodeTransformer):
    """What `_Out` does, for Python's own syntax tree."""

    def __init__(self, codes: Mapping[str, str]) -> None:
        self.codes = codes

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """What gives the name is left alone."""
        each = (one for target in node.targets for one in getattr(target, "elts", (target,)))
        return node if any(_read_as(one) in self.codes for one in each) else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._spelled(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._spelled(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return self._spelled(node)

    def _spelled(self, node: ast.expr) -> ast.AST:
        code = self.codes.get(_read_as(node))
        if code is None:
            return self.generic_visit(node)
        new = ast.parse(code, mode="eval").body
        for part in ast.walk(new):
            ast.copy_location(part, node)
        return new


def _read_as(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case ast.Call(func=func, args=[], keywords=[]):
            return f"{_read_as(func)}()"
    return ""


class Back:
    """Puts the names back in place of what they were spelled out as, in the functions of a patched module."""

    def __init__(self, patched: cst.Module, names: tuple[Alias, ...], own: Vocabulary) -> None:
        self.patched, self.names, self.own = patched, names, own

    def function(self, cls: str, function: cst.FunctionDef) -> cst.FunctionDef:
        """A function of the patched module as it shall stand in the file."""
        new = function.visit(_Back(self.names, self._now, cls)) if self.names else function
        assert isinstance(new, cst.FunctionDef)
        return new

    @cached_property
    def _now(self) -> Mapping[tuple[str, str], str]:
        """What the names stand for in the patched module."""
        return {(name.scope, name.name): name.code for name in aliases(shared.code(self.patched), self.own)}


class _Scoped(cst.CSTTransformer):
    """Knows in which class and outermost function it is."""

    def __init__(self, names: tuple[Alias, ...], cls: str) -> None:
        self.names = names
        self.stack = [cls] if cls else []

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        self.stack.append(node.name.value)
        return True

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        self.stack.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        self.stack.append(node.name.value)
        return True

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self.stack.pop()
        return updated_node

    def holds(self, name: Alias) -> bool:
        """Whether a name means the setting here."""
        depth = len(name.scope.split("."))
        return ".".join(self.stack[:depth]) == name.scope


class _Out(_Scoped):
    def visit_Assign(self, node: cst.Assign) -> bool:
        """What gives the name is left alone."""
        return not any(self._named(name) is not None for target in node.targets for name in _targets(target))

    def _named(self, node: cst.BaseExpression) -> int | None:
        code = _dotted(node)
        return next((i for i, one in enumerate(self.names) if one.name == code and self.holds(one)), None)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        return self._spell(original_node)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        if self._named(original_node) is not None:
            return self._spell(original_node)
        return updated_node.with_changes(attr=original_node.attr)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        return self._spell(original_node) if self._named(original_node) is not None else updated_node

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return updated_node.with_changes(keyword=original_node.keyword)

    def leave_Param(self, original_node: cst.Param, updated_node: cst.Param) -> cst.Param:
        return updated_node.with_changes(name=original_node.name)

    def _spell(self, node: cst.Name | cst.Attribute | cst.Call) -> cst.BaseExpression:
        index = self._named(node)
        if index is None:
            return node
        blanks = cst.SimpleWhitespace(" " * (_BLANKS + index))
        code = cst.parse_expression(self.names[index].code)
        return code.with_changes(
            lpar=[*node.lpar, cst.LeftParen(whitespace_after=blanks)], rpar=[cst.RightParen(), *node.rpar]
        )


class _Back(_Scoped):
    """Puts a name back where it still means what stands there: `now` says what the names stand for in the new code."""

    def __init__(self, names: tuple[Alias, ...], now: Mapping[tuple[str, str], str], cls: str) -> None:
        super().__init__(names, cls)
        self.now = now
        self.given: set[str] = set()  # the names that have a value by now, in the order of the code

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        result = super().leave_FunctionDef(original_node, updated_node)
        if len(self.stack) <= 1:
            self.given.clear()
        return result

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        self.given |= {_dotted(name) for target in original_node.targets for name in _targets(target)}
        return updated_node

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        updated = super().on_leave(original_node, updated_node)
        index = _index(updated) if isinstance(updated, cst.BaseExpression) else None
        if index is None or not isinstance(updated, cst.BaseExpression) or index >= len(self.names):
            return updated
        name = self.names[index]
        plain_code = cst.Module([]).code_for_node(updated.with_changes(lpar=[], rpar=[]))
        means = self.now.get((name.scope, name.name), name.code)
        given = name.attribute or name.name in self.given
        if given and self.holds(name) and _normal(plain_code) == _normal(means):
            return cst.parse_expression(name.name).with_changes(lpar=updated.lpar[:-1], rpar=updated.rpar[1:])
        plain = cst.LeftParen()
        if isinstance(updated, (cst.Attribute, cst.Name)):
            return updated.with_changes(lpar=updated.lpar[:-1], rpar=updated.rpar[1:])
        return updated.with_changes(lpar=[*updated.lpar[:-1], plain])


@lru_cache(maxsize=1024)
def _normal(code: str) -> str:
    return ast.dump(ast.parse(code))


def _index(node: object) -> int | None:
    parens = getattr(node, "lpar", ())
    blanks = parens[-1].whitespace_after if parens else None
    if isinstance(blanks, cst.SimpleWhitespace) and len(blanks.value) >= _BLANKS and not blanks.value.strip(" "):
        return len(blanks.value) - _BLANKS
    return None


def _targets(target: cst.AssignTarget) -> list[cst.BaseExpression]:
    if isinstance(target.target, (cst.Tuple, cst.List)):
        return [element.value for element in target.target.elements]
    return [target.target]


def _dotted(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute) and isinstance(node.value, cst.Name):
        return f"{node.value.value}.{node.attr.value}"
    if isinstance(node, cst.Call) and not node.args:
        return f"{_dotted(node.func)}()"
    return ""
