"""The quantities of a recording as a tree's own classes compute them, each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from newtfix.parity.layout import ACTOR_PARTS, LOSSES, NEWT, Group
from newtfix.parity.pinned import Pinned

Values = Mapping[str, Any]


class Missing(Exception):
    """The tree has nothing that computes this quantity: `what` it lacks."""


@dataclass(frozen=True)
class Subject:
    """A tree's agent with the recorded weights, and the recorded arrays as tensors, under their keys.

    H horizon, B batch, Z latent width; one environment and one task, number 0.
    """

    agent: Any
    math: Any
    arrays: Mapping[str, Tensor]
    kind: str

    @property
    def model(self) -> Any:
        return self.agent.model

    @property
    def obs(self) -> Tensor:
        return self.arrays["in/obs"]

    @property
    def action(self) -> Tensor:
        return self.arrays["in/action"]

    def task(self, steps: int) -> Tensor:
        """Task indices [steps, B]."""
        return torch.zeros(steps, self.action.shape[1], dtype=torch.int64)

    @property
    def tasks(self) -> Tensor:
        """Task indices [H, B]."""
        return self.task(len(self.action))

    def encode(self) -> Tensor:
        """Latents [H+1, B, Z] of all observations."""
        return torch.as_tensor(need(self.model, "encode")(self.obs, self.task(len(self.obs))))

    def rollout(self) -> Tensor:
        """Latents [H+1, B, Z] that the dynamics lead to from the first observations."""
        tasks = self.tasks
        zs = [need(self.model, "encode")(self.obs[0], tasks[0])]
        for t, action in enumerate(self.action):
            zs.append(need(self.model, "next")(zs[t], action, tasks[t]))
        return torch.stack(zs)

    def latents(self) -> Tensor:
        """The latents [H, B, Z] that heads and policy were recorded at."""
        return (self.encode() if self.kind == NEWT else self.rollout())[:-1]

    def pinned(self, noise: str = "", *indices: str) -> Pinned:
        return Pinned(self.arrays.get(noise), [self.arrays[key] for key in indices if key in self.arrays])


def need(owner: Any, name: str) -> Any:
    """An attribute of the tree's object. Raises Missing."""
    if not hasattr(owner, name):
        raise Missing(f"the tree's {getattr(owner, '__name__', type(owner).__name__)} has no {name}")
    return getattr(owner, name)


def entry(info: Any, name: str, of: str) -> Any:
    """An entry of a dict-like result, or the Missing that says that there is none."""
    try:
        return info[name]
    except KeyError:
        return Missing(f"the tree's {of} reports no {name}")


def measure(subject: Subject, group: Group) -> Values:
    """The results of a group by name; one that cannot be had is the exception that says why."""
    with _left_as_is(subject.agent):
        return _work(group)(subject)


def _work(group: Group) -> Callable[[Subject], Values]:
    first = group.results[0]
    if first.startswith("actor/"):
        _, mode, scale, _ = first.split("/")
        return partial(_actor, mode=mode, scale=float(scale.removeprefix("scale_")), names=group.results)
    return _WORK[first]


@torch.no_grad()
def _heads(subject: Subject) -> Values:
    model, z, action, tasks = subject.model, subject.latents(), subject.action, subject.tasks
    return {
        "encode": subject.encode(),
        "reward_logits": attempt(lambda: need(model, "reward")(z, action, tasks)),
        "q_logits": attempt(lambda: need(model, "Q")(z, action, tasks, return_type="all")),
    }


def _reference_heads(subject: Subject) -> Values:
    with torch.no_grad():
        return {**_heads(subject), "rollout": subject.rollout()}


@torch.no_grad()
def _newt_heads(subject: Subject) -> Values:
    model, z, action, tasks = subject.model, subject.latents(), subject.action, subject.tasks
    return {
        **_heads(subject),
        "next": attempt(lambda: need(model, "next")(z, action, tasks)),
        "q_logits_target": attempt(lambda: need(model, "Q")(z, action, tasks, return_type="all", target=True)),
    }


def _latents_and_heads(subject: Subject) -> Values:
    return _newt_heads(subject) if subject.kind == NEWT else _reference_heads(subject)


@torch.no_grad()
def _q_avg_data(subject: Subject) -> Values:
    with subject.pinned("", "in/q_data"):
        return {"q_avg_data": need(subject.model, "Q")(subject.latents(), subject.action, subject.tasks, "avg")}


@torch.no_grad()
def _two_hot(subject: Subject) -> Values:
    return {"two_hot": need(subject.math, "two_hot")(subject.arrays["in/two_hot_x"], subject.agent.cfg)}


@torch.no_grad()
def _two_hot_inv(subject: Subject) -> Values:
    return {"two_hot_inv": need(subject.math, "two_hot_inv")(subject.arrays["in/two_hot_logits"], subject.agent.cfg)}


@torch.no_grad()
def _policy(subject: Subject) -> Values:
    z = subject.latents()
    with subject.pinned("in/eps" if subject.kind == NEWT else "in/eps_pi"):
        action, info = need(subject.model, "pi")(z, subject.tasks)
    return {
        "pi_action": action,
        "pi_mean": entry(info, "mean", "policy"),
        "pi_log_std": entry(info, "log_std", "policy"),
        "pi_log_prob": entry(info, "log_pi", "policy"),
        "pi_entropy": entry(info, "entropy", "policy"),
        "pi_scaled_entropy": entry(info, "scaled_entropy", "policy"),
    }


@torch.no_grad()
def _log_pi_action(subject: Subject) -> Values:
    log_pi_action = need(subject.model, "log_pi_action")
    return {"log_pi_action": log_pi_action(subject.latents(), subject.action, subject.tasks)}


@torch.no_grad()
def _td_target(subject: Subject) -> Values:
    z = subject.encode()[1:]
    with subject.pinned("in/eps_td", "in/q_td"):
        return {"td_target": need(subject.agent, "_td_target")(z, subject.arrays["in/reward"], subject.tasks)}


@torch.no_grad()
def _model_losses(subject: Subject) -> Values:
    with subject.pinned("in/eps_td", "in/q_td"):
        loss_fn = need(subject.agent, "_loss_fn")
        total, _, info = loss_fn(subject.obs, subject.action, subject.arrays["in/reward"], subject.tasks)
    return {"total_loss": total, **{name: entry(info, name, "_loss_fn") for name in LOSSES if name != "total_loss"}}


@torch.no_grad()
def _plan_value(subject: Subject) -> Values:
    actions = subject.arrays["in/plan_actions"]
    task = torch.zeros(1, dtype=torch.int64)
    z = need(subject.model, "encode")(subject.obs[0, :1], task)
    z = z.unsqueeze(1).expand(-1, actions.shape[1], -1)
    with subject.pinned("in/eps_plan", "in/q_plan"):
        value = need(subject.agent, "_estimate_value")(z, actions.unsqueeze(0), task)
    return {"plan_value": value.squeeze(0)}


def _policy_batch(subject: Subject) -> tuple[Tensor, ...]:
    """Latents [H+1, B, Z], actions, mu and std [H, B, A], and task [1, B]: the arguments of the policy update."""
    with torch.no_grad():
        zs = subject.rollout()
    return zs, subject.action, subject.arrays["in/mu"], subject.arrays["in/std"], subject.task(1)


def _choose_mode(subject: Subject, mode: str) -> None:
    need(subject.agent.cfg, "actor_mode")
    object.__setattr__(subject.agent.cfg, "actor_mode", mode)


def _actor(subject: Subject, mode: str, scale: float, names: tuple[str, ...]) -> Values:
    """Policy loss, its parts, and the norm of its gradient at a running scale that does not move."""
    agent = subject.agent
    _choose_mode(subject, mode)
    _set_scale(agent, scale)
    batch = _policy_batch(subject)
    drawn = ("in/q_pi", "in/q_data") if mode == "awac" else ("in/q_pi",)
    with _replaced(agent.scale, "update", _nothing), subject.pinned("in/eps_pi", *drawn):
        loss, _, info = need(agent, "_pi_loss")(*batch)
    found = {
        "pi_loss": loss,
        "q_loss": entry(info, "pi_q_loss", "_pi_loss"),
        "prior_loss": entry(info, "pi_prior_loss", "_pi_loss"),
        "grad_norm": attempt(lambda: _grad_norm(loss, agent.model._pi)),
    }
    return {name: found[part] for name, part in zip(names, ACTOR_PARTS, strict=True)}


def _grad_norm(loss: Tensor, module: torch.nn.Module) -> float:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return math.sqrt(sum(float(gradient.double().pow(2).sum()) for gradient in gradients if gradient is not None))


def _scale_order(subject: Subject) -> Values:
    """A whole policy update in residual mode: the scale that the loss was computed with, and the one it ends with."""
    agent = subject.agent
    _choose_mode(subject, "residual")
    _set_scale(agent, float(subject.arrays["out/scale_order/before"]))
    before = _scale(agent)
    batch = _policy_batch(subject)
    still = _replaced(agent.pi_optim, "step", _nothing) if hasattr(agent, "pi_optim") else nullcontext()
    with still, subject.pinned("in/eps_pi", "in/q_pi"):
        info = need(agent, "update_pi")(*batch)
    return {
        "scale_order/before": before,
        "scale_order/after": _scale(agent),
        "scale_order/pi_loss": entry(info, "pi_loss", "update_pi"),
        "scale_order/grad_norm": entry(info, "pi_grad_norm", "update_pi"),
    }


_WORK: Mapping[str, Callable[[Subject], Values]] = {
    "encode": _latents_and_heads,
    "q_avg_data": _q_avg_data,
    "two_hot": _two_hot,
    "two_hot_inv": _two_hot_inv,
    "pi_mean": _policy,
    "log_pi_action": _log_pi_action,
    "td_target": _td_target,
    LOSSES[0]: _model_losses,
    "plan_value": _plan_value,
    "scale_order/before": _scale_order,
}


def attempt(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the exception that it raises: one quantity that fails leaves the others of its group."""
    try:
        return work()
    except Exception as error:
        return error


def _scale(agent: Any) -> float:
    return float(agent.scale.value)


def _set_scale(agent: Any, value: float) -> None:
    held = need(need(agent, "scale"), "value")
    if isinstance(held, Tensor):
        held.data.fill_(value)
    else:
        agent.scale.value = value


def _nothing(*args: Any, **kwargs: Any) -> None:
    """In place of what would change the agent."""


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let an object have another method for a while."""
    own = vars(owner).get(name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        object.__delattr__(owner, name)
        if own is not None:
            object.__setattr__(owner, name, own)


@contextmanager
def _left_as_is(agent: Any) -> Iterator[None]:
    """Put weights, gradients, running scale and actor mode back."""
    state = {name: value.detach().clone() for name, value in agent.model.state_dict().items()}
    mode = getattr(agent.cfg, "actor_mode", None)
    scale = _scale(agent) if hasattr(agent, "scale") else None
    try:
        yield
    finally:
        agent.model.load_state_dict(state)
        agent.model.zero_grad(set_to_none=True)
        if mode is not None:
            object.__setattr__(agent.cfg, "actor_mode", mode)
        if scale is not None:
            _set_scale(agent, scale)
