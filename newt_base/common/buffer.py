"""Replay of episodes: rows in a ring of preallocated tensors, sampled as slices of H+1 rows of one episode."""

import torch


class Buffer:
    """Ring buffer of episode rows.

    Row t of an episode holds the observation after t steps and the action, statistics and reward that led to it; the
    action of an episode's first row is never read. Every slice of H+1 rows within one episode is equally likely.
    Rows are numbered from the first one ever added; row r lies at r modulo capacity, so old episodes are overwritten.

    Args:
        capacity: rows kept. batch_size: slices per sample, B. horizon: H. device: where the rows are kept.
    """

    KEYS = ("obs", "action", "mu", "std", "reward", "task")
    NOT_SAVED = ("_device", "_batch_size", "_offline")

    def __init__(self, capacity, batch_size, horizon=3, device="cpu"):
        if capacity <= horizon:
            raise ValueError(f"buffer_size={capacity} holds no slice of horizon+1={horizon + 1} rows")
        self._capacity, self._batch_size, self._horizon = capacity, batch_size, horizon
        self._device = torch.device(device)
        self._storage = {}
        self._starts = torch.empty(capacity, dtype=torch.int64, device=self._device)
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

    def _reserve(self, td):
        for key in self.KEYS:
            value = td[key]
            self._storage[key] = torch.empty((self._capacity, *value.shape[1:]), dtype=value.dtype, device=self._device)

    def add(self, td, world_size=1, rank=0):
        """Add one episode, a TensorDict [1, T] with obs, action, mu, std, reward, task. Returns how many there are."""
        if td.shape[0] != 1:
            raise ValueError(f"one episode at a time: got a batch of {td.shape[0]}")
        td = td[0]
        length = td.shape[0]
        if length > self._capacity:
            raise ValueError(f"an episode of {length} rows does not fit into buffer_size={self._capacity}")
        if not self._storage:
            self._reserve(td)
        rows = torch.arange(self._rows, self._rows + length, device=self._device)
        for key, stored in self._storage.items():
            stored[rows % self._capacity] = td[key].to(self._device, stored.dtype)
        self._rows += length
        self._num_eps += 1
        self._index_slices(rows)
        return self._num_eps

    def _index_slices(self, rows):
        """Forget the starts whose rows have been overwritten, then note where slices can start in new rows."""
        oldest = self._rows - self._capacity
        window = torch.arange(
            self._first_start, min(self._last_start, self._first_start + len(rows)), device=self._device
        )
        self._first_start += int((self._starts[window % self._capacity] < oldest).sum())
        starts = rows[: max(0, len(rows) - self._horizon)]
        slots = torch.arange(self._last_start, self._last_start + len(starts), device=self._device)
        self._starts[slots % self._capacity] = starts
        self._last_start += len(starts)

    def sample(self, device, batch_size=None):
        """Draw B slices: obs [H+1,B,O], action, mu and std [H,B,A], reward [H,B,1] and task [H,B], on `device`.

        `batch_size` stands in for the buffer's own B.
        """
        if self.num_slices == 0:
            raise RuntimeError(
                f"the replay buffer has {self._num_eps} episodes and no slice of {self._horizon + 1} rows to sample: "
                "nothing has been stored yet, or all episodes are shorter than the horizon"
            )
        size = self._batch_size if batch_size is None else batch_size
        drawn = self._first_start + torch.randint(self.num_slices, (size,), device=self._device)
        starts = self._starts[drawn % self._capacity]
        steps = torch.arange(self._horizon + 1, device=self._device)
        rows = (starts + steps.unsqueeze(1)) % self._capacity
        batch = {key: stored[rows].to(device, non_blocking=True) for key, stored in self._storage.items()}
        obs, reward = batch.pop("obs"), batch.pop("reward")[1:].unsqueeze(-1)
        action, mu, std, task = (batch[key][1:] for key in ("action", "mu", "std", "task"))
        return obs, action, mu, std, reward, task

    def save(self, path):
        """Write everything stored to a file that `load` reads."""
        state = {name: value for name, value in vars(self).items() if name not in self.NOT_SAVED}
        torch.save(state, path)

    def load(self, path):
        """Take over what `save` wrote; capacity and horizon must be the same."""
        state = torch.load(path, map_location=self._device, weights_only=True)
        for name in ("_capacity", "_horizon"):
            if state[name] != getattr(self, name):
                raise ValueError(f"{path}: saved with {name[1:]}={state[name]}, this run has {getattr(self, name)}")
        vars(self).update(state)


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
