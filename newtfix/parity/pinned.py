"""Torch without chance and without CUDA: draws give what was recorded, and every device is the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PinningError(RuntimeError):
    """A draw of the tree cannot be given the recorded values."""


class OnCpu(TorchFunctionMode):
    """While it is active, tensors that are asked for on a CUDA device are made on the CPU, and stay there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is Tensor.cuda:
            return args[0]
        return func(*map(_on_cpu, args), **{name: _on_cpu(value) for name, value in (kwargs or {}).items()})


class Pinned(TorchFunctionMode):
    """While it is active, `torch.randn_like` gives the recorded noise and `torch.randperm` the recorded networks.

    Args:
        noise: what every draw of noise gives, in the shape of the draw up to dimensions of size 1.
        indices: for each draw of a permutation what it starts with; the last one serves all further draws.
    """

    def __init__(self, noise: Tensor | None = None, indices: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self._noise = noise
        self._indices = list(indices)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if func in (torch.randn_like, torch.randn) and self._noise is not None:
            return self._recorded_noise(drawn)
        if func is torch.randperm and self._indices:
            return self._recorded_permutation(drawn)
        return drawn

    def _recorded_noise(self, drawn: Tensor) -> Tensor:
        assert self._noise is not None
        if _without_ones(drawn) != _without_ones(self._noise):
            raise PinningError(
                f"it draws noise of shape {list(drawn.shape)}; the recorded noise is {list(self._noise.shape)}"
            )
        return self._noise.reshape(drawn.shape).to(drawn.dtype)

    def _recorded_permutation(self, drawn: Tensor) -> Tensor:
        first = self._indices.pop(0) if len(self._indices) > 1 else self._indices[0]
        if int(first.max()) >= len(drawn):
            raise PinningError(f"it draws from {len(drawn)} Q networks; the recorded ones are {first.tolist()}")
        rest = [index for index in range(len(drawn)) if index not in first.tolist()]
        return torch.cat([first, torch.tensor(rest, dtype=torch.int64)])[: max(len(drawn), len(first))]


def _on_cpu(value: Any) -> Any:
    if (isinstance(value, torch.device) and value.type == "cuda") or (isinstance(value, str) and value[:4] == "cuda"):
        return torch.device("cpu")
    return value


def _without_ones(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size != 1]
