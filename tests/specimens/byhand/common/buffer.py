"""Replay of episodes, sampled in slices."""

import random

import torch

FIELDS = ("obs", "action", "mu", "std", "reward", "task")


class _Slices:
    def __init__(self, size, horizon):
        self.size, self.horizon, self.episodes = size, horizon, []

    def sample(self):
        """Time-major tensors: obs [H+1, B, O], the others [H, B, ...]."""
        drawn = []
        for td in random.choices([td for td in self.episodes if len(td) > self.horizon], k=self.size):
            start = random.randrange(len(td) - self.horizon)
            drawn.append(td[start : start + self.horizon + 1])
        batch = torch.stack(drawn, dim=1)
        tensors = [batch[name] if name == "obs" else batch[name][1:] for name in FIELDS]
        tensors[4] = tensors[4].unsqueeze(-1)
        return tuple(tensors)


class Buffer:
    def __init__(self, batch_size=8, horizon=3):
        self._batch_size = batch_size
        self._buffer = _Slices(batch_size, horizon)

    def add(self, td, world_size=1, rank=0):
        """Add an episode, [1, T], or a part of one; what demonstrations lack is NaN."""
        td = td[0].clone()
        for name in {"mu", "std"} - set(td.keys()):
            td[name] = torch.full_like(td["action"], float("nan"))
        self._buffer.episodes.append(td.select(*FIELDS))

    def sample(self, device):
        return tuple(x.to(device) for x in self._buffer.sample())


class EnsembleBuffer(Buffer):
    """Demonstrations in the first half of every batch."""

    def __init__(self, offline_buffer, batch_size=8, horizon=3):
        super().__init__(batch_size // 2, horizon)
        self._offline = offline_buffer

    def sample(self, device):
        demos, own = self._offline.sample(device), super().sample(device)
        return tuple(torch.cat(pair, dim=1) for pair in zip(demos, own))
