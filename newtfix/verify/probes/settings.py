"""A default, and a schedule that is a function of its arguments."""

from __future__ import annotations

import torch

from newtfix.verify.observation import Observation, judged
from newtfix.verify.subject import Subject, Unobservable

_START, _MIDDLE, _FINAL = 200, 600, 1_000  # small, so that one step more or less is seen


def prior_coef(subject: Subject) -> list[Observation]:
    """The default that a run gets which doesn't set it."""
    cfg = subject.default_config()
    if not hasattr(cfg, "prior_coef"):
        raise Unobservable("the tree's settings have no prior_coef")
    return [judged("prior-coef", "default of prior_coef", "1", f"{float(cfg.prior_coef):g}", "10")]


def plan_anneal(subject: Subject) -> list[Observation]:
    """The policy's weight in the planner's start, before, in the middle of and after its annealing."""
    function = getattr(subject.module("math"), "interp_dist", None)
    if function is None:
        raise Unobservable("the tree's math has no interp_dist")
    one = torch.ones(1, 1, 1)
    found = []
    for step, expected, unpatched in (
        (_START, 1.0, 1.0),
        (_MIDDLE, 0.5, 0.6),
        (_FINAL, 0.0, 0.2),
        (_FINAL + 100, 0.0, 0.1),
    ):
        mean, std = function(0 * one, 0 * one, one, one, step, _START, _FINAL)
        weights = {round(float(x.flatten()[0]), 6) for x in (mean, std)}
        what = f"weight of the policy at step {step:,} (annealed from {_START:,} to {_FINAL:,})"
        seen = " and ".join(f"{weight:g}" for weight in sorted(weights))
        found.append(judged("plan-anneal", what, f"{expected:g}", seen, f"{unpatched:g}"))
    return found
