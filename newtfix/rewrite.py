"""Carries out one edit on the tree in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libcst as cst

from newtfix import pattern as pat
from newtfix import render
from newtfix.look import Look, WorkingTree, bind_where, defined, enclosing
from newtfix.model import Add


def apply_edit(tree: WorkingTree, look: Look) -> None:
    assert look.shape is not None
    module = tree.module(look.file)
    for match in sorted(look.matches, key=_document_order, reverse=True):
        if match.is_run:
            module = _replace_run(module, match, pat.parse_pattern(look.shape.after, statements=True))
        else:
            original = render.at(module, match.path)
            new = render.render_expression(pat.parse_pattern(look.shape.after), match, original)
            module = render.replace_at(module, match.path, new)
    tree.update(look.file, module)


def _document_order(match: pat.Match) -> tuple[tuple[str, int], ...]:
    steps = tuple((name, -1 if index is None else index) for name, index in match.path)
    return (*steps, ("", match.start))


def _replace_run(module: cst.Module, match: pat.Match, template: pat.Pattern) -> cst.Module:
    block = render.at(module, match.path)
    matched = block.body[match.start : match.stop]
    new = render.render_statements(template, match, matched, render.style_at(module, match.path))
    body = [*block.body[: match.start], *new, *block.body[match.stop :]]
    changed: cst.Module = render.replace_at(module, match.path, block.with_changes(body=body))
    return changed


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
    body = [*block.body[:index], *spaced, *block.body[index:]]
    tree.update(file, render.replace_at(module, block_path, block.with_changes(body=body)))


def _is_docstring(statement: Any) -> bool:
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    return isinstance(small, cst.Expr) and isinstance(small.value, (cst.SimpleString, cst.ConcatenatedString))


def _insertion_index(body: Sequence[Any], edit: Add, new: Sequence[Any]) -> int:
    for index, statement in enumerate(body):
        if edit.after is not None and edit.after in defined([statement]):
            return index + 1
    simple = [i for i, s in enumerate(body) if isinstance(s, cst.SimpleStatementLine)]
    if all(isinstance(s, cst.SimpleStatementLine) for s in new) and simple:
        imports = [i for i in simple if isinstance(body[i].body[0], (cst.Import, cst.ImportFrom))]
        return (imports or simple)[-1] + 1
    return len(body)
