"""The temporal weights of the losses, seen in the losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from newtfix.model import Observation, Unobservable, decided, judged
from newtfix.parity.pinned import Pinned
from newtfix.verify.batches import observations
from newtfix.verify.choices import choices, named
from newtfix.verify.oracle import recompute
from newtfix.verify.subject import HORIZON, Subject
from newtfix.verify.updates import Rig, Update

_RHO = 0.5
_PARTS = ("consistency", "reward", "value")
_SCALES = (0.25, 1.0)  # far apart, and both below any threshold


def probe(subject: Subject) -> list[Observation]:
    """The weights that the agent holds, and each of the model's losses by itself."""
    rig = Rig(subject, {"rho": _RHO})
    found = [_held(rig)]
    for part in _PARTS:
        alone = {f"{name}_coef": float(name == part) for name in _PARTS}
        found.append(_loss(Rig(subject, {"rho": _RHO, **alone}), part, subject))
    return [*found, *(_policy(subject, choice) for choice in choices(subject))]


def _powers(count: int) -> Tensor:
    return torch.tensor([_RHO**t for t in range(count)], dtype=torch.float64)


def _held(rig: Rig) -> Observation:
    held = getattr(rig.agent, "rho", None)
    if not isinstance(held, Tensor):
        raise Unobservable("the tree's agent has no tensor rho")
    normalised = _powers(HORIZON + 1) / _powers(HORIZON + 1).sum()
    wanted, unpatched, seen = (
        ", ".join(f"{float(w):.4g}" for w in weights[:HORIZON]) for weights in (_powers(HORIZON), normalised, held)
    )
    return judged("temporal weights", wanted, seen, unpatched)


def _loss(rig: Rig, part: str, subject: Subject) -> Observation:
    """One of the model's losses, alone in the total, against its value per step."""
    update = rig.update()
    seen = float(update.model_loss().loss)
    steps = _STEPS[part](rig, update, subject).double()
    return _weighed(f"{part} loss of a batch", seen, [steps])


def _weighed(what: str, seen: float, candidates: list[Tensor]) -> Observation:
    """Compare a loss with its values per step, averaged as the reference does, or with newt's weights."""
    averaged = [float((_powers(len(x)) * x).sum() / HORIZON) for x in candidates]
    normalised = _powers(HORIZON + 1) / _powers(HORIZON + 1).sum()
    newts = [float((normalised[: len(x)] * x).sum()) for x in candidates]
    means = [value / HORIZON for value in newts]
    good, bad = (any(_near(seen, value) for value in values) for values in (averaged, [*newts, *means]))
    expected = f"{averaged[0]:.6g}"
    return decided(what, expected, expected if good else f"{seen:.6g}", good, bad)


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-4 * max(abs(a), abs(b), 1e-6)


@torch.no_grad()
def _consistency(rig: Rig, update: Update, subject: Subject) -> Tensor:
    obs = observations(rig.batch)
    zs, task = _rollout(rig, obs)
    targets = rig.agent.model.encode(obs[1:], task)
    errors: Tensor = (zs[1:] - targets).square().mean(dim=(1, 2))
    return errors


@torch.no_grad()
def _reward(rig: Rig, update: Update, subject: Subject) -> Tensor:
    zs, task = _rollout(rig, observations(rig.batch))
    logits = rig.agent.model.reward(zs[:-1], rig.wanted("action"), task)
    return _entropy(logits, rig.wanted("reward"), rig, subject)


@torch.no_grad()
def _value(rig: Rig, update: Update, subject: Subject) -> Tensor:
    obs = observations(rig.batch)
    zs, task = _rollout(rig, obs)
    next_z = rig.agent.model.encode(obs[1:], task)
    noise = next((n for n in update.noise if n.numel() == next_z[..., 0].numel() * rig.cfg.action_dim), None)
    with Pinned(noise):
        targets = rig.agent._td_target(next_z, rig.wanted("reward"), task)
    qs = rig.agent.model.Q(zs[:-1], rig.wanted("action"), task, return_type="all")
    return torch.stack([_entropy(q, targets, rig, subject) for q in qs]).mean(0)


_STEPS: dict[str, Callable[[Rig, Update, Subject], Tensor]] = {
    "consistency": _consistency,
    "reward": _reward,
    "value": _value,
}


def _rollout(rig: Rig, obs: Tensor) -> tuple[Tensor, Tensor]:
    """The model's own latents [H+1, B, Z] from the first observations on, and tasks [H, B]."""
    model = rig.agent.model
    task = torch.zeros(HORIZON, obs.shape[1], dtype=torch.int64)
    zs = [model.encode(obs[0], task[0])]
    for t, action in enumerate(rig.wanted("action")):
        zs.append(model.next(zs[-1], action, task[t]))
    return torch.stack(zs), task


def _entropy(logits: Tensor, targets: Tensor, rig: Rig, subject: Subject) -> Tensor:
    """Mean loss per step, [H], of logits [H, B, ...] against scalars [H, B, 1], by the tree's own soft_ce."""
    soft_ce: Any = subject.module("math").soft_ce
    return torch.stack([soft_ce(a, b, rig.cfg).mean() for a, b in zip(logits, targets, strict=True)])


def _policy(subject: Subject, choice: Mapping[str, Any]) -> Observation:
    """The policy's Q term: what is left of the difference that another running scale makes."""
    mode = {"actor_mode": "sac"} if hasattr(subject.default_config(), "actor_mode") else {}
    rig = Rig(subject, {"rho": _RHO, "scale_threshold": 1e9, **mode, **choice})
    updates = [rig.update(scale) for scale in _SCALES]
    first, second = (float(update.policy_loss().loss) for update in updates)
    seen = (first - second) / (1 / _SCALES[1] - 1 / _SCALES[0])
    return _weighed(f"Q term of the policy's loss{named(choice)}", seen, _policy_steps(rig, updates[0]))


@torch.no_grad()
def _policy_steps(rig: Rig, update: Update) -> list[Tensor]:
    """Mean Q per step of the policy's actions: at the H latents that have actions, and at all that are given."""
    zs = rig.latents(update)
    found = [recompute(rig, update).q.mean(dim=(1, 2)).detach()]
    noise = next((n for n in update.policy_noise if n.numel() == zs[..., 0].numel() * rig.cfg.action_dim), None)
    if noise is not None and len(zs) > HORIZON:
        task = torch.zeros(1, zs.shape[1], dtype=torch.int64)
        with Pinned(noise):
            pi = rig.agent.model.pi(zs, task)[0]
        found.append(rig.agent.model.Q(zs, pi, task, return_type="avg").mean(dim=(1, 2)).double())
    return found
