"""Soft actor-critic on the world model's latents, without a planner; runs behind the same interface."""

import torch
import torch.nn.functional as F

from tdmpc2 import Agent


class SAC(Agent):
	def __init__(self, model, cfg):
		super().__init__(model, cfg)
		self.optim = torch.optim.Adam(model.parameters(), lr=cfg.lr)
		self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr)
		self.discount = torch.tensor([0.9])

	@torch.no_grad()
	def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
		action = self.plan(obs, t0, step, eval_mode, task)
		return action.cpu()

	@torch.no_grad()
	def plan(self, obs, t0, step=None, eval_mode=False, task=None):
		action, info = self.model.pi(self.model.encode(obs, task), task)
		return info["mean"] if eval_mode else action

	def _pi_loss(self, zs, action, task):
		pi_action, info = self.model.pi(zs, task)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		return (-self.cfg.entropy_coef * info["scaled_entropy"] - qs).mean()

	def update_pi(self, zs, action, task):
		loss = self._pi_loss(zs, action, task)
		loss.backward()
		self.pi_optim.step()
		self.optim.zero_grad(), self.pi_optim.zero_grad()
		return {'pi_loss': loss.detach()}

	@torch.no_grad()
	def _td_target(self, next_z, reward, task):
		action = self.model.pi(next_z, task)[0]
		return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type='min', target=True)

	def update(self, buffer):
		obs, action, reward, task = buffer.sample(device=self.device)
		zs = self.model.encode(obs, task[0])
		target = self._td_target(zs[1:], reward, task)
		loss = sum(F.mse_loss(q, target) for q in self.model.Q(zs[:-1], action, task, return_type='all'))
		loss.backward()
		self.optim.step()
		self.optim.zero_grad()
		self.model._Qs.soft_update_target()
		return {'value_loss': loss.detach(), **self.update_pi(zs.detach(), action, task[:1])}
