"""Prints how many (mutated tree, patch) pairs are patched rightly: `mutation_rate.py [TREE ...]`, `make mutation`.

Trees are mutated in ways that keep their behaviour (docs/robustness.md); what patches make of them is compared with
what they make of the trees themselves. Exits with 1 for a wrong edit, a patch that was silently left out, or a
traceback.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "mutation"), str(ROOT / "tests" / "patches")]

import shipped  # noqa: E402
from mutators import MUTATORS, STACK  # noqa: E402
from oracle import Outcome  # noqa: E402
from rate import ALL, Case, Result, mutant_of, results  # noqa: E402

from newtfix.files.tree import read_tree  # noqa: E402
from newtfix.work.load import load_patches  # noqa: E402

FAULTS = (Outcome.WRONG, Outcome.MISSED, Outcome.TRACEBACK)


def main() -> int:
    args = arguments()
    found: list[Result] = []
    try:
        for tree in args.trees or shipped.NAMES:
            for result in run(case_of(tree), args):
                found.append(result)
                said(result, args)
    except KeyboardInterrupt:
        print("interrupted; what there is so far:", file=sys.stderr)
    if args.json:
        print(json.dumps(as_json(found), indent=1))
    else:
        print(*report(found, args.reasons), sep="\n")
    return int(any(result.verdict.outcome in FAULTS for result in found))


def said(result: Result, args: argparse.Namespace) -> None:
    bad = result.verdict.outcome in (*FAULTS, Outcome.UNDECIDED)
    if args.verbose or bad:
        print(line(result), file=sys.stderr, flush=True)
    if args.diff and bad:
        print(*difference(case_of(result.tree), result), sep="\n", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="*", help="newt_base, a specimen, or a folder with trainer.py and tdmpc2.py")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="mutants per mutator and tree")
    parser.add_argument("--mutator", action="append", choices=sorted(MUTATORS), help="only this one (repeatable)")
    parser.add_argument("--patch", action="append", help="only this patch (repeatable); '(all)' is all together")
    parser.add_argument("--combined", type=int, default=0, metavar="K", help="K mutators one on top of the other")
    parser.add_argument("--json", action="store_true", help="every verdict, for machines")
    parser.add_argument("--reasons", type=int, default=40, help="how many reasons to print")
    parser.add_argument("--diff", action="store_true", help="print what is wrong or undecided as a diff")
    parser.add_argument("--verbose", action="store_true", help="print every verdict")
    return parser.parse_args()


@cache
def case_of(tree: str) -> Case:
    """A tree that this project ships, by its name, or any folder; what the latter does is not run."""
    if tree in shipped.NAMES:
        return shipped.shipped(tree)
    return Case(tree, read_tree(Path(tree)).sources, load_patches([ROOT / "patches"]))


def run(case: Case, args: argparse.Namespace) -> Iterator[Result]:
    for seed in range(args.seed, args.seed + args.count):
        for names in stacks(args, seed):
            yield from results(case, names, seed, args.patch)


def stacks(args: argparse.Namespace, seed: int) -> list[list[str]]:
    """Which mutators are applied together: each alone, or one random stack per seed."""
    chosen = args.mutator or list(MUTATORS)
    if not args.combined:
        return [[name] for name in chosen]
    picked = random.Random(seed).sample(chosen, min(args.combined, len(chosen)))
    return [sorted(picked, key=STACK.index)]


def line(result: Result) -> str:
    verdict = result.verdict
    named = f"{result.tree} --mutator {'+'.join(result.mutators)} --seed {result.seed} --patch {result.patch}"
    return f"{verdict.outcome.value:<9} {named}: {verdict.reason}"


def difference(case: Case, result: Result) -> Iterator[str]:
    """What the patch did to the mutant, as a diff against the mutant."""
    mutant = mutant_of(case, result.mutators, result.seed)
    for file, text in (result.verdict.texts or {}).items():
        yield from difflib.unified_diff(
            mutant.texts[file].splitlines(), text.splitlines(), file, file, lineterm="", n=3
        )


def report(found: Sequence[Result], reasons: int) -> Iterator[str]:
    for title, key in (
        ("mutator", lambda r: "+".join(r.mutators) if len(r.mutators) < 3 else f"{len(r.mutators)} mutators"),
        ("patch", lambda r: r.patch),
        ("tree", lambda r: r.tree),
    ):
        yield from table(title, found if title == "patch" else [r for r in found if r.patch != ALL], key)
        yield ""
    yield "refusals and faults, by how often:"
    groups: dict[str, list[Result]] = {}
    for result in found:
        if result.verdict.outcome is not Outcome.RIGHT:
            groups.setdefault(kind(result), []).append(result)
    for name, members in sorted(groups.items(), key=lambda item: -len(item[1]))[:reasons]:
        first = members[0]
        mutators = Counter("+".join(m.mutators) for m in members).most_common(6)
        yield f"{len(members):4} {name}"
        yield f"       by {', '.join(f'{m} {n}' for m, n in mutators)}"
        yield f"       e.g. {line(first)}"


def kind(result: Result) -> str:
    """The patch, the outcome and the edit that it is about."""
    reason = result.verdict.reason
    edit = reason.split("edit '")[1].split("'")[0] if "edit '" in reason else reason[:100]
    return f"{result.verdict.outcome.value} {result.patch}: {edit}"


def table(title: str, found: Sequence[Result], key) -> Iterator[str]:
    names = [outcome.value for outcome in Outcome]
    yield f"{title:<44}{'pairs':>7}{'rate':>8}" + "".join(f"{name:>11}" for name in names) + f"{'lines lost':>12}"
    rows: dict[str, list[Result]] = {}
    for result in found:
        rows.setdefault(key(result), []).append(result)
    single = [result for result in found if result.patch != ALL]
    for row, members in [*rows.items(), ("pairs", single)]:
        counts = Counter(result.verdict.outcome.value for result in members)
        share = counts["right"] / max(1, len(members))
        lost = sum(max(0, result.verdict.lost) for result in members)
        yield (
            f"{row[-43:]:<44}{len(members):>7}{share:>8.1%}"
            + "".join(f"{counts[n]:>11}" for n in names)
            + f"{lost:>12}"
        )


def as_json(found: Sequence[Result]) -> dict[str, object]:
    counts = Counter(result.verdict.outcome.value for result in found)
    rows = [
        {
            "tree": r.tree, "mutators": r.mutators, "seed": r.seed, "patch": r.patch,
            "outcome": r.verdict.outcome.value, "reason": r.verdict.reason, "lost": r.verdict.lost,
        }
        for r in found
    ]  # fmt: skip
    return {"schema": 1, "rate": counts["right"] / max(1, len(found)), "counts": counts, "verdicts": rows}


if __name__ == "__main__":
    sys.exit(main())
