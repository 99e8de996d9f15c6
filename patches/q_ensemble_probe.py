"""One batched call, with the values and gradients of one call per network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from newtfix.model import Observation, decided, judged
from newtfix.verify.networks import NETWORKS, ROWS, answers, inputs, joint, members_of, model_of
from newtfix.verify.subject import Subject


def probe(subject: Subject) -> list[Observation]:
    """One batched call, with the values and gradients of one call per network."""
    model = model_of(subject)
    model.eval()
    members = members_of(model._Qs.online)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hooks = [member.register_forward_pre_hook(count) for member in members]
    together = answers(model)
    for hook in hooks:
        hook.remove()
    what = f"calls of member networks for one answer of {NETWORKS} networks"
    found = [decided(what, "at most 1", str(calls), calls <= 1, calls == NETWORKS)]
    found.append(_same("values", answers(model), _one_by_one(model, members)))
    with torch.no_grad():
        for parameter in model._Qs.online.parameters():
            parameter.add_(0.1)
    moved = answers(model)
    if torch.allclose(moved, together):
        return [*found, judged("values after the weights have changed", "others", "the same")]
    return [
        *found,
        _same("values after the weights have changed", moved, _one_by_one(model, members)),
        _gradients(model),
    ]


def _one_by_one(model: Any, members: list[nn.Module]) -> Tensor:
    x = joint(model)
    with torch.no_grad():
        return torch.stack([member(x) for member in members])


def _same(what: str, together: Tensor, apart: Tensor) -> Observation:
    expected = "as from one network after the other"
    if together.shape != apart.shape:
        return judged(what, expected, f"of the shape {list(together.shape)}, not {list(apart.shape)}")
    error = float((together - apart).abs().max() / apart.abs().max().clamp(min=1e-8))
    return judged(what, expected, expected if error < 1e-4 else f"off by {error:.1e}")


def _gradients(model: Any) -> Observation:
    """Whether what an optimiser holds learns through the ensemble as it would through its members."""
    parameters = [p for p in model._Qs.online.parameters() if p.requires_grad]
    x = joint(model)
    weights = torch.randn(NETWORKS, ROWS, 1, generator=torch.Generator().manual_seed(4))
    outputs = (
        model.Q(*inputs(ROWS), return_type="all"),
        torch.stack([member(x) for member in members_of(model._Qs.online)]),
    )
    what, expected = "gradients of the networks' parameters", "as through one network after the other"
    if not outputs[0].requires_grad:
        return judged(what, expected, "none")
    together, apart = (_flat((weights * out).sum(), parameters) for out in outputs)
    error = float((together - apart).norm() / apart.norm().clamp(min=1e-8))
    return judged(what, expected, expected if error < 1e-3 else f"off by {error:.1e}")


def _flat(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """The gradient of a loss, in a row."""
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    found = [torch.zeros_like(p) if grad is None else grad for grad, p in zip(grads, parameters, strict=True)]
    return torch.cat([grad.flatten() for grad in found])
