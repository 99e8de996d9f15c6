"""The page of one patch: what is wrong, the code before and after, the effect, and when to do without it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from newtfix.model import Add, Edit, Patch, Plan, Shape, State, Where
from newtfix.newt.roles import ROLES
from newtfix.patch.sections import Field, Setting, code, fields, headline, require_sections, sections, settings

INDEX = "README.md"

_FIRST_WORD = re.compile(r"\A[a-z]+(?=[ ,])")
_HOLES = (
    "`$x` stands for one expression, `$$x` for any number of statements, `$*x` for any number of arguments.\n"
    "Layout and comments do not matter ([how a patch is written](../patches.md))."
)
_NO_VALUE = "`-`: no value of this setting stands for the old behaviour; leave the patch off to have it."
_INTRODUCTION = """\
Where newt-style trees differ from the reference, TD-M(PC)² (repository `tdmpc_square_public`), and defects that they
carry. There is one patch for each. This is the order in which they are applied.
"""
_CLOSING = """\
`newtfix show ID` prints one of these pages. [Corrections](../errata.md) lists what the document behind the patches gets
wrong. The pages are written from the files in [patches](../../patches) by `make pages`; a test fails when one is stale.
"""

SHAPES = 2  # of one edit are shown


@dataclass(frozen=True)
class Block:
    """A part of a page.

    `kind` is h1, h2 or h3, text (Markdown), table (of `rows`, the first of them the head), or the language of code.
    """

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Change:
    """What a patch, with what it requires, does to a tree: a unified diff, a sentence about it, and the settings."""

    diff: str
    remark: str
    settings: tuple[Setting, ...]


# --- what it does to a tree -------------------------------------------------------------------------------------------


def change(patch: Patch, patches: Mapping[str, Patch], sources: Mapping[str, str]) -> Change:
    """What the patch does to newt_base, whose texts by file are `sources`. Raises Refused when it does not fit."""
    from newtfix.files.diff import diff_files
    from newtfix.plan.engine import plan

    done = plan(sources, [patch.id], patches)
    sides = ({file: text.encode() for file, text in texts.items()} for texts in (done.before, done.after))
    diff = "".join(file.text for file in diff_files(*sides))
    before: dict[str, Field] = {}
    for text in done.before.values():
        before |= fields(text)
    return Change(diff, _remark(patch.id, done), settings(patch, before))


def _remark(name: str, done: Plan) -> str:
    """What is to be said about the diff, or about there being none."""
    if done.after:
        others = [f"`{other}`" for other in done.order[:-1] if done.reports[other].state is State.AVAILABLE]
        brought = f", with {', '.join(others)}, which the patch requires" if others else ""
        return f"What `newtfix diff {name}` prints for a fresh copy of `newt_base`{brought}:"
    if done.reports[name].state is State.APPLIED:
        return "Nothing changes there: `newt_base` has this already."
    return "Nothing changes there: `newt_base` has nothing that this patch speaks of."


# --- the page ---------------------------------------------------------------------------------------------------------


def page(patch: Patch, result: Change) -> tuple[Block, ...]:
    """The page of a patch. Sections that its docstring lacks are left out."""
    said = sections(patch.doc)
    return (
        Block("h1", f"{patch.id}: {patch.title}"),
        *_text(headline(patch.doc)),
        Block("text", "\n".join(_facts(patch))),
        *(block for name in ("Claim", "Code", "Change") for block in _section(name, said.get(name))),
        Block("h2", "Code before and after"),
        Block("text", _HOLES),
        *(block for edit in patch.edits for block in _edit(edit)),
        Block("h2", "In newt_base"),
        Block("text", result.remark),
        *([Block("diff", result.diff)] if result.diff else []),
        *_settings(result.settings),
        *_section("Effect in numbers", said.get("Effect")),
        *_section("Evidence", said.get("Evidence")),
        *_section("Corrections", said.get("Corrections")),
        *_section("When to leave it off", said.get("Leave it off")),
        Block("h2", "Commands"),
        Block("sh", "\n".join(f"newtfix {command} {patch.id}" for command in ("diff", "apply", "check", "revert"))),
        Block("text", f"[All patches]({INDEX})"),
    )


def _text(text: str | None) -> tuple[Block, ...]:
    return (Block("text", text),) if text else ()


def _section(title: str, text: str | None) -> tuple[Block, ...]:
    """A section; it begins with a capital where it begins with a word, as in the docstring it follows a colon."""
    return (Block("h2", title), Block("text", _FIRST_WORD.sub(lambda word: word[0].capitalize(), text))) if text else ()


def _facts(patch: Patch) -> Iterator[str]:
    yield f"- severity: {patch.severity.value}"
    yield f"- kind: {patch.kind}"
    yield f"- requires: {_links(patch.requires) or 'nothing'}"
    if patch.after:
        yield f"- comes after: {_links(patch.after)}"
    if patch.changes:
        yield f"- changes: {patch.changes}"


def _links(ids: Iterable[str]) -> str:
    return ", ".join(f"[{name}]({name}.md)" for name in ids)


def _settings(found: Sequence[Setting]) -> tuple[Block, ...]:
    if not found:
        return ()
    rows = tuple((f"`{s.name}`", f"`{s.default}`", f"`{s.old}`" if s.old else "-", s.meaning or "-") for s in found)
    return (
        Block("h2", "Settings"),
        Block("table", rows=(("setting", "default", "old behaviour", "meaning"), *rows)),
        *_text("" if all(setting.old for setting in found) else _NO_VALUE),
    )


def _edit(edit: Edit | Add) -> Iterator[Block]:
    yield Block("h3", edit.id)
    if isinstance(edit, Add):
        yield from _conditions("Only where", edit.where)
        yield from _conditions("Not where", edit.unless)
        place = f", after `{edit.after}`" if edit.after else ""
        yield Block("text", f"Add in {_place(edit.role, edit.scope)}{place}{_optional(edit)}:")
        yield Block("python", code(edit.code))
        return
    yield Block("text", f"In {_place(edit.role, edit.scope)}{_optional(edit)}.")
    yield from _conditions("Not where", edit.unless)
    for conditions in edit.or_unless:
        yield from _conditions("Nor where", conditions)
    for number, shape in enumerate(edit.shapes[:SHAPES], 1):
        if len(edit.shapes) > 1:
            yield Block("text", f"Shape {number} of {len(edit.shapes)}:")
        yield from _shape(shape)
    if len(edit.shapes) > SHAPES:
        yield Block("text", f"The other {len(edit.shapes) - SHAPES} shapes are variations, see the patch.")


def _optional(edit: Edit | Add) -> str:
    if not edit.optional:
        return ""
    return " (if it is not there yet)" if isinstance(edit, Add) else " (if the tree has such code)"


def _shape(shape: Shape) -> Iterator[Block]:
    times = {None: ", in every place", 1: ""}.get(shape.count, f", in {shape.count} places")
    yield from _conditions("Only where", shape.where)
    yield Block("text", f"Before{times}:")
    yield Block("python", code(shape.before))
    if not shape.after.strip():
        yield Block("text", "After: nothing; the code goes.")
        return
    yield Block("text", "After:")
    yield Block("python", code(shape.after))


def _conditions(lead: str, conditions: Sequence[Where]) -> Iterator[Block]:
    for where in conditions:
        sources = (where.pattern,) if isinstance(where.pattern, str) else where.pattern
        pattern, *others = map(code, sources)
        like_it = f" ({'and' if where.absent else 'or one of'} {len(others)} forms like it)" if others else ""
        said = f"{lead} {_place(where.role, where.scope)} {'lacks' if where.absent else 'has'}"
        if "\n" in pattern:
            yield Block("text", f"{said} this{like_it}:")
            yield Block("python", pattern)
        else:
            yield Block("text", f"{said} `{pattern}`{like_it}.")


def _place(role: str, scope: str) -> str:
    return f"`{scope}` of `{ROLES[role].usual}`" if scope else f"`{ROLES[role].usual}`"


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(blocks: Iterable[Block]) -> str:
    """The text of a page."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if block.kind in ("h1", "h2", "h3"):
        return f"{'#' * int(block.kind[1])} {block.text}"
    if block.kind == "table":
        head, *rows = block.rows
        return "\n".join(_row(cells) for cells in (head, ("---",) * len(head), *rows))
    if block.kind == "text":
        return block.text
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`{3,}", block.text)), 3)
    return f"{fence}{block.kind}\n{block.text.removesuffix(chr(10))}\n{fence}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def index(patches: Mapping[str, Patch]) -> str:
    """The page that lists all patches, in their order."""
    rows = tuple(
        (f"[{name}]({name}.md)", patch.severity.value, patch.kind, patch.changes) for name, patch in patches.items()
    )
    return markdown(
        (
            Block("h1", "Discrepancies"),
            Block("text", _INTRODUCTION.rstrip()),
            Block("table", rows=(("patch", "severity", "kind", "what it changes"), *rows)),
            Block("text", _CLOSING.rstrip()),
        )
    )


def all_pages(patches: Mapping[str, Patch], sources: Mapping[str, str]) -> dict[str, str]:
    """The text of every page by its file name, the index included.

    Raises PatchError for a docstring that lacks a section, Refused for a patch that does not fit newt_base.
    """
    for patch in patches.values():
        require_sections(patch)
    pages = {f"{name}.md": markdown(page(patch, change(patch, patches, sources))) for name, patch in patches.items()}
    return {INDEX: index(patches), **pages}
