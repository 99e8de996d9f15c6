"""The Q networks of a tree, asked by themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from newtfix.model import Unobservable
from newtfix.verify.subject import ACTION_DIM, LATENT_DIM, Subject, randomise

ROWS = 64
NETWORKS = 3


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, actions and tasks of so many samples."""
    generator = torch.Generator().manual_seed(3)
    z = torch.rand(rows, LATENT_DIM, generator=generator)
    action = torch.rand(rows, ACTION_DIM, generator=generator) * 2 - 1
    return z, action, torch.zeros(rows, dtype=torch.int64)


def answers(model: Any, rows: int = ROWS, target: bool = False) -> Tensor:
    """What every network says, [num_q, rows, ...]."""
    with torch.no_grad():
        return torch.as_tensor(model.Q(*inputs(rows), return_type="all", target=target)).clone()


def joint(model: Any, rows: int = ROWS) -> Tensor:
    """What every network is given for these inputs: latents, tasks and actions side by side, [rows, ...]."""
    given: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        given.extend(one for one in inputs if isinstance(one, Tensor))

    hooks = [module.register_forward_pre_hook(note) for module in (model._Qs, model._Qs.online)]
    answers(model, rows)
    for hook in hooks:
        hook.remove()
    z, action, _ = inputs(rows)
    return given[0] if given else torch.cat([z, action], dim=-1)


def members_of(ensemble: Any) -> list[nn.Module]:
    """The member networks. Raises Unobservable where the ensemble has none that can be asked by themselves."""
    members = getattr(ensemble, "_Qs", None)
    if not isinstance(members, (nn.ModuleList, list)) or not all(isinstance(m, nn.Module) for m in members):
        raise Unobservable(f"{type(ensemble).__name__} has no list _Qs of networks")
    return list(members)


def model_of(subject: Subject, **settings: Any) -> Any:
    model = subject.model(subject.config(num_q=NETWORKS, **settings))
    randomise(model)
    for owner in ("_Qs.online", "_Qs.target"):
        if not hasattr(model._Qs, owner.rpartition(".")[2]):
            raise Unobservable(f"the tree's world model has no {owner}")
    return model
