"""Carries out one edit on the tree in memory."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import libcst as cst

from newtfix.code.syntax import words
from newtfix.code.view import is_mark
from newtfix.match import pattern as pat
from newtfix.match import render
from newtfix.match.carried import carry
from newtfix.match.matching import SEQUENCES
from newtfix.model import Add, Carry
from newtfix.plan import clash
from newtfix.plan.conditions import bind_where
from newtfix.plan.look import Look, defined
from newtfix.plan.working import WorkingTree, enclosing


def apply_edit(tree: WorkingTree, look: Look, patch: str) -> None:
    """Carry an edit out. Raises Refused where it would set a variable that the tree uses for something else."""
    assert look.shape is not None
    module = tree.module(look.file)
    pristine = tree.original(look.file)
    for match in sorted(look.matches, key=_document_order, reverse=True):
        clash.check(look.shape, patch, look.file, module, pristine, match)
        if match.is_run:
            module = _replace_run(module, match, pat.parse_pattern(look.shape.after, statements=True))
        else:
            original = render.at(module, match.path)
            new = render.render_expression(pat.parse_pattern(look.shape.after), match, original)
            module = render.replace_at(module, match.path, _fenced(module, match.path, new))
    tree.update(look.file, module)


_LOOSE = (cst.BinaryOperation, cst.BooleanOperation, cst.Comparison, cst.UnaryOperation, cst.IfExp, cst.Lambda)
_TIGHT = (cst.Attribute, cst.Call, cst.Subscript, cst.BinaryOperation, cst.UnaryOperation, cst.ComparisonTarget)


def _fenced(module: cst.Module, path: pat.Path, new: cst.BaseExpression) -> cst.BaseExpression:
    """The expression in parentheses where its surroundings would tear it apart."""
    around = render.at(module, path[:-1])
    if not isinstance(new, _LOOSE) or new.lpar or not isinstance(around, (*_TIGHT, cst.Comparison)):
        return new
    fenced = new.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    if isinstance(around, cst.BinaryOperation):
        texts = [cst.Module([]).code_for_node(render.replace_at(around, path[-1:], one)) for one in (new, fenced)]
        if len({ast.dump(ast.parse(f"({text})")) for text in texts}) == 1:
            return new
    return fenced


def _document_order(match: pat.Match) -> tuple[tuple[str, int], ...]:
    steps = tuple((name, -1 if index is None else index) for name, index in match.path)
    return (*steps, ("", match.start))


def _replace_run(module: cst.Module, match: pat.Match, template: pat.Pattern) -> cst.Module:
    block = render.at(module, match.path)
    matched = block.body[match.start : match.stop]
    new = render.render_statements(template, match, matched, render.style_at(module, match.path))
    behind = list(block.body[match.stop :])
    gone = _set_in(matched) - _set_in(new)
    lost = [line for line in _lost(matched, new) if not gone & words(line.comment.value if line.comment else "")]
    if lost:
        target = new if new else behind
        if target:
            target[0] = target[0].with_changes(leading_lines=[*lost, *target[0].leading_lines])
        else:
            block = block.with_changes(footer=[*lost, *block.footer])
    body = [*block.body[: match.start], *new, *behind]
    changed: cst.Module = render.replace_at(module, match.path, block.with_changes(body=body))
    return changed


def _set_in(statements: Sequence[Any]) -> set[str]:
    """The variables that statements give a value to."""
    nodes: list[Any] = [node for one in statements for node in pat.walk(one)]
    targets = [node.target for node in nodes if type(node) in (cst.AssignTarget, cst.For)]
    return {node.value for target in targets for node in pat.walk(target) if type(node) is cst.Name}


def _lost(old: Sequence[Any], new: Sequence[Any]) -> list[cst.EmptyLine]:
    """The lines with hidden statements that are in the old code and not in the new."""
    hidden = _hidden_lines([one for one in old if not _is_replaced(one, new)])
    kept = set(_hidden_lines(new)) if hidden else set()
    return [line for line in hidden if line not in kept]


def _hidden_lines(statements: Sequence[Any]) -> list[cst.EmptyLine]:
    found: list[cst.EmptyLine] = []
    for statement in statements:
        for node in pat.walk(statement):
            for field in ("leading_lines", "footer", "header"):
                lines = getattr(node, field, ())
                if type(lines) in SEQUENCES:
                    found += [line for line in lines if is_hidden(line)]
    return found


def is_hidden(line: Any) -> bool:
    return type(line) is cst.EmptyLine and line.comment is not None and is_mark(line.comment.value)


def _is_replaced(old: Any, new: Sequence[Any]) -> bool:
    """Whether it is a function that goes, or of which less than half stays: what was hidden in it goes with it."""
    statements = set(old.body.body) if isinstance(old, cst.FunctionDef) else set()
    kept = statements.intersection(node for one in new for node in pat.walk(one)) if statements else statements
    return 2 * len(kept) < len(statements)


def apply_carry(tree: WorkingTree, edit: Carry, patch: str) -> None:
    """Carry new values through a function. Raises Refused where it uses their names for something else."""
    place = enclosing(tree, edit.role, edit.scope)
    assert place is not None
    file, path = place
    function = render.at(tree.module(file), path)
    carried = carry(function, edit.taken, edit.value, edit.names, edit.at)
    clash.must_be_free(carried.names, patch, f"{file}, {edit.scope}", function)
    tree.update(file, render.replace_at(tree.module(file), path, carried.function))


def apply_add(tree: WorkingTree, edit: Add, file: str) -> None:
    place = enclosing(tree, edit.role, edit.scope)
    assert place is not None
    module, path = tree.module(file), place[1]
    scope = render.at(module, path)
    block_path = path if isinstance(scope, cst.Module) else (*path, ("body", None))
    block = render.at(module, block_path)
    there = set(defined(block.body))
    bound = bind_where(tree, edit.where)[0] or {}
    template = render.render_new(
        pat.parse_pattern(edit.code, statements=True), bound, render.style_at(module, block_path)
    )
    new = [s for s in template if not set(defined([s])) <= there]
    index = _insertion_index(block.body, edit, new)
    blank = [cst.EmptyLine(indent=False)] * (2 if isinstance(scope, cst.Module) else 1)
    spaced = [s.with_changes(leading_lines=blank) if isinstance(s, (cst.FunctionDef, cst.ClassDef)) else s for s in new]
    if isinstance(scope, cst.ClassDef) and index == 1 and spaced and _is_docstring(block.body[0]):
        spaced[0] = spaced[0].with_changes(leading_lines=blank)
    rest = list(block.body[index:])
    if index == 0 and spaced and rest and isinstance(rest[0], (cst.FunctionDef, cst.ClassDef)):
        rest[0] = rest[0].with_changes(leading_lines=[*blank, *rest[0].leading_lines])
    body = [*block.body[:index], *spaced, *rest]
    tree.update(file, render.replace_at(module, block_path, block.with_changes(body=body)))


def _is_docstring(statement: Any) -> bool:
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    return isinstance(small, cst.Expr) and isinstance(small.value, (cst.SimpleString, cst.ConcatenatedString))


def _insertion_index(body: Sequence[Any], edit: Add, new: Sequence[Any]) -> int:
    for index, statement in enumerate(body):
        if edit.after is not None and edit.after in defined([statement]):
            return index + 1
    if not all(isinstance(s, cst.SimpleStatementLine) for s in new):
        return len(body)
    simple = [i for i, s in enumerate(body) if isinstance(s, cst.SimpleStatementLine)]
    imports = [i for i in simple if isinstance(body[i].body[0], (cst.Import, cst.ImportFrom))]
    return (imports or simple or [-1])[-1] + 1
