"""The answer in one sentence, and what a reader has to know beside the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from newtfix.ablate.comparisons import MINIMUM
from newtfix.ablate.findings import Findings
from newtfix.ablate.study import NOTHING_LOGGED

_VERBS = {
    "together": ("act", " only together with others"),
    "hurts": ("hurt", ""),
    "small": ("matter", " less than the smallest difference asked for"),
    "inert": ("change", " nothing"),
}


def answer(found: Findings) -> str:
    """The answer."""
    plan = found.plan
    done = sum(row["state"] in ("finished", "failed") for row in found.runs)
    state = "" if done >= found.needed and not found.waits else f" ({done} runs so far, more to come)"
    kinds: dict[str, list[str]] = {}
    for one in found.verdicts:
        kinds.setdefault(one.kind, []).append(one.patch)
    parts = []
    explains = [one for one in found.verdicts if one.kind in ("explains", "helps")]
    if explains:
        parts.append("; ".join(f"{one.patch} {one.words}" for one in explains))
    for kind, (verb, words) in _VERBS.items():
        if names := kinds.get(kind):
            parts.append(f"{_listed(names)} {verb}{'s' if len(names) == 1 else ''}{words}")
    undecided = kinds.get("undecided", [])
    if undecided:
        parts.append(f"{len(undecided)} undecided")
    return f"On {plan.task}, {_whole(found)}{': ' if parts else ''}{'; '.join(parts)}{state}."


def _whole(found: Findings) -> str:
    """What all patches together do."""
    pair = next((one for one in found.pairs if one.name == "all"), None)
    if pair is not None and pair.seeds > 1:
        change = f"{pair.difference:+.3g} [{pair.low:+.3g}, {pair.high:+.3g}] over {pair.seeds} seeds"
        if pair.decided:
            return f"all patches together {'raise' if pair.difference > 0 else 'lower'} the return: {change}"
        return f"{_means(found)}whether all patches together help is not decided ({change}; this supports no verdict)"
    if found.gap is not None and found.gap.effect is not None:
        gap = found.gap
        of = f"{gap.effect:+.3g} [{gap.low:+.3g}, {gap.high:+.3g}]"
        with_ = f" with {', '.join(found.plan.gates)} on" if found.plan.gates else ""
        if gap.kind == "explains":
            return f"the patches change the return by {of} in all{with_}"
        return f"no gap between none and all of the patches is shown{with_} ({of})"
    return "nothing is shown: no run has a score" if found.silent else "nothing is shown yet"


def _means(found: Findings) -> str:
    """The mean returns of base and all, where both are there."""
    means = {arm.label: arm.mean for arm in found.arms}
    if not {"base", "all"} <= means.keys():
        return ""
    return f"the mean return is {means['all']:.3g} with all patches and {means['base']:.3g} without; "


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def notes(found: Findings) -> list[str]:
    """What a reader has to know beside the numbers."""
    plan, said = found.plan, []
    seeds = len({row["seed"] for row in found.runs if row["score"] is not None})
    if plan.design in ("one-at-a-time", "full", "pairs") and 0 < seeds < MINIMUM:
        said.append(
            f"{seeds} seed{'s support' if seeds > 1 else ' supports'} no verdict: a nominal 95% interval of three "
            f"seeds covers the truth 70 to 74% of the time, and the exact test cannot reach 5% below {MINIMUM} pairs. "
            f"Take {MINIMUM} or more."
        )
    if plan.blocks and seeds:
        said.append(
            f"The screen has {plan.blocks} seed{'s' if plan.blocks > 1 else ''}; each effect is the mean of half of "
            "its runs less the mean of the other half."
            + (" Whether another seed agrees is not known, so no verdict is given." if plan.blocks == 1 else "")
        )
    lost = [row for row in found.failed if row["state"] != "failed"]
    failed = [row for row in found.failed if row["state"] == "failed"]
    if failed:
        said.append(f"{_runs(failed)} failed; what they had reached counts: {_named(failed)}.")
    if lost:
        said.append(f"{_runs(lost)} ended by the machine or damaged, without a score: {_named(lost)}.")
    if found.silent:
        said.append(
            f"{_runs(found.silent)} ended without a score, {NOTHING_LOGGED}: give more steps than {plan.steps:,}."
        )
    if plan.extended:
        before = ", ".join(map(str, plan.extended))
        said.append(f"The budget was enlarged after looking (from {before} runs): p-values are a little too small.")
    return said


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"seed {row['seed']} {row['label']} ({row['reason'] or row['state']})" for row in rows[:6])


def _runs(rows: Sequence[object]) -> str:
    return f"{len(rows)} run{'s' if len(rows) > 1 else ''}"
