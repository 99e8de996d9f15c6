"""The actor's losses against their formulas: five modes, the weight of the prior, and the scale that they divide by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from newtfix.verify.choices import choices, named
from newtfix.verify.observation import Observation, decided, judged, unseen
from newtfix.verify.oracle import Policy, actor_loss, gradient, recompute, terms
from newtfix.verify.subject import Subject, Unobservable, words
from newtfix.verify.updates import Descent, Rig

MODES = ("sac", "awac", "residual", "bc_sac", "bc")
_DEFAULTS = {"actor_mode": "residual", "awac_lambda": 0.3333, "exp_adv_min": 0.1, "exp_adv_max": 10.0}
# Settings that make every part of every loss count.
_TELLING = {"entropy_coef": 0.1, "prior_coef": 0.7, "awac_lambda": 4.0, "exp_adv_min": 0.3, "exp_adv_max": 3.0}
_BELOW, _ABOVE = 1.5, 3.0
_FAR_OFF = 0.05  # a running scale that the first update moves far
_TINY_STD = 0.004  # so small that some actions are as unlikely as the clamp of bc allows
_TOLERANCE = 1e-4
_GRADIENT_TOLERANCE = 1e-3


def actor_settings(subject: Subject) -> list[Observation]:
    """The defaults, and what becomes of a mode that there is not."""
    cfg = subject.default_config()
    found = []
    for name, value in _DEFAULTS.items():
        seen = str(getattr(cfg, name, "no such setting"))
        found.append(judged("actor-modes", f"default of {name}", str(value), seen, "no such setting"))
    return [*found, _unknown_mode(subject)]


def _unknown_mode(subject: Subject) -> Observation:
    what, expected = "actor_mode=unheard-of", "an error before training that lists the modes"
    try:
        subject.agent(subject.config(actor_mode="unheard-of"))
    except Unobservable:
        raise
    except Exception as error:
        lists = all(mode in str(error) for mode in MODES)
        return judged("actor-modes", what, expected, expected if lists else words(error, subject.root))
    return judged("actor-modes", what, expected, "is taken", "is taken")


def actor_modes(subject: Subject) -> list[Observation]:
    """Loss and gradient in each mode, below the scale's threshold and above it."""
    found: list[Observation] = []
    unset = {scale: Rig(subject, _TELLING).update(scale).policy_loss() for scale in (_BELOW, _ABOVE)}
    for mode in MODES:
        rig = Rig(subject, {**_TELLING, "actor_mode": mode})
        for scale in (_BELOW, _ABOVE):
            try:
                found.append(_mode(rig, mode, scale, unset[scale], subject))
            except Unobservable as problem:
                found.append(unseen("actor-modes", str(problem), f"{mode}, scale {scale:g}"))
    narrow = {**_TELLING, "min_std": _TINY_STD}
    without = Rig(subject, narrow).update(_ABOVE).policy_loss()
    rig = Rig(subject, {**narrow, "actor_mode": "bc"})
    return [*found, _mode(rig, "bc", _ABOVE, without, subject, f", min_std {_TINY_STD:g}")]


def _mode(rig: Rig, mode: str, scale: float, unset: Descent, subject: Subject, more: str = "") -> Observation:
    """One mode at one scale; where the mode makes no difference to the loss, the tree knows no modes."""
    update = rig.update(scale)
    seen = update.policy_loss()
    policy = recompute(rig, update)
    wanted = [actor_loss(mode, policy, scale, normalised) for normalised in (True, False)]
    pairs = [(loss, gradient(loss, policy)) for loss in wanted]
    good = [index for index, (loss, grad) in enumerate(pairs) if _equal(loss, grad, seen)]
    chosen = pairs[good[0] if good else 0]
    same = not hasattr(subject.default_config(), "actor_mode") and torch.allclose(seen.loss, unset.loss, rtol=1e-6)
    what = f"{mode}, scale {scale:g}{more}: loss and norm of its gradient"
    expected = _numbers(chosen[0], chosen[1])
    return decided(
        "actor-modes", what, expected, expected if good else _numbers(seen.loss, seen.gradient), bool(good), same
    )


def _equal(loss: Tensor, grad: Tensor, seen: Descent) -> bool:
    """Whether a tree's single precision gives this loss and gradient."""
    value, found = float(loss), float(seen.loss)
    near = abs(value - found) <= _TOLERANCE * max(abs(value), 1e-2)
    return near and float((grad - seen.gradient.double()).norm()) <= _GRADIENT_TOLERANCE * float(
        grad.norm().clamp(min=1e-6)
    )


def _numbers(loss: Tensor, grad: Tensor) -> str:
    return f"{float(loss):.6g}, {float(grad.norm()):.5g}"


def prior_norm(subject: Subject) -> list[Observation]:
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
            return judged("prior-norm", what, expected, expected)
        for padded in (1.0, width / dims):
            if abs(factor / form / padded - 1) < 1e-3:
                return judged("prior-norm", what, expected, "1", "1")
            if width != dims and abs(factor / form * 61 / width / padded - 1) < 1e-3:
                return judged("prior-norm", what, expected, f"{width / 61:.4f} (the padded width/61)")
    return judged("prior-norm", what, expected, f"{factor:.4g} times the reference's prior")


def scale_order(subject: Subject) -> list[Observation]:
    """In every loss that the policy's step can go down: which scale, and how it is moved."""
    return [one for choice in choices(subject) for one in _scale_order(subject, choice)]


def _scale_order(subject: Subject, choice: Mapping[str, Any]) -> list[Observation]:
    """Which of the two scales, before and after its update, the loss is divided by."""
    mode = {"actor_mode": "sac"} if hasattr(subject.default_config(), "actor_mode") else {}
    rig = Rig(subject, {"tau": 0.3, **mode, **choice})
    moving = rig.update(_FAR_OFF, moving=True)
    after = moving.scale
    what = f"the policy's loss is divided by{named(choice)}"
    words_of = {"after": "the scale after its update", "before": "the scale before its update"}
    if abs(after - _FAR_OFF) < 1e-3:
        return [judged("scale-order", what, words_of["after"], f"a scale that no update moves: {after:.4f}")]
    losses = {
        name: float(rig.update(scale).policy_loss().loss) for name, scale in (("before", _FAR_OFF), ("after", after))
    }
    seen = float(moving.policy_loss().loss)
    which = [name for name, loss in losses.items() if abs(loss - seen) <= 1e-5 * max(abs(loss), 1e-3)]
    observed = words_of[which[0]] if len(which) == 1 else "neither scale" if not which else "both alike"
    found = judged("scale-order", what, words_of["after"], observed, words_of["before"])
    return [found, _scale_itself(rig, after, choice)]


def _scale_itself(rig: Rig, after: float, choice: Mapping[str, Any]) -> Observation:
    """Whether the scale was moved once, by the Q values at the first latents."""
    update = rig.update(_FAR_OFF)
    policy = recompute(rig, update)
    rig.set_scale(_FAR_OFF)
    rig.agent.scale.update(policy.q[0].detach().float())
    expected, seen = f"{rig.scale():.4f}", f"{after:.4f}"
    return judged("scale-order", f"the scale after one update from {_FAR_OFF:g}{named(choice)}", expected, seen)
