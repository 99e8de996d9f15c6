"""The account of what a patch found: its state, the places, and where it is not found the nearest candidate."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, lru_cache

from newtfix.facts.relations import broken
from newtfix.match import pattern as pat
from newtfix.match.lines import line_of
from newtfix.model import Add, AnyEdit, EditReport, Patch, PatchReport, Place, State
from newtfix.newt.tree import Broken
from newtfix.plan.look import Look, look_at, look_by_hand
from newtfix.plan.unmet import place_of
from newtfix.plan.working import WorkingTree

ONLY_WHERE = "only-where"  # stands for the facts of a patch in a report
_HOLES = re.compile(r"\$[$*@]?\w+")
_BARE = re.compile(r"(?<![\w.$*@])[^\W\d]\w*(?!\s*=[^=])")
_NAME = re.compile(r"[A-Za-z_]\w+")


def _lines(tree: WorkingTree, file: str, matches: Iterable[pat.Match]) -> tuple[Place, ...]:
    module, source = tree.module(file), tree.sources[file]
    text = source.splitlines()
    numbers = (line_of(source, module, place_of(match)) for match in matches)
    return tuple(Place(file, number, text[number - 1].strip()) for number in numbers)


def _broken_at(tree: WorkingTree, look: Look) -> tuple[Place | None, str]:
    """The line that keeps an edit from fitting, or the one most like what it misses, and what is said of it."""
    unmet = look.unmet
    if unmet is not None and unmet.path is not None:
        text = tree.text(unmet.file)
        number = line_of(text, tree.module(unmet.file), unmet.path)
        return _as_given(tree, Place(unmet.file, number, text.splitlines()[number - 1].strip())), look.found
    file, code = (unmet.file, unmet.code) if unmet is not None else (look.file, look.expected)
    if file and code and (found := _most_alike(code, tree.text(file))):
        return _as_given(tree, Place(file, *found)), unmet.nearest or look.found if unmet is not None else look.found
    return None, look.found


def _as_given(tree: WorkingTree, place: Place) -> Place:
    """The place in the file as it was before other patches, where it has that line."""
    lines = tree.pristine.sources[place.file].splitlines()
    same = [number for number, line in enumerate(lines, 1) if line.strip() == place.text]
    return replace(place, line=min(same, key=lambda number: abs(number - place.line), default=place.line))


@lru_cache(maxsize=512)
def _most_alike(expected: str, text: str) -> tuple[int, str] | None:
    """The line of a text most like one of the lines that were looked for, and its number."""
    wanted = [line.strip() for line in expected.splitlines() if len(line.strip()) > 8 and "$$" not in line]
    told = [(want, names) for want in wanted if (names := _names(_HOLES.sub("", want)))]
    best, found = (0.2, 0.0), None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        own = _names(line)
        for want, names in told:
            shared = len(names & own) / len(names | own)
            if shared >= best[0] and (score := (shared, _alike(line, want))) > best:
                best, found = score, (number, line)
    return found


def _names(line: str) -> set[str]:
    return set(_NAME.findall(line)) - {"self", *keyword.kwlist}


def _alike(line: str, want: str) -> float:
    return difflib.SequenceMatcher(None, want, line).ratio()


def _report(tree: WorkingTree, patch: Patch, edit: AnyEdit, look: Look, places: bool) -> EditReport:
    lines: tuple[Place, ...] = ()
    if places and look.file and (look.matches or look.present):
        lines = _lines(tree, look.file, look.present or look.matches)
    candidate, found = _broken_at(tree, look) if look.state is State.DRIFTED else (None, look.found)
    code = look.unmet.code if look.unmet is not None else ""
    seen = (look.file, look.symbol, look.state, lines, look.expected, found, candidate, code)
    return EditReport(patch.id, edit.id, *seen)


def _state(looks: Sequence[Look]) -> State:
    states = {look.state for look in looks} - {State.ABSENT}
    if not states:
        return State.ABSENT
    if State.PARTIAL in states or {State.APPLIED, State.AVAILABLE} <= states:
        return State.PARTIAL
    if State.DRIFTED in states:
        return State.PARTIAL if State.APPLIED in states else State.DRIFTED
    return states.pop()


def state_of(tree: WorkingTree, patch: Patch) -> State:
    """The state that `examine` finds, without the account of it."""
    return examine(tree, patch, places=False).report.state


@dataclass(frozen=True)
class Seen:
    """What a patch found, in the tree or in one that shows the same otherwise; then `first` is what it found before."""

    report: PatchReport
    looks: Sequence[Look]
    tree: WorkingTree
    first: Seen | None = None


def examine(tree: WorkingTree, patch: Patch, places: bool) -> Seen:
    """What a patch finds in a tree. Where it does not fit, calls and variables are looked at as what they stand for.

    Args:
        places: whether the report shall have the lines.
    """
    seen = _examined(tree, patch, places)
    for other in () if fits(patch, seen.report, seen.looks) else tree.others(*_spoken_of(patch)):
        then = _examined(other, patch, places)
        if fits(patch, then.report, then.looks):
            return Seen(_of_owner(then.report, other, tree), then.looks, other, seen)
    return seen


def fits(patch: Patch, report: PatchReport, looks: Sequence[Look]) -> bool:
    """Whether all of a patch is there, or can be."""
    return not is_drifted(report, looks) and not _names_alone(patch, report)


def is_drifted(report: PatchReport, looks: Sequence[Look]) -> bool:
    return report.state is State.DRIFTED or any(look.state is State.DRIFTED for look in looks)


def _names_alone(patch: Patch, report: PatchReport) -> bool:
    """Whether all that is there of a patch are some names that it adds together: they may mean something else."""
    adds = {edit.id for edit in patch.edits if isinstance(edit, Add)}
    some = any(one.edit in adds and one.state is State.PARTIAL for one in report.edits)
    telling = {edit.id for edit in patch.edits if not edit.optional}
    return some and not any(one.state is State.APPLIED and one.edit in telling for one in report.edits)


@cache
def _spoken_of(patch: Patch) -> tuple[frozenset[str], frozenset[str]]:
    """The roles that a patch changes, and the names that its patterns have."""
    texts = [text for edit in patch.edits for text in _texts(edit)]
    names = {name for text in texts for name in _BARE.findall(text)}
    return frozenset(edit.role for edit in patch.edits), frozenset(names)


def _texts(one: object) -> Iterator[str]:
    """The code that something of a patch has."""
    if isinstance(one, str):
        yield one
    elif isinstance(one, tuple):
        yield from (text for part in one for text in _texts(part))
    elif is_dataclass(one):
        parts = (getattr(one, field.name) for field in fields(one) if field.name not in ("id", "role", "scope"))
        yield from (text for part in parts for text in _texts(part))


def _of_owner(report: PatchReport, other: WorkingTree, tree: WorkingTree) -> PatchReport:
    """The report with the lines of the tree as it is."""

    def place(there: Place) -> Place:
        number = there.line
        for step in reversed(other.shown.get(there.file, ())):
            number = step.lines[number - 1]
        return Place(there.file, number, tree.text(there.file).split("\n")[number - 1].strip())

    return replace(report, edits=tuple(replace(one, places=tuple(map(place, one.places))) for one in report.edits))


def _examined(tree: WorkingTree, patch: Patch, places: bool) -> Seen:
    own = look_by_hand(tree, patch.by_hand)
    if own is not None:
        if (found := broken(tree.pristine, patch.there_only_where)) is not None:
            return Seen(_refusal(patch, found), [], tree)
        lines = _lines(tree, own.file, own.present) if places else ()
        report = EditReport(patch.id, "by-hand", own.file, own.symbol, State.APPLIED, lines)
        return Seen(PatchReport(patch.id, State.APPLIED, (report,)), [], tree)
    looks = [look_at(tree, edit) for edit in patch.edits]
    reports = tuple(_report(tree, patch, e, look, places) for e, look in zip(patch.edits, looks, strict=True))
    state = _patch_state(patch, looks)
    facts = patch.only_where if state in (State.AVAILABLE, State.PARTIAL) else patch.there_only_where
    if state is not State.DRIFTED and (found := broken(tree.pristine, facts)) is not None:
        return Seen(_refusal(patch, found), [], tree)
    return Seen(PatchReport(patch.id, state, reports), looks, tree)


def _refusal(patch: Patch, found: Broken) -> PatchReport:
    """The report of a patch whose code is there, but not what it relies on."""
    place = Place(found.file, found.line, found.what)
    seen = (found.file, "", State.DRIFTED, (place,), "", found.what, None, found.relies)
    report = EditReport(patch.id, ONLY_WHERE, *seen)
    return PatchReport(patch.id, State.DRIFTED, (report,))


def _patch_state(patch: Patch, looks: Sequence[Look]) -> State:
    told = list(zip(patch.edits, looks, strict=True))
    telling = [one for e, one in told if not (isinstance(e, Add) and e.optional and one.state is not State.DRIFTED)]
    needed = [one for e, one in told if not e.optional and not getattr(e, "supplement", False)]
    missing = [e for e, one in told if not isinstance(e, Add) and one.state is State.AVAILABLE]
    if missing and all(getattr(e, "supplement", False) for e in missing) and _state(needed) is State.APPLIED:
        return State.AVAILABLE
    return _state(telling)
