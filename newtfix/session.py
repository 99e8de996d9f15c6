"""What the commands share: the tree they speak of, its record, the patches at hand, and their states."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from newtfix.errors import UsageError
from newtfix.ledger import Ledger, edited_files, generated_bytes, pristine_bytes, read_ledger
from newtfix.lock import locked
from newtfix.model import Patch, PatchReport, Plan, State
from newtfix.places import base_tree, builtin_patches
from newtfix.settings import configured_patches
from newtfix.tree import Tree, read_tree
from newtfix.write import digest, is_interrupted, recover

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
    """A tree with its ledger, the patches at hand, and the patched files from before any patch.

    `generated` is what the patches alone made of these files, as far as it is known. `stale` are the patches of a
    record that holds no longer. `notes` are for the person at the terminal: what had to be tidied, where foreign
    patches come from.
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
    notes = list(_tidy(target.root, held))
    tree = read_tree(target.root)
    ledger = read_ledger(target.root)
    stale = ledger.applied if ledger and _is_stale(ledger, tree) else ()
    if stale:
        notes.append(f"The files are as before the patches {', '.join(stale)}; the record of these no longer counts.")
        ledger = None
    settings = configured_patches(target.name)
    remembered = [path for path in (target.root / name for name in (ledger.patches if ledger else ())) if path.is_dir()]
    directories = _distinct((*settings, *remembered, *named))
    own_word = _distinct(named)
    notes += [f"Patches from {path} are used too." for path in directories if path not in own_word]
    if target.new and Path("trainer.py").is_file():
        notes.append("This folder looks like a tree itself; to mean it, say --tree . with the command.")
    pristine = {path: pristine_bytes(target.root, ledger, path) for path in ledger.files} if ledger else {}
    generated = _generated(target.root, ledger, tree) if ledger else {}
    return Session(target, tree, ledger, pristine, _load(directories), directories, tuple(notes), generated, stale)


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


def _is_stale(ledger: Ledger, tree: Tree) -> bool:
    """All patched files are back at their bytes from before, as git leaves them that switches to another branch."""
    return all(digest(tree.raw.get(path, b"")) == entry.pristine for path, entry in ledger.files.items())


def _generated(root: Path, ledger: Ledger, tree: Tree) -> dict[str, bytes]:
    """What the patches alone made of the patched files, where it is kept or still on the disk."""
    kept = {path: generated_bytes(root, ledger, path) for path in ledger.files}
    edited = edited_files(ledger, tree.raw)
    return {
        path: tree.raw[path] if content is None else content
        for path, content in kept.items()
        if content is not None or path not in edited
    }
