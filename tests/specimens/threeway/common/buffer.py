"""Replay of episodes, sampled in slices."""

import random

import torch


def transform(td, horizon=3):
    """Rows [B * (H+1)] to obs [H+1, B, O], action [H, B, A], reward [H, B, 1] and task [H, B]."""
    td = td.select("obs", "action", "reward", "task", strict=False)
    td = td.view(-1, 1 + horizon).transpose(0, 1)
    obs = td.get("obs").contiguous()
    action = td.get("action")[1:].contiguous()
    reward = td.get("reward")[1:].unsqueeze(-1).contiguous()
    task = td.get("task")[1:].contiguous()
    return obs, action, reward, task


class _Slices:
    def __init__(self, size, horizon, transform):
        self.size, self.horizon, self.transform, self.episodes = size, horizon, transform, []

    def extend(self, td):
        _, lengths = td["episode"].unique_consecutive(return_counts=True)
        self.episodes += [rows.clone() for rows in td.exclude("episode").split(lengths.tolist())]

    def sample(self):
        rows = []
        for td in random.choices(self.episodes, k=self.size):
            start = random.randrange(len(td) - self.horizon)
            rows.append(td[start : start + self.horizon + 1])
        return self.transform(torch.cat(rows))


class Buffer:
    def __init__(self, batch_size=8, horizon=3):
        self._batch_size = batch_size
        self._horizon = horizon
        self._buffer = _Slices(batch_size, horizon, transform)
        self._num_eps = 0

    @property
    def num_eps(self):
        return self._num_eps

    def load_demos(self, tds):
        self._buffer.extend(tds)

    def add(self, td, world_size=1, rank=0):
        """Add an episode, [1, T]."""
        td["episode"] = torch.full_like(td["reward"], self._num_eps * world_size + rank, dtype=torch.int64)
        self._buffer.extend(td[0])
        self._num_eps += 1

    def sample(self, device):
        obs, action, reward, task = self._buffer.sample()
        if obs.device != device:
            obs = obs.to(device)
            action = action.to(device)
            reward = reward.to(device)
            task = task.to(device)
        return obs, action, reward, task


class EnsembleBuffer(Buffer):
    """Demonstrations in the first half of every batch; its tensors are made once."""

    def __init__(self, offline_buffer, batch_size=8, horizon=3):
        super().__init__(batch_size // 2, horizon)
        self._offline = offline_buffer
        self._out_obs = None

    def _allocate(self, obs, action, reward, task):
        double = lambda x: torch.empty((x.shape[0], 2 * x.shape[1], *x.shape[2:]), dtype=x.dtype, device=x.device)
        self._out_obs, self._out_action = double(obs), double(action)
        self._out_reward, self._out_task = double(reward), double(task)

    def sample(self, device):
        obs0, action0, reward0, task0 = self._offline.sample(device)
        obs1, action1, reward1, task1 = super().sample(device)
        if self._out_obs is None:
            self._allocate(obs0, action0, reward0, task0)
        B = self._batch_size
        self._out_obs[:, :B], self._out_obs[:, B:] = obs0, obs1
        self._out_action[:, :B], self._out_action[:, B:] = action0, action1
        self._out_reward[:, :B], self._out_reward[:, B:] = reward0, reward1
        self._out_task[:, :B], self._out_task[:, B:] = task0, task1
        return self._out_obs, self._out_action, self._out_reward, self._out_task
