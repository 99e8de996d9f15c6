"""Replay of episodes: rows in a ring of preallocated memory, sampled as slices of H+1 rows of one episode."""

import torch

from .storage import START, WORD, Layout, Place, statement


def row_of(cfg):
    """The values of one row of the agent's replay, name -> (shape, dtype)."""
    widths = {"obs": cfg.obs_shape[cfg.obs], **dict.fromkeys(("action", "mu", "std"), (cfg.action_dim,))}
    row = {name: (tuple(shape), torch.float32) for name, shape in widths.items()}
    row |= {"reward": ((), torch.float32), "task": ((), torch.int32)}
    return row | ({"terminated": ((), torch.bool)} if cfg.episodic else {})


class NothingToSample(RuntimeError):
    """There is no slice of an episode to learn from yet."""


class Buffer:
    """Ring buffer of episode rows.

    Row t of an episode holds the observation after t steps and the action, statistics and reward that led to it; the
    action of an episode's first row is never read. Every slice of H+1 rows within one episode is equally likely.
    Rows are numbered from the first one ever added; row r lies at r modulo capacity, so old episodes are overwritten.
    The values of a row lie side by side, so that a sample is one gather. Memory for all rows is reserved at once.

    Args:
        capacity: rows kept. batch_size: slices per sample, B. horizon: H.
        device: where the rows are kept, a Place or what one is made of. episodic: rows also say whether their
            observation is a terminal one, which only an episode's last can be.
    """

    KEYS = ("obs", "action", "mu", "std", "reward", "task")
    SAVED = ("_capacity", "_horizon", "_first_start", "_last_start", "_rows", "_num_eps")

    def __init__(self, capacity, batch_size, horizon=3, device="cpu", episodic=False):
        if capacity <= horizon:
            raise ValueError(f"buffer_size={capacity} holds no slice of horizon+1={horizon + 1} rows")
        self._capacity, self._batch_size, self._horizon = capacity, batch_size, horizon
        self._place, self._more_keys = Place.of(device), ("terminated",) if episodic else ()
        self._layout = None
        self._ring = self._starts = self._steps = None  # int32 [capacity, words], int64 [capacity] and [H+1, 1]
        self._storage = {}  # the columns of the ring by name, [capacity, ...]
        self._first_start = self._last_start = 0  # numbers of the oldest kept and the next slice start
        self._rows = 0
        self._num_eps = 0

    @property
    def capacity(self):
        """Rows kept at most."""
        return self._capacity

    def __len__(self):
        return min(self._rows, self._capacity)

    @property
    def num_slices(self):
        """Slices of H+1 rows that a sample can draw from."""
        return self._last_start - self._first_start

    @property
    def num_eps(self):
        """Episodes added so far."""
        return self._num_eps

    def plan(self, row):
        """Choose the place for rows whose values are name -> (shape, dtype); returns what they take, in one line.

        Nothing is reserved yet. Raises StorageError where they do not fit.
        """
        row_bytes = Layout(row).nbytes
        self._place = self._place.settled(self._capacity, row_bytes)
        return statement(self._place, self._capacity, row_bytes)

    def reserve(self, row):
        """Take memory for all rows, unless it is there already: the index of starts, and behind it the ring.

        `row` as in `plan`; raises StorageError. Without this call, the first episode says what rows look like.
        """
        layout = Layout(row)
        if self._layout is not None and layout.row == self._layout.row:
            return
        self._layout = self._ring = self._starts = None
        self._storage = {}
        self.plan(row)
        index = self._capacity * START // WORD
        memory = self._place.reserve(index + self._capacity * layout.words)
        self._starts = memory[:index].view(torch.int64)
        self._ring = memory[index:].view(self._capacity, layout.words)
        self._steps = torch.arange(self._horizon + 1, device=memory.device).unsqueeze(1)
        self._layout, self._storage = layout, layout.views(self._ring)

    def add(self, td, world_size=1, rank=0):
        """Add one episode, a TensorDict [1, T] with obs, action, mu, std, reward, task. Returns how many there are."""
        if td.shape[0] != 1:
            raise ValueError(f"one episode at a time: got a batch of {td.shape[0]}")
        values = {key: td[key][0] for key in (*self.KEYS, *self._more_keys)}
        length = td.shape[1]
        if length > self._capacity:
            raise ValueError(f"an episode of {length} rows does not fit into buffer_size={self._capacity}")
        if self._layout is None:
            self.reserve({key: (value.shape[1:], value.dtype) for key, value in values.items()})
        self._put(self._ring, self._rows, self._layout.packed(values))
        self._rows += length
        self._num_eps += 1
        self._index_slices(length)
        return self._num_eps

    def _put(self, ring, number, values):
        """Write values [T, ...] into a ring [capacity, ...], the first one at `number` modulo capacity."""
        start = number % self._capacity
        fits = min(len(values), self._capacity - start)
        ring[start : start + fits].copy_(values[:fits])
        ring[: len(values) - fits].copy_(values[fits:])

    def _index_slices(self, length):
        """Forget the starts whose rows have been overwritten, then note where slices can start in `length` new rows."""
        oldest = self._rows - self._capacity
        if oldest > 0:
            last = min(self._last_start, self._first_start + length)
            window = torch.arange(self._first_start, last, device=self._starts.device)
            self._first_start += int((self._starts[window % self._capacity] < oldest).sum())
        first = self._rows - length
        starts = torch.arange(first, max(first, self._rows - self._horizon), device=self._starts.device)
        self._put(self._starts, self._last_start, starts)
        self._last_start += len(starts)

    def sample(self, device, batch_size=None):
        """Draw B slices: obs [H+1,B,O], action, mu and std [H,B,A], reward [H,B,1] and task [H,B], on `device`.

        Where episodes may terminate, terminated [H,B,1] as well: 1 where obs[1:] is terminal. `batch_size` stands in
        for the buffer's own B.
        """
        if self.num_slices == 0:
            raise NothingToSample(
                f"the replay buffer has {self._num_eps} episodes and no slice of {self._horizon + 1} rows to sample: "
                "nothing has been stored yet, or all episodes are shorter than the horizon"
            )
        size = self._batch_size if batch_size is None else batch_size
        drawn = torch.randint(self.num_slices, (size,), device=self._starts.device)
        starts = self._starts.index_select(0, drawn.add_(self._first_start).remainder_(self._capacity))
        rows = self._gather((starts + self._steps).remainder_(self._capacity), torch.device(device))
        batch = self._layout.unpacked(rows)
        obs, reward = batch.pop("obs"), batch.pop("reward")[1:].unsqueeze(-1)
        action, mu, std, task = (batch[key][1:] for key in ("action", "mu", "std", "task"))
        more = (batch[key][1:].unsqueeze(-1).float() for key in self._more_keys)
        return obs, action, mu, std, reward, task, *more

    def _gather(self, rows, device):
        """The ring's rows [H+1, B] on `device`, [H+1, B, words]; to a GPU they go through page-locked memory."""
        shape = (*rows.shape, self._ring.shape[1])
        if device.type != "cuda" or self._ring.device.type != "cpu":
            return self._ring.index_select(0, rows.view(-1)).view(shape).to(device)
        batch = torch.empty(rows.numel(), shape[-1], dtype=torch.int32, pin_memory=True)
        return torch.index_select(self._ring, 0, rows.view(-1), out=batch).view(shape).to(device, non_blocking=True)

    def save(self, path, **extra):
        """Write everything stored, and `extra`, to a file that `load` reads, wherever that keeps its rows."""
        state = {name: getattr(self, name) for name in self.SAVED} | {"extra": extra}
        if self._layout is not None:
            state["row"] = {key: stored[:0].to("cpu", copy=True) for key, stored in self._storage.items()}
            state["rows"] = _own(self._ring[: len(self)])
            state["starts"] = _own(self._starts[: min(self._last_start, self._capacity)])
        torch.save(state, path)

    @classmethod
    def check_counts(cls, state):
        """Raise ValueError where what `save` wrote counts other rows than it has."""
        counts = {name: state[name] for name in cls.SAVED}
        if not all(isinstance(count, int) and count >= 0 for count in counts.values()):
            raise ValueError(f"its counts are {counts}")
        if len(state.get("rows", ())) != min(state["_rows"], state["_capacity"]):
            raise ValueError(f"it has {len(state.get('rows', ()))} rows, and counts {state['_rows']}")

    def load(self, path):
        """Take over what `save` wrote, and return its `extra`; capacity, horizon and rows must be the same."""
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        for name in ("_capacity", "_horizon"):
            if state[name] != getattr(self, name):
                raise ValueError(f"{path}: saved with {name[1:]}={state[name]}, this run has {getattr(self, name)}")
        self.check_counts(state)
        if "row" in state:
            row = {key: (tuple(value.shape[1:]), value.dtype) for key, value in state["row"].items()}
            if self._layout is not None and self._layout.row != row:
                raise ValueError(f"{path}: its rows hold {row}, those of this run {self._layout.row}")
            self.reserve(row)
            self._ring[: len(state["rows"])].copy_(state["rows"])
            self._starts[: len(state["starts"])].copy_(state["starts"])
        for name in self.SAVED:
            setattr(self, name, state[name])
        return state["extra"]


def _own(rows):
    """Rows as a tensor on the CPU that is saved without the memory around it; no copy where they are there already."""
    return torch.from_numpy(rows.cpu().numpy())


class EnsembleBuffer(Buffer):
    """Replay beside demonstrations: half of each batch comes from `offline_buffer`, the rest from what was added here.

    Before there is anything to sample here, whole batches come from the demonstrations. Lengths and counts, and what
    is saved and loaded, are those of the replay alone.
    """

    def __init__(self, offline_buffer, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._offline = offline_buffer

    def sample(self, device, batch_size=None):
        """Draw B slices as `Buffer.sample` does, B // 2 of them from the demonstrations, which come first."""
        size = self._batch_size if batch_size is None else batch_size
        if self.num_slices == 0:
            return self._offline.sample(device, size)
        offline = self._offline.sample(device, size // 2)
        online = super().sample(device, size - size // 2)
        return tuple(torch.cat(pair, dim=1) for pair in zip(offline, online, strict=True))
