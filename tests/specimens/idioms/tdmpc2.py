from copy import deepcopy

import torch
import torch.nn.functional as F

from common import math


class RunningScale(torch.nn.Module):
	def __init__(self):
		super().__init__()
		self.register_buffer('value', torch.ones(1))

	def forward(self, x):
		return x / self.value

	def update(self, x):
		self.value.lerp_((x.max() - x.min()).clamp(min=1.).view(1), 0.01)


class TDMPC2(torch.nn.Module):
	def __init__(self, model, cfg):
		super().__init__()
		self.cfg = deepcopy(cfg)
		self.device = torch.device('cpu')
		self.model = model
		self.model.eval()
		self.optim = torch.optim.Adam(model.parameters(), lr=cfg.lr)
		self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr)
		self.scale = RunningScale()
		self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
		self.rho = self.rho / self.rho.sum()
		self.discount = torch.tensor([0.9])
		self.loss_fn, self.pi_loss, self.mppi = self._loss_fn, self._pi_loss, self._mppi

	@torch.no_grad()
	def pi(self, obs, task):
		return self.model.pi(self.model.encode(obs, task), task)

	@torch.no_grad()
	def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
		"""The action, [E, A], and what the plan was about."""
		obs = obs.to(self.device)
		mpc = mpc if mpc is not None else self.cfg.mpc
		if mpc:
			action, about = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)
		else:
			action, info = self.pi(obs, task)
			about = {'policy': True}
			if eval_mode:
				action = info["mean"]
		return action.cpu(), about

	@torch.no_grad()
	def _mppi(self, z, task):
		"""One round of random shooting, enough for a specimen."""
		actions = torch.rand(len(z), self.cfg.num_samples, self.cfg.action_dim) * 2 - 1
		value = self.model.Q(z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1), actions, task, return_type='avg')
		best = value.argmax(1, keepdim=True).expand(-1, -1, self.cfg.action_dim)
		return actions.gather(1, best).squeeze(1), actions.mean(1), actions.std(1)

	@torch.no_grad()
	def plan(self, obs, t0, step=None, eval_mode=False, task=None):
		"""Plan an action."""
		z = self.model.encode(obs, task)
		if step is not None:
			zeros = torch.zeros_like(self.model.pi(z, task)[0])
			self._start = math.interp_dist(zeros, zeros + 2, *2*[zeros], step, 100, 200)
		action, out_mean, out_std = self.mppi(z, task)
		self._prev_mean = out_mean.clone()
		if not eval_mode:
			action = (action + out_std * torch.randn_like(action)).clamp(-1, 1)

		return action, {'values': self.value_of(z, action, task)}

	def value_of(self, z, action, task):
		return self.model.Q(z, action, task, return_type='avg').flatten()

	def _pi_loss(self, zs, action, task=None):
		"""Cloning and Q values."""
		pi_action, info = self.model.pi(zs, task)
		clone = (F.mse_loss(pi_action[:-1], action, reduction='none').mean(2) * self.rho[:-1, None]).sum(0)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		best = ((-self.cfg.entropy_coef * info['scaled_entropy'] - self.scale(qs)) * self.rho[:, None, None]).sum((0, 2))
		loss = (clone + best).mean()
		return loss, qs[0].detach(), {'pi_loss': loss}

	def update_pi(self, zs, action, task=None, clip=True):
		"""A step of the policy."""
		pi_loss, qs, info = self.pi_loss(zs, action, task)
		pi_loss.backward()
		self.pi_optim.step()
		self.optim.zero_grad(), self.pi_optim.zero_grad()
		self.scale.update(qs)
		return info

	@torch.no_grad()
	def _td_target(self, next_z, reward, task):
		action = self.model.pi(next_z, task)[0]
		return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type='min', target=True)

	def _loss_fn(self, obs, action, reward, task):
		"""Model losses, step after step."""
		next_z = self.model.encode(obs[1:], task).detach()
		targets = self._td_target(next_z, reward, task)
		zs, consistency = [self.model.encode(obs[0], task[0])], 0
		for t, (_action, _next_z) in enumerate(zip(action, next_z)):
			zs.append(self.model.next(zs[-1], _action, task[t]))
			consistency = consistency + F.mse_loss(zs[-1], _next_z) * self.rho[t]
		zs = torch.stack(zs)
		qs, rewards = self.model.Q(zs[:-1], action, task, return_type='all'), self.model.reward(zs[:-1], action, task)
		reward_loss, value_loss = 0, 0
		for t in range(self.cfg.horizon):
			reward_loss = reward_loss + math.soft_ce(rewards[t], reward[t], self.cfg).mean() * self.rho[t]
			for q in qs:
				value_loss = value_loss + math.soft_ce(q[t], targets[t], self.cfg).mean() * self.rho[t]
		value_loss = value_loss / self.cfg.num_q

		# weigh them
		total_loss = (
			self.cfg.consistency_coef * consistency +
			self.cfg.reward_coef * reward_loss +
			self.cfg.value_coef * value_loss
		)
		losses = {'consistency_loss': consistency, 'reward_loss': reward_loss, 'value_loss': value_loss}
		return total_loss, zs.detach(), {name: loss.detach() for name, loss in losses.items()}

	def update(self, buffer):
		obs, action, reward, task = buffer.sample(device=self.device)

		self.model.train()
		total_loss, zs, info = self.loss_fn(obs, action, reward, task)
		total_loss.backward()
		self.optim.step()
		self.optim.zero_grad()
		self.model._Qs.soft_update_target()
		info.update(self.update_pi(zs, action, task[:1]))
		self.model.eval()
		return info
