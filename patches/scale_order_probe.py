"""Which running scale the policy's loss is divided by, and how it is moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from newtfix.model import Observation, judged
from newtfix.verify.choices import choices, named
from newtfix.verify.oracle import recompute
from newtfix.verify.subject import Subject
from newtfix.verify.updates import Rig

_FAR_OFF = 0.05  # a running scale that the first update moves far


def probe(subject: Subject) -> list[Observation]:
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
        return [judged(what, words_of["after"], f"a scale that no update moves: {after:.4f}")]
    losses = {
        name: float(rig.update(scale).policy_loss().loss) for name, scale in (("before", _FAR_OFF), ("after", after))
    }
    seen = float(moving.policy_loss().loss)
    which = [name for name, loss in losses.items() if abs(loss - seen) <= 1e-5 * max(abs(loss), 1e-3)]
    observed = words_of[which[0]] if len(which) == 1 else "neither scale" if not which else "both alike"
    found = judged(what, words_of["after"], observed, words_of["before"])
    return [found, _scale_itself(rig, after, choice)]


def _scale_itself(rig: Rig, after: float, choice: Mapping[str, Any]) -> Observation:
    """Whether the scale was moved once, by the Q values at the first latents."""
    update = rig.update(_FAR_OFF)
    policy = recompute(rig, update)
    rig.set_scale(_FAR_OFF)
    rig.agent.scale.update(policy.q[0].detach().float())
    expected, seen = f"{rig.scale():.4f}", f"{after:.4f}"
    return judged(f"the scale after one update from {_FAR_OFF:g}{named(choice)}", expected, seen)
