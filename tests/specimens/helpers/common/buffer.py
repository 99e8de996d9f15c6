"""Replay."""

import random
from functools import partial

import torch


def to_batch(td, horizon):
    """Time-major tensors of rows [B * (H+1)]."""
    td = td.select("obs", "action", "reward", "task", strict=False)
    td = td.view(-1, 1 + horizon).transpose(0, 1)
    obs = td.get("obs").contiguous()
    action = td.get("action")[1:].contiguous()
    reward = td.get("reward")[1:].unsqueeze(-1).contiguous()
    task = td.get("task")[1:].contiguous()
    return obs, action, reward, task


class ReplayBuffer:
    """Slices of stored episodes; what a library would do elsewhere."""

    def __init__(self, batch_size, slice_len, transform):
        self.batch_size, self.slice_len, self.transform = batch_size, slice_len, transform
        self.episodes = []

    def extend(self, td):
        self.episodes.append(td.clone())

    def sample(self):
        rows = []
        for td in random.choices(self.episodes, k=self.batch_size):
            start = random.randint(0, len(td) - self.slice_len)
            rows.append(td[start : start + self.slice_len])
        return self.transform(torch.cat(rows))


class Buffer:
    """Whole episodes in, slices of H+1 steps out."""

    def __init__(self, batch_size=8, horizon=3):
        self._batch_size = batch_size
        self._horizon = horizon
        self._buffer = ReplayBuffer(
            batch_size=batch_size,
            slice_len=horizon + 1,
            transform=partial(to_batch, horizon=horizon),
        )
        self._num_eps = 0

    def add(self, td, world_size=1, rank=0):
        self._buffer.extend(td[0])
        self._num_eps += 1
        return self._num_eps

    def sample(self, device):
        obs, action, reward, task = self._buffer.sample()
        return obs.to(device), action.to(device), reward.to(device), task.to(device)


class EnsembleBuffer(Buffer):
    """Beside another buffer, which holds demonstrations."""

    def __init__(self, offline_buffer, batch_size=8, horizon=3):
        super().__init__(batch_size // 2, horizon)
        self._offline = offline_buffer

    def sample(self, device):
        obs0, action0, reward0, task0 = self._offline.sample(device)
        obs1, action1, reward1, task1 = super().sample(device)
        obs = torch.cat([obs0, obs1], dim=1)
        action = torch.cat([action0, action1], dim=1)
        reward = torch.cat([reward0, reward1], dim=1)
        task = torch.cat([task0, task1], dim=1)
        return obs, action, reward, task
