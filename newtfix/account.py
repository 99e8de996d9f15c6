"""The account of what a patch found: its state, the places, and where it is not found the nearest candidate."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from newtfix import pattern as pat
from newtfix import render
from newtfix.look import Look, WorkingTree, look_at, look_by_hand
from newtfix.model import Add, Edit, EditReport, Patch, PatchReport, Place, State


@lru_cache(maxsize=32)
def _positions(module: cst.Module) -> Mapping[cst.CSTNode, Any]:
    return MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)


def _lines(tree: WorkingTree, file: str, matches: Iterable[pat.Match]) -> tuple[Place, ...]:
    module = tree.module(file)
    positions = _positions(module)
    text = tree.text(file).splitlines()
    places = []
    for match in matches:
        node = render.at(module, match.path)
        if match.is_run:
            node = node.body[match.start]
        line = positions[node].start.line
        places.append(Place(file, line, text[line - 1].strip()))
    return tuple(places)


def _nearest(tree: WorkingTree, look: Look) -> Place | None:
    """The line of the file most like the code that an edit looked for."""
    if not look.file or not look.expected:
        return None
    wanted = [line.strip() for line in look.expected.splitlines() if len(line.strip()) > 8 and "$$" not in line]
    best: tuple[float, Place] | None = None
    for number, line in enumerate(tree.text(look.file).splitlines(), 1):
        for want in wanted:
            ratio = difflib.SequenceMatcher(None, want, line.strip()).ratio()
            if ratio > 0.5 and (best is None or ratio > best[0]):
                best = ratio, Place(look.file, number, line.strip())
    return best[1] if best else None


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


def examine(tree: WorkingTree, patch: Patch, places: bool) -> tuple[PatchReport, list[Look]]:
    own = look_by_hand(tree, patch.by_hand)
    if own is not None:
        lines = _lines(tree, own.file, own.present) if places else ()
        report = EditReport(patch.id, "by-hand", own.file, own.symbol, State.APPLIED, lines)
        return PatchReport(patch.id, State.APPLIED, (report,)), []
    looks = [look_at(tree, edit) for edit in patch.edits]
    reports = tuple(_report(tree, patch, e, look, places) for e, look in zip(patch.edits, looks, strict=True))
    told = list(zip(patch.edits, looks, strict=True))
    telling = [one for e, one in told if not (isinstance(e, Add) and e.optional and one.state is not State.DRIFTED)]
    needed = [one for e, one in told if not e.optional and not getattr(e, "supplement", False)]
    missing = [e for e, one in told if isinstance(e, Edit) and one.state is State.AVAILABLE]
    state = _state(telling)
    if missing and all(e.supplement for e in missing) and _state(needed) is State.APPLIED:
        state = State.AVAILABLE
    return PatchReport(patch.id, state, reports), looks
