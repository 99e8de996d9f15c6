"""What the prior of the planner is weighed with, beside prior_coef."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from newtfix.model import Observation, Unobservable, judged
from newtfix.verify.choices import choices, named
from newtfix.verify.oracle import Policy, gradient, recompute, terms
from newtfix.verify.subject import Subject
from newtfix.verify.updates import Rig

# Settings that make every part of every loss count.
_TELLING = {"entropy_coef": 0.1, "prior_coef": 0.7, "awac_lambda": 4.0, "exp_adv_min": 0.3, "exp_adv_max": 3.0}
_ABOVE = 3.0  # a scale at which the prior counts
_GRADIENT_TOLERANCE = 1e-3


def probe(subject: Subject) -> list[Observation]:
    """What the prior of the planner is weighed with, beside prior_coef, in the first loss that has one."""
    problem = Unobservable("")
    for choice in choices(subject):
        try:
            return [_prior_norm(subject, choice)]
        except Unobservable as one:
            problem = problem if str(problem) else one
    raise problem


def _prior_norm(subject: Subject, choice: Mapping[str, Any]) -> Observation:
    """The weight, seen in the gradient that the prior adds."""
    mode = {"actor_mode": "residual"} if hasattr(subject.default_config(), "actor_mode") else {}
    weight = float(_TELLING["prior_coef"])
    rig = Rig(subject, {**_TELLING, **mode, **choice})
    update = rig.update(_ABOVE)
    without = Rig(subject, {**_TELLING, **mode, **choice, "prior_coef": 0.0}).update(_ABOVE)
    added = (update.policy_loss().gradient - without.policy_loss().gradient).double() / weight
    if float(added.norm()) < 1e-6:
        raise Unobservable("nothing in this tree's policy loss is weighed with prior_coef")
    policy = recompute(rig, update)
    prior = gradient(terms(policy, _ABOVE)["prior"], policy)
    factor = float(added @ prior / (prior @ prior))
    if float((added - factor * prior).norm()) > _GRADIENT_TOLERANCE * float(added.norm()):
        raise Unobservable("what prior_coef weighs in this tree's policy loss is not the planner's distribution")
    return _weight(factor, policy, named(choice))


def _weight(factor: float, policy: Policy, choice: str) -> Observation:
    """Trees sum over time or average, and weigh a density, or the reference's, which is A times as much.

    A tree that takes the padded width W for A does so in the weight, in the log-probability, or in both.
    """
    steps, dims, width = len(policy.rho), float(policy.dims[0]), policy.mask.shape[1]
    what = f"weight of the planner's prior beside prior_coef ({dims:g} action dimensions of {width}{choice})"
    expected = f"{dims / 61:.4f} (A/61)"
    for form in (1.0, float(steps), 1 / dims, steps / dims):
        if abs(factor / form * 61 / dims - 1) < 1e-3:
            return judged(what, expected, expected)
        for padded in (1.0, width / dims):
            if abs(factor / form / padded - 1) < 1e-3:
                return judged(what, expected, "1", "1")
            if width != dims and abs(factor / form * 61 / width / padded - 1) < 1e-3:
                return judged(what, expected, f"{width / 61:.4f} (the padded width/61)")
    return judged(what, expected, f"{factor:.4g} times the reference's prior")
