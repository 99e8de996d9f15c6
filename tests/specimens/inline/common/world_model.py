import torch
import torch.nn as nn

from common import layers, math


class WorldModel(nn.Module):
	def __init__(self, cfg):
		super().__init__()
		self.cfg = cfg
		self.register_buffer('_action_masks', torch.ones(1, cfg.action_dim))
		self._encoder = nn.Linear(cfg.obs_dim, cfg.latent_dim)
		self._dynamics = nn.Linear(cfg.latent_dim + cfg.action_dim, cfg.latent_dim)
		self._reward = nn.Linear(cfg.latent_dim + cfg.action_dim, 1)
		self._pi = nn.Linear(cfg.latent_dim, 2 * cfg.action_dim)
		self._Qs = layers.QOnlineTargetEnsemble(cfg)

	def task_emb(self, x, task):
		return x

	def encode(self, obs, task):
		return torch.tanh(self._encoder(obs))

	def next(self, z, a, task):
		return torch.tanh(self._dynamics(torch.cat((z, a), dim=-1)))

	def reward(self, z, a, task):
		return self._reward(torch.cat((z, a), dim=-1))

	def pi(self, z, task):
		"""The policy prior: action and a dict about it."""
		mean, log_std = self._pi(z).chunk(2, dim=-1)
		log_std = math.log_std(log_std, self.cfg.log_std_min, self.cfg.log_std_max - self.cfg.log_std_min)
		eps = torch.randn_like(mean)
		log_prob = math.gaussian_logprob(eps, log_std)
		action = mean + eps * log_std.exp()
		mean, action, log_prob = math.squash(mean, action, log_prob)
		info = {'mean': mean, 'log_std': log_std, 'entropy': -log_prob, 'scaled_entropy': -log_prob}
		return action, info

	def Q(self, z, a, task, return_type='min', target=False):
		values = self._Qs(torch.cat((z, a), dim=-1), target=target)
		if return_type == 'all':
			return values
		values = values[torch.randperm(self.cfg.num_q)[:2]]
		return values.mean(0) if return_type == 'avg' else values.min(0).values
