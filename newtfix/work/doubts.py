"""Whether patches still do what they should in a tree that was edited after them.

The edits are taken as if they had come first: what the patches wrote is taken out, function by function, the tree with
its edits is planned again, and what the patches would write now is compared with what is there. Lines that the patches
wrote and that were edited cannot be taken out, and nothing else may set what the patches brought. Layout, comments,
the order of functions and what only reports do not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from newtfix.code.flat import Line, flat, joined
from newtfix.code.units import Units, bound_in, brought_in, parses, units
from newtfix.errors import Refused, TreeError
from newtfix.files.merge import Change, changes_between
from newtfix.files.tree import decode
from newtfix.work import planning
from newtfix.work.outcome import pristine_sources
from newtfix.work.session import Session, changed_patches, usable
from newtfix.work.steps import fitting, steps


@dataclass(frozen=True)
class _Spoilt:
    """Lines that patches wrote in a unit of a file, or those beside it, and what somebody made of them."""

    key: str
    lines: frozenset[str]
    there: Line


@dataclass(frozen=True)
class _File:
    """A patched file as it is, but for edited lines of patches; and with its edits, but without the patches.

    Lines that are not in the file have the place of one beside them.
    """

    now: Units
    without: list[Line]
    spoilt: Sequence[_Spoilt]


def doubts(session: Session) -> dict[str, str]:
    """Applied patches that may not do what they should any more, because of edits, and why.

    Of files that cannot be read the record is all that is known. Patches that changed since are left out.
    """
    if session.ledger is None:
        return {}
    if session.edited and (unknown := _unknown(session)):
        return dict.fromkeys((name for name in session.applied if name in session.patches), unknown)
    found: dict[str, str] = {}
    with suppress(TreeError, SyntaxError, ValueError):  # of a tree that cannot be looked at, its state says so
        for name, why in _doubts(session) if not _unknown(session) else ():
            found.setdefault(name, why)
    changed = changed_patches(session)
    return {name: found[name] for name in session.applied if name in found and name not in changed}


def _unknown(session: Session) -> str:
    """Why nothing can be said of a tree with edits."""
    if missing := sorted({*session.applied, *session.requested} - session.patches.keys()):
        return f"there are edits, and the record has {', '.join(missing)}, which is not at hand (--patches DIR)"
    if missing := sorted(session.pristine.keys() - session.generated.keys()):
        return f"there are edits, and the record does not say what the patches made of {', '.join(missing)}"
    return ""


def _doubts(session: Session) -> Iterator[tuple[str, str]]:
    known, pristine = session.patches, pristine_sources(session)
    made = {path: decode(content) for path, content in session.generated.items()}
    now = {**session.tree.sources, **{path: made[path] for path in session.unreadable}}
    files = {path: _file(made[path], pristine[path], now[path]) for path in made if now[path] != made[path]}
    brought = brought_in(made.values()) - brought_in(pristine[path] for path in made)
    again = list(_set_again(now, made, brought))
    if again or any(file.spoilt for file in files.values()):
        way = steps(pristine, {}, (), session.applied, known, made)
        for path, file in files.items():
            for one in file.spoilt:
                for name in _authors(session.applied, way, path, pristine[path], one.key, one.lines):
                    yield name, f"its lines were edited ({_told(path, one.there)})"
        for path, brings, line in again:
            yield (
                _bringer(session.applied, way, pristine, brings),
                f"{brings} is set here as well ({_told(path, line)})",
            )
    before = {path: pristine[path] for path in made} | {path: joined(file.without) for path, file in files.items()}
    sources = dict(usable({**now, **before}))
    try:
        after = planning.plan(sources, session.requested, known).after
    except Refused:
        _, refused = fitting(sources, (), session.requested, known, session.tree.foreign)
        for name, problem in refused.items():
            yield name, f"with the edits it would not fit: {_placed(problem, files)}"
        return
    others = {
        path: _otherwise(after.get(path, before.get(path, "")), now[path], files.get(path))
        for path in {**before, **after}
    }
    way = steps(sources, {}, (), session.applied, known, after) if any(others.values()) else []
    for path, key, lines, there in ((path, *one) for path, found in others.items() for one in found):
        for name in _authors(session.applied, way, path, sources[path], key, lines):
            yield name, f"with the edits it would write other code ({_told(path, there)})"


# --- what was edited --------------------------------------------------------------------------------------------------


def _file(made: str, before: str, now: str) -> _File:
    base, ours, theirs = units(flat(made)), units(flat(before)), units(flat(now))
    kept: Units = {}
    without: Units = {}
    spoilt: list[_Spoilt] = []
    for key, lines in theirs.items():
        if key not in base:  # somebody's own
            kept[key] = without[key] = lines
            continue
        merged, kept[key], found = _merged(key, base[key], ours.get(key, []), lines)
        spoilt += found
        if merged:
            without[key] = merged
    for key in base.keys() - theirs.keys() - ours.keys():  # patches brought it, somebody took it away
        kept[key] = base[key]
        spoilt.append(_Spoilt(key, frozenset(line.text for line in base[key]), _last(theirs)))
    for key in ours.keys() - base.keys() - theirs.keys():  # patches took it away
        place = _last(theirs).place
        without[key] = [Line(line.text, place) for line in ours[key]]
    return _File(kept, [line for lines in _in_order(without).values() for line in lines], spoilt)


def _in_order(found: Units) -> Units:
    """Methods behind the head of their class."""
    heads = {key: number for number, key in enumerate(found)}
    return {key: found[key] for key in sorted(found, key=lambda key: (heads.get(key.partition(".")[0], 0), heads[key]))}


def _last(found: Units) -> Line:
    return next((lines[-1] for lines in reversed(found.values()) if lines), Line("", 1))


def _merged(
    key: str, base: list[Line], ours: list[Line], theirs: list[Line]
) -> tuple[list[Line], list[Line], list[_Spoilt]]:
    """A unit with its edits and without the patches; as it is, but for edited lines of patches; and these."""
    wrote, edits = changes_between(base, ours), changes_between(base, theirs)
    sets = bound_in(line.text for one in wrote for line in base[one.start : one.end])

    def is_spoilt(edit: Change, *, beside: bool) -> bool:
        lines = theirs[edit.first : edit.last]
        again = bool(sets & bound_in(line.text for line in lines)) if lines else False
        return again or any(_meet(edit, one) or (beside and _touch(edit, one)) for one in wrote)

    for beside in (False, True):
        bad = [one for one in edits if is_spoilt(one, beside=beside)]
        kept = list(theirs)
        for one in reversed(bad):
            place = _at(theirs, one.first).place
            kept[one.first : one.last] = [Line(line.text, place) for line in base[one.start : one.end]]
        merged = _both(base, ours, kept)
        if parses(merged):
            break
    found = [
        _Spoilt(key, frozenset(line.text for line in base[max(one.start - 1, 0) : one.end + 1]), _at(theirs, one.first))
        for one in bad
    ]
    return merged, kept, found


def _both(base: list[Line], ours: list[Line], theirs: list[Line]) -> list[Line]:
    """The changes of both sides, which change different lines."""
    sided = [(one, ours, False) for one in changes_between(base, ours)]
    sided += [(one, theirs, True) for one in changes_between(base, theirs)]
    found: list[Line] = []
    done = 0
    places = _places(base, theirs)
    for change, side, is_theirs in sorted(sided, key=lambda one: (one[0].start, one[0].end)):
        found += [Line(line.text, places[at]) for at, line in enumerate(base[done : change.start], done)]
        place = places[min(change.start, len(places) - 1)]
        found += [line if is_theirs else Line(line.text, place) for line in side[change.first : change.last]]
        done = max(done, change.end)
    return [*found, *(Line(line.text, places[at]) for at, line in enumerate(base[done:], done))]


def _places(base: list[Line], theirs: list[Line]) -> list[int]:
    """Where the lines of the base are in the file as it is; those that are not, beside them."""
    found = [_at(theirs, 0).place] * (len(base) + 1)
    for tag, start, end, first, last in SequenceMatcher(None, base, theirs, autojunk=False).get_opcodes():
        for number in range(start, end):
            found[number] = (
                theirs[first + number - start].place if tag == "equal" else _at(theirs, min(first, last)).place
            )
    return found


def _at(lines: Sequence[Line], index: int) -> Line:
    return lines[min(index, len(lines) - 1)] if lines else Line("", 1)


def _meet(one: Change, other: Change) -> bool:
    """Whether both change the same lines, or one what lies within the other's."""
    within = any(a.start < b.start == b.end < a.end for a, b in ((one, other), (other, one)))
    return within or max(one.start, other.start) < min(one.end, other.end)


def _touch(one: Change, other: Change) -> bool:
    return one.start <= other.end and other.start <= one.end


def _set_again(now: Mapping[str, str], made: Mapping[str, str], brought: set[str]) -> Iterator[tuple[str, str, Line]]:
    """Where edits set attributes, or define functions, that patches brought: the file, the name and the line.

    What files that no patch changed had before is not known: of these private names count alone.
    """
    for path, text in now.items():
        if not path.endswith(".py") or not any(name in text for name in brought) or text == made.get(path):
            continue
        wrote = Counter(line.text for line in flat(made[path])) if path in made else Counter[str]()
        for line in flat(text):
            if wrote[line.text] > 0:
                wrote[line.text] -= 1
            elif found := {one for one in brought & brought_in([line.text]) if path in made or one.startswith("_")}:
                yield path, min(found), line


# --- what would be written now ----------------------------------------------------------------------------------------


def _otherwise(wanted: str, now: str, file: _File | None) -> list[tuple[str, frozenset[str], Line]]:
    """Where the patches would write other code: the unit, the lines that they would write, and what stands there."""
    if wanted == now:
        return []
    here, there = file.now if file is not None else units(flat(now)), units(flat(wanted))
    found = []
    for key in {**there, **here}:
        ours, theirs = there.get(key, []), here.get(key, [])
        if key.endswith(".") or not key:  # fields and what stands between functions, in whatever order
            missing, more = (Counter(a) - Counter(b) for a, b in ((ours, theirs), (theirs, ours)))
            if missing or more:
                found.append((key, frozenset(line.text for line in missing), next(iter(more), _at(theirs, 0))))
            continue
        for one in changes_between(ours, theirs):
            lines = ours[max(one.start - 1, 0) : one.end + 1]
            found.append((key, frozenset(line.text for line in lines), _at(theirs or _all(here), one.first)))
    return found


def _all(found: Units) -> list[Line]:
    return [line for lines in found.values() for line in lines]


# --- whose it is ------------------------------------------------------------------------------------------------------


def _authors(
    names: Sequence[str],
    way: Sequence[Mapping[str, str]],
    path: str,
    start: str,
    key: str,
    lines: frozenset[str],
) -> list[str]:
    """The patches that wrote such lines in a unit; else all that changed it, or the file.

    Args:
        names: in order. way: the changed files after each of them. start: the text of the file before them.
    """
    texts = [start, *(one.get(path, start) for one in way)]
    wrote, changed, touched = [], [], []
    for name, (old, new) in zip(names, pairwise(texts), strict=True):
        if old == new:
            continue
        touched.append(name)
        before, after = (Counter(line.text for line in units(flat(text)).get(key, ())) for text in (old, new))
        changed += [name] if before != after else []
        wrote += [name] if (after - before).keys() & lines else []
    return wrote or changed or touched


def _bringer(names: Sequence[str], way: Sequence[Mapping[str, str]], pristine: Mapping[str, str], brought: str) -> str:
    """The first patch that brings a name."""
    for name, texts in zip(names, way, strict=True):
        if any(brought in brought_in([text]) for path, text in texts.items() if text != pristine.get(path)):
            return name
    return names[-1]


# --- words ------------------------------------------------------------------------------------------------------------


def _told(path: str, line: Line) -> str:
    return f"{path}:{line.place}: {line.text.strip()}"


def _placed(problem: Refused, files: Mapping[str, _File]) -> str:
    """The first line of a refusal, with the line of the file as it is."""
    said = (problem.where or problem.message).splitlines()[0]
    where = re.match(r"([^:]+):(\d+)", said)
    if where is None or where[1] not in files:
        return said
    return f"{where[1]}:{_at(files[where[1]].without, int(where[2]) - 1).place}{said[where.end() :]}"
