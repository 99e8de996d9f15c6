"""A Python without CUDA for code that expects it: devices are the CPU, and compiling leaves functions as they are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from newtfix.parity.pinned import OnCpu

_SILENT = ("set_device", "synchronize", "empty_cache", "manual_seed", "manual_seed_all", "reset_peak_memory_stats")
_COLLECTIVE = ("all_reduce", "broadcast", "barrier", "all_gather", "gather_object", "all_gather_object")
_MEMORY = 64 << 30  # bytes that a GPU is said to have


class _NoCuda(OnCpu):
    """Also forget about pinned memory, which needs a GPU's driver. Most calls have nothing to do with devices."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is Tensor.pin_memory:
            return args[0]
        if not kwargs and func is not Tensor.to and func is not Tensor.cuda:
            return func(*args)
        kept = {name: value for name, value in (kwargs or {}).items() if name != "pin_memory"}
        return super().__torch_function__(func, types, args, kept)


@contextmanager
def without_cuda() -> Iterator[None]:
    """While it is active, code for CUDA runs on the CPU, and that for several processes by itself."""
    with ExitStack() as stack:
        for name in _SILENT:
            stack.enter_context(patch.object(torch.cuda, name, _nothing))
        for name in _COLLECTIVE:
            stack.enter_context(patch.object(torch.distributed, name, _nothing))
        stack.enter_context(patch.object(torch.cuda, "mem_get_info", lambda *_: (_MEMORY, _MEMORY)))
        stack.enter_context(patch.object(torch.cuda, "current_device", lambda: 0))
        stack.enter_context(patch.object(torch.cuda, "stream", lambda *_: nullcontext()))
        stack.enter_context(patch.object(torch, "set_default_device", _nothing))
        stack.enter_context(patch.object(torch, "compile", uncompiled))
        stack.enter_context(patch.object(torch.compiler, "cudagraph_mark_step_begin", _nothing))
        stack.enter_context(patch.object(torch.optim.Optimizer, "__init__", _plain(torch.optim.Optimizer.__init__)))
        stack.enter_context(_NoCuda())
        yield


@contextmanager
def cuda_claimed() -> Iterator[None]:
    """While it is active, there seems to be a GPU, for code that compiles only where there is one."""
    with (
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.cuda, "device_count", lambda: 1),
        patch.object(torch.cuda, "get_device_capability", lambda *_: (9, 0)),
    ):
        yield


def uncompiled(model: Any = None, **options: Any) -> Any:
    """In place of `torch.compile`: a function that calls `model`; as there, a plain one, which deepcopy shares."""
    if model is None:
        return functools.partial(uncompiled, **options)
    if isinstance(model, torch.nn.Module):
        return model

    @functools.wraps(model)
    def call(*args: Any, **kwargs: Any) -> Any:
        return model(*args, **kwargs)

    return call


class Compiler:
    """While it is active, `torch.compile` counts in `compiled` what it is given."""

    def __init__(self) -> None:
        self.compiled = 0
        self._patch = patch.object(torch, "compile", self._compile)

    def __enter__(self) -> Compiler:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def _compile(self, model: Any = None, **options: Any) -> Any:
        if model is None:
            return functools.partial(self._compile, **options)
        self.compiled += 1
        return uncompiled(model)


def _plain(init: Callable[..., None]) -> Callable[..., None]:
    """Optimisers without what only CUDA has; it changes how they compute, not what."""

    @functools.wraps(init)
    def __init__(self: Any, params: Any, defaults: dict[str, Any]) -> None:
        for name in ("fused", "capturable"):
            if name in defaults:
                defaults[name] = False
        init(self, params, defaults)

    return __init__


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What is there for CUDA, or for several processes, alone."""
