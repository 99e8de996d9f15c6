"""Memory for replay: how a row lies in words of 4 bytes, what all rows take, and a place that is sure to hold them."""

import dataclasses
import math
import mmap
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Optional

import numpy as np
import torch

from . import resolve_device

WORD = 4  # bytes
START = 8  # bytes per row for the index of slice starts
# The part of what is free that `auto` takes at most: the rest is for training, and for other programs.
SHARES = {"cuda": 0.5, "pinned": 0.5, "cpu": 0.8, "mmap": 0.9}


class StorageError(ValueError):
    """Replay that does not fit where it shall be kept: what it needs, what is free, and what to do."""


# ------------------------------------------------------------------- a row


class Layout:
    """The values of one row side by side, each on a word of its own: one gather fetches them all.

    Args:
        row: name -> (shape, dtype) of the value of one row.
    """

    def __init__(self, row):
        self.row = {name: (tuple(shape), dtype) for name, (shape, dtype) in row.items()}
        self._counts = [math.prod(shape) for shape, _ in self.row.values()]
        step = max(WORD, *(dtype.itemsize for _, dtype in self.row.values())) // WORD
        sizes = (
            math.ceil(count * dtype.itemsize / WORD / step) * step
            for count, (_, dtype) in zip(self._counts, self.row.values(), strict=True)
        )
        self._words = list(sizes)

    @property
    def words(self):
        """Words per row."""
        return sum(self._words)

    @property
    def nbytes(self):
        """Bytes that a stored row takes, with its place in the index."""
        return self.words * WORD + START

    def views(self, rows):
        """The values in rows, int32 [..., words], by name, [..., *shape]: views of the same memory."""
        return self._values(rows.split(self._words, -1))

    def unpacked(self, rows):
        """The same as contiguous tensors of their own."""
        return self._values(torch.split_with_sizes_copy(rows, self._words, -1))

    def packed(self, values):
        """Values [T, *shape] by name as rows, int32 [T, words]."""
        length, device = len(next(iter(values.values()))), next(iter(values.values())).device
        rows = torch.empty(length, self.words, dtype=torch.int32, device=device)
        for name, view in self.views(rows).items():
            view.copy_(values[name])
        return rows

    def _values(self, parts):
        found = {}
        for (name, (shape, dtype)), count, part in zip(self.row.items(), self._counts, parts, strict=True):
            value = part.view(dtype)
            value = value if value.shape[-1] == count else value[..., :count]
            found[name] = value.squeeze(-1) if shape == () else value if len(shape) == 1 else value.unflatten(-1, shape)
        return found


# ----------------------------------------------------------------- a place


@dataclasses.dataclass(frozen=True)
class Place:
    """Where rows are kept, as the setting buffer_device says.

    kind: auto, cpu (host memory), pinned (page-locked host memory), mmap (a file), or another device's type.
    device: where rows are gathered; for auto, the agent's device. folder: where the file goes, if there may be one.
    """

    kind: str
    device: torch.device
    folder: Optional[Path] = None

    @classmethod
    def of(cls, setting, device="cpu", folder=None, rank=0):
        """The place that `setting` names (also a device or a Place); raises ValueError where there is none here."""
        if isinstance(setting, cls):
            return setting
        folder = None if folder is None else Path(folder)
        if setting == "auto":
            return cls("auto", torch.device(device), folder)
        if setting == "pinned" and not torch.cuda.is_available():
            raise ValueError("buffer_device=pinned is for CUDA, and torch finds no CUDA device here; use cpu")
        if setting == "mmap" and folder is None:
            raise ValueError("buffer_device=mmap needs a folder for its file")
        if setting in ("pinned", "mmap"):
            return cls(setting, torch.device("cpu"), folder)
        device = setting if isinstance(setting, torch.device) else resolve_device(setting, rank)
        return cls(device.type, device, folder)

    def settled(self, capacity, row_bytes):
        """This place, or for auto the first one with room to spare. Raises StorageError where the rows do not fit."""
        need = capacity * row_bytes
        if self.kind != "auto":
            free = self.free()
            if free is not None and need * self._sharers > free:
                raise self._refusal(capacity, row_bytes, [self])
            return self
        candidates = self._candidates()
        for place in candidates:
            free = place.free()
            if free is None or need * place._sharers <= SHARES[place.kind] * free:
                return place
        raise self._refusal(capacity, row_bytes, candidates)

    def _candidates(self):
        host = torch.device("cpu")
        if self.device.type == "meta":
            return [dataclasses.replace(self, kind="meta")]
        kinds = {"cuda": self.device, "pinned": host} if self.device.type == "cuda" else {"cpu": host}
        if self.folder is not None:
            kinds["mmap"] = host
        return [Place(kind, device, self.folder) for kind, device in kinds.items()]

    @property
    def _sharers(self):
        """Processes of this run that take as much of the same memory: those on this machine, unless it is a GPU's."""
        return 1 if self.kind == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", 1))

    def free(self):
        """Bytes that are free here; None where that is not known."""
        if self.kind == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        if self.kind == "mmap":
            return shutil.disk_usage(next(path for path in (self.folder, *self.folder.parents) if path.exists())).free
        return free_host() if self.kind in ("cpu", "pinned") else None

    def __str__(self):
        names = {"cpu": "host memory", "pinned": "pinned host memory", "cuda": f"GPU memory ({self.device})"}
        return f"a file in {self.folder}" if self.kind == "mmap" else names.get(self.kind, f"memory of {self.device}")

    def _refusal(self, capacity, row_bytes, tried):
        need, each = capacity * row_bytes, f" for each of {self._sharers} processes" if self._sharers > 1 else ""
        free = {place: place.free() // place._sharers for place in tried}
        shares = [SHARES[place.kind] if self.kind == "auto" else 1.0 for place in tried]
        rows = _rounded(int(max(share * free[place] for share, place in zip(shares, tried, strict=True)) // row_bytes))
        steps = [f"buffer_size={rows} or less" if rows else "a machine with more memory"]
        steps += [f"buffer_device={place.kind}" for place in self._others(tried) if (place.free() or 0) >= need]
        found = ", ".join(f"{size(nbytes)} are free {place._where()}" for place, nbytes in free.items())
        return StorageError(
            f"buffer_size={capacity}: {capacity:,} rows of {row_bytes} bytes need {size(need)}{each}; with "
            f"buffer_device={self.kind}, {found}\n  use {', or '.join(steps)}"
        )

    def _others(self, tried):
        """Places on this machine that were not tried, or where `auto` left room to spare."""
        host = Place("cpu", torch.device("cpu"), self.folder)
        others = [host, *([dataclasses.replace(host, kind="mmap")] if self.folder is not None else [])]
        return [place for place in others if self.kind == "auto" or place not in tried]

    def _where(self):
        return f"on the disk of {self.folder}" if self.kind == "mmap" else f"in {self}"

    # ---------------------------------------------------------- reservation

    def reserve(self, words):
        """Memory for so many words, int32 [words], with anything in it. Raises StorageError."""
        if self.kind == "mmap":
            return self._mapped(words)
        try:
            if self.device.type != "cpu":
                return torch.empty(words, dtype=torch.int32, device=self.device)
            memory = np.empty(words, dtype=np.int32)  # unlike torch's, in huge pages where it is large
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise StorageError(
                f"buffer_device={self.kind}: {size(words * WORD)} cannot be reserved in {self}\n"
                "  use a smaller buffer_size, or buffer_device=mmap"
            ) from error
        if self.kind == "pinned":
            _page_lock(memory)
        return torch.from_numpy(memory)

    def _mapped(self, words):
        """A file without a name in the folder: whatever ends the process, its space is free again."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                os.posix_fallocate(file.fileno(), 0, words * WORD)
                mapped = mmap.mmap(file.fileno(), words * WORD)
        except OSError as error:
            raise StorageError(
                f"buffer_device=mmap: {self.folder} has no room for a file of {size(words * WORD)} "
                f"({error.strerror})\n  use a smaller buffer_size, or out_dir=FOLDER on another disk"
            ) from error
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)
        return torch.frombuffer(mapped, dtype=torch.int32)


def _page_lock(memory):
    """Lock an array into memory, so that a GPU reads it directly, until it is collected."""
    cuda = torch.cuda.cudart()
    status = int(cuda.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0))
    if status:
        raise StorageError(
            f"buffer_device=pinned: {size(memory.nbytes)} of host memory cannot be page-locked (CUDA error {status})\n"
            "  use buffer_device=cpu, or a smaller buffer_size"
        )
    weakref.finalize(memory, cuda.cudaHostUnregister, memory.ctypes.data).atexit = False


# ----------------------------------------------------- what the host has free


def free_host(root=Path("/")):
    """Bytes of host memory that can be taken: what the machine has available, or the process's control groups allow.

    None where the system does not say. `root` stands in for the root of the file system.
    """
    found = [free for free in (_available(root), *_cgroups_free(root)) if free is not None]
    return max(0, min(found)) if found else None


def _available(root):
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroups_free(root):
    """What each control group around this process has left, in either version of them."""
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, files = mounted, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, files = mounted / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        group = base / path.lstrip("/")
        while group.is_relative_to(base):
            limit, used = (_text(group / name).strip() for name in files)
            if limit.isdigit() and used.isdigit():
                yield int(limit) - int(used) + _reclaimable(group)
            group = group.parent


def _reclaimable(group):
    """Bytes of cached files, which make way for memory."""
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def size(nbytes):
    """Bytes for people, as in 1.34 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:,.0f} {unit}" if nbytes >= 100 * size else f"{nbytes / size:.3g} {unit}"
    return f"{nbytes} bytes"


def _rounded(number):
    """A number of rows, rounded down to two digits."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return number // unit * unit


def statement(place, capacity, row_bytes):
    """What replay takes and where, in one line."""
    return (
        f"replay: {capacity:,} rows of {row_bytes} bytes, {size(capacity * row_bytes)} in {place} "
        f"(buffer_device={place.kind})"
    )
