"""What a buffer samples, whatever its form: tensors found by what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.verify.fakes import OBS_DIM, Env, Key, keys_of
from newtfix.verify.subject import HORIZON


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, TensorDictBase)):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


def observations(batch: Any) -> Tensor:
    """The observations [H+1, B, 3] of a batch. Raises Unobservable where there are none of that shape."""
    for tensor in tensors(batch):
        if tensor.ndim == 3 and tensor.shape[0] == HORIZON + 1 and tensor.shape[2] == OBS_DIM:
            return tensor
    shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors(batch))
    raise Unobservable(f"no observations [{HORIZON + 1}, B, {OBS_DIM}] in what the buffer samples ({shapes})")


def keys(obs: Tensor) -> list[list[Key]]:
    """Which observations these are, [H+1] lists of B."""
    return [keys_of(row) for row in obs]


def broken_slices(batch: Any, env: Env) -> int:
    """How many slices of a batch don't follow one episode; all, if they come with other rewards than it had.

    The first observation of an episode does not count: that it is the right one is a matter of its own.
    """
    found = keys(observations(batch))
    columns = list(zip(*found, strict=True))
    broken = sum(not _follows(column) for column in columns)
    return broken if broken or carries(batch, expected(batch, env, "reward")) else len(columns)


def _follows(column: Sequence[Key]) -> bool:
    i, episode, t = column[1]
    starts = [column[0]] if t > 1 else []
    return [*starts, *column[1:]] == [(i, episode, t + k) for k in range(-len(starts), len(column) - 1)]


def expected(batch: Any, env: Env, name: str) -> Tensor:
    """What the transitions of a batch were, [H, B, ...]: `name` is action, reward, mu or std. NaN where unknown."""
    width = 1 if name == "reward" else env.action_dim
    unknown = torch.full((width,), float("nan"))
    rows = []
    for row in keys(observations(batch))[1:]:
        known = [env.transitions.get(key) for key in row]
        values = [None if one is None else one.value(name) for one in known]
        rows.append(torch.stack([unknown if value is None else value.reshape(width) for value in values]))
    return torch.stack(rows)


def carries(batch: Any, wanted: Tensor) -> bool:
    """Whether one of the tensors has these values."""
    return any(_equal(tensor, wanted) for tensor in tensors(batch))


def _equal(tensor: Tensor, wanted: Tensor) -> bool:
    return tensor.shape == wanted.shape and torch.allclose(tensor.float(), wanted.float(), rtol=1e-5, atol=1e-6)
