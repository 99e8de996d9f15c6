"""Three-way merges of files, line by line: what the patches change, and what somebody edited meanwhile.

As in git, two changes merge where at least one unchanged line lies between them, or where they are the same.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from newtfix.errors import Refused
from newtfix.files.tree import OWN_FOLDER

_SHOWN_LINES = 30
_SHOWN_CONFLICTS = 5


@dataclass(frozen=True)
class Conflict:
    """Lines that both sides changed, differently; they begin in line `line`, from 1, of the edited file."""

    line: int
    ours: bytes
    theirs: bytes


@dataclass(frozen=True)
class Change:
    """Lines start:end of the base became lines first:last of one side."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class _Region:
    """A stretch of the base that one side changed, or both."""

    start: int
    end: int
    ours: tuple[Change, ...]
    theirs: tuple[Change, ...]


def merge(base: bytes, ours: bytes, theirs: bytes) -> bytes | tuple[Conflict, ...]:
    """The text with the changes that led from `base` to `ours` and those that led to `theirs`, or what conflicts."""
    if ours in (base, theirs):
        return theirs
    old, new = _newline(base), _newline(theirs)
    base, ours = _with_newlines(base, old, new), _with_newlines(ours, old, new)
    old_lines, our_lines, their_lines = _lines(base), _lines(ours), _lines(theirs)
    merged: list[bytes] = []
    conflicts: list[Conflict] = []
    done = 0
    for region in _regions(old_lines, our_lines, their_lines):
        merged += old_lines[done : region.start]
        done = region.end
        our_side, their_side = _side(our_lines, region, region.ours), _side(their_lines, region, region.theirs)
        if region.ours and region.theirs and our_side != their_side:
            line = _span(region, region.theirs)[0] + 1
            conflicts.append(Conflict(line, b"".join(our_side), b"".join(their_side)))
        merged += our_side or their_side
    return tuple(conflicts) or b"".join((*merged, *old_lines[done:]))


def merge_files(
    base: Mapping[str, bytes], ours: Mapping[str, bytes], theirs: Mapping[str, bytes]
) -> dict[str, bytes | None]:
    """What becomes of each file of `ours`; None: somebody deleted it, and no change of ours is lost by that.

    Args:
        base: what the patches made of each file last. ours: what they are to make of it. theirs: what is there.

    Raises:
        Refused: both sides changed the same lines, or what is there or comes out does not parse.
    """
    merged: dict[str, bytes | None] = {}
    conflicts: dict[str, tuple[Conflict, ...]] = {}
    for path, text in sorted(ours.items()):
        old, there = base[path], theirs.get(path)
        if there is None or text == old:
            merged[path] = _kept(path, there, changed=text != old)
            continue
        if there != old:
            _must_parse(path, there, "somebody edited", "Mend it and run this again.")
        found = merge(old, text, there)
        if isinstance(found, tuple):
            conflicts[path] = found
            continue
        if there != old:
            hint = "Your edit and the patches do not go together. Take your edit out, run this again, put it back."
            _must_parse(path, found, "a merge with your edit would make", hint)
        merged[path] = found
    if conflicts:
        raise _refusal(conflicts)
    return merged


# --- lines ------------------------------------------------------------------------------------------------------------


def _lines(text: bytes) -> list[bytes]:
    """Lines with their ends; only a line feed ends one."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _newline(text: bytes) -> bytes:
    """How every line ends, or nothing where they differ."""
    count = text.count(b"\n")
    ends = text.count(b"\r\n")
    return b"" if 0 < ends < count else b"\r\n" if ends else b"\n"


def _with_newlines(text: bytes, old: bytes, new: bytes) -> bytes:
    """An editor that changed the end of every line changed no code: the other texts follow."""
    if not old or not new or old == new:
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\n", new)


def _regions(base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> Iterator[_Region]:
    """Changes of both sides in order, those that touch one another as one."""
    sided = [(one, side) for side, lines in enumerate((ours, theirs)) for one in changes_between(base, lines)]
    sides: tuple[list[Change], list[Change]] = ([], [])
    start = end = -1
    for change, side in sorted(sided, key=lambda one: (one[0].start, one[0].end)):
        if change.start > end:
            if start >= 0:
                yield _Region(start, end, tuple(sides[0]), tuple(sides[1]))
            sides, start, end = ([], []), change.start, change.end
        sides[side].append(change)
        end = max(end, change.end)
    if start >= 0:
        yield _Region(start, end, tuple(sides[0]), tuple(sides[1]))


def changes_between(base: Sequence[Hashable], side: Sequence[Hashable]) -> list[Change]:
    """Where two texts differ, line by line, in order."""
    matcher = SequenceMatcher(None, base, side, autojunk=False)
    return [Change(*places) for tag, *places in matcher.get_opcodes() if tag != "equal"]


def _span(region: _Region, changes: Sequence[Change]) -> tuple[int, int]:
    """The lines of a side that stand for the region; `changes` are those that this side made in it."""
    head, tail = changes[0], changes[-1]
    return head.first - (head.start - region.start), tail.last + (region.end - tail.end)


def _side(lines: Sequence[bytes], region: _Region, changes: Sequence[Change]) -> Sequence[bytes]:
    """What a side has in the region; nothing where it changed nothing there."""
    if not changes:
        return ()
    first, last = _span(region, changes)
    return lines[first:last]


# --- refusals ---------------------------------------------------------------------------------------------------------


def _kept(path: str, there: bytes | None, changed: bool) -> bytes | None:
    if there is None and changed:
        raise Refused(
            f"{path} was deleted since newtfix wrote it",
            where=path,
            hint=f"Nothing was written. Put it back, from {OWN_FOLDER}/generated/{path} in the tree or with git (or, "
            "if it was renamed, under its old name), and run this again.",
        )
    return there


def _must_parse(path: str, text: bytes, who: str, hint: str) -> None:
    if not path.endswith(".py"):
        return
    try:
        ast.parse(text)
    except (RecursionError, MemoryError):
        return  # nobody can tell, and the merge is one of lines
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", None) or 1
        raise Refused(f"{who} {path} into something that is not Python", f"{path}:{line}: {problem}", hint) from None


def _refusal(conflicts: Mapping[str, Sequence[Conflict]]) -> Refused:
    found = [(path, conflict) for path, these in conflicts.items() for conflict in these]
    shown = [line for path, conflict in found[:_SHOWN_CONFLICTS] for line in _told(path, conflict)]
    more = [f"and {len(found) - _SHOWN_CONFLICTS} more"] if len(found) > _SHOWN_CONFLICTS else []
    return Refused(
        f"your edits conflict with the patches in {', '.join(conflicts)}",
        where="\n".join([*shown, *more]),
        hint="Nothing was written. Take your edit out of these lines (keep a copy), run this again, and put it back.\n"
        f"The files as the patches alone made them are in {OWN_FOLDER}/generated in the tree.",
    )


def _told(path: str, conflict: Conflict) -> list[str]:
    return [
        f"{path}:{conflict.line}",
        "the patches would make of it:",
        *_quoted(conflict.ours),
        "your edit has:",
        *_quoted(conflict.theirs),
    ]


def _quoted(text: bytes) -> list[str]:
    lines = text.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    if not lines:
        return ["  (no line)"]
    more = [f"  ... {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return [f"  | {line}" for line in lines[:_SHOWN_LINES]] + more
