"""Ordinary edits of newt-style trees, as data, and what newtfix makes of a tree that has one.

An edit is BREAKING where its patch, applied as if nothing were, would be silently wrong: it must be refused, or patched
in a way that is right. It is HARMLESS where the patch is still right: it must be applied. README.md says what an entry
holds. `python -m tests.edits [FOLDER]` prints the rates; with `--known`, the text of known.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import plan
from newtfix.testing import base, load

HERE = Path(__file__).parent
SPECIMENS = HERE.parent / "specimens"
PATCHES = load()
CLASSES = ("breaking", "harmless")
KINDS = {
    "breaking": {
        "value changed",  # between where it is made and where it is used
        "per episode",  # logic that sees whole episodes, which segments or rows bypass
        "other conditions",  # acting or updating under other conditions, in other places, or with more to each update
        "dropped",  # additions to what is replaced whole
        "other policy",  # than the formula assumes
        "corrected already",  # averaged, normalised, scaled, burst elsewhere
        "evaluation differs",  # from training: rewards, discount, observations, randomisation
        "unlike networks",  # not all alike, or not as plain as the patch takes them
        "elsewhere",  # callers, subclasses, scripts
        "setting elsewhere",  # a setting, or its name, means something else too
        "several",  # losses, agents, policies
    },
    "harmless": {
        "context manager", "cast", "guard", "moved", "unpacked later", "factor", "renamed", "logging", "assert",
        "annotation", "comment", "setting", "helper", "reordered", "local", "f-string", "try", "debug", "metrics",
        "unrelated",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """Text of a file that occurs once, and what stands there instead; no text: a new file."""

    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Edit:
    """What somebody has changed in a tree before newtfix sees it, and what that means for one patch.

    Attributes: why (breaking: what would go wrong at run time), right (regular expression that a file matches where the
    patch is right all the same), nothing ("nothing to fix" is a right answer as well).
    """

    id: str
    patch: str
    kind: str
    breaking: bool
    tree: str
    changes: tuple[Change, ...]
    why: str = ""
    right: str = ""
    nothing: bool = False

    def texts(self) -> dict[str, str]:
        """The tree with the edit. Raises AssertionError where it does not fit."""
        texts = dict(tree(self.tree))
        for change in self.changes:
            if not change.before:
                assert change.file not in texts, f"{self.id}: {change.file} is there already"
                texts[change.file] = change.after
                continue
            end = "\r\n" if "\r\n" in texts[change.file] else "\n"
            before, after = (text.replace("\n", end) for text in (change.before, change.after))
            times = texts[change.file].count(before)
            assert times == 1, f"{self.id}: {times} times in {change.file}, expected once:\n{change.before}"
            texts[change.file] = texts[change.file].replace(before, after)
        for file in {change.file for change in self.changes}:
            compile(texts[file], file, "exec")
        return texts


@dataclass(frozen=True)
class Verdict:
    """What newtfix did: refused, patched or "nothing"; whether that is good; the refusal or the patched texts."""

    outcome: str
    good: bool
    said: str = ""
    after: Mapping[str, str] = field(default_factory=dict)


@cache
def tree(name: str) -> Mapping[str, str]:
    """The texts of newt_base or of a specimen, by file."""
    if name == "newt_base":
        return MappingProxyType(base())
    folders = [SPECIMENS / "plain", SPECIMENS / name]
    files = {p.relative_to(folder).as_posix(): p for folder in folders for p in sorted(folder.rglob("*.py"))}
    return MappingProxyType({file: path.read_bytes().decode("utf-8", "replace") for file, path in files.items()})


@cache
def edits(folder: Path = HERE) -> tuple[Edit, ...]:
    """The edits of a folder, in the order of its files."""
    files = sorted(path for path in folder.glob("*.toml") if path.name != "known.toml")
    return tuple(edit for path in files for edit in _read(path))


def _read(path: Path) -> Iterable[Edit]:
    for entry in tomllib.loads(path.read_text())["edit"]:
        assert entry["class"] in CLASSES and entry["kind"] in KINDS[entry["class"]], (path.name, entry["id"])
        pairs = [entry, *entry.get("more", ())]
        changes = [Change(pair.get("file", entry["file"]), pair["before"], pair["after"]) for pair in pairs]
        yield Edit(
            id=entry["id"],
            patch=path.stem.replace("_", "-"),
            kind=entry["kind"],
            breaking=entry["class"] == "breaking",
            tree=entry["tree"],
            changes=tuple(changes),
            **{name: entry[name] for name in ("why", "right", "nothing") if name in entry},
        )


def known(folder: Path = HERE) -> frozenset[str]:
    """Ids of the edits that newtfix gets wrong today."""
    path = folder / "known.toml"
    return frozenset(tomllib.loads(path.read_text())["known"]) if path.exists() else frozenset()


@cache
def judge(edit: Edit) -> Verdict:
    """Apply the edit's patch, and what it requires, to the edited tree in memory."""
    texts = edit.texts()
    try:
        result = plan(texts, [edit.patch], PATCHES)
    except Refused as refused:
        return Verdict("refused", edit.breaking, str(refused))
    if result.reports[edit.patch].state in (State.APPLIED, State.ABSENT):
        return Verdict("nothing", edit.nothing)
    after = {**texts, **result.after}
    right = bool(edit.right) and any(re.search(edit.right, text, re.DOTALL) for text in after.values())
    return Verdict("patched", right or not edit.breaking, after=after)


def table(folder: Path = HERE) -> str:
    """How many edits of each class are treated well, by patch and by kind, and which are not."""
    found = [(edit, judge(edit)) for edit in edits(folder)]
    lines = _rates("patch", ((edit.patch, edit.breaking, verdict) for edit, verdict in found))
    lines += ["", *_rates("kind", ((edit.kind, edit.breaking, verdict) for edit, verdict in found))]
    lines += ["", "not as they should be:"]
    lines += [f"  {verdict.outcome:8} {_name(edit)}" for edit, verdict in found if not verdict.good]
    return "\n".join(lines)


def _name(edit: Edit) -> str:
    return f"{CLASSES[not edit.breaking]:9} {edit.id} ({edit.kind}, {edit.tree})"


def _rates(title: str, rows: Iterable[tuple[str, bool, Verdict]]) -> list[str]:
    """Lines: breaking edits that are refused or patched rightly, harmless edits that are patched."""
    good: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    all_: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for name, breaking, verdict in rows:
        for key in (name, "all"):
            all_[key][breaking] += 1
            good[key][breaking] += verdict.good
    names = [*(name for name in all_ if name != "all"), "all"]
    lines = [f"{title:18} {'breaking: refused or right':>28} {'harmless: patched':>20}"]
    return lines + [
        f"{name:18} {_share(good[name][True], all_[name][True]):>28} {_share(good[name][False], all_[name][False]):>20}"
        for name in names
    ]


def _share(good: int, of: int) -> str:
    return f"{good} of {of}" + (f" ({good / of:4.0%})" if of else "       ")


def known_now(folder: Path = HERE) -> str:
    """The text of known.toml as it should be today."""
    wrong = [edit.id for edit in edits(folder) if not judge(edit).good]
    return (
        "# What newtfix gets wrong today: `python -m tests.edits --known`.\nknown = [\n"
        + "".join(f'    "{name}",\n' for name in wrong)
        + "]\n"
    )


def main(arguments: Sequence[str]) -> None:
    folder = next((Path(argument).resolve() for argument in arguments if argument != "--known"), HERE)
    print(known_now(folder).rstrip() if "--known" in arguments else table(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
