"""Whether patches still do what they should in a tree that was edited after them.

The edits are taken as if they had come first: what the patches wrote is taken out, the tree with its edits is planned
again, and what the patches would write now is compared with what is there. Lines that the patches wrote and that were
edited cannot be taken out. Layout, comments and what only reports do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from newtfix.code.flat import Line, flat, joined
from newtfix.errors import Refused, TreeError
from newtfix.files.tree import decode
from newtfix.work import planning
from newtfix.work.outcome import pristine_sources
from newtfix.work.session import Session, changed_patches, usable
from newtfix.work.steps import fitting, steps

_HEAD = re.compile(r"(    )?(@|(async )?def \w+|class \w+)")


@dataclass(frozen=True)
class _Change:
    """Lines start:end of one text are first:last of another."""

    start: int
    end: int
    first: int
    last: int

    def meets(self, other: _Change) -> bool:
        """Whether both change the same lines, or one what lies within the other's."""
        within = any(a.start < b.start == b.end < a.end for a, b in ((self, other), (other, self)))
        return within or max(self.start, other.start) < min(self.end, other.end)


@dataclass(frozen=True)
class _File:
    """A patched file: as the patches made it, before them, and as it is, but for edited lines of patches.

    `spoilt` are places of such edits: the lines of `made`, and what stands there now.
    """

    made: Sequence[Line]
    before: Sequence[Line]
    now: Sequence[Line]
    spoilt: Sequence[tuple[_Change, str]] = ()


def doubts(session: Session) -> dict[str, str]:
    """Applied patches that may not do what they should any more, because of edits, and why.

    Nothing is said where files cannot be read, or where the patches at hand are not those that were applied.
    """
    known = session.ledger is not None and not session.unreadable and set(session.applied) <= session.patches.keys()
    if not known or changed_patches(session) or session.pristine.keys() != session.generated.keys():
        return {}
    found: dict[str, str] = {}
    with suppress(TreeError, SyntaxError, ValueError):  # of a tree that cannot be looked at, its state says so
        for name, why in _doubts(session):
            found.setdefault(name, why)
    return {name: found[name] for name in session.applied if name in found}


def _doubts(session: Session) -> Iterator[tuple[str, str]]:
    now, known = session.tree.sources, session.patches
    edited = {path: _file(session, path) for path in session.edited}
    if any(file.spoilt for file in edited.values()):
        pristine = pristine_sources(session)
        made = {path: decode(content) for path, content in session.generated.items()}
        way = steps(pristine, {}, (), session.applied, known, made)
        for path, file in edited.items():
            for change, there in file.spoilt:
                for name in _authors(session.applied, way, path, pristine[path], change):
                    yield name, f"its lines were edited ({path}:{there})"
    before = {path: decode(content) for path, content in session.pristine.items()}
    before |= {path: joined(_merged(file)) for path, file in edited.items()}
    sources = dict(usable({**now, **before}))
    try:
        after = planning.plan(sources, session.requested, known).after
    except Refused:
        _, refused = fitting(sources, (), session.requested, known, session.tree.foreign)
        for name, problem in refused.items():
            yield name, f"with the edits it would not fit: {(problem.where or problem.message).splitlines()[0]}"
        return
    others = {
        path: found for path in {**before, **after} if (found := _otherwise(session, edited, path, after, before))
    }
    way = steps(sources, {}, (), session.applied, known, after) if others else []
    for path, found in others.items():
        for change, there in found:
            for name in _authors(session.applied, way, path, sources[path], change):
                yield name, f"with the edits it would write other code ({path}:{there})"


def _file(session: Session, path: str) -> _File:
    made, before, now = (
        flat(text)
        for text in (decode(session.generated[path]), decode(session.pristine[path]), session.tree.sources[path])
    )
    wrote, edits = _changes(made, before), _changes(made, now)
    spoilt = [one for one in edits if any(one.meets(other) for other in wrote)]
    kept = list(now)
    for one in reversed(spoilt):
        kept[one.first : one.last] = [Line(line.text, _place(now, one.first)) for line in made[one.start : one.end]]
    return _File(made, before, kept, [(one, _shown(now, one.first)) for one in spoilt])


def _merged(file: _File) -> list[Line]:
    """The file with its edits and without the patches."""
    sided = [(one, file.before) for one in _changes(file.made, file.before)]
    sided += [(one, file.now) for one in _changes(file.made, file.now)]
    found, done = [], 0
    for change, side in sorted(sided, key=lambda one: (one[0].start, one[0].end)):
        found += [*file.made[done : change.start], *side[change.first : change.last]]
        done = change.end
    return [*found, *file.made[done:]]


def _otherwise(
    session: Session, edited: Mapping[str, _File], path: str, after: Mapping[str, str], before: Mapping[str, str]
) -> list[tuple[_Change, str]]:
    """Where the patches would write other code: the lines that they would write, and what stands there."""
    wanted, now = after.get(path, before.get(path, "")), session.tree.sources[path]
    if wanted == now:
        return []
    lines = edited[path].now if path in edited else flat(now)
    return [(one, _shown(lines, one.last)) for one in _changes(flat(wanted), lines)]


def _authors(
    names: Sequence[str], way: Sequence[Mapping[str, str]], path: str, start: str, change: _Change
) -> list[str]:
    """The patches that wrote these lines, or took lines out beside them; else all that changed the file.

    Args:
        names: in order. way: the changed files after each of them. start: the text of the file before them.
    """
    texts = [start, *(texts.get(path, start) for texts in way)]
    by: list[frozenset[str]] = [frozenset()] * len(flat(start))
    for name, (old, new) in zip(names, pairwise(texts), strict=True):
        by = _written(by, flat(old), flat(new), name) if old != new else by
    near = by[max(change.start - 1, 0) : change.end + 1]
    within = by[change.start : change.end]
    found = frozenset().union(*within) or frozenset().union(*near)
    return [name for name in names if name in found] or [
        name for name, (old, new) in zip(names, pairwise(texts), strict=True) if old != new
    ]


def _written(by: list[frozenset[str]], old: Sequence[Line], new: Sequence[Line], name: str) -> list[frozenset[str]]:
    found: list[frozenset[str]] = []
    taken = []
    for tag, start, end, first, last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        found += by[start:end] if tag == "equal" else [frozenset((name,))] * (last - first)
        taken += [len(found)] if tag == "delete" else []
    for place in taken:
        for beside in range(max(place - 1, 0), min(place + 1, len(found))):
            found[beside] |= {name}
    return found


def _changes(old: Sequence[Line], new: Sequence[Line]) -> list[_Change]:
    """What changed, function by function, so that a new one between two others is by itself."""
    (heads, ends), (other_heads, other_ends) = _functions(old), _functions(new)
    found: list[_Change] = []
    for tag, *names in SequenceMatcher(None, heads, other_heads, autojunk=False).get_opcodes():
        start, end, first, last = (
            side[at] for side, at in zip((ends, ends, other_ends, other_ends), names, strict=True)
        )
        if tag == "equal":
            for at in range(names[1] - names[0]):
                a, b = names[0] + at, names[2] + at
                found += _lines_changed(old, new, ends[a], ends[a + 1], other_ends[b], other_ends[b + 1])
        else:
            found += _lines_changed(old, new, start, end, first, last)
    return found


def _lines_changed(
    old: Sequence[Line], new: Sequence[Line], start: int, end: int, first: int, last: int
) -> list[_Change]:
    matcher = SequenceMatcher(None, old[start:end], new[first:last], autojunk=False)
    return [
        _Change(start + a, start + b, first + c, first + d)
        for tag, a, b, c, d in matcher.get_opcodes()
        if tag != "equal"
    ]


def _functions(lines: Sequence[Line]) -> tuple[list[str], list[int]]:
    """The heads of the functions and classes of a file, what stands before them first, and where each begins."""
    heads, starts, decorated = [""], [0], False
    for at, line in enumerate(lines):
        if not (head := _HEAD.match(line.text)):
            continue
        if decorated:
            heads[-1] = head[0]
        else:
            heads.append(head[0])
            starts.append(at)
        decorated = head[0].endswith("@")
    return heads, [*starts, len(lines)]


def _place(lines: Sequence[Line], index: int) -> int:
    return lines[min(index, len(lines) - 1)].place if lines else 1


def _shown(lines: Sequence[Line], index: int) -> str:
    line = lines[min(index, len(lines) - 1)] if lines else Line("", 1)
    return f"{line.place}: {line.text.strip()}"
