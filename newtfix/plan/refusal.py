"""What is said where a patch does not fit: the condition that broke first, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from newtfix.errors import Refused
from newtfix.model import EditReport, Patch, PatchReport, State
from newtfix.plan.account import ONLY_WHERE, examine, fits, is_drifted
from newtfix.plan.look import Look
from newtfix.plan.working import WorkingTree


def must_fit(tree: WorkingTree, patch: Patch, report: PatchReport, looks: Sequence[Look]) -> None:
    """Raise Refused where a patch neither fits nor is there."""
    if fits(patch, report, looks):
        return
    drifted = is_drifted(report, looks)
    states = (State.DRIFTED,) if drifted else (State.PARTIAL, State.AVAILABLE)
    bad = next((one for one in report.edits if one.state in states), None)
    message, hint = f"patch {patch.id!r} does not fit this tree", f"or leave the patch out (newtfix show {patch.id})"
    lines = [_broken(bad)] if bad is not None else []
    if report.state is State.PARTIAL:
        message = f"patch {patch.id!r} is only partly there"
        lines += _parts(examine(tree, patch, places=True).report)
    if bad is not None and bad.edit == ONLY_WHERE:
        lines.append(f"what the patch relies on: {bad.code}")
    if patch.changes:
        lines.append(f"what the patch does: {patch.changes}")
    if bad is not None and bad.candidate is None and not bad.places:
        next_step = f"write that code as newt has it, {hint}"
    else:
        next_step = f"change that line, {hint}"
    code = _code(bad) if bad is not None else ""
    more = "; --verbose prints the code that the patch looks for" if code else ""
    raise Refused(message, "\n".join(lines), f"{next_step}{more}; nothing was written", detail=code)


def _broken(edit: EditReport) -> str:
    """The place and what is wrong there, with the line as its owner wrote it."""
    if edit.edit == ONLY_WHERE:
        return f"{edit.file}:{edit.places[0].line}: {edit.found}"
    if edit.candidate is not None:
        return f"{edit.candidate.file}:{edit.candidate.line}: {edit.found}: {edit.candidate.text}"
    where = ", ".join(part for part in (edit.file, edit.symbol) if part)
    return f"{where}: {edit.found}" if where else edit.found


def _code(edit: EditReport) -> str:
    """What an edit looks for, as the patch has it."""
    if not edit.expected:
        return ""
    condition = f"\nthe condition that does not hold:\n{edit.code}" if edit.code not in ("", edit.expected) else ""
    return f"edit {edit.edit!r} looks for:\n{edit.expected}{condition}"


def _parts(report: PatchReport) -> Iterator[str]:
    """What of a patch is there, and where, and what is missing."""
    for edit in report.edits:
        if edit.state is State.APPLIED and edit.places:
            place = edit.places[0]
            yield f"there: {edit.edit} ({place.file}:{place.line}: {place.text})"
    missing = [edit for edit in report.edits if edit.state in (State.AVAILABLE, State.PARTIAL, State.DRIFTED)]
    names = [f"{edit.edit} ({edit.file}, {edit.symbol or 'module'})" for edit in missing]
    yield f"missing: {', '.join(names)}"
