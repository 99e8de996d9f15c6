"""What each discrepancy means for a tree, in one or two sentences with the tree's own numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from newtfix.model import Patch, State
from newtfix.patch.sections import sections
from newtfix.scan.facts import Facts, Quantity, show
from newtfix.scan.numbers import REFERENCE_DIMS

Numbers = Mapping[str, Quantity]
_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")
# What these say is read from the tree, so it is true of half a fix, and of one that was not recognised, too.
_FROM_CODE = {"seeding": "seed_steps", "burst": "burst_updates", "prior-coef": "prior_coef"}
_NOT_RECOGNISED = "Neither the code to fix nor the fix was recognised"


def consequence(patch: Patch, state: State, facts: Facts, numbers: Numbers) -> str:
    """What follows from the state of a patch; for patches that are not built in, what their docstring says."""
    if state is State.ABSENT:
        return "This tree has nothing that the patch speaks of."
    if state is State.APPLIED:
        return "The tree does as the patch says."
    told = _TOLD[patch.id](facts, numbers) if patch.id in _TOLD else _effect(patch)
    if state is State.DRIFTED:
        return (
            f"{_NOT_RECOGNISED}. {told}" if _is_measured(patch, numbers) else f"{_NOT_RECOGNISED}; look at it by hand."
        )
    if state is State.AVAILABLE:
        return told
    return f"The fix is there in part{'.' if patch.id in _FROM_CODE else '; of a tree without it:'} {told}"


def _is_measured(patch: Patch, numbers: Numbers) -> bool:
    quantity = numbers.get(_FROM_CODE.get(patch.id, ""))
    return quantity is not None and quantity.here is not None


def _effect(patch: Patch) -> str:
    effect = " ".join(sections(patch.doc).get("Effect", patch.changes or patch.title).split())
    return " ".join(_SENTENCE.split(effect)[:2])


def _planner_stats(facts: Facts, numbers: Numbers) -> str:
    a = facts.tasks.action_dim
    size = f"; storing them takes {show(8 * a)} bytes a step for A={a}" if a else ""
    return (
        f"The mean and deviation that the planner acted from do not reach the policy loss{size}. mu-std and "
        "actor-modes build on them."
    )


def _seeding(facts: Facts, numbers: Numbers) -> str:
    seed = numbers["seed_steps"]
    if seed.ratio is None:
        example = f" {_capital(seed.example)}." if seed.example else ""
        here = f"{seed.here_formula or 'a number not found here'} environment steps"
        return f"Learning starts after {here}; in the reference after {seed.reference_formula}.{example}"
    return (
        f"Learning starts after {show(seed.here)} environment steps, in the reference after {show(seed.reference)}: "
        f"{_times(seed.ratio)} as many."
    )


def _mu_std(facts: Facts, numbers: Numbers) -> str:
    steps = numbers["seed_steps"].here
    count = "The" if steps is None else f"The {show(steps)}"
    largest = facts.number("log_std_max")
    std = f" = {math.exp(largest):.4g}" if largest is not None and largest < 100 else ""
    return (
        f"{count} transitions collected while seeding are not stored with mu = action and std = exp(log_std_max){std}, "
        "as the reference stores its random ones."
    )


def _burst(facts: Facts, numbers: Numbers) -> str:
    burst, rate = numbers["burst_updates"], numbers["updates_per_step"].here
    missed = burst.reference
    if not isinstance(missed, (int, float)):
        return f"No updates at once when seeding ends; in the reference {burst.reference_formula}."
    later = ""
    if isinstance(rate, (int, float)) and rate:
        later = f" At {show(rate)} updates per step they take {show(missed / rate)} more environment steps."
    return f"{show(burst.here, 'No')} updates at once when seeding ends; in the reference {show(missed)}.{later}"


def _actor_modes(facts: Facts, numbers: Numbers) -> str:
    return (
        "The policy is trained by the tree's own loss; the reference's five (sac, awac, residual, bc_sac, bc), of "
        "which it uses residual, are not there."
    )


def _prior_norm(facts: Facts, numbers: Numbers) -> str:
    coefficient = show(facts.number("prior_coef"), "alone")
    dims = facts.tasks.action_dims
    factor = numbers["prior_factor"].reference
    if not dims:
        a = 21
        return (
            f"The prior term is weighted with prior_coef ({coefficient}); the reference's factor A/{REFERENCE_DIMS}, "
            f"{show(a / REFERENCE_DIMS)} for A={a}, is missing."
        )
    return (
        f"The prior term is weighted with prior_coef ({coefficient}); the reference's factor A/{REFERENCE_DIMS} = "
        f"{show(factor)} for A={', '.join(map(str, dims))} is missing."
    )


def _prior_coef(facts: Facts, numbers: Numbers) -> str:
    coefficient = numbers["prior_coef"]
    ratio = f": {_times(coefficient.ratio)} as much" if coefficient.ratio is not None else ""
    here = show(coefficient.here, "not known from the text")
    said = f"prior_coef is {here}, in the reference {show(coefficient.reference)}{ratio}."
    if facts.agent.prior_is_zero:
        readers = " and ".join(facts.agent.prior_readers)
        said += (
            f" It is read in {readers} alone, where the prior loss is 0 online: no effect until another loss reads it."
        )
    return said


def _rho(facts: Facts, numbers: Numbers) -> str:
    weights, total = numbers["temporal_weights"], numbers.get("loss_weight")
    if weights.here is None or total is None or total.ratio is None:
        return "The temporal weights are not rho^t averaged over the horizon, as in the reference."
    return (
        f"The steps of a loss weigh {show(weights.here)}, in the reference {show(weights.reference)}: the losses are "
        f"{show(total.ratio)} times as large."
    )


def _scale_order(facts: Facts, numbers: Numbers) -> str:
    tau = facts.number("tau")
    if tau is None:
        return "The running Q scale is updated after it is used: each update divides by that of the update before."
    return (
        f"Each update divides by the Q scale of the update before: with tau={tau:g}, a scale of 2.5 and a batch range "
        f"of 10, by 2.5 instead of {2.5 + 7.5 * tau:.4g}."
    )


def _q_dropout(facts: Facts, numbers: Numbers) -> str:
    return "The Q networks drop 0 of 100 units behind their first layer, in the reference 1."


def _q_ensemble(facts: Facts, numbers: Numbers) -> str:
    count = facts.number("num_q")
    networks = f"The {show(count)} Q networks" if count is not None else "The Q networks"
    return f"{networks} are called one after the other, in the reference in 1 batched call."


def _eval_modes(facts: Facts, numbers: Numbers) -> str:
    count = facts.number("eval_episodes")
    episodes = f"{show(count)} episodes per environment" if count is not None else "episodes"
    return (
        f"An evaluation runs {episodes} with the planner; the policy alone, and Q against its return, are not measured."
    )


def _target_q(facts: Facts, numbers: Numbers) -> str:
    in_use, tau = numbers["target_networks"].here, show(facts.number("tau"), "tau")
    place = facts.settings.source("compile")
    online = "the target ensemble evaluates the online networks"
    follows = f"{online}: the TD target follows them at once, not at the rate tau={tau}"
    if in_use is False:
        return f"With compile=True ({place}) {follows}."
    return f"With compile=True {follows}.{f' Here it is False ({place}).' if in_use else ''}"


def _episode_rows(facts: Facts, numbers: Numbers) -> str:
    lengths, count = facts.tasks.lengths, len(facts.tasks.names)
    said = "Environments overwrite each other's rows as soon as episode lengths differ."
    if len(lengths) > 1:
        return f"{said} The {count} tasks here have {len(lengths)} lengths, {show(lengths)}: this run is affected."
    if lengths:
        return f"{said} Here all have {show(lengths)} steps: this run is not affected."
    return f"{said} Those of the tasks here are not known."


def _first_obs(facts: Facts, numbers: Numbers) -> str:
    said = "Only an explicit reset, which comes with an evaluation, writes an episode's first observation"
    names = ("eval_freq", "num_envs", "world_size", "episode_length")
    every, envs, processes, length = (facts.number(name) for name in names)
    if not (every and envs and processes and length):
        return f"{said}: every other episode begins with that of an older one."
    episodes = max(1, round(every / (envs * processes * length)))
    least = "at least " if len(facts.tasks.lengths) > 1 else ""
    return (
        f"{said}: with eval_freq={show(every)}, {least}{episodes - 1} of {episodes} episodes begin with that of an "
        "older one."
    )


def _plan_anneal(facts: Facts, numbers: Numbers) -> str:
    end = numbers.get("annealing_end")
    start, final = facts.number("constraint_start_step"), facts.number("constraint_final_step")
    if end is None or end.here is None or start is None or not final:
        return "The annealing of the planner's start ends constraint_start_step later than constraint_final_step."
    off = " It has no effect with constrained_planning off." if "off with" in end.how else ""
    return (
        f"The annealing ends at step {show(end.here)} instead of {show(final)}, where the policy's weight is still "
        f"{show(min(1.0, max(0.0, start / final)))}.{off}"
    )


_TOLD: Mapping[str, Callable[[Facts, Numbers], str]] = {
    "planner-stats": _planner_stats,
    "seeding": _seeding,
    "mu-std": _mu_std,
    "burst": _burst,
    "actor-modes": _actor_modes,
    "prior-norm": _prior_norm,
    "prior-coef": _prior_coef,
    "rho": _rho,
    "scale-order": _scale_order,
    "q-dropout": _q_dropout,
    "q-ensemble": _q_ensemble,
    "eval-modes": _eval_modes,
    "target-q": _target_q,
    "episode-rows": _episode_rows,
    "first-obs": _first_obs,
    "plan-anneal": _plan_anneal,
}


def _times(ratio: float) -> str:
    return "just" if ratio == 1 else f"{show(ratio)} times"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
