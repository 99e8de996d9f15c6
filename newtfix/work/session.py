"""What the commands share: the tree they speak of, its record, the patches at hand, and their states."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from newtfix import report
from newtfix.errors import RecordError, Refused, TreeError, UsageError
from newtfix.files import kept
from newtfix.files.checked import put_aside
from newtfix.files.journal import unusable_folder
from newtfix.files.ledger import (
    Ledger,
    Record,
    edited_files,
    fingerprint,
    fitting_record,
    generated_bytes,
    pristine_bytes,
    read_records,
    take_up,
)
from newtfix.files.lock import locked
from newtfix.files.mend import Ended
from newtfix.files.tree import OWN_FOLDER, Tree, decode, listed, must_be_folder, read_tree
from newtfix.files.write import commit, is_interrupted, recover
from newtfix.model import Patch, PatchReport, Place, Plan, State
from newtfix.work import planning
from newtfix.work.allowed import folders
from newtfix.work.blame import explanations, fault_of, not_its_text, unread
from newtfix.work.places import DEFAULT_TREE, base_tree, tree_near
from newtfix.work.settings import configured_patches

_SETTINGS = "its pyproject.toml"
_RECORD = "the record of the tree"


@dataclass(frozen=True)
class Target:
    """The tree a command speaks of: `root` is read; `new` means that the first `apply` will copy it to `name`."""

    root: Path
    name: Path
    new: bool = False

    @property
    def option(self) -> str:
        """What a command that is suggested has to say to mean this tree."""
        return "" if self.name == DEFAULT_TREE else f" --tree {shlex.quote(str(self.name))}"


@dataclass(frozen=True)
class Session:
    """A tree with its ledger, the patches at hand, and the patched files from before any patch.

    `generated` is what the patches alone made of these files, as far as it is known. `stale` are the patches of
    records none of which fits the files. `notes` are for the person at the terminal: what had to be tidied, where
    foreign patches come from.
    """

    target: Target
    tree: Tree
    ledger: Ledger | None
    pristine: Mapping[str, bytes]
    patches: Mapping[str, Patch]
    directories: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    generated: Mapping[str, bytes] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    @property
    def applied(self) -> tuple[str, ...]:
        return self.ledger.applied if self.ledger else ()

    @property
    def requested(self) -> tuple[str, ...]:
        return self.ledger.requested if self.ledger else ()

    @property
    def written(self) -> dict[str, str]:
        """The digest of each patched file as newtfix last left it."""
        return {path: entry.written for path, entry in self.ledger.files.items()} if self.ledger else {}

    @property
    def edited(self) -> tuple[str, ...]:
        """Patched files that carry edits of others."""
        return edited_files(self.ledger, self.tree.raw) if self.ledger else ()

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """Patched files that are gone, or that are no Python any more, and what is wrong with each."""
        found = {
            path: self.tree.left.get(path)
            or not_its_text(path, self.tree)
            or fault_of(path, self.tree.sources.get(path))
            for path in sorted(self.pristine)
        }
        return {path: fault for path, fault in found.items() if fault}


def find_target(tree: Path | None) -> Target:
    """`--tree`, else ./newt_patched, else what that would be copied from."""
    if tree is not None:
        must_be_folder(tree)
        return Target(tree, tree)
    if os.path.lexists(DEFAULT_TREE):
        return Target(DEFAULT_TREE, DEFAULT_TREE)
    return Target(base_tree(), DEFAULT_TREE, new=True)


def find_patches(named: Iterable[Path], target: Target) -> tuple[dict[str, Patch], tuple[str, ...]]:
    """The built-in patches and those of the directories named on the command line or allowed; and what to say."""
    found = folders(named, {_SETTINGS: configured_patches(target.name)})
    return found.load(), found.notes


def open_session(target: Target, named: Sequence[Path] = (), *, held: bool = False) -> Session:
    """Read everything a command needs; `held`: the caller has locked the tree."""
    try:
        return _open(target, named, held)
    except FileNotFoundError:  # as where the working folder is gone
        raise
    except OSError as problem:
        if OWN_FOLDER in Path(str(problem.filename or OWN_FOLDER)).parts:
            raise unusable_folder(target.root, problem) from problem
        raise TreeError(f"{problem.filename} cannot be read: {problem.strerror}") from problem


def _open(target: Target, named: Sequence[Path], held: bool) -> Session:
    notes = list(_tidy(target.root, held))
    tree = read_tree(target.root)
    record, stale = _record(tree, held)
    ledger, home = (record.ledger, record.home) if record else (None, OWN_FOLDER)
    if stale:
        notes.append(
            f"newtfix's record of {', '.join(stale)} does not fit these files (another branch, say); "
            "it is kept, and counts again when its files come back."
        )
    remembered = ledger.patches if ledger else ()
    offered = {_SETTINGS: configured_patches(target.name), _RECORD: [target.root / name for name in remembered]}
    found = folders(named, offered)
    notes += found.notes
    if target.new and (near := tree_near(Path())):
        where, option = "This folder" if near == "." else f"The folder {near}", f"--tree {shlex.quote(near)}"
        notes.append(f"{where} looks like a tree itself; to mean it, say {option} with the command.")
    pristine = {path: pristine_bytes(target.root, ledger, path, home) for path in ledger.files} if ledger else {}
    generated = _generated(target.root, record, tree) if record else {}
    notes += [f"{path} is not read: {reason}." for path, reason in tree.left.items()]
    session = Session(target, tree, ledger, pristine, found.load(), found.used, (), generated, stale)
    session = replace(session, notes=(*notes, *_cannot_be_read(session)))
    report.say_with_error(session.notes, lambda: explanations(tree))
    return session


@contextmanager
def writing(target: Target, named: Sequence[Path]) -> Iterator[Session]:
    """A session that may write: it holds the lock of the tree, unless the tree is yet to be made."""
    _must_not_be_base(target)
    if target.new:
        yield open_session(target, named)
        return
    if not target.root.is_dir():
        read_tree(target.root)
    with locked(target.root):
        yield open_session(target, named, held=True)


def choose(ids: Sequence[str], everything: bool, patches: Collection[str]) -> tuple[str, ...]:
    """The patches that a command line asks for, in their default order."""
    if everything:
        return tuple(patches)
    named = [name.replace("_", "-") if name not in patches else name for name in ids]
    for given, name in zip(ids, named, strict=True):
        if name not in patches:
            close = difflib.get_close_matches(name.lower(), patches, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            raise UsageError(f"there is no patch {given!r}", hint=f"{guess}The patches: {', '.join(patches)}")
    return tuple(name for name in patches if name in named)


def reports(session: Session, ids: Iterable[str]) -> dict[str, PatchReport]:
    """The state of patches in the tree as it is: from the code, and from the ledger where that still holds."""
    found = seen(session, ids)
    trusted = () if session.edited else session.applied
    return {
        name: PatchReport(name, State.APPLIED, report.edits) if name in trusted else report
        for name, report in found.items()
    }


def seen(session: Session, ids: Iterable[str], texts: Mapping[str, str] | None = None) -> dict[str, PatchReport]:
    """The state of patches from the code alone, with `texts` in the place of files.

    A patched file that cannot be read counts as the patches made it, which is all that is known of it.
    """
    return planning.inspect(usable({**_known(session), **(texts or {})}), session.patches, ids)


def changed_patches(session: Session) -> tuple[str, ...]:
    """Applied patches whose code is another than when they were last written."""
    known = session.ledger.definitions if session.ledger else {}
    return tuple(
        name
        for name in session.applied
        if name in session.patches and name in known and known[name] != fingerprint(session.patches[name])
    )


def shown_places(report: PatchReport) -> tuple[Place, ...]:
    """Where a state is seen, each line once: the code to fix where a patch is available, else the fix."""
    shown = (State.AVAILABLE,) if report.state is State.AVAILABLE else (State.APPLIED, State.PARTIAL)
    found = {(place.file, place.line): place for edit in report.edits if edit.state in shown for place in edit.places}
    return tuple(found[key] for key in sorted(found))


def nearest_place(report: PatchReport) -> str:
    """Where code that was not recognised should be: the line most like it, or the function or class."""
    missing = [edit for edit in report.edits if edit.state is State.DRIFTED]
    for edit in missing:
        if near := edit.candidate or next(iter(edit.places), None):
            return f"near {near.file}:{near.line}"
    return next((f"in {edit.file}, {edit.symbol or 'module'}" for edit in missing if edit.file), "")


def unseen(session: Session, report: PatchReport) -> tuple[str, ...]:
    """The files that a state rests on and that cannot be read, so that the record alone speaks for it."""
    return tuple(dict.fromkeys(edit.file for edit in report.edits if edit.file in session.unreadable))


def lost(session: Session, known: Mapping[str, PatchReport] | None = None) -> dict[str, PatchReport]:
    """Patches that the record has, and whose code is not there, or not whole, any more.

    Args:
        known: the states of all patches, where somebody has looked already.
    """
    if not session.edited:
        return {}
    changed = changed_patches(session)  # what the code shows of these is another version
    names = [name for name in session.applied if name in session.patches and name not in changed]
    found = {name: known[name] for name in names} if known else {}
    with suppress(TreeError):  # a tree that cannot be looked at
        found = found or seen(session, names)
    return {name: one for name, one in found.items() if one.state is not State.APPLIED}


def usable(sources: Mapping[str, str]) -> Mapping[str, str]:
    """The files to look at: all, or those that are Python, where the tree is one without the others only."""

    def useless() -> list[str]:
        from newtfix.newt.roles import find_roles

        faulty = (path for path, text in sources.items() if fault_of(path, text))
        for left_out in ((), faulty):
            with suppress(TreeError, Refused):
                names = sorted(left_out)
                find_roles({path: text for path, text in sources.items() if path not in names})
                return names
        return []

    left_out = frozenset(kept.value("usable", listed(sources), useless))
    return {path: text for path, text in sources.items() if path not in left_out}


def required_by(name: str, among: Iterable[str], patches: Mapping[str, Patch]) -> tuple[str, ...]:
    """The patches of `among` that cannot do without `name`, directly or through others."""
    return tuple(other for other in among if other != name and name in _needs(other, patches))


def applied_by(plan: Plan | None) -> tuple[str, ...]:
    """The patches of a plan that have something to do, in order."""
    if plan is None:
        return ()
    return tuple(name for name in plan.order if plan.reports[name].state in (State.AVAILABLE, State.PARTIAL))


def _needs(name: str, patches: Mapping[str, Patch]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        patch = patches.get(pending.pop())
        fresh = set(patch.requires) - found if patch else set()
        found |= fresh
        pending.extend(fresh)
    return found


def _known(session: Session) -> dict[str, str]:
    """The files as they are; those of the record that cannot be read as the patches made them."""
    made = {path: decode(session.generated[path]) for path in session.unreadable if path in session.generated}
    return {**session.tree.sources, **made}


def _cannot_be_read(session: Session) -> list[str]:
    """Notes on files that the patches made, or may be looking for, and that are gone or no Python."""
    known = _known(session)

    def missed() -> list[str]:
        from newtfix.newt.roles import ROLES, find_roles

        with suppress(TreeError, Refused):
            if find_roles(usable(known)).keys() == ROLES.keys():
                return []
        return list(unread(session.tree).values())

    lines = kept.value("missed", [*listed(known), *session.unreadable.values()], missed)
    faults = session.unreadable.items()
    return [*(f"{path}: {fault}; of its patches only the record is known." for path, fault in faults), *lines]


def _tidy(root: Path, held: bool) -> tuple[str, ...]:
    """Finish or undo what an interrupted run left."""
    if not held and not is_interrupted(root):
        return ()
    if held:
        ended = recover(root)
    else:
        with locked(root):
            ended = recover(root)
    return tuple(_mended(root, ended)) if ended else ()


def _mended(root: Path, ended: Ended) -> Iterator[str]:
    yield f"An earlier run was interrupted in {root}; it has been {ended.how}."
    if ended.edited:
        yield f"What was edited since is kept: {', '.join(ended.edited)}."
    for place in ended.kept:
        yield f"Another version, saved meanwhile, is kept as {place}."


def _must_not_be_base(target: Target) -> None:
    if not target.new and target.root.resolve() == base_tree().resolve():
        raise UsageError(
            f"{target.root} is the tree that others are copied from; it is not changed in place",
            hint="Leave --tree out: the first apply copies it to ./newt_patched.",
        )


def _record(tree: Tree, held: bool) -> tuple[Record | None, tuple[str, ...]]:
    """The record that fits the tree, and the patches of records if none does. Who may write makes it the one in use."""
    records = _records(tree.root, held)
    record = fitting_record(records, tree.raw)
    if held and records and (record is None or record.is_aside):
        if changes := take_up(tree.root, record):
            commit(tree.root, changes)
        record = replace(record, home=OWN_FOLDER) if record else None
    others = (name for one in records for name in one.ledger.applied)
    return record, () if record else tuple(dict.fromkeys(others))


def _records(root: Path, held: bool) -> list[Record]:
    """The records of a tree. One that lies is put aside, and said."""
    try:
        return read_records(root)
    except RecordError as problem:
        if held:
            raise put_aside(root, problem) from None
        with locked(root):
            raise put_aside(root, problem) from None


def _generated(root: Path, record: Record, tree: Tree) -> dict[str, bytes]:
    """What the patches alone made of the patched files, where it is kept or still on the disk."""
    ledger = record.ledger
    kept = {path: generated_bytes(root, ledger, path, record.home) for path in ledger.files}
    edited = edited_files(ledger, tree.raw)
    return {
        path: tree.raw[path] if content is None else content
        for path, content in kept.items()
        if content is not None or path not in edited
    }
