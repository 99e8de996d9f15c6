"""The page of one patch: what is wrong, the code before and after, the effect, and when to do without it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from newtfix.facts.words import sentence
from newtfix.model import Edit, Patch, Plan, Severity, State
from newtfix.newt.roles import ROLES
from newtfix.patch.sections import Field, Setting, code, fields, require_sections, sections, settings

INDEX = "README.md"

_FACTS = 6  # how many a page lists of what a patch relies on
_FIRST_WORD = re.compile(r"\A[a-z]+(?=[ ,])")
_HUNK = re.compile(r"^(?=@@ )", re.MULTILINE)
_HOLES = "`$x` stands for an expression, `$$x` for statements, `$*x` for arguments."
_NO_VALUE = "`-`: no value gives the old behaviour; leave the patch off to have it."
_INTRODUCTION = """\
There is one patch for each difference between newt-style trees and the reference, TD-M(PC)² (repository
`tdmpc_square_public`), and for each defect that these trees share. The table has the order in which they are applied.
"""
_CLOSING = """\
`newtfix show ID` prints one of these pages. [Corrections](../errata.md) lists what the document behind the patches gets
wrong. `make pages` writes the pages from [patches](../../patches).
"""

WHOLE, PART = 40, 30  # lines of a diff that is shown as it is, and of the part of a longer one


@dataclass(frozen=True)
class Block:
    """A part of a page.

    `kind` is h1 or h2, text (Markdown), table (of `rows`, the first of them the head), or the language of code.
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
        brought = f" With it comes {', '.join(others)}, which it requires." if others else ""
        return f"The diff that `newtfix diff {name}` prints for `newt_base`.{brought}"
    if done.reports[name].state is State.APPLIED:
        return "Nothing changes there: `newt_base` has this already. Elsewhere:"
    return "Nothing changes there: `newt_base` does without the code that this patch changes. Elsewhere:"


def essence(diff: str) -> str:
    """The diff, or of a long one the hunks that change what is there; settings come last."""
    if diff.count("\n") <= WHOLE:
        return diff
    hunks = [(file, hunk) for file, hunks in _hunks(diff) for hunk in hunks]
    first = sorted(hunks, key=lambda one: (_is_aside(*one), "\n-" not in one[1], one[1].count("\n")))
    chosen: list[tuple[str, str]] = []
    left = PART
    for one in first:
        if one[1].count("\n") <= left or not chosen:
            chosen.append(one)
            left -= one[1].count("\n")
    lines: list[str] = []
    for file, hunk in filter(chosen.__contains__, hunks):
        lines += [*([] if file in lines else [file]), _cut(hunk)]
    return "".join(lines)


def _hunks(diff: str) -> Iterator[tuple[str, list[str]]]:
    """For each file of a diff the two lines that name it, and its hunks."""
    for part in re.split(r"^(?=--- )", diff, flags=re.MULTILINE)[1:]:
        head, *hunks = _HUNK.split(part)
        yield head, hunks


def _is_aside(file: str, hunk: str) -> bool:
    """Whether a hunk is about settings or imports."""
    added = re.findall(r"^\+(.*)", hunk, re.MULTILINE)
    return "/config.py" in file or all(line.startswith(("import ", "from ")) for line in added)


def _cut(hunk: str) -> str:
    """The first lines of a hunk that is too long."""
    lines = hunk.splitlines(keepends=True)
    return hunk if len(lines) <= PART else "".join([*lines[:PART], "...\n"])


# --- the page ---------------------------------------------------------------------------------------------------------


def page(patch: Patch, result: Change) -> tuple[Block, ...]:
    """The page of a patch. Sections that its docstring lacks are left out."""
    said = sections(patch.doc)
    return (
        Block("h1", f"{patch.id}: {patch.title}"),
        Block("text", _facts(patch)),
        *(block for name in ("Claim", "Code", "Change") for block in _section(name, said.get(name))),
        Block("h2", "In newt_base"),
        *_changes(patch, result),
        Block("text", _places(patch)),
        *_settings(result.settings),
        *_section("Effect in numbers", said.get("Effect")),
        *_section("When to leave it off", said.get("Leave it off")),
        *_section("Evidence", said.get("Evidence")),
        *_section("Corrections", said.get("Corrections")),
        *_section("It relies on this", _relies_on(patch)),
        Block("text", f"[All patches]({INDEX})"),
    )


def _relies_on(patch: Patch) -> str:
    said = [f"- {sentence(fact)}" for fact in patch.only_where]
    more = [f"- {len(said) - _FACTS} more: `only_where` in its file."] if len(said) > _FACTS + 1 else []
    return "\n".join([*said[:_FACTS], *more] if more else said)


def _section(title: str, text: str | None) -> tuple[Block, ...]:
    """A section; it begins with a capital where it begins with a word, as in the docstring it follows a colon."""
    return (Block("h2", title), Block("text", _FIRST_WORD.sub(lambda word: word[0].capitalize(), text))) if text else ()


def _facts(patch: Patch) -> str:
    parts = [f"{patch.severity.value}, {patch.kind}" if patch.severity is not Severity.PREREQUISITE else "Prerequisite"]
    parts += [f"requires {_links(patch.requires)}"] if patch.requires else []
    parts += [f"comes after {_links(patch.after)}"] if patch.after else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _links(ids: Iterable[str]) -> str:
    return ", ".join(f"[{name}]({name}.md)" for name in ids)


def _changes(patch: Patch, result: Change) -> Iterator[Block]:
    """The diff, or the essence of it; where there is none, what one edit does."""
    shown = essence(result.diff)
    yield Block("text", result.remark)
    if shown:
        yield Block("diff", shown)
        if shown != result.diff:
            rest = result.diff.count("\n") - shown.count("\n")
            yield Block("text", f"{rest} lines more: `newtfix diff {patch.id}`.")
        return
    for shape in (edit.shapes[0] for edit in patch.edits[:1] if isinstance(edit, Edit)):
        yield Block("text", f"Before ({_HOLES.rstrip('.')}):")
        yield Block("python", code(shape.before))
        yield Block("text", "After:" if shape.after.strip() else "After: nothing; the code goes.")
        yield from [Block("python", code(shape.after))] if shape.after.strip() else []


def _places(patch: Patch) -> str:
    """Where the patch changes code, and how many forms of it it knows."""
    scopes: dict[str, list[str]] = {}
    for edit in patch.edits:
        named = scopes.setdefault(f"`{ROLES[edit.role].usual}`", [])
        cls = edit.scope.partition(".")[0]
        named += [f"`{cls}`"] if cls and f"`{cls}`" not in named else []
    places = "; ".join(f"{' and '.join(named)} in {file}" if named else file for file, named in scopes.items())
    forms = sum(len(edit.shapes) for edit in patch.edits if isinstance(edit, Edit))
    return f"It changes {places}{f', and knows {forms} forms of that code' if forms > 1 else ''}."


def _settings(found: Sequence[Setting]) -> tuple[Block, ...]:
    if not found:
        return ()
    rows = tuple((f"`{s.name}`", f"`{s.default}`", f"`{s.old}`" if s.old else "-", s.meaning or "-") for s in found)
    missing = [] if all(setting.old for setting in found) else [Block("text", _NO_VALUE)]
    return (
        Block("h2", "Settings"),
        Block("table", rows=(("setting", "default", "old behaviour", "meaning"), *rows)),
        *missing,
    )


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(blocks: Iterable[Block]) -> str:
    """The text of a page."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if block.kind in ("h1", "h2"):
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


def overview(patches: Mapping[str, Patch]) -> str:
    """README.md's table of patches, in their order."""
    defect = {patch.id: " defect" for patch in patches.values() if patch.kind == "defect"}
    rows = tuple(
        (f"`{name}`", patch.severity.value + defect.get(name, ""), patch.changes) for name, patch in patches.items()
    )
    return markdown([Block("table", rows=(("id", "severity", "what it changes"), *rows))])


def all_pages(patches: Mapping[str, Patch], sources: Mapping[str, str]) -> dict[str, str]:
    """The text of every page by its file name, the index included.

    Raises PatchError for a docstring that lacks a section, Refused for a patch that does not fit newt_base.
    """
    for patch in patches.values():
        require_sections(patch)
    pages = {f"{name}.md": markdown(page(patch, change(patch, patches, sources))) for name, patch in patches.items()}
    return {INDEX: index(patches), **pages}
