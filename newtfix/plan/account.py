"""The account of what a patch found: its state, the places, and where it is not found the nearest candidate."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from newtfix.facts.relations import broken
from newtfix.match import pattern as pat
from newtfix.match.lines import line_of
from newtfix.model import Add, Edit, EditReport, Patch, PatchReport, Place, State
from newtfix.newt.tree import Broken
from newtfix.plan.look import Look, WorkingTree, look_at, look_by_hand


def _lines(tree: WorkingTree, file: str, matches: Iterable[pat.Match]) -> tuple[Place, ...]:
    module, source = tree.module(file), tree.sources[file]
    text = source.splitlines()
    paths = [(*match.path, ("body", match.start)) if match.is_run else match.path for match in matches]
    return tuple(Place(file, line, text[line - 1].strip()) for line in (line_of(source, module, p) for p in paths))


def _nearest(tree: WorkingTree, look: Look) -> Place | None:
    """The line of the file most like the code that an edit looked for."""
    if not look.file or not look.expected:
        return None
    found = _most_alike(look.expected, tree.text(look.file))
    return Place(look.file, *found) if found else None


@lru_cache(maxsize=512)
def _most_alike(expected: str, text: str) -> tuple[int, str] | None:
    """The line of a text most like one of the lines that were looked for, and its number."""
    wanted = [line.strip() for line in expected.splitlines() if len(line.strip()) > 8 and "$$" not in line]
    best, found = 0.5, None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        for want in wanted:
            if 2 * min(len(want), len(line)) / (len(want) + len(line)) <= best:
                continue
            alike = _alike(line)
            alike.set_seq1(want)
            if alike.quick_ratio() > best and alike.ratio() > best:
                best, found = alike.ratio(), (number, line)
    return found


@lru_cache(maxsize=4096)
def _alike(line: str) -> difflib.SequenceMatcher[str]:
    """What compares lines with this one; it knows this one by heart."""
    return difflib.SequenceMatcher(None, "", line)


def _report(tree: WorkingTree, patch: Patch, edit: Edit | Add, look: Look, places: bool) -> EditReport:
    lines: tuple[Place, ...] = ()
    if places and look.file and (look.matches or look.present):
        lines = _lines(tree, look.file, look.present or look.matches)
    candidate = _nearest(tree, look) if look.state is State.DRIFTED else None
    return EditReport(
        patch.id, edit.id, look.file, look.symbol, look.state, lines, look.expected, look.found, candidate
    )


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
    return examine(tree, patch, places=False)[0].state


def examine(tree: WorkingTree, patch: Patch, places: bool) -> tuple[PatchReport, list[Look]]:
    own = look_by_hand(tree, patch.by_hand)
    if own is not None:
        lines = _lines(tree, own.file, own.present) if places else ()
        report = EditReport(patch.id, "by-hand", own.file, own.symbol, State.APPLIED, lines)
        return PatchReport(patch.id, State.APPLIED, (report,)), []
    looks = [look_at(tree, edit) for edit in patch.edits]
    reports = tuple(_report(tree, patch, e, look, places) for e, look in zip(patch.edits, looks, strict=True))
    state = _patch_state(patch, looks)
    if state in (State.AVAILABLE, State.PARTIAL) and (found := broken(tree.pristine, patch.only_where)) is not None:
        return _refusal(patch, found), []
    return PatchReport(patch.id, state, reports), looks


def _refusal(patch: Patch, found: Broken) -> PatchReport:
    """The report of a patch whose code is there, but not what it relies on."""
    place = Place(found.file, found.line, found.what)
    report = EditReport(patch.id, "only-where", found.file, "", State.DRIFTED, (place,), found=found.what)
    return PatchReport(patch.id, State.DRIFTED, (report,))


def _patch_state(patch: Patch, looks: Sequence[Look]) -> State:
    told = list(zip(patch.edits, looks, strict=True))
    telling = [one for e, one in told if not (isinstance(e, Add) and e.optional and one.state is not State.DRIFTED)]
    needed = [one for e, one in told if not e.optional and not getattr(e, "supplement", False)]
    missing = [e for e, one in told if isinstance(e, Edit) and one.state is State.AVAILABLE]
    if missing and all(e.supplement for e in missing) and _state(needed) is State.APPLIED:
        return State.AVAILABLE
    return _state(telling)
