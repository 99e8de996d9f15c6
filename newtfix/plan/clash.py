"""Names that a template brings into a function which uses them for something of its own."""

from __future__ import annotations

from functools import cache
from typing import Any

import libcst as cst

from newtfix.errors import Refused
from newtfix.match import pattern as pat
from newtfix.model import Shape


@cache
def brought(shape: Shape) -> frozenset[str]:
    """Variables and parameters that the after-template sets and the before-pattern does not know."""
    before = pat.parse_pattern(shape.before, statements=True)
    after = pat.parse_pattern(shape.after, statements=True)
    known = {node.value for s in before.statements for node in pat.walk(s) if isinstance(node, cst.Name)}
    names = {name for statement in after.statements for name in _bound(statement)} - known
    return frozenset(name for name in names if not name.startswith("_hole_"))


def _bound(root: Any) -> list[str]:
    names: list[str] = []
    node: Any
    for node in pat.walk(root):
        kind = type(node)
        if kind is cst.Param:
            names.append(node.name.value)
        elif kind is cst.AssignTarget:
            parts = node.target.elements if isinstance(node.target, cst.Tuple) else [cst.Element(node.target)]
            names += [part.value.value for part in parts if isinstance(part.value, cst.Name)]
        elif kind is cst.For and type(node.target) is cst.Name:
            names.append(node.target.value)
    return names


def check(shape: Shape, patch: str, file: str, module: cst.Module, pristine: cst.Module, match: pat.Match) -> None:
    """Raise Refused where the function around a place sets such a name itself."""
    names = brought(shape)
    function = _around(module, match)
    if not names or function is None:
        return
    own = _function(pristine, *function[1])
    if own is None or _gets_another_body(shape):
        return
    loops = _of_loops(own) & _of_loops(*pat.parse_pattern(shape.after, True).statements)
    must_be_free(names - loops, patch, f"{file}, {'.'.join(name for name in function[1] if name)}", own)


def must_be_free(names: frozenset[str], patch: str, place: str, function: cst.FunctionDef) -> None:
    """Raise Refused where a function sets one of these names itself."""
    taken = sorted(names.intersection(_bound(function)))
    if taken:
        raise Refused(
            f"patch {patch!r} needs the name {taken[0]!r}, which the tree uses there for something else",
            where=f"in {place}",
            hint=f"rename the tree's own {taken[0]}, and run the command again; nothing was written",
        )


def _of_loops(*roots: Any) -> set[str]:
    """The names that are variables of loops, and nothing else."""
    loops = {
        node.target.value
        for root in roots
        for node in pat.walk(root)
        if type(node) is cst.For and type(node.target) is cst.Name
    }
    others = [name for root in roots for name in _bound(root)]
    return {
        name for name in loops if others.count(name) == sum(_is_loop(node, name) for r in roots for node in pat.walk(r))
    }


def _is_loop(node: Any, name: str) -> bool:
    return isinstance(node, cst.For) and isinstance(node.target, cst.Name) and node.target.value == name


def _gets_another_body(shape: Shape) -> bool:
    body = "$$body"
    return shape.before.rstrip().endswith(body) and body not in shape.after


def _around(module: cst.Module, match: pat.Match) -> tuple[cst.FunctionDef, tuple[str, str]] | None:
    """The outermost function around a place, or at it, with the names of its class and of itself."""
    node: Any = module
    cls = ""
    path = (*match.path, ("body", match.start)) if match.is_run else match.path
    for name, index in path:
        node = getattr(node, name)
        if index is not None:
            node = node[index]
        if isinstance(node, cst.ClassDef):
            cls = node.name.value
        if isinstance(node, cst.FunctionDef):
            return node, (cls, node.name.value)
    return None


def _function(module: cst.Module, cls: str, name: str) -> cst.FunctionDef | None:
    body: Any = module.body
    if cls:
        found = next((s for s in body if isinstance(s, cst.ClassDef) and s.name.value == cls), None)
        body = found.body.body if found is not None else ()
    return next((s for s in body if isinstance(s, cst.FunctionDef) and s.name.value == name), None)
