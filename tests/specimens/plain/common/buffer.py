import random

import torch
from tensordict import TensorDict


def transform(td, horizon: int = 3):
	"""Rows of slices to time-major batches."""
	td = td.select("obs", "action", "reward", "task", strict=False)
	td = td.view(-1, 1 + horizon).transpose(0, 1)
	obs = td.get("obs").contiguous()
	action = td.get("action")[1:].contiguous()
	reward = td.get("reward")[1:].unsqueeze(-1).contiguous()
	# tasks go with the transitions
	task = td.get("task")[1:].contiguous()

	return obs, action, reward, task


class _Slices:
	"""Draws slices of H+1 rows from stored episodes."""

	def __init__(self, batch_size, horizon):
		self.batch_size, self.horizon, self.episodes = batch_size, horizon, []

	def extend(self, td):
		"""Rows of several episodes; like storage that is made for all keys at once, it fills in zeros."""
		for name in ("mu", "std"):
			if name not in td.keys():
				td[name] = torch.zeros_like(td["action"])
		_, lengths = td["episode"].unique_consecutive(return_counts=True)
		self.episodes += td.exclude("episode").split(lengths.tolist())

	def sample(self):
		rows = []
		for _ in range(self.batch_size):
			td = random.choice(self.episodes)
			start = random.randrange(len(td) - self.horizon)
			rows.append(td[start:start + self.horizon + 1])
		return transform(torch.cat(rows), self.horizon)


class Buffer:
	def __init__(self, batch_size=8, horizon=3):
		self._buffer = _Slices(batch_size, horizon)

	def add(self, td, world_size=1, rank=0):
		"""Add one episode."""
		self._buffer.episodes.append(td[0].clone())

	def load_demos(self, tds):
		"""Rows of demonstrations, episode after episode."""
		self._buffer.extend(tds)	# all at once

	def sample(self, device):
		"""A batch on a device."""
		obs, action, reward, task = self._buffer.sample()
		if obs.device != device:
			obs, action, reward, task = (x.to(device) for x in (obs, action, reward, task))

		return obs, action, reward, task


class EnsembleBuffer(Buffer):
	"""Half of every batch from demonstrations."""

	def __init__(self, offline_buffer, batch_size=8, horizon=3):
		super().__init__(batch_size // 2, horizon)
		self._offline = offline_buffer

	def sample(self, device):
		obs0, action0, reward0, task0 = self._offline.sample(device)
		try:
			obs1, action1, reward1, task1 = super().sample(device)
		except Exception as e:
			print('no online data yet', e)
			raise
		self._out_obs = torch.cat([obs0, obs1], dim=1)
		self._out_action = torch.cat([action0, action1], dim=1)
		self._out_reward = torch.cat([reward0, reward1], dim=1)
		self._out_task = torch.cat([task0, task1], dim=1)

		return self._out_obs, self._out_action, self._out_reward, self._out_task
