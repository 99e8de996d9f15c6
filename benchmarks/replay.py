"""The replay buffer: storing episodes and drawing slices, beside torchrl's `SliceSampler` where that is installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tensordict import TensorDict

from newt_base.common.buffer import Buffer

from .episodes import episode
from .figures import Figure
from .machine import available_memory
from .timing import Effort, alternate

OBS, ACTION = 67, 21  # humanoid-walk
ROWS, HORIZON, SLICES = 500, 3, 256
DRAWN = ("obs", "action", "mu", "std", "reward", "task")
SIZES = (100_000, 1_000_000)
SCALES = (10_000, 100_000, 1_000_000, 10_000_000)
ROOM = 0.5  # of the memory that is free may be used for one buffer


def replay(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Storing and drawing at 100k and 1M transitions."""
    for capacity in (10_000,) if quick else SIZES:
        yield from _figures("replay", capacity, effort, with_torchrl() is not None)


def replay_scaling(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Storing and drawing from 10k to 10M transitions, as far as memory goes."""
    for capacity in SCALES[:1] if quick else SCALES:
        if capacity * bytes_per_row() < ROOM * available_memory():
            yield from _figures("scaling: replay", capacity, effort, False)


def skipped() -> list[str]:
    """What these figures leave out on this machine, and why."""
    notes = []
    if with_torchrl() is None:
        notes.append("torchrl is not installed: the buffer is not compared with its SliceSampler")
    for capacity in SCALES:
        if capacity * bytes_per_row() >= ROOM * available_memory():
            notes.append(f"a buffer of {capacity:,} transitions takes more than half of the free memory: left out")
    return notes


def bytes_per_row() -> int:
    """Bytes of the values of one transition."""
    row = episode(OBS, ACTION, 1)
    return sum(row[name].element_size() * row[name].numel() for name in DRAWN)


def held_bytes(buffer: Buffer) -> int:
    """Bytes of all memory that the tensors of a buffer stand on."""
    parts = [
        part for value in vars(buffer).values() for part in (value.values() if isinstance(value, dict) else [value])
    ]
    memory = [part.untyped_storage() for part in parts if isinstance(part, torch.Tensor)]
    return sum({each.data_ptr(): each.nbytes() for each in memory}.values())


def with_torchrl() -> Any:
    """torchrl's module of replay buffers, or None."""
    try:
        from torchrl.data import replay_buffers
    except ImportError:
        return None
    return replay_buffers


def _figures(group: str, capacity: int, effort: Effort, compare: bool) -> Iterator[Figure]:
    buffer = Buffer(capacity=capacity, batch_size=SLICES, horizon=HORIZON, device="cpu")
    contestants = {"newt_base": ours(buffer)}
    if compare:
        contestants["torchrl"] = _torchrl(capacity)
    samplers = {name: sample for name, (_, sample) in contestants.items()}
    adders = {name: add for name, (add, _) in contestants.items()}
    other = "torchrl" if compare else None
    facts = {
        "capacity": capacity,
        "obs_dim": OBS,
        "action_dim": ACTION,
        "bytes_per_transition": held_bytes(buffer) / capacity,
    }
    for what, unit, units, calls in (
        (f"draw {SLICES} slices", "batches/s", 1, samplers),
        ("store", "transitions/s", ROWS, adders),
    ):
        times = alternate(calls, effort)
        own = times["newt_base"]
        yield Figure(
            group,
            f"{what}, {capacity:,}",
            unit,
            own.rate(units),
            len(own.seconds),
            ratio=own.faster_than(times[other]) if other else None,
            ratio_to=other,
            facts=facts,
        )


def ours(buffer: Buffer) -> tuple[Callable[[], object], Callable[[], object]]:
    """Fill a buffer of newt_base; calls that store one more episode in it, and that draw from it."""
    return _filled(buffer.capacity, buffer.add), lambda: buffer.sample(torch.device("cpu"))


def _torchrl(capacity: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same with torchrl's buffer, set up as newt does for episodes of a fixed length, in this process."""
    torchrl = with_torchrl()
    sampler = torchrl.SliceSampler(num_slices=SLICES, traj_key="episode", strict_length=True)
    buffer = torchrl.ReplayBuffer(
        storage=torchrl.LazyTensorStorage(capacity), sampler=sampler, batch_size=SLICES * (HORIZON + 1)
    )
    numbers = itertools.count()

    def add(td: TensorDict) -> None:
        td = td[0].select(*DRAWN)
        td["episode"] = torch.full(td.batch_size, next(numbers), dtype=torch.int64)
        buffer.extend(td)

    def sample() -> list[torch.Tensor]:
        slices = buffer.sample().view(SLICES, HORIZON + 1).transpose(0, 1)
        return [slices[name].contiguous() for name in DRAWN]

    return _filled(capacity, add), sample


def _filled(capacity: int, add: Callable[[TensorDict], object]) -> Callable[[], object]:
    """Fill a buffer with episodes, and return a call that adds the next one."""
    stock = itertools.cycle([episode(OBS, ACTION, ROWS, seed) for seed in range(16)])
    for _ in range(capacity // ROWS + 1):
        add(next(stock).clone())
    return lambda: add(next(stock))
