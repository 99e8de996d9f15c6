"""What the machine's matrix products allow: the roofline, and how much of it a piece of work needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

WIDTH = 1024  # of the square float32 matrices whose product stands for the roofline
GFLOP = 2 * WIDTH**3 / 1e9  # of one such product


class Gemm:
    """One product of two square float32 matrices into a third; a contestant like any other."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._a, self._b = (torch.randn(WIDTH, WIDTH, generator=generator) for _ in range(2))
        self._out = torch.empty(WIDTH, WIDTH)

    @torch.no_grad()
    def __call__(self) -> None:
        torch.mm(self._a, self._b, out=self._out)


def gflop_of(call: Callable[[], object]) -> float:
    """Matrix products in one call, backward passes included, in GFLOP. Element-wise work is not counted."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


@contextmanager
def threads(number: int | None) -> Iterator[int]:
    """While entered, torch uses `number` threads; None leaves them as they are."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
