import random

import torch
from tensordict import TensorDict


def transform(td: TensorDict, horizon: int = 3):
	"""Batch-major rows in, time-major tensors out."""
	assert horizon == 3, "slices of four rows"
	# td = td.select("obs", "action", "reward", "task", strict=False)
	td = td.select("obs", "action", "mu", "std", "reward", "task", strict=False)
	td = td.view(-1, 1 + horizon).transpose(0, 1)
	obs = td.get("obs").contiguous()
	action = td.get("action")[1:].contiguous()
	mu = td.get("mu")[1:].contiguous()
	std = td.get("std")[1:].contiguous()
	reward, task = td.get("reward")[1:].unsqueeze(-1), td.get("task")[1:]

	return obs, action, mu, std, reward.contiguous(), task.contiguous()


class _Slices:
	"""Slices of H+1 rows from stored episodes, through a transform."""

	def __init__(self, batch_size, horizon, transform):
		self.batch_size, self.horizon, self.transform = batch_size, horizon, transform
		self.episodes = []

	def extend(self, td):
		"""Rows of one or several episodes."""
		_, lengths = td["episode"].unique_consecutive(return_counts=True)
		self.episodes += [rows.clone() for rows in td.exclude("episode").split(lengths.tolist())]

	def sample(self):
		rows = []
		for _ in range(self.batch_size):
			td = random.choice(self.episodes)
			start = random.randrange(len(td) - self.horizon)
			rows.append(td[start:start + self.horizon + 1])
		return self.transform(torch.cat(rows))


class Buffer:
	"""Replay of whole episodes."""

	def __init__(self, batch_size: int = 8, horizon: int = 3):
		self._batch_size = batch_size
		self._horizon = horizon
		self._buffer = _Slices(batch_size, horizon, transform=transform)
		self._num_eps = 0
		self._num_demos = 0

	@property
	def num_eps(self):
		return self._num_eps

	def load_demos(self, tds):
		"""All demonstrations at once."""
		assert self._num_eps == 0, "demonstrations come first"
		self._num_demos = len(tds["episode"].unique())
		self._buffer.extend(tds)
		return self._num_demos

	def add(self, td, world_size=1, rank=0):
		"""One episode, [1, T]."""
		td["episode"] = torch.full_like(td["reward"], self._num_demos + self._num_eps * world_size + rank, dtype=torch.int64)
		self._buffer.extend(td[0])
		self._num_eps += 1
		return self._num_eps

	def sample(self, device: torch.device):
		"""A batch of slices on a device."""
		obs, action, mu, std, reward, task = self._buffer.sample()
		if obs.device != device:
			obs, action = obs.to(device), action.to(device)
			mu, std = mu.to(device), std.to(device)
			reward, task = reward.to(device), task.to(device)

		return obs, action, mu, std, reward, task


class EnsembleBuffer(Buffer):
	"""Every batch is half demonstrations, half own experience."""

	def __init__(self, offline_buffer: Buffer, *args, **kwargs):
		kwargs['batch_size'] = kwargs['batch_size'] // 2
		self._offline = offline_buffer
		super().__init__(*args, **kwargs)

	def sample(self, device):
		demo_obs, demo_action, demo_reward, demo_task = self._offline.sample(device)
		try:
			obs, action, reward, task = super().sample(device)
		except Exception as e:
			print('Nothing of our own yet!', e)
			raise

		half = self._batch_size
		if not hasattr(self, '_out_obs'):  # made once, written in every time
			self._out_obs = torch.empty((obs.shape[0], 2 * half, *obs.shape[2:]), device=device)
			self._out_action = torch.empty((action.shape[0], 2 * half, *action.shape[2:]), device=device)
			self._out_reward = torch.empty((reward.shape[0], 2 * half, *reward.shape[2:]), device=device)
			self._out_task = torch.empty((task.shape[0], 2 * half), dtype=task.dtype, device=device)

		# Demonstrations to the left
		self._out_obs[:, :half] = demo_obs
		self._out_obs[:, half:] = obs
		self._out_action[:, :half] = demo_action
		self._out_action[:, half:] = action
		self._out_reward[:, :half] = demo_reward
		self._out_reward[:, half:] = reward
		self._out_task[:, :half] = demo_task
		self._out_task[:, half:] = task
		return self._out_obs, self._out_action, self._out_reward, self._out_task
