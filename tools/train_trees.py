"""Trains copies of newt-style trees on a CPU, small, as they are and patched: `train_trees.py TREE ...`.

What only CUDA can do is replaced, and the tree gets a task of dm_control or Gymnasium. Asked of every run: it reaches
its end, losses and weights are finite, updates are as many as utd and the burst make them, the Q scale moves, and the
planner's prior counts above its threshold and not below. Exits with 1 where one of these is not so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from newtfix.files.tree import copy_names, read_tree  # noqa: E402
from newtfix.verify.training.run import Practice, Trained, train  # noqa: E402

MODES = ("sac", "awac", "residual", "bc_sac", "bc")
AS_IT_IS, PATCHED = "as it is", "patched"


def main(arguments: Sequence[str] | None = None) -> int:
    args = _arguments(arguments)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="newtfix-trees-") as folder:
        for number, tree in enumerate(args.trees):
            for row in _rows(tree, Path(folder, str(number)), args):
                rows.append(row)
                print(*_lines(row), sep="\n", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1) if args.json else _table(rows))
    return int(any(not row["good"] for row in rows))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", type=Path, nargs="+", metavar="TREE")
    parser.add_argument("--state", choices=(AS_IT_IS, PATCHED), help="only this one of the two")
    parser.add_argument("--patches", nargs="*", default=(), help="these patches; by default all that fit")
    parser.add_argument("--modes", nargs="+", default=MODES, help="actor modes of patched trees")
    parser.add_argument("--task", default=Practice.task, help="of dm_control or Gymnasium: walker-walk, Pendulum-v1")
    parser.add_argument("--steps", type=int, default=Practice.steps, help="environment steps")
    parser.add_argument("--reward-scale", type=float, default=Practice.reward_scale)
    parser.add_argument("--set", nargs="*", default=(), metavar="NAME=VALUE", help="settings of the tree")
    parser.add_argument("--vary", metavar="NAME=A,B", help="a setting of the tree as it is: one run for each value")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _rows(tree: Path, folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    given = dict(_setting(text) for text in args.set)
    for state in (args.state,) if args.state else (AS_IT_IS, PATCHED):
        copy = folder / state.replace(" ", "-") / tree.resolve().name
        shutil.copytree(tree, copy, ignore=copy_names)
        refused = _patch(copy, args.patches) if state == PATCHED else {}
        for varied in _variants(copy, state, args):
            practice = Practice(
                task=args.task, steps=args.steps, reward_scale=args.reward_scale, settings={**given, **varied}
            )
            yield _row(tree, state, varied, train(read_tree(copy), practice), refused)


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def _variants(copy: Path, state: str, args: argparse.Namespace) -> Sequence[Mapping[str, Any]]:
    """The runs of a tree: one for each actor mode that it knows, or value of the setting that varies."""
    if state == PATCHED and any("actor_mode" in text for text in read_tree(copy).sources.values()):
        return [{"actor_mode": mode} for mode in args.modes]
    name, _, values = (args.vary or "").partition("=")
    return [{name: yaml.safe_load(value)} for value in values.split(",")] if values else [{}]


def _patch(copy: Path, patches: Sequence[str]) -> dict[str, str]:
    """Patch a tree; why some patches were refused."""
    command = [sys.executable, "-m", "newtfix", "apply", *(patches or ["--all"]), "--tree", str(copy), "--json"]
    refused: dict[str, str] = {}
    for more in ([], ["--fitting"]):
        done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            said = json.loads(done.stdout)
            return {one["id"]: one["error"] for one in said["refused"]}
        refused = {"all": _why(done.stderr)}
    return refused


def _why(said: str) -> str:
    """The first line of an error, the last of a traceback."""
    lines = said.strip().splitlines() or ["refused"]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _row(
    tree: Path, state: str, varied: Mapping[str, Any], trained: Trained, refused: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "tree": str(tree),
        "state": state,
        "settings": dict(varied),
        "good": trained.good,
        "seconds": round(trained.seconds, 1),
        "refused": dict(refused),
        "checks": [{"what": check.what, "good": check.good, "seen": check.seen} for check in trained.checks],
        "notes": list(trained.notes),
    }


def _named(row: Mapping[str, Any]) -> str:
    return ", ".join([row["state"], *(f"{name}={value}" for name, value in row["settings"].items())])


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['tree']}, {_named(row)}: {'good' if row['good'] else 'NOT GOOD'} ({row['seconds']:g} s)"
    for check in row["checks"]:
        yield f"  {'' if check['good'] else 'NOT '}{check['what']}: {check['seen']}"
    for name, why in row["refused"].items():
        yield f"  refused: {name}: {why}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown: a row for each run."""
    lines = ["| tree | state | updates | Q scale | prior | result |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        seen = {check["what"]: check["seen"] for check in row["checks"]}
        bad = [check["what"] + ": " + check["seen"] for check in row["checks"] if not check["good"]]
        cells = [seen.get(name, "-") for name in ("updates counted", "scale moves", "prior")]
        lines.append(f"| {row['tree']} | {_named(row)} | {' | '.join(cells)} | {'; '.join(bad) or 'trains'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
