"""The tree as it stands while planning, and the scopes in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import libcst as cst

from newtfix.code.view import restored, view
from newtfix.code.view.newlines import Newlines, with_plain_newlines
from newtfix.code.view.once import once
from newtfix.code.view.placed import InPlace, in_place
from newtfix.code.view.unnamed import Unnamed, unnamed
from newtfix.match import pattern as pat
from newtfix.model import AnyEdit, Edit, Where
from newtfix.newt.roles import ROLES, Found, find_roles
from newtfix.newt.tree import NewtTree
from newtfix.newt.usual import METHODS, SPELLED_OUT

Shown = Newlines | InPlace | Unnamed


class WorkingTree:
    """The tree as it stands while planning: texts by file, modules (as patterns see them) parsed when first needed."""

    def __init__(self, sources: Mapping[str, str], pristine: NewtTree | None = None) -> None:
        """Begin with texts, or with a tree of these texts, of which facts may be known already."""
        self.sources = dict(sources)
        self.roles = find_roles(sources) if pristine is None else pristine.roles
        self.pristine = pristine or NewtTree(sources, self.roles)
        self.modules: dict[str, cst.Module] = {}
        self.changed: set[str] = set()
        # What conditions bind, and what edits see, as the tree stands.
        self.known: dict[tuple[Where, ...], Any] = {}
        self.seen: dict[AnyEdit, Any] = {}
        self._given = dict(sources)  # what `modules` are views of
        self.shown: Mapping[str, list[Shown]] = {}  # how `sources` came of those of another tree

    def module(self, file: str) -> cst.Module:
        if file not in self.modules:
            self.modules[file] = self.original(file)
        return self.modules[file]

    def original(self, file: str) -> cst.Module:
        """A module before any change."""
        return view(self.sources[file], SPELLED_OUT)

    def update(self, file: str, module: cst.Module) -> None:
        self.modules[file] = module
        self.changed.add(file)
        here = {role for role, found in self.roles.items() if found.file == file}
        self.known = {where: known for where, known in self.known.items() if here.isdisjoint(_roles(where))}
        self.seen = {edit: look for edit, look in self.seen.items() if here.isdisjoint(_roles_of(edit))}

    def text(self, file: str) -> str:
        text = self._given[file]
        return restored(self.modules[file], text, SPELLED_OUT) if file in self.changed else text

    def texts(self) -> dict[str, str]:
        return {file: self.text(file) for file in self.sources}

    def others(self, roles: Iterable[str], known: frozenset[str]) -> Iterator[WorkingTree]:
        """The tree as if methods that are called in one place had never been taken out of it, and variables neither.

        Args:
            roles: those of the files that are looked at. known: names that patterns look for.
        """
        files = {self.roles[role].file for role in roles if role in self.roles}
        now, before = self.texts(), self.pristine.sources
        plain: dict[str, list[Shown]] = {}
        for variables in (False, True):
            shown, pristine = (_shown(sources, files, known, variables) for sources in (now, before))
            if shown == plain:
                continue
            plain = shown
            texts = {file: steps[-1].text for file, steps in shown.items()}
            whole = {**before, **{file: steps[-1].text for file, steps in pristine.items()}}
            other = WorkingTree({**now, **texts}, NewtTree(whole, self.roles))
            other.shown = shown
            yield other

    def take(self, other: WorkingTree) -> None:
        """Take over what was done to one of the others. Raises Refused where it cannot be done to this one."""
        for file in other.changed:
            text = other.text(file)
            for step in reversed(other.shown.get(file, ())):
                text = step.back(text)
            self._given[file] = text
            self.update(file, view(text, SPELLED_OUT))


def _shown(
    sources: Mapping[str, str], files: Iterable[str], known: frozenset[str], variables: bool
) -> dict[str, list[Shown]]:
    """For files in which something is shown otherwise, the steps to that. What has a name that is `known` keeps it."""
    found = {}
    for file in files:
        newlines = with_plain_newlines(sources[file])
        text = sources[file] if newlines is None else newlines.text
        methods = once(file, sources) - METHODS - known
        placed = in_place(text, methods)
        named = unnamed(text if placed is None else placed.text, known if variables else None, methods)
        steps = (newlines, placed, named) if placed or named else ()
        found[file] = [step for step in steps if step is not None]
    return {file: steps for file, steps in found.items() if steps}


@cache
def _roles(conditions: tuple[Where, ...]) -> frozenset[str]:
    return frozenset(where.role for where in conditions)


def not_meant(edit: AnyEdit) -> Iterator[tuple[Where, ...]]:
    """Sets of conditions: where one holds, the tree has no code that the edit is about."""
    yield from (one for one in (edit.unless, *(edit.or_unless if isinstance(edit, Edit) else ())) if one)


def _roles_of(edit: AnyEdit) -> frozenset[str]:
    """The roles of the files that decide what an edit sees."""
    conditions = [shape.where for shape in edit.shapes] if isinstance(edit, Edit) else [getattr(edit, "where", ())]
    return frozenset({edit.role}).union(*map(_roles, (*not_meant(edit), *conditions)))


def _scope_path(module: cst.Module, scope: str, role: Found, usual: str | None) -> pat.Path | None:
    """The path to the class or function that a scope names; () is the module, None: there is no such thing."""
    path: pat.Path = ()
    body: Sequence[Any] = module.body
    for depth, name in enumerate(part for part in scope.split(".") if part):
        wanted = role.cls if depth == 0 and name == usual and role.cls else name
        for index, node in enumerate(body):
            if isinstance(node, (cst.ClassDef, cst.FunctionDef)) and node.name.value == wanted:
                path = (*path, *((("body", None),) if depth else ()), ("body", index))
                body = node.body.body if isinstance(node.body, cst.IndentedBlock) else []
                break
        else:
            return None
    return path


def enclosing(tree: WorkingTree, role: str, scope: str) -> tuple[str, pat.Path] | None:
    found = tree.roles.get(role)
    if found is None:
        return None
    path = _scope_path(tree.module(found.file), scope, found, ROLES[role].cls)
    return None if path is None else (found.file, path)
