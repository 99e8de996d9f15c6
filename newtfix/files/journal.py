"""The journal of a transaction: what is to be written where, kept in the tree's `.newtfix` until it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from newtfix.errors import TreeError
from newtfix.files import inside
from newtfix.files.checked import Lie, digest_of, liar, list_of, own_path, read_record, table_of
from newtfix.files.tree import OWN_FOLDER

JOURNAL = f"{OWN_FOLDER}/journal.json"
UNDO = f"{OWN_FOLDER}/undo"
NEW = f"{OWN_FOLDER}/new"
JOURNAL_NEW = f"{OWN_FOLDER}/journal.new"
_SCHEMA = 1

Stage = Literal["staging", "replacing", "restoring"]


@dataclass(frozen=True)
class Step:
    """The change of one file: digests of its contents (None: no file), and where the contents wait.

    `staged` has the new contents; once they are in place, what they took the place of. `undo` is a copy of the old.
    """

    path: str
    old: str | None
    new: str | None
    mode: int
    staged: str
    undo: str

    @property
    def is_own(self) -> bool:
        """Whether this is a file of newtfix's record, which nobody else edits."""
        return self.path.startswith(f"{OWN_FOLDER}/")


def undo_place(number: int) -> str:
    return f"{UNDO}/{number}"


def staged_places(path: str, number: int) -> tuple[str, str]:
    """Where new contents may wait: in newtfix's own folder, or, where the file is on another disk, beside it."""
    target = PurePosixPath(path)
    return f"{NEW}/{number}", (target.parent / f".{target.name}.newtfix-new").as_posix()


def is_interrupted(root: Path) -> bool:
    """Whether a run on this tree left a journal behind."""
    try:
        return inside.is_there(root, JOURNAL)
    except OSError as problem:
        raise unusable_folder(root, problem) from problem


def write_journal(root: Path, stage: Stage, steps: Sequence[Step]) -> None:
    text = json.dumps({"schema": _SCHEMA, "stage": stage, "steps": [asdict(step) for step in steps]}, indent=1)
    inside.write(root, JOURNAL_NEW, text.encode(), 0o644)
    inside.move(root, JOURNAL_NEW, JOURNAL)


def read_journal(root: Path) -> tuple[Stage, list[Step]] | None:
    """How far a run came, and its steps; None: there is no journal.

    Raises RecordError for one that speaks of what newtfix never writes, TreeError for one that cannot be read.
    """
    try:
        data = read_record(root, JOURNAL)
        if data is None:
            return None
        if data.get("schema") != _SCHEMA or data.get("stage") not in get_args(Stage):
            raise ValueError("not a journal of this version")
        steps = [_step(table_of(step), number) for number, step in enumerate(list_of(data.get("steps")))]
        return data["stage"], steps
    except Lie as lie:
        raise liar(root, JOURNAL, lie) from None
    except (OSError, ValueError, KeyError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise TreeError(
            f"an earlier run was interrupted, and its journal cannot be read: {reason}",
            where=str(root / JOURNAL),
            hint=f"The contents before that run lie in {root / UNDO}; move the journal away once the files are right.",
        ) from problem


def _step(data: Mapping[str, Any], number: int) -> Step:
    path = own_path(data["path"])
    old, new = (None if data[key] is None else digest_of(data[key]) for key in ("old", "new"))
    mode, staged, undo = data["mode"], data["staged"], data["undo"]
    if type(mode) is not int or not 0 <= mode <= 0o7777:
        raise ValueError(f"{mode!r} is no mode of a file")
    if staged not in staged_places(path, number) or undo != undo_place(number):
        raise Lie(f"{staged!r} and {undo!r} are not where contents wait")
    return Step(path, old, new, mode & 0o777, staged, undo)


def unusable_folder(root: Path, problem: OSError) -> TreeError:
    """The error about a `.newtfix` that cannot be looked into, as one that is a link."""
    return TreeError(
        f"newtfix's record of this tree cannot be used: {problem.strerror or problem}",
        where=str(problem.filename or root / OWN_FOLDER),
        hint=f"newtfix keeps its record in a folder of its own, {root / OWN_FOLDER}. Move this away and try again.",
    )
