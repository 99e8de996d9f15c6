"""Reads patch directories: every `name_like_this.py` with a `PATCH` record is the patch `name-like-this`.

What is wrong in a patch file is said here, with the file and the edit, and not when its turn comes in some tree.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from newtfix.errors import PatchError
from newtfix.files import inside, kept
from newtfix.match.holes import HOLE, dedented, encoded, kind_of
from newtfix.model import Add, Carry, Edit, Patch, Shape, Where
from newtfix.newt.roles import ROLES
from newtfix.patch.file import CONSEQUENCE, beside, is_patch, probes, run
from newtfix.patch.order import in_order

_LIMIT = 4 * inside.MEBIBYTE
_NAME = re.compile(r"\w[\w.+-]*")
_REFERENCE = "docs/patches.md tells how a patch is written"

Problem = tuple[str, str, str]  # what, where, and what to do


def load_patches(
    directories: Sequence[Path], contents: Mapping[Path, Mapping[str, bytes]] | None = None
) -> dict[str, Patch]:
    """All patches of the directories by id, in the order they are applied. A later directory may not redefine an id.

    The code of the directories is run: they are newtfix's own, or those that the user named or allowed.

    Args:
        contents: the files of directories that have been read already; these very bytes are run.

    Raises PatchError, which names the file and the edit, for a directory or a patch file that is wrong in itself.
    """
    patches: dict[str, Patch] = {}
    known = contents or {}
    for directory in directories:
        for path, content, own in _patch_files(directory, known.get(directory)):
            patch = _load(path, content, own)
            if patch.id in patches:
                raise PatchError(
                    f"two patches have the id {patch.id!r}",
                    where=f"{patches[patch.id].origin} and {path}",
                    hint="Rename one of the files.",
                )
            patches[patch.id] = patch
    kept.value("sound", map(repr, patches.values()), lambda: _must_be_sound(patches.values()))
    for patch in patches.values():
        _must_have_what_it_requires(patch, patches)
    return {name: patches[name] for name in in_order(patches, patches)}


def _must_have_what_it_requires(patch: Patch, patches: Iterable[str]) -> None:
    for name in patch.requires:
        if name not in patches:
            close = difflib.get_close_matches(name.lower(), patches, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            raise PatchError(
                f"patch {patch.id!r} requires {name!r}, which is not among the patches",
                where=patch.origin,
                hint=f"{guess}If it is in another folder, name that with --patches too.",
            )


def _patch_files(directory: Path, known: Mapping[str, bytes] | None) -> Iterator[tuple[Path, bytes, bytes | None]]:
    """The files of a folder that are patches, in the order of their names, with those of their probes beside them."""
    if known is None and not directory.is_dir():
        raise PatchError(f"there is no folder of patches {directory}", hint="It is named by --patches.")
    names = {path.name for path in directory.glob("*.py")} if known is None else known.keys()
    for name in sorted(names):
        if is_patch(name, names):
            own = beside(name) if beside(name) in names else ""
            yield directory / name, _content(directory / name, known), _content(directory / own, known) if own else None


def _content(path: Path, known: Mapping[str, bytes] | None) -> bytes:
    if known is not None:
        return known[path.name]
    try:
        return inside.read_named(path, _LIMIT)
    except OSError as problem:
        raise PatchError(f"{path} cannot be read: {problem.strerror or problem}") from problem


def _load(path: Path, content: bytes, own: bytes | None) -> Patch:
    if not _NAME.fullmatch(path.stem):
        raise PatchError(f"{path} has no name for a patch", hint="Name it like this: my_patch.py")
    try:
        namespace = run(path, content)
    except (Exception, SystemExit) as problem:
        said = f"{type(problem).__name__}: {getattr(problem, 'msg', None) or problem}"
        raise PatchError(f"{path} cannot be loaded: {said}", where=_line(path, problem)) from problem
    patch = namespace.get("PATCH")
    if not isinstance(patch, Patch):
        raise PatchError(
            f"{path} defines no PATCH record",
            hint="A patch file assigns PATCH = Patch(...); files whose names begin with _ are not read as patches.",
        )
    there = own if own is not None else content if probes(namespace) else b""
    return replace(
        patch,
        id=path.stem.replace("_", "-"),
        doc=inspect.cleandoc(namespace.get("__doc__") or ""),
        origin=str(path),
        consequence=namespace.get(CONSEQUENCE),
        probes=there.decode("latin-1"),
        probes_in=str(path if own is None else path.with_name(beside(path.name))),
    )


def _line(path: Path, problem: BaseException) -> str:
    """The line of the patch file at which loading it failed."""
    number = problem.lineno if isinstance(problem, SyntaxError) and problem.filename == str(path) else None
    if number is None:
        frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)]
        number = frames[-1].lineno if frames else None
    if number is None:
        return ""
    lines = path.read_text("utf-8", "replace").splitlines()
    return f"line {number}: {lines[number - 1].strip()}" if number <= len(lines) else f"line {number}"


# --- what may be wrong in a record ------------------------------------------------------------------------------------


def _must_be_sound(patches: Iterable[Patch]) -> None:
    """Raise PatchError for what no tree can make right."""
    for patch in patches:
        for problem in _problems(patch):
            raise PatchError(f"{patch.origin}: {problem[0]}", where=problem[1], hint=problem[2])


def _problems(patch: Patch) -> Iterator[Problem]:
    yield from _wrong_types("PATCH", patch)
    seen: set[str] = set()
    for edit in patch.edits:
        name = f"edit {edit.id!r}"
        if edit.id in seen:
            yield f"two edits have the id {edit.id!r}", "", "Errors name edits by their ids; give each its own."
        seen.add(edit.id)
        yield from _wrong_types(name, edit)
        yield from _unknown_role(name, edit.role)
        yield from _IN[type(edit)](name, edit)


def _wrong_types(name: str, record: Any) -> Iterator[Problem]:
    """Most often a comma is missing: `(Shape(...))` is no tuple, and `("planner-stats")` is a text."""
    kind: type = type(record)
    hints = _hints(kind)
    for field in fields(record):
        value = getattr(record, field.name)
        if not _is_a(hints[field.name])(value):
            alone = get_origin(hints[field.name]) is tuple and _is_a(hints[field.name])((value,))
            hint = "One alone is written with a comma: (x,)." if alone else _REFERENCE
            yield f"{name}: {field.name} is {textwrap.shorten(repr(value), 60)}, not {field.type}", "", hint


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _is_a(hint: Any) -> Callable[[Any], bool]:
    """What tells whether a value is of a type."""
    if get_origin(hint) is Callable:
        return callable
    inner = [_is_a(one) for one in get_args(hint) if one is not Ellipsis]
    if get_origin(hint) is tuple:
        return lambda value: isinstance(value, tuple) and all(map(inner[0], value))
    if isinstance(hint, UnionType):
        return lambda value: any(test(value) for test in inner)
    return lambda value: isinstance(value, hint)


def _unknown_role(name: str, role: str) -> Iterator[Problem]:
    if role not in ROLES:
        yield f"{name} has the unknown role {role!r}", "", f"The roles: {', '.join(ROLES)}"


def _in_edit(name: str, edit: Edit) -> Iterator[Problem]:
    if not edit.shapes:
        yield f"{name} has no shapes", "", _REFERENCE
    for field in ("present", "given"):
        for pattern in getattr(edit, field):
            yield from _no_pattern(f"{name}, {field}", pattern)
    yield from _in_conditions(f"{name}, unless", edit.unless)
    for conditions in edit.or_unless:
        yield from _in_conditions(f"{name}, or_unless", conditions)
    for number, shape in enumerate(edit.shapes, 1):
        yield from _in_shape(f"{name}, shape {number}" if len(edit.shapes) > 1 else name, shape)


def _in_shape(name: str, shape: Shape) -> Iterator[Problem]:
    yield from _wrong_types(name, shape)
    if not shape.before.strip():
        yield f"{name}: before is empty", "", "An Add brings code that takes the place of nothing."
    for field in ("before", "after", "present", "every", "without"):
        given = getattr(shape, field) or ""
        for source in (given,) if isinstance(given, str) else given:
            yield from _no_pattern(f"{name}, {field}", source)
    yield from _in_conditions(f"{name}, where", shape.where)
    yield from _unbound(f"{name}, after", shape.after, _holes(shape.before) | _bound(shape.where), "before or where")


def _in_add(name: str, edit: Add) -> Iterator[Problem]:
    yield from _no_pattern(f"{name}, code", edit.code)
    yield from _in_conditions(f"{name}, where", edit.where)
    yield from _unbound(f"{name}, code", edit.code, _bound(edit.where), "where")


def _in_carry(name: str, edit: Carry) -> Iterator[Problem]:
    for pattern in edit.taken:
        yield from _no_pattern(f"{name}, taken", pattern)
    yield from _in_conditions(f"{name}, unless", edit.unless)


_IN: Mapping[type, Callable[[str, Any], Iterator[Problem]]] = {Edit: _in_edit, Add: _in_add, Carry: _in_carry}


def _in_conditions(name: str, conditions: Sequence[Where]) -> Iterator[Problem]:
    for where in conditions:
        yield from _wrong_types(name, where)
        yield from _unknown_role(name, where.role)
        for pattern in _forms(where):
            yield from _no_pattern(name, pattern)
        yield from _unbound(f"{name}, portable", "".join(f"${x} " for x in where.portable), _bound((where,)), "pattern")


def _no_pattern(name: str, pattern: str) -> Iterator[Problem]:
    if fault := _fault(pattern):
        yield f"{name} is no Python with holes: {fault[0]}", fault[1], _REFERENCE


@cache
def _fault(pattern: str) -> tuple[str, str] | None:
    """Why a pattern is no Python with holes, and where."""
    if kind_of(pattern) is not None:
        return None
    source = dedented(pattern)
    try:
        ast.parse(encoded(source))
    except (SyntaxError, ValueError) as problem:
        number, lines = getattr(problem, "lineno", None) or 1, source.splitlines()
        line = lines[number - 1].strip() if number <= len(lines) else ""
        return str(getattr(problem, "msg", problem)), f"line {number} of it: {line}"
    return None


def _unbound(name: str, template: str, bound: frozenset[str], source: str) -> Iterator[Problem]:
    missing = sorted(_holes(template) - bound) or (["_"] if "_" in _names(template) else [])
    if missing:
        hint = f"Bound are: {', '.join(f'${hole}' for hole in sorted(bound))}." if bound else "No hole is bound there."
        yield f"{name} uses the hole ${missing[0]}, which nothing in {source} binds", "", hint


@cache
def _names(pattern: str) -> frozenset[str]:
    return frozenset(hole[2] for hole in HOLE.finditer(pattern))


@cache
def _holes(pattern: str) -> frozenset[str]:
    return _names(pattern) - {"_"}


def _forms(where: Where) -> tuple[str, ...]:
    return (where.pattern,) if isinstance(where.pattern, str) else where.pattern


def _bound(conditions: Sequence[Where]) -> frozenset[str]:
    """The holes that conditions bind, whichever of their forms stands in a tree."""
    each = (
        frozenset.intersection(*map(_holes, _forms(where)))
        for where in conditions
        if not (where.absent or where.together)
    )
    return frozenset().union(*each)
