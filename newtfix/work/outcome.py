"""What a tree becomes when another set of patches is wanted in it, with the edits of others; and how it is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from newtfix.errors import Refused, TreeError
from newtfix.files import inside
from newtfix.files.checked import digest
from newtfix.files.journal import unusable_folder
from newtfix.files.ledger import Entry, Ledger, fingerprint, ledger_changes
from newtfix.files.merge import merge_files
from newtfix.files.stage import appear, staging
from newtfix.files.tree import OWN_FOLDER, copy_names, decode, encode
from newtfix.files.write import Change, commit
from newtfix.model import PatchReport, Plan, State
from newtfix.patch.order import with_requirements
from newtfix.work import planning
from newtfix.work.session import Session, applied_by, lost, required_by, seen, unseen, usable

GONE = "in the record, but its code is not in the tree any more (edited, or reverted with git)"


@dataclass(frozen=True)
class Outcome:
    """What a tree becomes with a set of patches: the bytes of the files that change, and the record to keep.

    `pristine` and `generated` are the files of the record before any patch, and as the patches alone make them; what
    is written, `after`, has the edits of others merged in; `broken` are patches of the record that these edits changed
    or took out.
    """

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    ledger: Ledger | None
    pristine: Mapping[str, bytes]
    generated: Mapping[str, bytes]
    plan: Plan | None
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def applied(self) -> tuple[str, ...]:
        return applied_by(self.plan)


def compute(session: Session, wanted: Sequence[str], *, asked: Collection[str] = ()) -> Outcome:
    """What the tree becomes when exactly `wanted`, and what they require, shall be in. Reads and writes nothing.

    Args:
        asked: those of `wanted` whose code must be whole then, whatever others have edited.

    Raises:
        Refused: a patch does not fit, or edits of others conflict.
    """
    plan = plan_for(session, wanted) if wanted else None
    outcome = _outcome(session, wanted, plan, plan.after if plan else {}, applied_by(plan))
    found = _reports(session, outcome)
    broken = {name: one for name, one in found.items() if one.state is not State.APPLIED}
    implied = sorted(with_requirements(asked, session.patches)[0] & found.keys())
    _must_be_seen(session, [found[name] for name in implied])
    if spoilt := {name: broken[name] for name in implied if name in broken}:
        raise _spoilt(session, spoilt)
    notes = [_lost_note(session, name, report) for name, report in broken.items()]
    return replace(outcome, notes=(*(plan.notes if plan else ()), *notes), broken=tuple(broken))


def again(session: Session, asked: Collection[str]) -> tuple[str, ...]:
    """Patches of the record that `asked` implies, and whose code is not whole in the tree any more."""
    implied, _ = with_requirements(asked, session.patches)
    return tuple(name for name in lost(session) if name in implied)


def without(session: Session, names: Collection[str]) -> Session:
    """The session as if newtfix had never put these patches in: what there is of them was written by others."""
    ledger = session.ledger
    if ledger is None or not names:
        return session
    gone = {*names, *(other for name in names for other in required_by(name, session.applied, session.patches))}
    rest = [name for name in session.applied if name not in gone]
    texts = plan_for(session, rest).after if rest else {}
    generated = {
        path: encode(texts[path], like=content) if path in texts else content
        for path, content in session.pristine.items()
    }
    files = {path: replace(entry, generated=digest(generated[path])) for path, entry in ledger.files.items()}
    requested = tuple(name for name in ledger.requested if name not in gone)
    return replace(
        session, ledger=replace(ledger, applied=tuple(rest), requested=requested, files=files), generated=generated
    )


def one_by_one(session: Session, outcome: Outcome) -> Iterator[tuple[str, Outcome]]:
    """The way to `outcome` through one new patch at a time; each outcome begins where the one before it ends."""
    from newtfix.work.steps import steps

    plan, ledger = outcome.plan, outcome.ledger
    new = [name for name in outcome.applied if name not in session.applied]
    if plan is None or ledger is None or not new:
        return
    start = _decoded(session.generated)
    old = [name for name in outcome.applied if name in session.applied]
    way = steps(pristine_sources(session), start, old, new, session.patches, plan.after)
    current = dict(session.tree.raw)
    for number, (name, texts) in enumerate(zip(new, way, strict=True), 1):
        here = [one for one in outcome.applied if one in old or one in new[:number]]
        last = number == len(new)
        wanted = ledger.requested if last else tuple(dict.fromkeys((*session.requested, *new[:number])))
        step = _outcome(session, wanted, plan, texts, here)
        contents = {**session.tree.raw, **step.after}
        changed = [path for path in sorted(contents) if contents[path] != current[path]]
        yield (
            name,
            replace(
                step,
                before={path: current[path] for path in changed},
                after={path: contents[path] for path in changed},
            ),
        )
        current = contents


def fitting(session: Session, wanted: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Refused]]:
    """Those of `wanted` that fit with what they require and with what is applied, and why the others do not."""
    from newtfix.work.steps import fitting as fits

    _must_be_known(session, session.requested)
    return fits(pristine_sources(session), session.requested, wanted, session.patches, session.tree.foreign)


def pristine_sources(session: Session) -> dict[str, str]:
    """The text of every file from before any patch."""
    return dict(usable({**session.tree.sources, **_decoded(session.pristine)}))


def save(session: Session, outcome: Outcome) -> None:
    """Write the outcome: into the tree, or into a new copy of the base tree that appears complete or not at all."""
    if not session.target.new:
        _commit(session.target.root, outcome)
        return
    target = session.target.name
    try:
        with staging(target.parent, f".{target.name}.") as stage:
            _copy(session.target.root, stage)
            _commit(stage, outcome)
            appear(stage, target)
    except OSError as error:
        raise TreeError(
            f"cannot create {target}: {error.strerror or error}",
            where=str(Path.cwd()),
            hint="Check the space on the disk and the permissions, or work elsewhere.",
        ) from error


def plan_for(session: Session, wanted: Sequence[str]) -> Plan:
    """The plan for the pristine tree."""
    _must_be_known(session, wanted)
    sources = pristine_sources(session)
    try:
        return planning.plan(sources, wanted, session.patches)
    except Refused as problem:
        broken = sorted(session.tree.sources.keys() - session.pristine.keys() - sources.keys())
        said = "\n".join((problem.where, *(f"{path} is no Python, so it was left out" for path in broken)))
        raise replace(problem, where=said.strip()) from None


def _completed(plan: Plan | None, names: Collection[str]) -> tuple[str, ...]:
    """The patches that were there in part."""
    return tuple(n for n in plan.order if n in names and plan.reports[n].state is State.PARTIAL) if plan else ()


def _outcome(
    session: Session, wanted: Sequence[str], plan: Plan | None, texts: Mapping[str, str], applied: Collection[str]
) -> Outcome:
    """What becomes of the tree when the patches make `texts` of the pristine files."""
    raw = session.tree.raw
    sources = pristine_sources(session)
    old = {**raw, **session.pristine}
    pristine = {path: old[path] for path, text in texts.items() if text != sources[path]}
    if foreign := sorted((pristine.keys() & session.tree.foreign) - session.pristine.keys()):
        raise TreeError(
            f"not UTF-8, and to be edited: {', '.join(foreign)}", hint="Save these files as UTF-8 and try again."
        )
    generated = {path: encode(texts[path], like=content) for path, content in pristine.items()}
    ours = {**session.pristine, **generated}
    final = merge_files(_base(session, ours), ours, raw)
    after = {path: content for path, content in final.items() if content is not None and content != raw[path]}
    return Outcome(
        before={path: raw[path] for path in after},
        after=after,
        ledger=_ledger(session, wanted, plan, tuple(applied), pristine, generated, after),
        pristine=pristine,
        generated=generated,
        plan=plan,
    )


def _base(session: Session, paths: Collection[str]) -> dict[str, bytes]:
    """What the patches made of the files last; those that no patch touched yet are as they lie there."""
    known = {**{path: session.tree.raw[path] for path in paths if path not in session.pristine}, **session.generated}
    unknown = sorted(set(paths) - known.keys())
    return {**known, **_recomputed(session, unknown)} if unknown else known


def _recomputed(session: Session, paths: Sequence[str]) -> dict[str, bytes]:
    """What the patches made of edited files, where an older record does not keep it."""
    try:
        plan = plan_for(session, session.requested)
        found = {path: encode(plan.after[path], like=session.pristine[path]) for path in paths}
    except (Refused, KeyError):
        found = {}
    files = session.ledger.files if session.ledger else {}
    if lost := [path for path in paths if path not in found or digest(found[path]) != files[path].generated]:
        raise Refused(
            f"edited since newtfix wrote it, and the record does not say what it was then: {', '.join(lost)}",
            where=str(session.target.root),
            hint=f"See the edit with `newtfix diff{session.target.option}`. "
            "Take it out (keep a copy), run this again, put it back.",
        )
    return found


def _ledger(
    session: Session,
    wanted: Sequence[str],
    plan: Plan | None,
    applied: tuple[str, ...],
    pristine: Mapping[str, bytes],
    generated: Mapping[str, bytes],
    after: Mapping[str, bytes],
) -> Ledger | None:
    if not generated:
        return None
    return Ledger(
        applied=applied,
        requested=tuple(sorted(wanted)),
        patches=_remembered(session),
        files={
            path: Entry(digest(pristine[path]), digest(generated[path]), _written(session, path, after))
            for path in sorted(generated)
        },
        completed=_completed(plan, applied),
        definitions={name: fingerprint(session.patches[name]) for name in applied},
    )


def _written(session: Session, path: str, after: Mapping[str, bytes]) -> str:
    """The digest of what newtfix last wrote there."""
    if path not in after and session.ledger and path in session.ledger.files:
        return session.ledger.files[path].written
    return digest(after.get(path, session.tree.raw.get(path, b"")))


def _reports(session: Session, outcome: Outcome) -> dict[str, PatchReport]:
    """The states of the patches of an outcome, by their code; nothing where no edits of others are in it."""
    on_disk = {**session.tree.raw, **outcome.after}
    if outcome.ledger is None or all(on_disk.get(path) == text for path, text in outcome.generated.items()):
        return {}
    texts = _decoded({path: text for path, text in outcome.after.items() if path not in session.tree.foreign})
    return seen(session, outcome.ledger.applied, texts)


def _must_be_seen(session: Session, found: Collection[PatchReport]) -> None:
    """What cannot be read cannot be said to have a patch."""
    files = sorted({path for one in found for path in unseen(session, one)})
    if files:
        raise Refused(
            f"newtfix cannot tell whether {', '.join(one.id for one in found if unseen(session, one))} is in this tree",
            where="\n".join(f"{path}: {session.unreadable[path]}" for path in files),
            hint="Nothing was written. Restore these files, or mend them, and run this again. As the patches alone "
            f"made them, they are in {OWN_FOLDER}/generated in the tree.",
        )


def _lost_note(session: Session, name: str, report: PatchReport) -> str:
    option = session.target.option
    if name not in session.applied:
        return f"{name}: with your edits its code is not whole: {report.state.value} ({_place(report)})."
    return (
        f"{name} is {GONE}: {report.state.value} ({_place(report)}). `newtfix apply {name}{option}` puts it in "
        f"again where your edits leave room, `newtfix revert {name}{option}` takes it out of the record."
    )


def _spoilt(session: Session, broken: Mapping[str, PatchReport]) -> Refused:
    return Refused(
        f"with the edits in this tree, patches would not be whole: {', '.join(broken)}",
        where="\n".join(f"{name}: {report.state.value} ({_place(report)})" for name, report in broken.items()),
        hint=f"Nothing was written. See the edits with `newtfix diff{session.target.option}`. Take those out that "
        "concern this code (keep a copy), run this again and put them back, or leave these patches out.",
    )


def _decoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: decode(content) for path, content in files.items()}


def _place(report: PatchReport) -> str:
    """Where a patch that is not there should be."""
    edit = next((one for one in report.edits if one.state is not State.APPLIED), None)
    if edit is None:
        return "no such code"
    place = edit.candidate or (edit.places[0] if edit.places else None)
    return f"{place.file}:{place.line}" if place else f"{edit.file}, {edit.symbol or 'module'}"


def _must_be_known(session: Session, wanted: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in session.patches]
    if unknown:
        out = f"newtfix revert {' '.join(unknown)}{session.target.option}"
        raise Refused(
            f"applied to this tree, but not among the known patches: {', '.join(unknown)}",
            where=", ".join(session.ledger.patches) if session.ledger else "",
            hint=f"Name their folder with --patches DIR, allow it (newtfix trust DIR), or take them out: {out}",
        )


def _remembered(session: Session) -> tuple[str, ...]:
    """The folders of patches of the record, also those that were not used this time, with those that were."""
    used = (_memorable(path, session.target.root) for path in session.directories)
    return tuple(dict.fromkeys((*(session.ledger.patches if session.ledger else ()), *used)))


def _memorable(directory: Path, root: Path) -> str:
    """A directory in the tree by its path in it, so that the tree can be moved."""
    home = root.resolve()
    return directory.relative_to(home).as_posix() if directory.is_relative_to(home) else str(directory)


def _commit(root: Path, outcome: Outcome) -> None:
    changes = [Change(path, outcome.before[path], outcome.after[path]) for path in outcome.after]
    try:
        changes += ledger_changes(root, outcome.ledger, outcome.pristine, outcome.generated)
    except OSError as problem:
        raise unusable_folder(root, problem) from problem
    if changes:
        commit(root, changes)


def _copy(source: Path, target: Path) -> None:
    """A copy that its owner may write, also where the original is read-only."""
    for folder, folders, names in os.walk(source):
        skipped = copy_names(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in skipped]
        path = Path(folder).relative_to(source).as_posix()
        with inside.folder(target, "" if path == "." else path, make=True):
            pass
        for name in names:
            if name not in skipped:
                file = Path(folder, name)
                place = name if path == "." else f"{path}/{name}"
                mode = stat.S_IMODE(file.stat().st_mode) & 0o777 | 0o200
                inside.write(target, place, inside.read_named(file), mode)
