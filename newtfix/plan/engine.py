"""Planning: texts in, new texts and an account of every edit out. Nothing here reads, writes or prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from newtfix.errors import Refused
from newtfix.model import Add, Carry, Patch, PatchReport, Plan, State
from newtfix.newt import usual
from newtfix.newt.effects import without_effect
from newtfix.newt.losses import left_unused
from newtfix.newt.roles import find_roles, overrides, without_rivals
from newtfix.newt.tdmpc2 import must_be_newt
from newtfix.newt.tree import NewtTree
from newtfix.patch.order import in_order, with_requirements
from newtfix.plan.account import examine, state_of
from newtfix.plan.look import look_at
from newtfix.plan.proof import named, prove
from newtfix.plan.refusal import must_fit
from newtfix.plan.rewrite import apply_add, apply_carry, apply_edit
from newtfix.plan.working import WorkingTree


def inspect(
    sources: Mapping[str, str], patches: Mapping[str, Patch], ids: Iterable[str] | None = None
) -> dict[str, PatchReport]:
    """The state of patches in a tree, from its code alone. Raises TreeError when it is no newt-style tree.

    Args:
        sources: text of every file by its path in the tree. patches: all known patches. ids: those asked about
            (default: all).
    """
    sources, roles = without_rivals(sources), find_roles(sources)
    must_be_newt(sources, roles, patches if ids is None else ids)
    names = usual.names(sources, roles)
    if names.files:
        found = inspect(names.usual(sources), patches, ids)
        return {name: names.report(report) for name, report in found.items()}
    tree = WorkingTree(sources)
    asked = patches if ids is None else ids
    reports = {name: examine(tree, patches[name], places=True).report for name in asked}
    # Once what a patch requires is in, code that only its requirements bring is not missing.
    then: dict[tuple[str, ...], WorkingTree | None] = {}
    for name, report in reports.items():
        requires = patches[name].requires
        if report.state in (State.DRIFTED, State.PARTIAL) and requires:
            if requires not in then:
                then[requires] = _with_requirements_in(sources, patches, requires)
            later = then[requires]
            if later is not None and state_of(later, patches[name]) is State.AVAILABLE:
                reports[name] = replace(report, state=State.AVAILABLE)
    return reports


def _with_requirements_in(
    sources: Mapping[str, str], patches: Mapping[str, Patch], requires: Sequence[str]
) -> WorkingTree | None:
    """The tree with patches that another one requires; None: they don't fit."""
    try:
        return WorkingTree({**sources, **plan(sources, requires, patches).after})
    except Refused:
        return None


def plan(sources: Mapping[str, str], wanted: Iterable[str], patches: Mapping[str, Patch]) -> Plan:
    """Apply `wanted`, and what they require, to texts in memory, and prove the result.

    What is missing of patches that are there in part is filled in, where nothing of it is in doubt.

    Args:
        sources: text of every file by its path in the tree. wanted: patch ids. patches: all known patches by id.

    Returns:
        The plan; its texts depend on the set of patches alone, not on the order in which they are named.

    Raises:
        Refused: an edit found neither the code to fix nor the fix, or the result is not sound.
        TreeError: no newt-style tree, one of TD-MPC2's layout, or a file to edit has a syntax error.
    """
    sources, roles = without_rivals(sources), find_roles(sources)
    wanted = tuple(wanted)
    must_be_newt(sources, roles, wanted)
    names = usual.names(sources, roles)
    if names.files:
        try:
            return names.plan(plan(names.usual(sources), wanted, patches), sources)
        except Refused as refused:
            raise replace(refused, where=names.own(refused.where)) from None
    ids, pulled_in = with_requirements(wanted, patches)
    order = in_order(ids, patches)
    tree = WorkingTree(sources)
    reports: dict[str, PatchReport] = {}
    for name in order:
        seen = examine(tree, patches[name], places=False)
        reports[name] = seen.report
        must_fit(tree, patches[name], seen.report, seen.looks)
        if seen.report.state not in (State.AVAILABLE, State.PARTIAL):
            continue
        try:
            _carry_out(seen.tree, patches[name])
            if seen.first is not None:
                tree.take(seen.tree)
        except Refused:
            if seen.first is not None:
                must_fit(tree, patches[name], seen.first.report, seen.first.looks)
            raise
    after = {file: tree.text(file) for file in sorted(tree.changed)}
    try:
        patched = prove(sources, after, order, patches)
    except Refused as refused:
        raise replace(refused, message=_blaming(refused, sources, order, patches)) from None
    before = {file: sources[file] for file in after}
    now = patched.pristine if patched.roles == tree.roles else NewtTree(patched.sources, tree.roles)
    notes = (
        *_overridden(tree, after),
        *(_undone(tree.pristine, patched, order, patches) if after else ()),
        *left_unused(tree.pristine, now),
        *without_effect(tree.pristine, now),
    )
    return Plan(tuple(order), pulled_in, reports, before, after, notes)


def _carry_out(tree: WorkingTree, patch: Patch) -> None:
    """Carry out the edits of a patch whose code is in a tree. Raises Refused where one of them cannot be."""
    for edit in patch.edits:
        look = look_at(tree, edit)
        if look.state not in (State.AVAILABLE, State.PARTIAL):
            continue
        if isinstance(edit, Add):
            apply_add(tree, edit, look.file)
        elif isinstance(edit, Carry):
            apply_carry(tree, edit, patch.id)
        else:
            apply_edit(tree, look, patch.id)


def _blaming(refused: Refused, sources: Mapping[str, str], order: Sequence[str], patches: Mapping[str, Patch]) -> str:
    """What is said of a result that is not sound, of the patches alone that make it so."""
    apart = [name for name in order if len(order) > 1 and not patches[name].requires]
    guilty = [name for name in apart if _refusal(sources, name, patches) == refused.where]
    return refused.message.replace(named(order), named(guilty)) if guilty else refused.message


def _refusal(sources: Mapping[str, str], name: str, patches: Mapping[str, Patch]) -> str:
    """Where one patch is refused; nothing where it is not."""
    try:
        plan(sources, [name], patches)
    except Refused as refused:
        return refused.where
    return ""


def _undone(
    pristine: NewtTree, patched: WorkingTree, order: Sequence[str], patches: Mapping[str, Patch]
) -> Iterable[str]:
    """Patches that follow those applied, and that the tree had by hand in code that is replaced."""
    before = WorkingTree(pristine.sources, pristine)
    for name, patch in patches.items():
        if name in order or not set(patch.after) & set(order) or state_of(before, patch) is not State.APPLIED:
            continue
        if state_of(patched, patch) in (State.AVAILABLE, State.PARTIAL):
            yield f"The tree had {name!r} by hand, in code that is replaced now: apply {name} as well to have it again."


def _overridden(tree: WorkingTree, after: Mapping[str, str]) -> tuple[str, ...]:
    """Subclasses with methods of their own in place of patched ones that nothing else relies on, such as `train`."""
    return tuple(
        f"{place}; the patches changed {found.cls} alone, so look at it by hand."
        for found in tree.roles.values()
        if found.file in after
        for place in overrides(tree.pristine.sources, found, after, relied_on=False)
    )
