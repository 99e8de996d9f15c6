"""Whether a patch did the right thing to a mutated tree: what it did to the tree itself, up to the mutation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

from canon import canonical
from mutant import MARK, Modules, Mutant

from newtfix.errors import NewtfixError
from newtfix.model import Patch
from newtfix.plan.engine import plan

Behave = Callable[[Mapping[str, str], Mapping[str, str]], bool | None]


class Outcome(str, Enum):
    """What became of one patch on one mutated tree."""

    RIGHT = "right"
    REFUSED = "refused"
    MISSED = "missed"  # not applied, and not refused either
    WRONG = "wrong"
    TRACEBACK = "traceback"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    """An outcome, why it is that, and how many of the lines that the mutation inserted the patch took away."""

    outcome: Outcome
    reason: str = ""
    lost: int = 0
    texts: Mapping[str, str] | None = None


@lru_cache(maxsize=64)
def _reference_form(text: str) -> dict[str, str]:
    return canonical(ast.parse(text.lstrip("\ufeff")))


def judge(
    mutant: Mutant,
    sources: Mapping[str, str],
    reference: Mapping[str, str],
    ids: Sequence[str],
    patches: Mapping[str, Patch],
    behave: Behave | None = None,
) -> Verdict:
    """Apply `ids` to a mutated tree and compare with `reference`, what they make of the tree itself, `sources`."""
    try:
        made = plan(mutant.texts, ids, patches)
    except NewtfixError as refusal:
        return Verdict(Outcome.REFUSED, _reason(refusal))
    except Exception as problem:
        return Verdict(Outcome.TRACEBACK, f"{type(problem).__name__}: {problem}"[:300])
    missed = [f"{name}: {made.reports[name].state.value}" for name in ids if name in made.reports]
    missed = [m for m in missed if not m.endswith("available")]
    if missed:
        return Verdict(Outcome.MISSED, "; ".join(missed), texts=made.after)
    lost = sum(_marks(mutant.texts[f]) - _marks(text) for f, text in made.after.items())
    touched = {file for file, text in reference.items() if text != sources[file]} | made.after.keys()
    differing = _differing(mutant, reference, made.after, sorted(touched))
    if not differing:
        return Verdict(Outcome.RIGHT, lost=lost, texts=made.after)
    if undefined := new_findings(mutant.texts, made.after):
        return Verdict(Outcome.WRONG, f"lint: {'; '.join(undefined)}", lost, made.after)
    alike = behave(reference, {**mutant.texts, **made.after}) if behave else None
    outcome = {True: Outcome.RIGHT, False: Outcome.WRONG, None: Outcome.UNDECIDED}[alike]
    return Verdict(outcome, f"other code in {', '.join(differing)}", lost, made.after)


def untouched(mutant: Mutant, sources: Mapping[str, str]) -> list[str]:
    """The functions that look different from those of the tree although no patch was applied."""
    return _differing(mutant, sources, {}, sorted(mutant.only))


def _marks(text: str) -> int:
    return text.count(MARK)


def _reason(refusal: NewtfixError) -> str:
    where = [line for line in refusal.where.splitlines() if line]
    return " | ".join([refusal.message, *where])[:600]


def _differing(
    mutant: Mutant, reference: Mapping[str, str], after: Mapping[str, str], files: Sequence[str]
) -> list[str]:
    """The functions of `files` (or what is outside of them) with other code than in the reference.

    A function that a patch wrote anew has the patch's names, whatever the mutation called things before.
    """
    texts = {file: after.get(file, mutant.texts[file]) for file in files if file.endswith(".py")}
    found: list[str] = []
    kept: Modules = {}
    for file, module in _modules(mutant, texts).items():
        expected, forms = _reference_form(reference[file]), canonical(module)
        names = [n for n in expected.keys() | forms.keys() if expected.get(n) != forms.get(n)]
        if names:
            kept = kept or _modules(mutant, texts, names=False)
            again = canonical(kept[file])
            found += [f"{file}:{name}" for name in sorted(names) if expected.get(name) != again.get(name)]
    return found


def _modules(mutant: Mutant, texts: Mapping[str, str], names: bool = True) -> Modules:
    modules = {file: ast.parse(text.lstrip("\ufeff")) for file, text in texts.items()}
    mutant.taken_back(modules, names)
    return modules


def new_findings(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What a linter says about the new texts and did not say about the old: undefined names, and the like."""
    found = lint({f"before/{f}": before[f] for f in after} | {f"after/{f}": text for f, text in after.items()})
    old = [message for file, message in found if file.startswith("before/")]
    new = [message for file, message in found if file.startswith("after/")]
    for message in old:
        if message in new:
            new.remove(message)
    return sorted(set(new))


def lint(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """File and message of every undefined, unbound or redefined name."""
    with tempfile.TemporaryDirectory() as folder:
        for file, text in texts.items():
            path = Path(folder, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        select = "F821,F823,F811,F601,F502,F632,F706"
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--output-format=concise"]
        done = subprocess.run(
            [*command, "--select", select, "."], cwd=folder, capture_output=True, text=True, check=False
        )
    lines = (re.match(r"(.+?):\d+:\d+: (.*)", line) for line in done.stdout.splitlines())
    return [(line[1], line[2]) for line in lines if line]
