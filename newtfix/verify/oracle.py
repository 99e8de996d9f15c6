"""The actor losses by their formulas, from a tree's own networks and a recorded update, in double precision if it can.

Shapes: T latents, H of them with stored actions, B batch, A action dimensions, padded; a mask says which of them count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.parity.pinned import Pinned
from newtfix.verify.subject import HORIZON
from newtfix.verify.updates import Rig, Update

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_CLIP = -50000.0


@dataclass(frozen=True)
class Policy:
    """What the policy did in an update, recomputed with gradients.

    Args:
        model: the tree's world model, in double precision where it can be had in that. cfg: the settings.
        rho: [H] temporal weights of the tree.
        z: [H, B, Z]. eps: noise [H, B, A]. bounded: log std of the policy. pi: actions. q: Q_avg(z, pi), [H, B, 1].
        mean, log_std: raw outputs of the policy head. action, mu, std: stored. mask: [B, A].
    """

    model: Any
    cfg: Any
    rho: Tensor
    z: Tensor
    eps: Tensor
    bounded: Tensor
    pi: Tensor
    q: Tensor
    mean: Tensor
    log_std: Tensor
    action: Tensor
    mu: Tensor
    std: Tensor
    mask: Tensor

    @property
    def dims(self) -> Tensor:
        return self.mask.sum(-1, keepdim=True)

    @property
    def log_pi(self) -> Tensor:
        """log pi of the policy's own actions, [H, B, 1]."""
        volume = ((torch.relu(1 - self.pi**2) + 1e-6).log() * self.mask).sum(-1, keepdim=True)
        return self.log_prob(self.eps, self.bounded) - volume

    def over_time(self, x: Tensor) -> Tensor:
        """T[x]: mean over t of rho_t times the batch mean of x_t."""
        return (self.rho * x.flatten(1).mean(1)).mean()

    def log_prob(self, eps: Tensor, log_std: Tensor) -> Tensor:
        """G(eps, log_std), [H, B, 1]: the reference's log-probability."""
        return self.dims * (((-0.5 * eps**2 - log_std) * self.mask).sum(-1, keepdim=True) - HALF_LOG_2PI)

    def prior_arguments(self) -> tuple[Tensor, Tensor]:
        """Standardised distance of the policy's actions from the planner's, and the planner's log std."""
        std = self.std.clamp(min=float(self.cfg.min_std))
        return (self.pi - self.mu) / std, std.log()


def recompute(rig: Rig, update: Update) -> Policy:
    """The policy of an update. Raises Unobservable where the tree's policy is not the squashed Gaussian of newt.

    In single precision where the tree's model computes in that whatever it is given.
    """
    try:
        return _recompute(rig, update, torch.float64)
    except RuntimeError:
        return _recompute(rig, update, torch.float32)


def _recompute(rig: Rig, update: Update, dtype: torch.dtype) -> Policy:
    model = deepcopy(rig.agent.model).to(dtype)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in model._pi.parameters():
        parameter.requires_grad_(True)
    zs = rig.latents(update).to(dtype)
    task = torch.zeros(1, zs.shape[1], dtype=torch.int64)
    noise = _noise(update, zs, int(rig.cfg.action_dim))
    z, noise = zs[:HORIZON], noise[:HORIZON].to(dtype)
    mask = _mask(model, zs.shape[1], int(rig.cfg.action_dim)).to(dtype)
    embed = getattr(model, "task_emb", None)
    mean, log_std = model._pi(embed(z, task) if embed else z).chunk(2, dim=-1)
    low, high = float(rig.cfg.log_std_min), float(rig.cfg.log_std_max)
    bounded = (low + 0.5 * (high - low) * (log_std.tanh() + 1)) * mask
    pi = (mean * mask + noise * mask * bounded.exp()).tanh()
    with torch.no_grad(), Pinned(noise):
        own = model.pi(z, task)[0]
    if not torch.allclose(own.to(dtype), pi, rtol=1e-4, atol=1e-6):
        raise Unobservable("the tree's policy is not a Gaussian with newt's bounds, squashed by tanh")
    return Policy(
        model=model,
        cfg=rig.cfg,
        rho=_weights(rig).to(dtype),
        z=z,
        eps=noise * mask,
        bounded=bounded,
        pi=pi,
        q=_q(model, z, pi, task),
        mean=mean,
        log_std=log_std,
        action=rig.wanted("action").to(dtype),
        mu=rig.wanted("mu").to(dtype),
        std=rig.wanted("std").to(dtype),
        mask=mask,
    )


def _noise(update: Update, zs: Tensor, action_dim: int) -> Tensor:
    """The policy's draw, [H or H+1, B, A]."""
    for drawn in update.policy_noise:
        for steps in (HORIZON, HORIZON + 1):
            if drawn.numel() == steps * zs.shape[1] * action_dim:
                return drawn.reshape(steps, zs.shape[1], action_dim)
    raise Unobservable("the policy's update draws no normal noise of the shape of its actions")


def _mask(model: Any, batch: int, action_dim: int) -> Tensor:
    """Which action dimensions of task 0 count, [B, A]."""
    masks = getattr(model, "_action_masks", None)
    mask = torch.ones(action_dim) if masks is None else masks[0].detach()
    return mask.expand(batch, -1)


def _weights(rig: Rig) -> Tensor:
    if not isinstance(getattr(rig.agent, "rho", None), Tensor):
        raise Unobservable("the tree's agent has no tensor rho")
    weights: Tensor = rig.agent.rho[:HORIZON]
    return weights.detach()


def _q(model: Any, z: Tensor, action: Tensor, task: Tensor) -> Tensor:
    """Average Q of both networks, [..., 1]."""
    return torch.as_tensor(model.Q(z, action, task, return_type="avg"))


def terms(policy: Policy, scale: float) -> Mapping[str, Tensor]:
    """The parts of the losses: q (of sac, bc_sac and residual), prior, cloning, bc and awac."""
    cfg = policy.cfg
    prior = policy.log_prob(*policy.prior_arguments())
    counted = prior / scale if scale > float(getattr(cfg, "scale_threshold", 2.0)) else torch.zeros_like(prior)
    cloning = (((policy.pi - policy.action) ** 2) * policy.mask).sum(-1, keepdim=True)
    return {
        "q": policy.over_time(float(cfg.entropy_coef) * policy.log_pi - policy.q / scale),
        "prior": policy.over_time(-counted),
        "cloning": policy.over_time(cloning),
        "bc": policy.over_time(-prior.clamp(_CLIP, 0.0) / scale),
        "awac": policy.over_time(-_advantage_weights(policy, scale) * _log_p(policy)),
    }


def _advantage_weights(policy: Policy, scale: float) -> Tensor:
    cfg = policy.cfg
    with torch.no_grad():
        task = torch.zeros(1, policy.z.shape[1], dtype=torch.int64)
        advantage = (policy.q - _q(policy.model, policy.z, policy.action, task)) / scale
        weights = (advantage / float(cfg.awac_lambda)).exp()
    return weights.clamp(float(cfg.exp_adv_min), float(cfg.exp_adv_max))


def _log_p(policy: Policy) -> Tensor:
    """log p(a) of the stored actions under the raw outputs of the policy head."""
    return policy.log_prob((policy.action - policy.mean) / (policy.log_std.exp() + 1e-8), policy.log_std)


def actor_loss(mode: str, policy: Policy, scale: float, normalised: bool) -> Tensor:
    """The loss of an actor mode at a running scale; `normalised`: the residual prior is weighed by A/61."""
    found = terms(policy, scale)
    weight = float(policy.cfg.prior_coef)
    factor = float(policy.dims[0]) / 61 if normalised else 1.0
    if mode == "residual":
        return found["q"] + weight * factor * found["prior"]
    if mode == "bc_sac":
        return found["q"] + weight * found["cloning"]
    return found["q"] if mode == "sac" else found[mode]


def gradient(loss: Tensor, policy: Policy) -> Tensor:
    """The gradient of a loss in the parameters of the policy, in a row."""
    parameters = list(policy.model._pi.parameters())
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(p).flatten() if g is None else g.flatten() for g, p in zip(grads, parameters, strict=True)]
    )
