"""What a patch is, and what is said about one: frozen records, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Severity(str, Enum):
    """How much a discrepancy costs a run that has it."""

    PREREQUISITE = "prerequisite"
    CRITICAL = "critical"
    MODERATE = "moderate"
    MINOR = "minor"


class State(str, Enum):
    """What the code of a tree says about one edit, or one patch."""

    AVAILABLE = "available"  # the code to fix is there
    APPLIED = "applied"  # the fix is there
    PARTIAL = "partial"  # some edits of the patch are there, some are not
    ABSENT = "absent"  # the tree has nothing that this patch speaks of
    DRIFTED = "drifted"  # neither the code to fix nor the fix was recognised


@dataclass(frozen=True)
class Where:
    """A condition on the tree: `pattern` occurs in `scope` of the file with `role`; its holes are bound for the edit.

    Where it occurs several times, every occurrence must bind the holes alike. Of several patterns, any may
    occur. `absent`: none must. The holes in `portable` may mention nothing but `names`, as their code moves
    (`$name` is the name that an earlier condition caught).
    `together`: all of the patterns must occur, in one and the same method of `scope`; they bind nothing. `near`: only
    the methods of `scope` in which code like one of these occurs count; `far`: only those in which none does;
    `outside`: only places that are not inside of code like one of these.
    """

    role: str
    pattern: str | tuple[str, ...]
    scope: str = ""
    absent: bool = False
    portable: tuple[str, ...] = ()
    names: tuple[str, ...] = ("self", "int", "max", "min")
    together: bool = False
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """One generation of the code to fix: a before-pattern with holes, and the after-template.

    `$name` is one expression or identifier, `$$name` any number of statements, `$*name` any number of arguments,
    parameters or elements; a hole named `_` catches what it likes, every time.
    A statement of `after` that also stands in `before` keeps the tree's own bytes, comments included.
    `present` recognises the fix in a tree (default: `after`).
    `count` is the number of places expected; None: one or more. Code like `every` may stand in no other place.
    Places that contain code like `without` are not meant. A `fallback` is for trees that no other shape fits.
    `untouched` says "hole:variable" for statements caught that must not change a variable caught, "hole:uses code" for
    those in which no such code may occur, or "hole:return" for those that must not return. `near` counts only the
    methods in which code like one of these occurs.
    """

    before: str
    after: str
    present: str | None = None
    count: int | None = 1
    where: tuple[Where, ...] = ()
    every: str = ""
    without: str | tuple[str, ...] = ""
    fallback: bool = False
    untouched: tuple[str, ...] = ()
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """A rewrite of code that is there. Exactly one of `shapes` must match.

    `scope` is a class or `Class.method` ("" the module). An `optional` edit may find neither the before nor the after.
    `present` lists other forms in which trees have the fix by hand; `given` forms that some trees start from, which say
    nothing about the patch. Where an `unless` condition holds, the tree has nothing that the edit speaks of. A
    `supplement` is added where all else of the fix is there by hand, without being asked to complete it.
    """

    id: str
    role: str
    scope: str
    shapes: tuple[Shape, ...]
    optional: bool = False
    supplement: bool = False
    present: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    unless: tuple[Where, ...] = ()
    or_unless: tuple[tuple[Where, ...], ...] = ()  # the same, of other kinds of trees


@dataclass(frozen=True)
class Add:
    """New definitions (imports, functions, methods, dataclass fields) in `scope`, after the definition `after`.

    The fix is there when every name that `code` defines is defined in `scope`. An `optional` one (an import, a setting
    that some trees have already) says nothing about the state of its patch. Where an `unless` condition holds, the tree
    does not need them.
    """

    id: str
    role: str
    scope: str
    code: str
    after: str | None = None
    where: tuple[Where, ...] = ()
    optional: bool = False
    unless: tuple[Where, ...] = ()


@dataclass(frozen=True)
class Fact:
    """Something that a patch relies on in a tree: a relation, and what it is about (docs/patches.md lists both).

    `keys`: the entries of rows that count, where others may change.
    """

    relation: str
    about: tuple[str, ...]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patch:
    """One discrepancy and its repair. `id` and `doc` are filled in by the loader from the file's name and docstring."""

    title: str
    severity: Severity
    edits: tuple[Edit | Add, ...]
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # patches that come first when both are wanted
    kind: str = "discrepancy"
    changes: str = ""  # one line for the table of patches
    only_where: tuple[Fact, ...] = ()  # what the tree must keep for the fix to be right
    by_hand: tuple[Where, ...] = ()  # where all of these hold, a tree has the fix in words of its own
    id: str = ""
    doc: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Place:
    """A line of a file of the tree."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class EditReport:
    """What one edit found in a tree."""

    patch: str
    edit: str
    file: str  # "" when no file of the tree has the role
    symbol: str
    state: State
    places: tuple[Place, ...] = ()
    expected: str = ""
    found: str = ""
    candidate: Place | None = None


@dataclass(frozen=True)
class PatchReport:
    """What one patch found in a tree."""

    id: str
    state: State
    edits: tuple[EditReport, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The outcome of planning: the order, what was pulled in by whom, the texts before and after, and the account.

    `before` and `after` map the path of every touched file, relative to the tree, to its text.
    """

    order: tuple[str, ...]
    pulled_in: Mapping[str, tuple[str, ...]]
    reports: Mapping[str, PatchReport]  # the state each patch met when its turn came
    before: Mapping[str, str]
    after: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())
