"""The actor's losses against their formulas, in five modes."""

from __future__ import annotations

import torch
from torch import Tensor

from newtfix.model import Observation, Unobservable, decided, judged, unseen
from newtfix.verify.oracle import actor_loss, gradient, recompute
from newtfix.verify.subject import Subject, words
from newtfix.verify.updates import Descent, Rig

_MODES = ("sac", "awac", "residual", "bc_sac", "bc")
_DEFAULTS = {"actor_mode": "residual", "awac_lambda": 0.3333, "exp_adv_min": 0.1, "exp_adv_max": 10.0}
# Settings that make every part of every loss count.
_TELLING = {"entropy_coef": 0.1, "prior_coef": 0.7, "awac_lambda": 4.0, "exp_adv_min": 0.3, "exp_adv_max": 3.0}
_BELOW, _ABOVE = 1.5, 3.0
_TINY_STD = 0.004  # so small that some actions are as unlikely as the clamp of bc allows
_TOLERANCE = 1e-4
_GRADIENT_TOLERANCE = 1e-3


def probe_settings(subject: Subject) -> list[Observation]:
    """The defaults."""
    cfg = subject.default_config()
    found = []
    for name, value in _DEFAULTS.items():
        seen = str(getattr(cfg, name, "no such setting"))
        found.append(judged(f"default of {name}", str(value), seen, "no such setting"))
    return found


def probe_unknown_mode(subject: Subject) -> list[Observation]:
    """What becomes of a mode that there is not, where an agent can be made without one."""
    subject.agent(subject.config())
    what, expected = "actor_mode=unheard-of", "an error before training that lists the modes"
    try:
        subject.agent(subject.config(actor_mode="unheard-of"))
    except Unobservable:
        raise
    except Exception as error:
        lists = all(mode in str(error) for mode in _MODES)
        return [judged(what, expected, expected if lists else words(error, subject.root))]
    return [judged(what, expected, "is taken", "is taken")]


def probe_modes(subject: Subject) -> list[Observation]:
    """Loss and gradient in each mode, below the scale's threshold and above it."""
    found: list[Observation] = []
    unset = {scale: Rig(subject, _TELLING).update(scale).policy_loss() for scale in (_BELOW, _ABOVE)}
    for mode in _MODES:
        rig = Rig(subject, {**_TELLING, "actor_mode": mode})
        for scale in (_BELOW, _ABOVE):
            try:
                found.append(_mode(rig, mode, scale, unset[scale], subject))
            except Unobservable as problem:
                found.append(unseen(str(problem), f"{mode}, scale {scale:g}"))
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
    return decided(what, expected, expected if good else _numbers(seen.loss, seen.gradient), bool(good), same)


def _equal(loss: Tensor, grad: Tensor, seen: Descent) -> bool:
    """Whether a tree's single precision gives this loss and gradient."""
    value, found = float(loss), float(seen.loss)
    near = abs(value - found) <= _TOLERANCE * max(abs(value), 1e-2)
    return near and float((grad - seen.gradient.double()).norm()) <= _GRADIENT_TOLERANCE * float(
        grad.norm().clamp(min=1e-6)
    )


def _numbers(loss: Tensor, grad: Tensor) -> str:
    return f"{float(loss):.6g}, {float(grad.norm()):.5g}"
