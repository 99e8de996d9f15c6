"""Updates of a tree's own agent on one batch of its own buffer: losses, gradients, and every random draw of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from newtfix.model import Unobservable
from newtfix.verify.batches import expected, tensors
from newtfix.verify.runs import CPU, Run, run
from newtfix.verify.subject import HORIZON, LATENT_DIM, Subject, randomise, seed

LENGTHS = (8, 8, 8, 8)
_ROUND = sum(LENGTHS)
_START = 32 * _ROUND  # past every threshold, so that the agent acts
FILLING: Mapping[str, Any] = {
    "lengths": LENGTHS,
    "steps": _START + 16 * _ROUND - 1,
    "start": _START,
    "settings": {"eval_freq": _START},
}
_NOISE = (torch.randn_like, torch.randn, torch.normal, Tensor.normal_)


@dataclass
class Descent:
    """A loss that an update went down: its value, and its gradient in the policy's parameters, in a row."""

    loss: Tensor
    gradient: Tensor
    training: bool


@dataclass
class Update:
    """What one update did.

    `noise` are normal draws, in order; `model` and `policy` the first losses before and after the policy's turn began;
    `calls` what the policy's methods were given, `scale` the running scale in the end.
    """

    noise: list[Tensor] = field(default_factory=list)
    policy_noise: list[Tensor] = field(default_factory=list)
    model: list[Descent] = field(default_factory=list)
    policy: list[Descent] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    scale: float = float("nan")
    in_policy: bool = False

    def model_loss(self) -> Descent:
        if not self.model:
            raise Unobservable("the update went down no loss before the policy's turn")
        return self.model[0]

    def policy_loss(self) -> Descent:
        if not self.policy:
            raise Unobservable("the policy's update went down no loss")
        return self.policy[0]


def filled(subject: Subject) -> Run:
    """A run whose buffer holds what an agent did that answers with statistics of its own."""
    return run(subject, **FILLING)


class Rig:
    """The tree's agent with weights that nothing changes, and one batch from its own buffer.

    `settings` go into the agent's configuration; `made` is the run whose buffer gives the batch. H horizon, B batch,
    A action dimensions.
    """

    def __init__(self, subject: Subject, settings: Mapping[str, Any] | None = None, made: Run | None = None) -> None:
        self.run = made or filled(subject)
        self.batch = _sample(self.run.buffer)
        self.cfg = subject.config(LENGTHS, **(settings or {}))
        self._now = Update()
        seed(6)
        self.agent = subject.agent(self.cfg, self._watching(subject.cls("agent")))
        randomise(self.agent.model)
        self._weights = deepcopy(self.agent.model.state_dict())
        for value in vars(self.agent).values():
            if isinstance(value, torch.optim.Optimizer):
                object.__setattr__(value, "step", _nothing)

    def wanted(self, name: str) -> Tensor:
        """What the batch's actions, rewards, mu or std should be, by what the environment knows: [H, B, ...].

        Actions without statistics count as their own mean, with the widest std there is.
        """
        values = expected(self.batch, self.run.env, name)
        if name == "mu":
            return torch.where(values.isnan(), self.wanted("action"), values)
        return values.nan_to_num(math.exp(float(self.cfg.log_std_max))) if name == "std" else values

    def update(self, scale: float = 1.5, moving: bool = False) -> Update:
        """One update from the same weights, at a running scale that stays where it is unless `moving`."""
        self._now = Update()
        self.set_scale(scale)
        seed(7)
        still = () if moving else ("update",)
        try:
            with _without(self.agent.scale, still), _Draws(self._now), self._descending():
                self.agent.update(_Same(self.batch, self.run.buffer))
            self._now.scale = self.scale()
        finally:
            self.agent.model.load_state_dict(self._weights)
            self.agent.model.zero_grad(set_to_none=True)
        return self._now

    def scale(self) -> float:
        return float(torch.as_tensor(self._scale_holder().value).mean())

    def set_scale(self, value: float) -> None:
        holder = self._scale_holder()
        if isinstance(holder.value, Tensor):
            holder.value.data.fill_(value)
        else:
            holder.value = value

    def _scale_holder(self) -> Any:
        if not hasattr(getattr(self.agent, "scale", None), "value"):
            raise Unobservable("the tree's agent has no scale with a value")
        return self.agent.scale

    def policy_parameters(self) -> list[Tensor]:
        return [p for p in self.agent.model._pi.parameters() if p.requires_grad]

    def latents(self, update: Update) -> Tensor:
        """The latents [H+1, B, Z] (or [H, B, Z]) that the policy was updated on."""
        for _, given in update.calls:
            for tensor in tensors(given):
                if tensor.ndim == 3 and tensor.shape[0] in (HORIZON, HORIZON + 1) and tensor.shape[2] == LATENT_DIM:
                    return tensor.detach().clone()
        raise Unobservable(f"the policy's update is given no latents [{HORIZON + 1}, B, {LATENT_DIM}]")

    def _watching(self, cls: Any) -> dict[str, Callable[..., Any]]:
        """The methods of the policy's turn, noting that it has begun and what they are given."""
        names = {name for name in dir(cls) if "pi_loss" in name and callable(getattr(cls, name))} | {"update_pi"}
        return {name: self._noting(name, getattr(cls, name)) for name in names}

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(agent: Any, *args: Any, **kwargs: Any) -> Any:
            self._now.in_policy = True
            self._now.calls.append((name, (args, kwargs)))
            return method(agent, *args, **kwargs)

        return call

    @contextmanager
    def _descending(self) -> Iterator[None]:
        original: Any = Tensor.backward

        @functools.wraps(original)
        def backward(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            before = self._gradient()
            original(loss, *args, **kwargs)
            training = bool(getattr(self.agent.model._Qs.online, "training", False))
            descent = Descent(loss.detach().clone(), self._gradient() - before, training)
            (self._now.policy if self._now.in_policy else self._now.model).append(descent)

        with patch.object(Tensor, "backward", backward):
            yield

    def _gradient(self) -> Tensor:
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.policy_parameters()]
        return torch.cat([grad.detach().flatten() for grad in grads])


def _sample(buffer: Any) -> Any:
    seed(8)
    return buffer.sample(CPU)


class _Same:
    """A buffer that gives one batch, time and again."""

    def __init__(self, batch: Any, buffer: Any) -> None:
        self._batch, self._buffer = batch, buffer

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        return _copied(self._batch)

    def __len__(self) -> int:
        return len(self._buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)


def _copied(value: Any) -> Any:
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_copied(item) for item in value)
    return deepcopy(value)


class _Draws(TorchFunctionMode):
    """Notes normal draws, and whether the policy's turn had begun."""

    def __init__(self, now: Update) -> None:
        super().__init__()
        self._now = now

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if func in _NOISE:
            (self._now.policy_noise if self._now.in_policy else self._now.noise).append(drawn.detach().clone())
        return drawn


@contextmanager
def _without(owner: Any, names: Sequence[str]) -> Iterator[None]:
    """Let methods of an object do nothing for a while."""
    for name in names:
        object.__setattr__(owner, name, _nothing)
    try:
        yield
    finally:
        for name in names:
            object.__delattr__(owner, name)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """In place of what would change the agent."""
