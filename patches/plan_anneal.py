"""The planner's start is annealed until the final step, not longer.

Claim: the planner starts from the policy's statistics until `constraint_start_step`, then less and less, and from its
own ones from `constraint_final_step` on.
Code: `interp_dist`, or the planner itself, divides the steps since the start by the final step, not by the distance
between the two.
Change: it divides by constraint_final_step - constraint_start_step.
Effect: with newt's defaults, 2M and 10M, the annealing ends at 10M instead of 12M; at 10M the policy's weight is 0
instead of 0.2.
Evidence: newt, `interp_dist` in common/math.py, and the comments on both settings in config.py.
Leave it off: to repeat earlier runs, or where the start is 0: then nothing changes.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Any

from newtfix.model import (
    Edit,
    Fact,
    Numbers,
    Observation,
    Patch,
    Running,
    Severity,
    Shape,
    Unobservable,
    Where,
    judged,
    rewrite,
    show,
)

# What callers hand over where the tree counts the steps of the annealing itself.
DURATIONS = (
    "self.cfg.constraint_final_step - self.cfg.constraint_start_step",
    *(f"{name}($*_, {last})" for name in ("math.interp_dist", "interp_dist") for last in ("$_ - $_", "$duration")),
)
BY_NAME = ("$_ = $duration", "$_, $_ = $_, $duration")
KEPT = "$_ = $_.constraint_final_step - $_"  # under whatever name
BOUNDS = "def interp_dist($_, $_, $_, $_, $_, $start, $end):\n    $$_"
# Planners that anneal in place, without that function.
START, FINAL = "self.cfg.constraint_start_step", "self.cfg.constraint_final_step"
NAMES = {
    (START, FINAL): (),
    ("$start", "$final"): (Where("agent", f"$start, $final = {START}, {FINAL}", "TDMPC2"),),
}
SINCE = (
    "($step - {0})",
    "max($zero, $step - {0})",
    "max($step - {0}, $zero)",
    "($step - {0}).clamp($*limits)",
    "torch.clamp($step - {0}, $*limits)",
)
UNTIL = {
    "{1}": "max(1, {1} - {0})",
    "float({1})": "max(1.0, {1} - {0})",
    "max($least, {1})": "max($least, {1} - {0})",
    "max({1}, $least)": "max({1} - {0}, $least)",
}
CALLED = Where("agent", ("math.interp_dist($*_)", "interp_dist($*_)"))
UNCALLED = Where("agent", CALLED.pattern, absent=True)
IN_PLACE = Where("agent", FINAL, "TDMPC2")
# The weight is a function of its own, which `interp_dist` alone calls.
WEIGHED_ELSEWHERE = Where("math", "$_ = $weight(step, start, end)", "interp_dist")
WEIGHED_IN_PLACE = Where("math", WEIGHED_ELSEWHERE.pattern, "interp_dist", absent=True)
NOT_IN_PLACE = Where("agent", FINAL, "TDMPC2", absent=True)


def _in_place(since: str, until: str, names: tuple[str, str]) -> Shape:
    before, after = (f"{since} / {form}".format(*names) for form in (until, UNTIL[until]))
    return Shape(before, after, where=NAMES[names])


def _named(since: str, until: str) -> Shape:
    """The same where the steps since the start have a name."""
    before, after = (f"$num / {form}".format(START, FINAL) for form in (until, UNTIL[until]))
    return Shape(before, after, where=(Where("agent", f"$num = {since}".format(START), "TDMPC2"),))


PATCH = Patch(
    title="Annealing of the planner's start ends at the final step",
    severity=Severity.MINOR,
    kind="defect",
    changes="the planner's mix with the policy ends at constraint_final_step, not constraint_start_step later",
    after=("first-obs",),
    only_where=(
        Fact("set_plainly", ("constraint_start_step", "constraint_final_step")),
        Fact("begins_by_setting", ("interp_dist", "constraint_start_step", "constraint_final_step")),
        Fact("read_once", ("math", "interp_dist", "end")),
        Fact("ends_by_setting", ("interp_dist",)),
        Fact("no_exponent", ("math", "interp_dist", "end")),
        Fact("bounds_keep", ("math", "interp_dist", "start", "end")),
        Fact("only_named_in", ("interp_dist", "agent", "math")),
        Fact("undecorated", ("math", "interp_dist")),
        Fact("never_added", ("constraint_start_step", "constraint_final_step")),
        Fact("at_one_place", ("agent", "constraint_final_step")),
        Fact("told_as_step", ("constraint_final_step",)),
        Fact("ordered", ("constraint_start_step", "constraint_final_step")),
    ),
    edits=(
        Edit(
            "duration",
            "math",
            "interp_dist",
            (
                rewrite(
                    """
                    - max($least, $end)
                    + max($least, $end - $start)
                    """,
                    where=(
                        Where("math", BOUNDS, ""),
                        Where("math", "$_ - $start", "interp_dist"),
                        Where("agent", DURATIONS, absent=True),
                        Where("agent", KEPT, absent=True),
                        Where("agent", BY_NAME, "TDMPC2.plan", absent=True),
                    ),
                ),
            ),
            present=("end - start", "max($_, end) - start"),
            unless=(UNCALLED, IN_PLACE),
            or_unless=((WEIGHED_ELSEWHERE,),),
        ),
        Edit(
            "duration-of-a-weight",
            "math",
            "",
            (
                rewrite(
                    """
                      $num = max($none, $step - $start)
                      $$gap
                    - $den = max($least, $end)
                    + $den = max($least, $end - $start)
                      $$between
                      return max($nothing, $whole - $num / $den)
                    """,
                    where=(
                        WEIGHED_ELSEWHERE,
                        Where("math", "def $weight($step, $start, $end):\n    $$_", ""),
                        Where("agent", ("math.$weight($*_)", "$weight($*_)"), absent=True),
                    ),
                ),
            ),
            present=("$_ = max($_, $_ - $start)\n$$_\n$_ = max($_, $_ - $start)",),
            unless=(WEIGHED_IN_PLACE,),
        ),
        Edit(
            "in-place",
            "agent",
            "TDMPC2",
            (
                *(_in_place(*form) for form in product(SINCE, UNTIL, NAMES)),
                *(_named(*form) for form in product(SINCE, UNTIL)),
            ),
            present=(
                f"$_ / ({FINAL} - {START})",
                f"$_ / max($_, {FINAL} - {START})",
                f"$_ / max({FINAL} - {START}, $_)",
            ),
            unless=(CALLED,),
            or_unless=((NOT_IN_PLACE,),),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    end = numbers.get("annealing_end")
    start, final = numbers.setting("constraint_start_step"), numbers.setting("constraint_final_step")
    if end is None or end.here is None or start is None or not final:
        return "The annealing of the planner's start ends constraint_start_step later than constraint_final_step."
    weight = show(min(1.0, max(0.0, start / final)))
    said = f"The annealing ends at step {show(end.here)} instead of {show(final)}, where the policy's weight is still"
    return f"{said} {weight}. {end.remark}".rstrip()


def probe(tree: Running) -> list[Observation]:
    """The policy's weight in the planner's start, before, in the middle of and after its annealing."""
    start, final = 200, 1_000  # small, so that one step more or less is seen
    function = getattr(tree.module("math"), "interp_dist", None)
    found = []
    for step, expected, unpatched in ((start, 1.0, 1.0), (600, 0.5, 0.6), (final, 0.0, 0.2), (final + 100, 0.0, 0.1)):
        weights = _planned(tree, step, start, final) if function is None else _mixed(function, step, start, final)
        what = f"weight of the policy at step {step:,} (annealed from {start:,} to {final:,})"
        seen = " and ".join(f"{weight:g}" for weight in sorted(weights))
        found.append(judged(what, f"{expected:g}", seen, f"{unpatched:g}"))
    return found


def _mixed(function: Callable[..., Any], step: int, start: int, final: int) -> set[float]:
    """The weights that the tree's own function mixes means and deviations with."""
    import torch

    one = torch.ones(1, 1, 1)
    return {round(float(x.flatten()[0]), 6) for x in function(0 * one, 0 * one, one, one, step, start, final)}


def _planned(tree: Running, step: int, start: int, final: int) -> set[float]:
    """The weight of the policy's mean in the one that the planner's search begins with, where nothing was planned."""
    cfg = tree.config(constrained_planning=2, constraint_start_step=start, constraint_final_step=final)
    agent = tree.agent(cfg)
    begun: list[Any] = []

    def mppi(z: Any, pi_actions: Any, task: Any, mean: Any, *_: Any, **__: Any) -> Any:
        begun[:] = [pi_actions.mean(2), mean]
        raise InterruptedError

    agent.mppi = mppi
    with suppress(InterruptedError):
        tree.plan(agent, step=step)
    if not begun:
        raise Unobservable("the planner's search is not begun by self.mppi(z, pi_actions, task, mean, std)")
    policy, mean = (one.flatten() for one in begun)
    largest = policy.abs().argmax()
    return {abs(round(float(mean[largest] / policy[largest]), 4))}
