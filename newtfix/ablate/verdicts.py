"""A verdict for each patch: from tests with Holm's correction or an e-process, never from an interval alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from newtfix.ablate import power, stages
from newtfix.ablate.comparisons import LEVEL, MINIMUM, Pair
from newtfix.ablate.effects import Fit, Share, shares, sum_error
from newtfix.ablate.statistics import equivalence, holm, t_quantile, two_sided
from newtfix.ablate.study import Plan

FREEDOM = 10  # degrees of freedom that a verdict from a factorial design takes


@dataclass(frozen=True)
class Verdict:
    """What is known of one patch.

    Attributes:
        kind: explains, helps, hurts, small, together, inert, undecided or aside. effect, low, high: of having it on, in
            units of the outcome. p: Holm's, or None where evidence decides. share: of the gap, where there is one.
        more: further runs that would find an effect of this size, or of the smallest that matters.
    """

    patch: str
    kind: str
    words: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    share: Share | None = None
    more: int | None = None


def find_verdicts(
    plan: Plan, fit: Fit | None, delta: float, scores: stages.Scores, pairs: Sequence[Pair]
) -> tuple[list[Verdict], Verdict | None]:
    found = [Verdict(name, "inert" if why == "inert" else "aside", why) for name, why in plan.aside.items()]
    found = [replace(one, words="inert at these settings") if one.kind == "inert" else one for one in found]
    gates = [_gate(plan, name, pairs, scores) for name in plan.gates]
    if fit is None or fit.freedom < 1 or not np.isfinite(fit.error):
        open_ = [Verdict(name, "undecided", "undecided: too few runs yet") for name in plan.factors]
        return [*gates, *(open_ if plan.design != "pairs" else []), *found], None
    gap = _gap(plan, fit, scores)
    judged = [_factor(plan, fit, number, delta, gap, pairs) for number in range(len(plan.factors))]
    judged.sort(key=lambda one: -(one.effect or 0.0))
    return [*gates, *judged, *found], gap


def supports(plan: Plan, fit: Fit) -> bool:
    """Whether a design has enough runs for any verdict.

    Runs of one seed share random numbers: a patch that only draws others differs by the same chance in all of them.
    """
    if plan.design == "one-at-a-time":
        return plan.pairs >= MINIMUM
    return fit.freedom >= FREEDOM and plan.blocks != 1


def _gap(plan: Plan, fit: Fit, scores: stages.Scores) -> Verdict | None:
    """All less none of the factors."""
    if plan.design == "one-at-a-time":
        found = stages.differences(stages.Contrast("all", plan.all, plan.gated), stages.pair_seeds(plan), scores)
        if len(found) < 2:
            return None
        size, error, freedom = float(found.mean()), float(found.std(ddof=1)) / len(found) ** 0.5, len(found) - 1
    else:
        size, error, freedom = float(fit.effects.sum()), sum_error(fit), fit.freedom
    p = float(two_sided(size, error, freedom))
    width = t_quantile(LEVEL, freedom) * error
    decided = p < plan.alpha and supports(plan, fit)
    return Verdict("all", "explains" if decided else "undecided", "", size, size - width, size + width, p)


def _factor(plan: Plan, fit: Fit, number: int, delta: float, gap: Verdict | None, pairs: Sequence[Pair]) -> Verdict:
    name, effect, width = plan.factors[number], float(fit.effects[number]), t_quantile(LEVEL, fit.freedom)
    p = float(fit.adjusted[number])
    half = width * float(fit.error)
    verdict = Verdict(name, "undecided", "", effect, effect - half, effect + half, p)
    if gap is not None and gap.kind == "explains":
        verdict = replace(verdict, share=_share(plan, fit, number, width, gap))
    if not supports(plan, fit):
        few = "one seed supports no verdict" if plan.blocks == 1 else "too few runs for any verdict"
        return replace(verdict, words=f"undecided: {few}")
    if p < plan.alpha:
        return _decided(verdict, gap, pairs)
    if float(holm(equivalence(fit.effects, fit.error, fit.freedom, delta))[number]) < plan.alpha:
        return replace(verdict, kind="small", words=f"smaller than {delta:.3g}")
    if together := _together(name, pairs):
        return replace(verdict, kind="together", words=together)
    return _undecided(plan, fit, verdict, delta)


def _share(plan: Plan, fit: Fit, number: int, width: float, gap: Verdict) -> Share | None:
    if plan.design != "one-at-a-time":
        return shares(fit, width)[number]
    effect, error, size = float(fit.effects[number]), float(fit.error), gap.effect or 0.0
    return Share(effect / size, (effect - width * error) / size, (effect + width * error) / size) if size > 0 else None


def _decided(verdict: Verdict, gap: Verdict | None, pairs: Sequence[Pair]) -> Verdict:
    effect = verdict.effect or 0.0
    if effect < 0:
        return replace(verdict, kind="hurts", words=f"hurts: {effect:+.3g} [{verdict.low:+.3g}, {verdict.high:+.3g}]")
    if together := _together(verdict.patch, pairs):
        return replace(verdict, kind="together", words=together)
    if verdict.share is not None and gap is not None and (gap.effect or 0.0) > 0:
        part = verdict.share
        words = f"explains {part.size:.0%} of the gap [{part.low:.0%}, {part.high:.0%}]"
        return replace(verdict, kind="explains", words=words)
    return replace(verdict, kind="helps", words=f"helps: {effect:+.3g} [{verdict.low:+.3g}, {verdict.high:+.3g}]")


def _together(name: str, pairs: Sequence[Pair]) -> str:
    """Whether leaving a patch out of all costs something, and having it alone gains nothing that was seen."""
    alone, left_out = (next((p for p in pairs if p.name == f"{name} {how}"), None) for how in ("alone", "left out"))
    if alone is None or left_out is None or not left_out.decided or left_out.difference <= 0 or alone.decided:
        return ""
    return "only together with others" if alone.high < left_out.difference else ""


def _undecided(plan: Plan, fit: Fit, verdict: Verdict, delta: float) -> Verdict:
    """How many more runs a difference of this size, or the smallest that matters, would take."""
    size = max(abs(verdict.effect or 0.0), delta)
    tests = len(plan.factors)
    if plan.design == "one-at-a-time":
        block, count = len(plan.factors) + 1, plan.pairs * (len(plan.factors) + 1)
        deviation = float(fit.error) / power.paired_error(plan.pairs)
        needed = power.runs_needed(size, deviation, block, tests, lambda n: power.paired_error(n // block))
    else:
        block = len(stages.screen_runs(plan)) // plan.blocks if plan.blocks else 2 ** len(plan.factors)
        count = block * (plan.blocks or plan.pairs)
        deviation = float(fit.error) / power.screen_error(count)
        needed = power.runs_needed(size, deviation, block, tests, power.screen_error)
    more = max(block, needed - count) if needed else None
    return replace(verdict, more=more, words=f"undecided, needs {more:,} more runs" if more else "undecided")


def _gate(plan: Plan, name: str, pairs: Sequence[Pair], scores: stages.Scores) -> Verdict:
    """A patch that is on in the whole screen, by its own pairs: its share is the mean of first come and last come."""
    alone, left_out = (next((p for p in pairs if p.name == f"{name} {how}"), None) for how in ("alone", "left out"))
    whole = next((p for p in pairs if p.name == "all"), None)
    if alone is None or left_out is None or min(alone.seeds, left_out.seeds) == 0:
        pairs_are = (
            "its pairs are still to come" if plan.pairs else "it has no pairs of its own; a larger budget has some"
        )
        return Verdict(name, "undecided", f"undecided: {pairs_are}")
    effect = (alone.difference + left_out.difference) / 2
    half = ((alone.high - alone.low) + (left_out.high - left_out.low)) / 4
    verdict = Verdict(name, "undecided", "", effect, effect - half, effect + half)
    if together := _together(name, pairs):
        return replace(verdict, kind="together", words=together)
    decided = [pair for pair in (alone, left_out) if pair.decided]
    if not decided:
        needed = max(2, MINIMUM - min(alone.seeds, left_out.seeds))
        return replace(verdict, words=f"undecided, needs {4 * needed} or more runs in pairs", more=4 * needed)
    if any(pair.difference < 0 for pair in decided):
        return replace(verdict, kind="hurts", words=f"hurts: {effect:+.3g}")
    if whole is not None and whole.decided and whole.difference > 0:
        share = Share(*(x / whole.difference for x in (effect, effect - half, effect + half)))
        words = f"explains {share.size:.0%} of base to all [{share.low:.0%}, {share.high:.0%}]"
        return replace(verdict, kind="explains", words=words, share=share)
    return replace(verdict, kind="helps", words=f"helps: {effect:+.3g} [{effect - half:+.3g}, {effect + half:+.3g}]")
