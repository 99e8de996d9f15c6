"""What a patch file says about its patch: the sections of its docstring, and the settings that it brings."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from newtfix.errors import PatchError
from newtfix.model import Add, AnyEdit, Edit, Patch

REQUIRED = ("Claim", "Code", "Change", "Effect", "Evidence", "Leave it off")
SECTIONS = (*REQUIRED, "Corrections")

_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):[ \t]*", re.MULTILINE)
_VALUE = re.compile(r"\b(\w+)=([\w+-]+(?:\.\w+)*)")
_UNKNOWN = "_hole_"
_HOLE = re.compile(r"\$[$*@]?(?=\w)")


@dataclass(frozen=True)
class Field:
    """The default of a setting, as code, and the comment behind it."""

    default: str
    meaning: str


@dataclass(frozen=True)
class Setting:
    """A setting that a patch adds, or gives another default; `old`: the value that stands for the tree without it."""

    name: str
    default: str
    old: str
    meaning: str


def headline(doc: str) -> str:
    """What a docstring says before its first section."""
    return _SECTION.split(doc)[0].strip()


def sections(doc: str) -> dict[str, str]:
    """The sections of a docstring by name, in the order of the docstring."""
    _, *parts = _SECTION.split(doc)
    found: dict[str, str] = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        found[name] = "\n\n".join(part for part in (found.get(name), text.strip()) if part)
    return found


def require_sections(patch: Patch) -> None:
    """Raise PatchError for a docstring that lacks a section, or says nothing in it."""
    found = sections(patch.doc)
    missing = [name for name in REQUIRED if not found.get(name)]
    if missing:
        raise PatchError(
            f"the docstring of patch {patch.id!r} lacks: {', '.join(missing)}",
            where=patch.origin,
            hint=f"Begin a paragraph of the docstring with `{missing[0]}:`.",
        )


def settings(patch: Patch, there: Mapping[str, Field]) -> tuple[Setting, ...]:
    """The settings that the edits of the role `config` bring to a tree that has the settings `there`.

    The old behaviour is the old default, or what the section "Leave it off" names as `setting=value`.
    """
    said = dict(_VALUE.findall(sections(patch.doc).get("Leave it off", "")))
    found: dict[str, Setting] = {}
    for edit in patch.edits:
        if edit.role == "config":
            for setting in _settings_of(edit, there):
                found.setdefault(setting.name, replace(setting, old=said.get(setting.name, setting.old)))
    return tuple(found.values())


def _settings_of(edit: AnyEdit, there: Mapping[str, Field]) -> Iterator[Setting]:
    if isinstance(edit, Add):
        yield from _added(edit)
    elif isinstance(edit, Edit):
        yield from _changed(edit, there)


def _added(edit: Add) -> Iterator[Setting]:
    return (Setting(name, field.default, "", field.meaning) for name, field in fields(edit.code).items())


def _changed(edit: Edit, there: Mapping[str, Field]) -> Iterator[Setting]:
    """Settings that have another default after the edit, or are not there before it."""
    for shape in edit.shapes:
        before = fields(shape.before)
        for name, new in fields(shape.after).items():
            old = before.get(name, Field("", ""))
            if _UNKNOWN in old.default:
                old = there.get(name, Field("", ""))
            if new.default != old.default and _UNKNOWN not in new.default:
                yield Setting(name, new.default, old.default, new.meaning or old.meaning)


def fields(source: str) -> dict[str, Field]:
    """The dataclass fields with a default in a pattern, or in the classes of a module, by name."""
    text = code(source)
    try:
        module = ast.parse(_HOLE.sub(_UNKNOWN, text))
    except SyntaxError:
        return {}
    lines = text.splitlines()
    bodies = (module.body, *(node.body for node in module.body if isinstance(node, ast.ClassDef)))
    return {
        node.target.id: Field(ast.unparse(node.value), lines[node.lineno - 1].partition("  # ")[2].strip())
        for body in bodies
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }


def code(text: str) -> str:
    """A piece of code without the indentation and the blank lines that it has in the patch file."""
    return textwrap.dedent(text).strip("\n").rstrip()
