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

	@torch.no_grad()
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
		self.discount = torch.tensor([0.9])
		self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
		self.rho /= self.rho.sum()
		self.mppi = self._mppi
		self.loss_fn = self._loss_fn

	@torch.no_grad()
	def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
		obs = obs.to(self.device)
		mpc = self.cfg.mpc if mpc is None else mpc
		if mpc:
			action = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)
		else:
			action, info = self.model.pi(self.model.encode(obs, task), task)
			if eval_mode:
				action = info["mean"]
		return action.cpu()

	@torch.no_grad()
	def _mppi(self, z, task):
		actions = torch.rand(len(z), self.cfg.num_samples, self.cfg.action_dim) * 2 - 1
		value = self.model.Q(z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1), actions, task, return_type='avg')
		best = value.argmax(1, keepdim=True).expand(-1, -1, self.cfg.action_dim)
		return actions.gather(1, best).squeeze(1), actions.mean(1), actions.std(1)

	@torch.no_grad()
	def plan(self, obs, t0, step=None, eval_mode=False, task=None):
		z = self.model.encode(obs, task)
		action, mean, std = self.mppi(z, task)
		self._prev_mean = mean.clone()
		if not eval_mode:
			action = (action + std * torch.randn_like(action)).clamp(-1, 1)
		return action

	def update_pi(self, zs, action, task):
		"""Loss and step of the policy, on the latents that have an action."""
		zs = zs[:-1]
		pi_action, info = self.model.pi(zs, task)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		q_term = -self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs)
		clone_term = (pi_action - action).pow(2).mean(-1, keepdim=True)
		pi_loss = ((q_term + clone_term) * self.rho[:-1, None, None]).mean()

		pi_loss.backward()
		self.pi_optim.step()
		self.pi_optim.zero_grad(set_to_none=True)
		self.optim.zero_grad(set_to_none=True)

		self.scale.update(qs[0].detach())
		return {'pi_loss': pi_loss.detach(), 'pi_entropy': info["entropy"].mean().detach()}

	@torch.no_grad()
	def _td_target(self, next_z, reward, task):
		action, _ = self.model.pi(next_z, task)
		return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type='min', target=True)

	def _loss_fn(self, obs, action, reward, task):
		with torch.no_grad():
			next_z = self.model.encode(obs[1:], task)
			targets = self._td_target(next_z, reward, task)
		zs = [self.model.encode(obs[0], task[0])]
		consistency_loss, reward_loss, value_loss = 0, 0, 0
		for t in range(self.cfg.horizon):
			zs.append(self.model.next(zs[t], action[t], task[t]))
			consistency_loss += F.mse_loss(zs[t+1], next_z[t]) * self.rho[t]
		zs = torch.stack(zs)
		qs = self.model.Q(zs[:-1], action, task, return_type='all')
		rewards = self.model.reward(zs[:-1], action, task)
		for t in range(self.cfg.horizon):
			reward_loss += math.soft_ce(rewards[t], reward[t], self.cfg).mean() * self.rho[t]
			for q in qs:
				value_loss += math.soft_ce(q[t], targets[t], self.cfg).mean() * self.rho[t]
		value_loss /= self.cfg.num_q
		total_loss = self.cfg.consistency_coef * consistency_loss + self.cfg.reward_coef * reward_loss + self.cfg.value_coef * value_loss
		return total_loss, zs.detach(), {
			'consistency_loss': consistency_loss.detach(),
			'reward_loss': reward_loss.detach(),
			'value_loss': value_loss.detach(),
		}

	def update(self, buffer):
		obs, action, reward, task = buffer.sample(device=self.device)
		self.model.train()
		total_loss, zs, info = self.loss_fn(obs, action, reward, task)
		total_loss.backward()
		self.optim.step()
		self.optim.zero_grad(set_to_none=True)
		self.model._Qs.soft_update_target()
		info.update(self.update_pi(zs, action, task[:1]))
		self.model.eval()
		return info
