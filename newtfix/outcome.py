"""What a tree becomes when another set of patches is wanted in it, with the edits of others; and how it is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from newtfix.errors import Refused, TreeError
from newtfix.ledger import Entry, Ledger, fingerprint, ledger_changes
from newtfix.merge import merge_files
from newtfix.model import PatchReport, Plan, State
from newtfix.session import Session, applied_by
from newtfix.tree import copy_names, decode, encode
from newtfix.write import Change, commit, digest


@dataclass(frozen=True)
class Outcome:
    """What a tree becomes with a set of patches: the bytes of the files that change, and the record to keep.

    `pristine` and `generated` are the files of the record before any patch, and as the patches alone make them; what
    is written, `after`, has the edits of others merged in.
    """

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    ledger: Ledger | None
    pristine: Mapping[str, bytes]
    generated: Mapping[str, bytes]
    plan: Plan | None
    notes: tuple[str, ...] = ()

    @property
    def applied(self) -> tuple[str, ...]:
        return applied_by(self.plan)


def compute(session: Session, wanted: Sequence[str], *, complete: bool = False) -> Outcome:
    """What the tree becomes when exactly `wanted`, and what they require, shall be in. Reads and writes nothing.

    Raises:
        Refused: a patch does not fit, is there in part and may not be completed, or edits of others conflict.
    """
    _must_be_known(session, wanted)
    plan = plan_for(session, wanted, complete) if wanted else None
    outcome = _outcome(session, wanted, plan, plan.after if plan else {}, applied_by(plan))
    return replace(outcome, notes=(*(plan.notes if plan else ()), *_lost(session, outcome)))


def one_by_one(session: Session, outcome: Outcome) -> Iterator[tuple[str, Outcome]]:
    """The way to `outcome` through one new patch at a time; each outcome begins where the one before it ends."""
    from newtfix.steps import steps

    plan, ledger = outcome.plan, outcome.ledger
    new = [name for name in outcome.applied if name not in session.applied]
    if plan is None or ledger is None or not new:
        return
    start = {path: decode(content) for path, content in session.generated.items()}
    completes = bool(ledger.completed)
    old = [name for name in outcome.applied if name in session.applied]
    way = steps(pristine_sources(session), start, old, new, session.patches, plan.after, completes)
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


def fitting(session: Session, wanted: Sequence[str], complete: bool) -> tuple[tuple[str, ...], dict[str, Refused]]:
    """Those of `wanted` that fit with what they require and with what is applied, and why the others do not."""
    from newtfix.steps import fitting as fits

    return fits(pristine_sources(session), session.requested, wanted, session.patches, complete, session.tree.foreign)


def changed_patches(session: Session) -> tuple[str, ...]:
    """Applied patches whose code is another than when they were last written."""
    known = session.ledger.definitions if session.ledger else {}
    return tuple(
        name
        for name in session.applied
        if name in session.patches and name in known and known[name] != fingerprint(session.patches[name])
    )


def pristine_sources(session: Session) -> dict[str, str]:
    """The text of every file from before any patch."""
    return {**session.tree.sources, **{path: decode(content) for path, content in session.pristine.items()}}


def save(session: Session, outcome: Outcome) -> None:
    """Write the outcome: into the tree, or into a new copy of the base tree that appears complete or not at all."""
    if not session.target.new:
        _commit(session.target.root, outcome)
        return
    target = session.target.name
    stage = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _copy(session.target.root, stage)
        _commit(stage, outcome)
        stage.rename(target)
    except OSError as error:
        raise TreeError(
            f"cannot create {target}: {error.strerror or error}",
            where=str(Path.cwd()),
            hint="Check the space on the disk and the permissions, or work elsewhere.",
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def plan_for(session: Session, wanted: Sequence[str], complete: bool) -> Plan:
    """The plan for the pristine tree. What was completed once stays so; of others, only `complete` fills in parts."""
    from newtfix.engine import plan

    before = session.ledger.completed if session.ledger else ()
    done = plan(pristine_sources(session), wanted, session.patches, complete=complete or bool(before))
    unasked = [] if complete else [name for name in _completed(done, done.order) if name not in before]
    if unasked:
        raise Refused(
            f"there in part only: {', '.join(unasked)}",
            hint="To have the missing part added, apply it with --complete.",
        )
    return done


def _completed(plan: Plan | None, names: Collection[str]) -> tuple[str, ...]:
    """The patches that were there in part."""
    return tuple(n for n in plan.order if n in names and plan.reports[n].state is State.PARTIAL) if plan else ()


def _outcome(
    session: Session, wanted: Sequence[str], plan: Plan | None, texts: Mapping[str, str], applied: Collection[str]
) -> Outcome:
    """What becomes of the tree when the patches make `texts` of the pristine files."""
    raw = session.tree.raw
    sources = pristine_sources(session)
    pristine = {path: session.pristine.get(path, raw[path]) for path, text in texts.items() if text != sources[path]}
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
        plan = plan_for(session, session.requested, complete=False)
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
        patches=tuple(_memorable(path, session.target.root) for path in session.directories),
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


def _lost(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """Notes on patches that were asked for and that edits of others changed or took out."""
    from newtfix.engine import inspect

    on_disk = {**session.tree.raw, **outcome.after}
    if outcome.ledger is None or all(on_disk.get(path) == text for path, text in outcome.generated.items()):
        return ()
    texts = {path: decode(text) for path, text in outcome.after.items() if path not in session.tree.foreign}
    found = inspect({**session.tree.sources, **texts}, session.patches, outcome.ledger.applied)
    return tuple(
        f"{name}: your edits changed its code; it is {report.state.value} now ({_place(report)}). "
        f"Take your edit out, or revert the patch (newtfix revert {name}{session.target.option}) and apply it again."
        for name, report in found.items()
        if report.state is not State.APPLIED
    )


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
            f"applied to this tree, but not among the patches at hand: {', '.join(unknown)}",
            where=", ".join(session.ledger.patches) if session.ledger else "",
            hint=f"Name their directory with --patches DIR, or take them out: {out}",
        )


def _memorable(directory: Path, root: Path) -> str:
    """A directory in the tree by its path in it, so that the tree can be moved."""
    home = root.resolve()
    return directory.relative_to(home).as_posix() if directory.is_relative_to(home) else str(directory)


def _commit(root: Path, outcome: Outcome) -> None:
    changes = [Change(path, outcome.before[path], outcome.after[path]) for path in outcome.after]
    changes += ledger_changes(root, outcome.ledger, outcome.pristine, outcome.generated)
    if changes:
        commit(root, changes)


def _copy(source: Path, target: Path) -> None:
    """A copy that its owner may write, also where the original is read-only."""
    shutil.copytree(source, target, ignore=copy_names)
    for folder, _, files in os.walk(target):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            path.chmod(path.stat().st_mode | 0o200)
