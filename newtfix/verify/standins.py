"""Stand-ins that do something, for libraries whose behaviour a tree relies on even where nothing is trained."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from newtfix.parity.standin import AnyModule, Anything

_MOST_ROWS = 100_000  # replay rows kept whatever the capacity asked for


def install() -> set[str]:
    """Put the stand-ins in place. Returns the names of the libraries that they replace.

    torchrl's replay is always replaced: it would put its rows on a GPU, and sample in threads of its own.
    """
    replaced = {"torchrl"}
    for name, module in _replay_modules().items():
        sys.modules[name] = module
    for name, build in (("termcolor", _termcolor), ("tqdm", _tqdm)):
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules.update(build())
            replaced.add(name)
    return replaced


def _module(name: str, **members: Any) -> ModuleType:
    module = AnyModule(name)
    module.__path__ = []
    for member, value in members.items():
        setattr(module, member, value)
    return module


def _replay_modules() -> dict[str, ModuleType]:
    members = {
        "ReplayBuffer": ReplayBuffer,
        "TensorDictReplayBuffer": ReplayBuffer,
        "LazyTensorStorage": Storage,
        "LazyMemmapStorage": Storage,
        "TensorStorage": Storage,
        "SliceSampler": SliceSampler,
    }
    names = ("data", "data.replay_buffers", "data.replay_buffers.samplers", "data.replay_buffers.storages")
    modules = {f"torchrl.{name}": _module(f"torchrl.{name}", **members) for name in names}
    return {"torchrl": _module("torchrl", data=modules["torchrl.data"]), **modules}


def _termcolor() -> dict[str, ModuleType]:
    return {"termcolor": _module("termcolor", colored=lambda text, *_, **__: str(text), cprint=lambda *_, **__: None)}


def _tqdm() -> dict[str, ModuleType]:
    modules = {name: _module(name, tqdm=Bar, trange=lambda n, **_: Bar(range(n))) for name in ("tqdm", "tqdm.auto")}
    return modules


class Bar:
    """A progress bar that draws nothing."""

    def __init__(self, iterable: Iterable[Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(() if self._iterable is None else self._iterable)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing

    @staticmethod
    def write(*args: Any, **kwargs: Any) -> None:
        pass


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


class Storage:
    """Rows in tensors made for as many as `max_size`; a key that some rows lack is zero there, as in torchrl."""

    def __init__(self, max_size: int = _MOST_ROWS, *args: Any, **kwargs: Any) -> None:
        self.max_size = int(max_size)
        self._storage: Any = None
        self._written = 0

    def extend(self, rows: TensorDict) -> None:
        size = min(self.max_size, _MOST_ROWS)
        if self._storage is None:
            self._storage = torch.zeros_like(rows[:1].expand(size).clone())
        places = (torch.arange(len(rows)) + self._written) % size
        self._storage[places] = rows.clone()
        self._written += len(rows)

    def __len__(self) -> int:
        return min(self._written, self.max_size, _MOST_ROWS)

    def get(self, index: Any) -> TensorDict:
        if self._storage is None:
            raise RuntimeError("Cannot get elements out of an empty storage.")
        rows: TensorDict = self._storage[: len(self)][index]
        return rows

    def __getitem__(self, index: Any) -> TensorDict:
        return self.get(index)


class SliceSampler:
    """Slices of equal length, each within rows that follow one another and have the same number in `traj_key`.

    `strict_length`: trajectories shorter than a slice are not drawn from.
    """

    def __init__(
        self,
        *,
        num_slices: int | None = None,
        slice_len: int | None = None,
        traj_key: Any = None,
        end_key: Any = None,
        strict_length: bool = True,
        **kwargs: Any,
    ) -> None:
        self.num_slices, self.slice_len = num_slices, slice_len
        self.traj_key, self.end_key, self.strict_length = traj_key, end_key, strict_length

    def draw(self, storage: Storage, batch_size: int) -> Tensor:
        """Row numbers [batch_size], slice after slice."""
        length = self.slice_len or batch_size // int(self.num_slices or batch_size)
        starts, lengths = self._trajectories(storage)
        fits = lengths >= length
        if not fits.any() or (not self.strict_length and not fits.all()):
            raise RuntimeError(
                "Did not find a single trajectory with sufficient length "
                f"(length range: {lengths.min()} - {lengths.max()} / required={length}))."
            )
        starts, lengths = starts[fits], lengths[fits]
        chosen = torch.randint(len(starts), (batch_size // length,))
        first = starts[chosen] + (torch.rand(len(chosen)) * (lengths[chosen] - length + 1)).floor().long()
        return (first.unsqueeze(1) + torch.arange(length)).flatten()

    def _trajectories(self, storage: Storage) -> tuple[Tensor, Tensor]:
        rows = storage.get(slice(None))
        if self.traj_key is not None:
            numbers = rows.get(self.traj_key).flatten()
            last = torch.cat([numbers[1:] != numbers[:-1], torch.ones(1, dtype=torch.bool)])
        else:
            last = rows.get(self.end_key if self.end_key is not None else ("next", "done")).flatten().clone()
            last[-1] = True
        stops = last.nonzero().flatten()
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), stops[:-1] + 1])
        return starts, stops - starts + 1


class ReplayBuffer:
    """Rows that are extended and sampled; what is drawn goes through the transforms."""

    def __init__(
        self,
        *,
        storage: Any = None,
        sampler: Any = None,
        batch_size: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._storage = storage() if isinstance(storage, type) or not isinstance(storage, Storage) else storage
        self._sampler, self._batch_size = sampler, batch_size
        self._transforms = [] if transform is None else [transform]

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def sampler(self) -> Any:
        return self._sampler

    def __len__(self) -> int:
        return len(self._storage)

    def __getitem__(self, index: Any) -> Any:
        return self._storage.get(index)

    def extend(self, rows: TensorDict) -> Tensor:
        self._storage.extend(rows)
        return torch.arange(len(rows))

    def add(self, row: TensorDict) -> int:
        self._storage.extend(row.unsqueeze(0))
        return 0

    def append_transform(self, transform: Callable[[Any], Any], **kwargs: Any) -> ReplayBuffer:
        self._transforms.append(transform)
        return self

    def sample(self, batch_size: int | None = None, return_info: bool = False) -> Any:
        size = int(batch_size or self._batch_size or 1)
        if isinstance(self._sampler, SliceSampler):
            index = self._sampler.draw(self._storage, size)
        else:
            index = torch.randint(len(self._storage), (size,))
        drawn: Any = self._storage.get(index)
        for transform in self._transforms:
            drawn = transform(drawn)
        return (drawn, {"index": index}) if return_info else drawn

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()
