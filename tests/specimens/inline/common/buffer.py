import random

import torch


class _Slices:
	"""Stored episodes, drawn in slices that go through a transform."""

	def __init__(self, batch_size, horizon, transform):
		self.batch_size, self.horizon, self.transform = batch_size, horizon, transform
		self.episodes = []

	def sample(self):
		drawn = random.choices(self.episodes, k=self.batch_size)
		starts = [random.randrange(len(td) - self.horizon) for td in drawn]
		return self.transform(torch.cat([td[s:s + self.horizon + 1] for td, s in zip(drawn, starts)]))


class Buffer:
	def __init__(self, batch_size=8, horizon=3):
		def transform(td):
			td = td.select("obs", "action", "reward", "task", strict=False)
			td = td.view(-1, 1 + horizon).transpose(0, 1)
			obs = td.get("obs").contiguous()
			action = td.get("action")[1:].contiguous()
			reward = td.get("reward")[1:].unsqueeze(-1).contiguous()
			task = td.get("task")[1:].contiguous()
			return obs, action, reward, task

		self._horizon = horizon
		self._buffer = _Slices(batch_size, horizon, transform)

	def add(self, td, world_size=1, rank=0):
		self._buffer.episodes.append(td[0].clone())

	def sample(self, device):
		obs, action, reward, task = self._buffer.sample()
		if obs.device != device:
			obs, action = obs.to(device), action.to(device)
			reward, task = reward.to(device), task.to(device)
		return obs, action, reward, task


class EnsembleBuffer(Buffer):
	"""Demonstrations beside what is collected."""

	def __init__(self, offline_buffer, batch_size=8, horizon=3):
		self._offline = offline_buffer
		super().__init__(batch_size // 2, horizon)

	def sample(self, device):
		obs0, action0, reward0, task0 = self._offline.sample(device)
		obs1, action1, reward1, task1 = super().sample(device)
		return (
			torch.cat([obs0, obs1], dim=1),
			torch.cat([action0, action1], dim=1),
			torch.cat([reward0, reward1], dim=1),
			torch.cat([task0, task1], dim=1),
		)
