"""What a study is: its plan, its runs, and the folder that holds both."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from newtfix.errors import NewtfixError, UsageError
from newtfix.files import inside

SCHEMA = 1
PLAN, RESULTS, INERT, RUNS, TREES, CACHE = "plan.json", "results.jsonl", "inert", "runs", "trees", "cache"
DESIGNS = ("both", "screen", "one-at-a-time", "full", "pairs")
OUTCOMES = {
    "training": "area under the curve of the mean training return",
    "evaluation": "mean return of the evaluations after the first",
    "final": "return of the last evaluation",
}


NOTHING_LOGGED = "as no episode ended in time to be logged"  # of a run that finished, and has no score


@dataclass(frozen=True)
class Plan:
    """What will be run, and what was fixed before anything was.

    Attributes:
        settings: key=value, as given. steps, threads: what the tree makes of them, of one run.
        tree: whose tree, "" for newt_base. files: digest of each of its files. package: how variants are named.
        folders: of patches that are not built in. patches: the fingerprint of each that takes part.
        on: patches that every variant has. gates: on in all of the screen, and judged by pairs of their own.
        factors: patches that are on in some runs and off in others. aside: others, and why they take no part.
        blocks: of the screen. pairs: most seeds of base against all. confirm: runs left for confirmation.
        proof: whether two whole runs show that what is inert in runs of inert_steps is so to the end.
        trainer: how the tree is trained, see trainers.py. asked: the command's options. extended: budgets that were
            enlarged later.
        delta: the smallest difference that matters, as a part of the mean return. spread: the deviation of a run, as a
            part of the mean return, that power is computed with.
    """

    settings: tuple[str, ...]
    task: str
    steps: int
    threads: int
    tree: str
    files: Mapping[str, str]
    package: str
    folders: tuple[str, ...]
    patches: Mapping[str, str]
    on: tuple[str, ...]
    gates: tuple[str, ...]
    factors: tuple[str, ...]
    aside: Mapping[str, str]
    design: str
    budget: int
    blocks: int
    pairs: int
    confirm: int
    proof: bool = False
    inert_steps: int = 0
    trainer: str = "own"
    first_seed: int = 1
    outcome: str = "training"
    alpha: float = 0.05
    delta: float = 0.1
    spread: float = 0.1
    version: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    extended: tuple[int, ...] = ()

    @property
    def gated(self) -> tuple[str, ...]:
        """What is on in every run of the screen."""
        return tuple(sorted({*self.on, *self.gates}))

    @property
    def inert(self) -> tuple[str, ...]:
        """What changed nothing in short runs."""
        return tuple(sorted(name for name, why in self.aside.items() if why == "inert"))

    @property
    def all(self) -> tuple[str, ...]:
        """What is on where all patches are."""
        return tuple(sorted({*self.gated, *self.factors}))


@dataclass(frozen=True)
class Run:
    """One training run: a seed and the patches that are in. `steps` is given where it is not the plan's."""

    seed: int
    patches: tuple[str, ...]
    stage: str = field(default="", compare=False)
    steps: int | None = None

    @property
    def id(self) -> str:
        """The name of its folder."""
        return f"s{self.seed}-{subset_digest(self.patches)}"


def subset_digest(patches: Iterable[str]) -> str:
    return blake2b(",".join(sorted(patches)).encode(), digest_size=5).hexdigest()


def label(plan: Plan, patches: Iterable[str]) -> str:
    """What a set of patches is called: base, all, or the patches that differ from the nearer of the two."""
    if (inert := set(plan.inert)) and inert <= set(patches):
        return f"{label(plan, set(patches) - inert)}, and what is inert"
    found, everything = set(patches), set(plan.all)
    if found == set(plan.on):
        return "base"
    if found == everything:
        return "all"
    more, less = sorted(found - set(plan.on)), sorted(everything - found)
    return f"all without {', '.join(less)}" if len(less) <= 2 < len(more) else ", ".join(more)


# --- the folder -------------------------------------------------------------------------------------------------------


def write_json(path: Path, data: Any) -> None:
    """Write a file that appears complete or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise NewtfixError(
            f"cannot write {path}: {error.strerror or error}",
            hint="Nothing that was finished is lost. Make room or check the permissions, and run the same again.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def save_plan(folder: Path, plan: Plan) -> None:
    write_json(folder / PLAN, {"schema": SCHEMA, **asdict(plan)})


def read_plan(folder: Path) -> Plan:
    """The plan of a folder. Raises UsageError where there is none, or one that cannot be read."""
    path = folder / PLAN
    try:
        _must_be_plain(folder)
        data = json.loads(inside.read_named(path))
    except FileNotFoundError:
        raise UsageError(
            f"there is no study in {folder}: it has no {PLAN}",
            hint=f"Plan one: newtfix ablate --dir {folder} --plan-only task=...",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        named = getattr(error, "filename", None) or path
        why = getattr(error, "strerror", None) or error
        raise NewtfixError(f"{named} cannot be read: {why}", hint="Restore it; the runs beside it are kept.") from error
    if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
        raise NewtfixError(f"{path} is of another version of newtfix", hint="Report it with that version.")
    try:
        return _plan_from(data)
    except (TypeError, ValueError) as error:
        raise NewtfixError(f"{path} is not a plan: {error}", hint="Restore it; the runs are kept.") from error


def _plan_from(data: Mapping[str, Any]) -> Plan:
    kinds = {one.name: str(one.type) for one in fields(Plan)}
    for name, value in data.items():
        if name in kinds and not (_FITS[kinds[name]](value) and (name not in _COUNTS or abs(value) <= _MOST_RUNS)):
            raise ValueError(f"{name} is {json.dumps(value)[:60]}")
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}
    return Plan(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= _MOST


def _all(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


_MOST = 10**9
_COUNTS, _MOST_RUNS = ("budget", "blocks", "pairs", "confirm"), 10**5
_FITS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and _is_number(value),
    "float": _is_number,
    "tuple[str, ...]": lambda value: _all(value, str),
    "tuple[int, ...]": lambda value: _all(value, int),
    "Mapping[str, str]": lambda value: isinstance(value, dict) and _all(list(value.values()), str),
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
}


def _must_be_plain(folder: Path) -> None:
    """A study holds files and folders of its own: no links, by which a study of somebody else's would reach outside."""
    for name in (PLAN, RESULTS, TREES, CACHE, RUNS, INERT):
        _must_be_own(folder / name)
    for path in (*folder.glob(f"{TREES}/*"), *folder.glob(f"{TREES}/*/*/"), *folder.glob(f"{CACHE}/*")):
        _must_be_own(path)  # beside a variant there are links to files that its tree may read
    for above, folders, names in (step for name in (RUNS, INERT) for step in os.walk(folder / name)):
        for name in (*folders, *names):
            _must_be_own(Path(above, name))


def _must_be_own(path: Path) -> None:
    mode = path.lstat().st_mode if os.path.lexists(path) else stat.S_IFREG
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        what = "a link" if stat.S_ISLNK(mode) else "no regular file"
        raise OSError(errno.EINVAL, f"it is {what}, which no study has", str(path))


def read_lines(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The whole lines of a file of JSON lines, and whether the end of it is cut off."""
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return [], False
    rows: list[dict[str, Any]] = []
    for line in text.splitlines(keepends=True):
        try:
            row = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            row = None
        if not isinstance(row, dict):
            return rows, True
        rows.append(row)
    return rows, False


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
