"""What a patch is, what it says of a tree, and what is said about one: all that patch files import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from textwrap import dedent
from typing import Any, Protocol

from newtfix.errors import PatchError


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
    ABSENT = "absent"  # the tree has no code that this patch is about
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


def rewrite(lines: str, **options: Any) -> Shape:
    """A shape whose lines with `-` go and whose lines with `+` come, as in a diff; others, two spaces in, stay.

    `options` are the fields of `Shape` behind `before` and `after`.
    """
    rows = dedent(lines).strip("\n").rstrip().splitlines()
    marks = {row[:2].rstrip() for row in rows}
    if not marks <= {"", "-", "+"} or marks <= {""}:
        raise PatchError(
            "the lines of a rewrite begin with `- `, `+ ` or two spaces, and some change",
            where=lines.strip(),
            hint="docs/patches.md shows one.",
        )
    before, after = ("\n".join(row[2:] for row in rows if row[:1] != mark) for mark in "+-")
    return Shape(before, after, **options)


@dataclass(frozen=True, eq=False)
class Edit:
    """A rewrite of code that is there. Exactly one of `shapes` must match.

    `scope` is a class or `Class.method` ("" the module). An `optional` edit may find neither the before nor the after.
    `present` lists other forms in which trees have the fix by hand; `given` forms that some trees start from, which say
    nothing about the patch. Where an `unless` condition holds, the tree has no code that the edit is about. A
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Carry:
    """New values beside one that a function takes out of a batch: what is done to it is done to them, up to the return.

    `scope` is a function. `taken` are expressions that give a batch in it; element `at` is the value, called `value`;
    the new ones, called `names`, come behind it. A function that hands on whole batches needs nothing, nor does a tree
    without such a function, or one where an `unless` condition holds.
    """

    id: str
    role: str
    scope: str
    taken: tuple[str, ...]
    value: str
    names: tuple[str, ...]
    at: int
    optional: bool = False
    unless: tuple[Where, ...] = ()


AnyEdit = Edit | Add | Carry


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
    """One discrepancy and its repair.

    The loader fills in the rest from the file: `id` and `doc` are its name and docstring, `consequence` is the function
    of this name, `probes` the text that defines the probes, "" without any, and `probes_in` the file where that is.
    """

    title: str
    severity: Severity
    edits: tuple[AnyEdit, ...]
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # patches that come first when both are wanted
    goes_with: tuple[str, ...] = ()  # patches without which this one does harm: --fitting leaves it out with them
    kind: str = "discrepancy"
    changes: str = ""  # one line for the table of patches
    only_where: tuple[Fact, ...] = ()  # what the tree must keep for the fix to be right
    there_only_where: tuple[Fact, ...] = ()  # what it must keep for the fix to count as there, or as not needed
    by_hand: tuple[Where, ...] = ()  # where all of these hold, a tree has the fix written differently
    measured: str = ""  # the number of `newtfix scan` that shows the discrepancy, whatever became of the code
    holds_back: bool = False  # without it, a short run shows nothing of the others
    id: str = ""
    doc: str = ""
    origin: str = ""
    consequence: Callable[[Numbers], str] | None = field(default=None, repr=False, compare=False)
    probes: str = field(default="", repr=False, compare=False)
    probes_in: str = field(default="", repr=False, compare=False)


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
    code: str = ""  # the condition that does not hold, as the patch has it


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


# --- what follows for a tree: `consequence(numbers)` in a patch file --------------------------------------------------

Value = float | bool | tuple[float, ...] | None


@dataclass(frozen=True)
class Quantity:
    """One number of the tree and of the reference; `how` says what it was made from.

    None: not known. The formulas stand in for values that are not known; `example` says what they give for values that
    it states; `remark` what else was seen of it.
    """

    key: str
    label: str
    here: Value
    reference: Value
    how: str = ""
    here_formula: str = ""
    reference_formula: str = ""
    example: str = ""
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the reference's number this one is."""
        pair = (self.here, self.reference)
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in pair):
            return None
        return self.here / self.reference if self.reference else None  # type: ignore[operator]


class Numbers(Protocol):
    """The numbers of `newtfix scan` by their keys, and what they were made from."""

    def __getitem__(self, key: str) -> Quantity: ...

    def get(self, key: str) -> Quantity | None:
        """The number, or None in a tree that lacks what it is about."""

    def setting(self, name: str) -> float | None:
        """A setting of the tree that is a finite number."""

    def source(self, name: str) -> str:
        """Where the value of a setting stands: `file:line`, or the command line."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are trained on, as far as they are known."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """The different lengths of their episodes."""

    @property
    def action_dims(self) -> tuple[int, ...]:
        """The different numbers of their action dimensions."""


def show(value: Value, otherwise: str = "-") -> str:
    """A value for people: 25,000, 0.344, yes, or a list."""
    if value is None:
        return otherwise
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(show(part) for part in value)
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"


# --- what a tree does: `probe(tree)` in a patch file ------------------------------------------------------------------

AS_PATCHED = "as the patch should make it"
DISCREPANCY = "the discrepancy"
NOT_OBSERVED = "not observed"
OTHER = "something else"


class Unobservable(Exception):
    """The tree makes it impossible to look at this: why."""


class Running(Protocol):
    """A tree whose classes are run, small and with fakes around them. Whatever cannot be made raises Unobservable."""

    def module(self, role: str) -> Any:
        """The module that plays a role."""

    def default_config(self) -> Any:
        """The tree's settings as they are by default."""

    def config(self, lengths: Sequence[int] = ..., **settings: Any) -> Any:
        """Settings of a small agent for environments whose episodes have these lengths, all of one task."""

    def model(self, cfg: Any) -> Any:
        """The tree's world model."""

    def agent(self, cfg: Any) -> Any:
        """The tree's agent around its own world model."""

    def plan(self, agent: Any, **others: Any) -> Any:
        """What an agent answers where the trainer asks it for actions while it explores, four environments at once.

        `others` are arguments to ask with instead, such as `step`.
        """

    def run(self, lengths: Sequence[int], *, steps: int, settings: Mapping[str, Any] = ...) -> Any:
        """The tree's trainer and buffer after a run around an agent that never learns (`newtfix.verify.runs.Run`)."""


@dataclass(frozen=True)
class Observation:
    """One thing that a tree does: what the patch should make of it, in words or numbers, and what was seen.

    `observed` says why, where the verdict is "not observed".
    """

    what: str
    expected: str
    observed: str
    verdict: str
    patch: str = ""  # filled in by newtfix

    def as_dict(self) -> dict[str, str]:
        return {"patch": self.patch, **asdict(self)}


def judged(what: str, expected: str, observed: str, *discrepancies: str) -> Observation:
    """Compare words: `discrepancies` are what unpatched trees would show."""
    return decided(what, expected, observed, observed == expected, observed in discrepancies)


def decided(what: str, expected: str, observed: str, good: bool, bad: bool) -> Observation:
    """An observation that was compared elsewhere: `good` as patched, `bad` as unpatched, neither something else."""
    return Observation(what, expected, observed, AS_PATCHED if good else DISCREPANCY if bad else OTHER)


def unseen(reason: str, what: str = "all of it", expected: str = "") -> Observation:
    return Observation(what, expected, reason, NOT_OBSERVED)
