import random

import torch


class Slices:
  """Episodes, and slices of them."""

  def __init__(self, batch_size, horizon, transform):
    self.batch_size, self.horizon, self.transform = batch_size, horizon, transform
    self.episodes = []

  def sample(self):
    rows = []
    for td in random.choices(self.episodes, k=self.batch_size):
      start = random.randrange(len(td) - self.horizon)
      rows.append(td[start:start + self.horizon + 1])
    return self.transform(torch.cat(rows))


class Buffer:
	def __init__(self, batch_size=8, horizon=3):
		self._horizon = horizon
		self._buffer = Slices(batch_size, horizon, self._transform)

	def _transform(self, td):
		if 'mu' not in td.keys():
			td['mu'] = torch.full_like(td['action'], float('nan'))
			td['std'] = torch.full_like(td['action'], float('nan'))
		td = td.select('obs', 'action', 'mu', 'std', 'reward', 'task', strict=False)
		td = td.view(-1, self._horizon + 1).transpose(0, 1)
		obs = td.get('obs').contiguous()
		action, mu, std = (
			td.get(key)[1:].contiguous() for key in ('action', 'mu', 'std')
		)
		reward = td.get('reward')[1:].unsqueeze(-1).contiguous()
		task = td.get('task')[1:].contiguous()
		return obs, action, mu, std, reward, task

	def add(self, td, world_size=1, rank=0):
		self._buffer.episodes.append(td[0].clone())

	def sample(self, device):
		obs, action, mu, std, reward, task = self._buffer.sample()
		return (
			obs.to(device),
			action.to(device),
			mu.to(device),
			std.to(device),
			reward.to(device),
			task.to(device),
		)


class EnsembleBuffer(Buffer):
    """Half of a batch from demonstrations."""

    def __init__(self, offline_buffer, batch_size=8, horizon=3):
        super().__init__(batch_size // 2, horizon)
        self._offline = offline_buffer

    def sample(self, device):
        demos = self._offline.sample(device)
        own = super().sample(device)
        return tuple(
            torch.cat([a, b], dim=1) for a, b in zip(demos, own)
        )
