"""Variants of a tree: the tree as it was when the study was planned, with one set of patches each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from newtfix.ablate.study import PLAN, TREES, Plan, subset_digest
from newtfix.errors import Refused
from newtfix.files.checked import digest
from newtfix.files.ledger import fingerprint
from newtfix.files.tree import OWN_FOLDER
from newtfix.model import State
from newtfix.work.allowed import distinct
from newtfix.work.allowed import folders as folders_to_run
from newtfix.work.outcome import Outcome, compute, plan_for, save
from newtfix.work.session import Session, Target, open_session, reports


class Variants:
    """Makes the trees of a study, each once; the tree that they are made from is only read."""

    def __init__(self, folder: Path, tree: Path | None, patches: Sequence[Path]) -> None:
        self._folder, self._patches = folder.resolve(), tuple(patches)
        self._made: set[Path] = set()
        self.root = (tree if tree is not None else find_base()).resolve()

    @classmethod
    def of(cls, folder: Path, plan: Plan) -> Variants:
        """Those of a plan. Raises Refused where the tree or a patch is not what it was then."""
        folders = [Path(one) for one in plan.folders]
        allowed = folders_to_run((), {str(folder / PLAN): folders})
        if len(allowed.used) < len(distinct(folders)):
            raise Refused("patches of this study may not be run", where=str(folder), hint=" ".join(allowed.notes))
        found = cls(folder, Path(plan.tree) if plan.tree else None, folders)
        changed = [*_changes(plan.files, found.files), *_changes(plan.patches, found.fingerprints(plan.patches))]
        if changed:
            raise Refused(
                f"changed since this study was planned: {', '.join(changed[:5])}{' ...' if len(changed) > 5 else ''}",
                where=str(found.root),
                hint="Its runs are kept, and `newtfix report` still works. Take the change back to go on, "
                "or plan a study of the tree as it is now in another folder (--dir).",
            )
        return found

    @cached_property
    def session(self) -> Session:
        return open_session(Target(self.root, self._folder / TREES / "new", new=True), self._patches)

    @cached_property
    def files(self) -> dict[str, str]:
        """The digest of each file of the tree."""
        return {path: digest(content)[:16] for path, content in sorted(self.session.tree.raw.items())}

    def fingerprints(self, names: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
        known = self.session.patches
        return {name: fingerprint(known[name]) for name in names if name in known}

    @cached_property
    def states(self) -> dict[str, State]:
        """The state of each patch in the tree, or what it is once the others are in, where only these give it work."""
        session = self.session
        found = {name: one.state for name, one in reports(session, session.patches).items()}
        wanted = [name for name, state in found.items() if state in (State.AVAILABLE, State.ABSENT)]
        try:
            together = plan_for(session, wanted).reports if wanted else {}
        except Refused:
            return found
        late = [name for name in wanted if found[name] is State.ABSENT and name in together]
        return found | {name: together[name].state for name in late}

    @property
    def package(self) -> str:
        """What variants are called, so that their modules can be imported."""
        return self.root.name if self.root.name.isidentifier() else "tree"

    def make(self, patches: Sequence[str]) -> Path:
        """The folder of the variant with exactly these patches. It appears complete or not at all.

        One that is there is made anew if its code is not what it should be.
        """
        home = self._folder / TREES / subset_digest(patches)
        target = home / self.package
        if target in self._made:
            return target
        session = replace(self.session, target=Target(self.root, target, new=True))
        outcome = compute(session, patches)
        if not self._is_made(target, outcome):
            shutil.rmtree(target, ignore_errors=True)
            home.mkdir(parents=True, exist_ok=True)
            for left in home.glob(f".{self.package}.*"):
                shutil.rmtree(left, ignore_errors=True)
            self._link_beside(home)
            save(session, outcome)
        self._made.add(target)
        return target

    def _is_made(self, target: Path, outcome: Outcome) -> bool:
        """Whether a folder holds the code of a variant, and no other; what Python compiled of it is taken away."""
        contents = {**self.session.tree.raw, **outcome.after}
        wanted = {path: content for path, content in contents.items() if _is_code(path)}
        found: dict[str, bytes] = {}
        for folder, folders, names in os.walk(target):
            if any(Path(folder, name).is_symlink() for name in (*folders, *names)):
                return False
            shutil.rmtree(Path(folder, "__pycache__"), ignore_errors=True)
            folders[:] = [name for name in folders if name not in ("__pycache__", OWN_FOLDER)]
            paths = (Path(folder, name) for name in names if _is_code(name))
            found |= {path.relative_to(target).as_posix(): path.read_bytes() for path in paths if path.is_file()}
        return found == wanted

    def _link_beside(self, home: Path) -> None:
        """Files beside the tree, which it may read by a path of its own: upstream's tasks.json."""
        for path in self.root.parent.iterdir() if self.root != find_base().resolve() else ():
            if path.is_file() and not path.name.startswith(".") and not (home / path.name).exists():
                (home / path.name).symlink_to(path)


def find_base() -> Path:
    """newt_base, whatever there is in the folder of the user."""
    from newtfix.work.places import base_tree

    return base_tree()


def _is_code(path: str) -> bool:
    return path.endswith((".py", ".pyc", ".pyd", ".so"))


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
