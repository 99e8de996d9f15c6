import copy

import torch
import torch.nn as nn


class NormedLinear(nn.Linear):
	def __init__(self, *args, **kwargs):
		super().__init__(*args, **kwargs)
		self.ln = nn.LayerNorm(self.out_features)

	def forward(self, x):
		x = super().forward(x)	# linear
		return torch.relu(self.ln(x))


def mlp(in_dim, width, out_dim):
	return nn.Sequential(NormedLinear(in_dim, width), NormedLinear(width, width), nn.Linear(width, out_dim))


class QEnsemble(nn.Module):
	"""Some Q networks, one after the other."""

	def __init__(self, cfg):
		super().__init__()
		width = cfg.latent_dim + cfg.action_dim
		self._Qs = nn.ModuleList([mlp(width, 16, 1) for _ in range(cfg.num_q)])
		# compile where asked to
		if cfg.compile:
			self._forward = torch.compile(self._forward_impl, mode='reduce-overhead')
		else:
			self._forward = self._forward_impl

	def _forward_impl(self, x):
		values = [network(x) for network in self._Qs]
		return torch.stack(values, dim=0)

	def forward(self, x):
		return self._forward(x)


class QOnlineTargetEnsemble(nn.Module):
	def __init__(self, cfg):
		super().__init__()
		self.online = QEnsemble(cfg)
		self.tau = cfg.tau
		self.target = copy.deepcopy(self.online)	# follows
		self.track_grad(False, self.target)

	def track_grad(self, mode, ensemble):
		for parameter in ensemble.parameters():
			parameter.requires_grad_(mode)

	@torch.no_grad()
	def soft_update_target(self):
		for theirs, mine in zip(self.target.parameters(), self.online.parameters()):
			theirs.lerp_(mine, self.tau)

	def forward(self, x, target=False):
		return self.target(x) if target else self.online(x)
