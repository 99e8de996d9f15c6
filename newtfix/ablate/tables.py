"""The tables of a report, as rows of text that the page, the Markdown and the terminal share."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from newtfix.ablate.comparisons import Arm, Pair
from newtfix.ablate.findings import Findings
from newtfix.ablate.study import OUTCOMES, Plan
from newtfix.ablate.verdicts import Verdict

_LIBRARIES = ("torch", "numpy", "scipy", "mujoco", "dm_control", "gymnasium", "tensordict")


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def verdict_table(found: Findings) -> Table:
    head = ("patch", "effect", "95% interval", "p (Holm)", "verdict")
    return Table("Verdict per patch", head, tuple(map(_verdict, found.verdicts)))


def pair_table(found: Findings) -> Table:
    head = ("over the same seeds", "seeds", "difference", "95% interval", "evidence", "decides at")
    return Table("Pairs", head, tuple(map(_pair, found.pairs)))


def arm_table(found: Findings) -> Table:
    head = ("patches", "seeds", "mean", "IQM", "95% interval of the IQM", "better than base")
    return Table("Sets of patches", head, tuple(map(_arm, found.arms)))


def along_table(found: Findings) -> Table:
    """Effects at single steps, in the order of the verdicts."""
    head = ("patch", *(f"step {moment.step:,}" for moment in found.along))
    names = [one.patch for one in found.verdicts if one.patch in found.plan.factors]
    rows = [(name, *(_around(one.effects[name], one.half) for one in found.along)) for name in names if found.along]
    return Table("Effect on the training return along the run, with 95% intervals", head, tuple(rows))


def failed_table(found: Findings) -> Table:
    rows = [(str(r["seed"]), r["label"], r["state"], f"{r['steps']:,}", r["reason"]) for r in found.failed]
    return Table("Runs that failed", ("seed", "patches", "state", "step", "why"), tuple(rows))


def facts(found: Findings, folder: Path) -> list[tuple[str, str]]:
    """Settings, versions, digests, and the command that repeats it."""
    plan = found.plan
    seconds = [row["seconds"] for row in found.runs if row["seconds"] is not None]
    return [
        ("task", plan.task),
        ("settings", " ".join(plan.settings)),
        ("steps of a run", f"{plan.steps:,}"),
        ("outcome", f"{OUTCOMES[plan.outcome]} (fixed in advance)"),
        ("smallest difference that matters", _smallest(found)),
        ("deviation of a run", "not known yet" if found.deviation is None else f"{found.deviation:.3g}"),
        ("runs", f"{len(seconds)} done of {found.needed} needed, {sum(seconds) / 3600:.2f} hours of runs"),
        ("tree", f"{plan.tree or 'newt_base'}, digest {tree_digest(plan)}"),
        ("newtfix", plan.version),
        ("libraries", ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES if _version(name))),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("repeat", repeat(plan, folder)),
    ]


def tree_digest(plan: Plan) -> str:
    """One digest for all files of the tree."""
    return blake2b("".join(f"{k}{v}" for k, v in sorted(plan.files.items())).encode(), digest_size=8).hexdigest()


def repeat(plan: Plan, folder: Path) -> str:
    """The command that makes the same study again."""
    options = ["--design", plan.design, "--budget", str(plan.budget), "--seed", str(plan.first_seed)]
    options += ["--outcome", plan.outcome, "--delta", f"{plan.delta:g}", "--dir", folder.name or "ablation"]
    asked = plan.asked
    options += ["--factors", ",".join(asked["factors"])] if asked.get("factors") else []
    options += [part for one in asked.get("hold") or () for part in ("--hold", one)]
    options += ["--tree", plan.tree] if plan.tree else []
    options += [part for one in plan.folders for part in ("--patches", one)]
    options += ["--no-inertness"] if asked.get("inert") is False else []
    return shlex.join(["newtfix", "ablate", *plan.settings, *options])


def _smallest(found: Findings) -> str:
    known = "" if found.delta is None else f" = {found.delta:.3g}"
    return f"{found.plan.delta:.0%} of the mean return{known}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _verdict(one: Verdict) -> tuple[str, ...]:
    if one.effect is None or one.low is None or one.high is None:
        return (one.patch, "", "", "", one.words)
    p = "" if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}"
    return (one.patch, f"{one.effect:+.3g}", _ends(one.low, one.high), p, one.words)


def _pair(one: Pair) -> tuple[str, ...]:
    known = _ends(one.low, one.high) if one.seeds > 1 else ""
    return (one.name, str(one.seeds), f"{one.difference:+.3g}", known, f"{one.evidence:.3g}", f"{one.level:.3g}")


def _arm(one: Arm) -> tuple[str, ...]:
    known = "" if one.low is None or one.high is None else f"{one.low:.3g} to {one.high:.3g}"
    beats = "" if one.beats_base is None or one.label == "base" else f"{one.beats_base:.0%}"
    return (one.label, str(len(one.scores)), f"{one.mean:.3g}", f"{one.iqm:.3g}", known, beats)


def _ends(low: float, high: float) -> str:
    return f"{low:+.3g} to {high:+.3g}"


def _around(value: float, half: float) -> str:
    places = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 1
    value, half = round(value, 9), round(half, 9)  # the last bits are not the same on every machine
    return f"{round(value, places) + 0.0:+.{places}f} ± {half:.{places}f}"


def filled(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.rows]
