"""What the commands share: the tree they speak of, what is in it, and the outcome of wanting another set of patches."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from newtfix.errors import Refused, TreeError, UsageError
from newtfix.ledger import Entry, Ledger, edited_files, ledger_changes, pristine_bytes, read_ledger
from newtfix.lock import locked
from newtfix.model import Patch, PatchReport, Plan, State
from newtfix.places import base_tree, builtin_patches
from newtfix.settings import configured_patches
from newtfix.tree import Tree, copy_names, decode, encode, read_tree
from newtfix.write import Change, commit, digest, is_interrupted, recover

DEFAULT_TREE = Path("newt_patched")


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
    """A tree with its ledger, its texts from before any patch, and the patches at hand.

    `notes` are for the person at the terminal: what had to be tidied, where foreign patches come from.
    """

    target: Target
    tree: Tree
    ledger: Ledger | None
    pristine: Mapping[str, bytes]
    patches: Mapping[str, Patch]
    directories: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def applied(self) -> tuple[str, ...]:
        return self.ledger.applied if self.ledger else ()

    @property
    def requested(self) -> tuple[str, ...]:
        return self.ledger.requested if self.ledger else ()

    @property
    def edited(self) -> tuple[str, ...]:
        """Patched files that somebody edited since."""
        return edited_files(self.ledger, self.tree.raw) if self.ledger else ()


@dataclass(frozen=True)
class Outcome:
    """What a tree becomes with a set of patches: the bytes of the files that change, and the ledger to keep."""

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    ledger: Ledger | None
    pristine: Mapping[str, bytes]
    plan: Plan | None

    @property
    def applied(self) -> tuple[str, ...]:
        return applied_by(self.plan)


def find_target(tree: Path | None) -> Target:
    """`--tree`, else ./newt_patched, else what that would be copied from."""
    if tree is not None:
        return Target(tree, tree)
    if os.path.lexists(DEFAULT_TREE):
        return Target(DEFAULT_TREE, DEFAULT_TREE)
    return Target(base_tree(), DEFAULT_TREE, new=True)


def find_patches(named: Iterable[Path], target: Target) -> dict[str, Patch]:
    """The built-in patches and those of the directories named on the command line or in the settings."""
    return _load(_distinct((*configured_patches(target.name), *named)))


def open_session(target: Target, named: Sequence[Path] = (), *, held: bool = False) -> Session:
    """Read everything a command needs; `held`: the caller has locked the tree."""
    tree_notes = _tidy(target.root, held)
    tree = read_tree(target.root)
    ledger = read_ledger(target.root)
    settings = configured_patches(target.name)
    remembered = [path for path in (target.root / name for name in (ledger.patches if ledger else ())) if path.is_dir()]
    directories = _distinct((*settings, *remembered, *named))
    own_word = _distinct(named)
    notes = [f"Patches from {path} are used too." for path in directories if path not in own_word]
    if target.new and Path("trainer.py").is_file():
        notes.append("This folder looks like a tree itself; to mean it, say --tree . with the command.")
    pristine = {path: pristine_bytes(target.root, ledger, path) for path in ledger.files} if ledger else {}
    return Session(target, tree, ledger, pristine, _load(directories), directories, (*tree_notes, *notes))


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
            close = difflib.get_close_matches(name, patches, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            raise UsageError(f"there is no patch {given!r}", hint=f"{guess}The patches: {', '.join(patches)}")
    return tuple(name for name in patches if name in named)


def compute(session: Session, wanted: Sequence[str]) -> Outcome:
    """What the tree becomes when exactly `wanted`, and what they require, shall be in. Reads and writes nothing."""
    _must_not_be_edited(session)
    _must_be_known(session, wanted)
    plan = _plan(session, wanted) if wanted else None
    generated = dict(_generated(session, plan))
    foreign = sorted(generated.keys() & session.tree.foreign)
    if foreign:
        raise TreeError(
            f"not UTF-8, and to be edited: {', '.join(foreign)}", hint="Save these files as UTF-8 and try again."
        )
    pristine = {path: session.pristine.get(path, session.tree.raw[path]) for path in generated}
    final = {**session.pristine, **generated}
    changed = [path for path in sorted(final) if session.tree.raw[path] != final[path]]
    return Outcome(
        before={path: session.tree.raw[path] for path in changed},
        after={path: final[path] for path in changed},
        ledger=_ledger(session, wanted, plan, pristine, generated),
        pristine=pristine,
        plan=plan,
    )


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


def reports(session: Session, ids: Iterable[str]) -> dict[str, PatchReport]:
    """The state of patches in the tree as it is: from the code, and from the ledger where that still holds."""
    from newtfix.engine import inspect

    found = inspect(session.tree.sources, session.patches, ids)
    trusted = () if session.edited else session.applied
    return {
        name: PatchReport(name, State.APPLIED, report.edits) if name in trusted else report
        for name, report in found.items()
    }


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


def _tidy(root: Path, held: bool) -> tuple[str, ...]:
    """Finish or undo what an interrupted run left."""
    if not held and not is_interrupted(root):
        return ()
    if held:
        ended = recover(root)
    else:
        with locked(root):
            ended = recover(root)
    return (f"An earlier run was interrupted in {root}; it has been {ended}.",) if ended else ()


def _load(directories: Sequence[Path]) -> dict[str, Patch]:
    from newtfix.load import load_patches

    return load_patches((builtin_patches(), *directories))


def _distinct(directories: Iterable[Path]) -> tuple[Path, ...]:
    builtin = builtin_patches().resolve()
    return tuple(dict.fromkeys(path.resolve() for path in directories if path.resolve() != builtin))


def _must_not_be_base(target: Target) -> None:
    if not target.new and target.root.resolve() == base_tree().resolve():
        raise UsageError(
            f"{target.root} is the tree that others are copied from; it is not changed in place",
            hint="Leave --tree out: the first apply copies it to ./newt_patched.",
        )


def _must_not_be_edited(session: Session) -> None:
    if edited := session.edited:
        see = f"newtfix diff{session.target.option}"
        raise Refused(
            f"edited since newtfix wrote it: {', '.join(edited)}",
            where=str(session.target.root),
            hint=f"See the edit with `{see}`. Take it out (keep a copy), run this again, put it back.",
        )


def _must_be_known(session: Session, wanted: Iterable[str]) -> None:
    unknown = [name for name in wanted if name not in session.patches]
    if unknown:
        raise Refused(
            f"applied to this tree, but not among the patches at hand: {', '.join(unknown)}",
            where=", ".join(session.ledger.patches) if session.ledger else "",
            hint="Name their directory with --patches DIR, or take everything out with `newtfix revert --all`.",
        )


def _plan(session: Session, wanted: Sequence[str]) -> Plan:
    from newtfix.engine import plan

    before = {path: decode(content) for path, content in session.pristine.items()}
    return plan({**session.tree.sources, **before}, wanted, session.patches)


def _generated(session: Session, plan: Plan | None) -> Iterator[tuple[str, bytes]]:
    """The files that differ from their pristine bytes once the plan is carried out."""
    for path, text in (plan.after if plan else {}).items():
        pristine = session.pristine.get(path, session.tree.raw[path])
        if plan is not None and text != plan.before[path]:
            yield path, encode(text, like=pristine)


def _ledger(
    session: Session,
    wanted: Sequence[str],
    plan: Plan | None,
    pristine: Mapping[str, bytes],
    generated: Mapping[str, bytes],
) -> Ledger | None:
    if not generated:
        return None
    return Ledger(
        applied=applied_by(plan),
        requested=tuple(sorted(wanted)),
        patches=tuple(_memorable(path, session.target.root) for path in session.directories),
        files={path: Entry(digest(pristine[path]), digest(generated[path])) for path in sorted(generated)},
    )


def _memorable(directory: Path, root: Path) -> str:
    """A directory in the tree by its path in it, so that the tree can be moved."""
    home = root.resolve()
    return directory.relative_to(home).as_posix() if directory.is_relative_to(home) else str(directory)


def _commit(root: Path, outcome: Outcome) -> None:
    changes = [Change(path, outcome.before[path], outcome.after[path]) for path in outcome.after]
    changes += ledger_changes(root, outcome.ledger, outcome.pristine)
    if changes:
        commit(root, changes)


def _copy(source: Path, target: Path) -> None:
    """A copy that its owner may write, also where the original is read-only."""
    shutil.copytree(source, target, ignore=copy_names)
    for folder, _, files in os.walk(target):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            path.chmod(path.stat().st_mode | 0o200)
