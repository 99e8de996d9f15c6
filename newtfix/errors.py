"""Everything that can go wrong, as data; `newtfix.report` turns it into words for people and for machines."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass
class NewtfixError(Exception):
    """An error with what went wrong, where, and what to do next.

    `exit_code`: 2 usage, 3 refused (a patch does not fit, or local edits conflict), 4 what is needed is not there or
    does not work. 1 is none of these: it is what a check that found differences exits with. `detail`: code of a patch,
    for its author.
    """

    message: str
    where: str = ""
    hint: str = ""
    exit_code: int = 4
    detail: str = ""

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.where, self.hint) if part)


@dataclass
class UsageError(NewtfixError):
    """The command asks for something that does not exist."""

    exit_code: int = 2


@dataclass
class Refused(NewtfixError):
    """A patch does not fit, or what was edited by hand would be lost. Nothing was written."""

    exit_code: int = 3


@dataclass
class TreeError(NewtfixError):
    """No newt-style tree there, or it cannot be read or written. Nothing was written."""

    exit_code: int = 4


@dataclass
class RecordError(TreeError):
    """A record in a tree, at `record`, speaks of what newtfix never writes: it was made by somebody else."""

    record: str = ""


@dataclass
class OutputError(NewtfixError):
    """Nothing can be printed on standard output."""


@dataclass
class PatchError(NewtfixError):
    """A patch file is wrong in itself."""

    exit_code: int = 2


def unforeseen(problem: Exception) -> NewtfixError:
    """The error about what nobody thought of."""
    if isinstance(problem, OSError):
        if isinstance(problem, FileNotFoundError) and not _has_working_folder():
            return NewtfixError("the working folder is not there any more", hint="Go to another one: cd")
        what, where = problem.strerror or str(problem), str(problem.filename or "")
        return NewtfixError(f"the system says: {what}", where, "Check the permissions and the disk.")
    deep = isinstance(problem, RecursionError | MemoryError)
    what = "something is nested too deeply, or too large" if deep else f"{type(problem).__name__}: {problem}"
    hint = "Set NEWTFIX_TRACEBACK=1 to see where, and please report it."
    return NewtfixError(f"newtfix cannot go on: {what}", hint=hint)


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
