from copy import deepcopy

import torch
import torch.nn.functional as F

from common import math


class RunningScale(torch.nn.Module):
	"""Moving range of the Q values."""

	def __init__(self, tau=0.01):
		super().__init__()
		self.tau = tau
		self.register_buffer('value', torch.ones(1))

	def forward(self, x):
		return x / self.value

	def update(self, x):
		self.value.lerp_((x.max() - x.min()).clamp(min=1.).view(1), self.tau)


class TDMPC2(torch.nn.Module):
	"""Plans near its policy, and trains the policy near its plans."""

	def __init__(self, model, cfg):
		super().__init__()
		self.cfg = deepcopy(cfg)
		self.device = torch.device('cpu')
		self.model = model
		self.optim = torch.optim.Adam(model.parameters(), lr=cfg.lr)
		self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr)
		self.maxq_pi = True
		self.scale = RunningScale()
		self.discount = torch.tensor([0.9])
		self._prev_mean = torch.zeros(cfg.num_envs, cfg.action_dim)
		self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon+1, device=self.device))
		self.rho = self.rho / self.rho.sum()
		# self.rho = torch.ones(self.cfg.horizon+1) / (self.cfg.horizon+1)

		self.pi = self._maybe_compile(self._pi)
		self.mppi = self._maybe_compile(self._mppi)
		self.loss_fn = self._maybe_compile(self._loss_fn)
		self.pi_loss = self._maybe_compile(self._pi_loss)
		self.pi_loss_alternate = self._maybe_compile(self._pi_loss_alternate)
		self.pi_loss_constrained = self._maybe_compile(self._pi_loss_constrained)

	def _maybe_compile(self, fn):
		return torch.compile(fn, mode="reduce-overhead") if self.cfg.compile else fn

	@torch.no_grad()
	def _pi(self, obs, task=None):
		return self.model.pi(self.model.encode(obs, task), task)

	@torch.no_grad()
	def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
		"""
		What to do, and what the decision was drawn from.

		Returns:
			tuple: action, mean and standard deviation, [E, A] each.
		"""
		obs = obs.to(self.device)
		mpc = mpc if mpc is not None else self.cfg.mpc
		if mpc:
			action, mu, std = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)
		else:
			action, info = self.pi(obs, task)
			mu, std = info["mean"], info["log_std"].exp()
			if eval_mode:
				action = mu
		# return action.cpu()
		return action.cpu(), mu.cpu(), std.cpu()

	@torch.no_grad()
	def _mppi(self, z, task, mean, std):
		"""A round of random shooting around a Gaussian."""
		noise = torch.randn(len(z), self.cfg.num_samples, self.cfg.action_dim)
		actions = (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp(-1, 1)
		value = self.model.Q(z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1), actions, task, return_type='avg')
		elite = value.argmax(1, keepdim=True).expand(-1, -1, self.cfg.action_dim)
		std = actions.std(1).clamp(self.cfg.min_std, self.cfg.max_std)
		return actions.gather(1, elite).squeeze(1), actions.mean(1), std

	@torch.no_grad()
	def plan(self, obs, t0, step=None, eval_mode=False, task=None):
		"""
		Plan from where the last plan ended.

		Returns:
			tuple: noisy action, the elite action it came from, the spread of the plan.
		"""
		z = self.model.encode(obs, task)
		mean = torch.where(t0.view(-1, 1), torch.zeros_like(self._prev_mean), self._prev_mean)
		std = torch.full_like(mean, self.cfg.max_std)

		if self.cfg.constrained_planning == 2 and step is not None:
			# begin with what the policy would do
			_, info = self.model.pi(z, task)
			pi_mean, pi_std = info["mean"], info["log_std"].exp().clamp(self.cfg.min_std, self.cfg.max_std)
			mean, std = math.interp_dist(mean, std, pi_mean, pi_std, step,
				self.cfg.constraint_start_step, self.cfg.constraint_final_step)

		mu, out_mean, out_std = self.mppi(z, task, mean, std)
		self._prev_mean = out_mean.clone()
		action = mu
		if not eval_mode:
			action = mu + out_std * torch.randn_like(mu)

		return action.clamp(-1, 1), mu, out_std

	def _pi_loss(self, zs, action, mu, std, task):
		"""Q values and entropy alone."""
		pi_action, info = self.model.pi(zs, task)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		pi_loss = ((-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs)) * self.rho[:, None, None]).sum(dim=(0, 2)).mean()
		return pi_loss, qs[0].detach(), {"pi_loss": pi_loss, "pi_entropy": info["entropy"].mean()}

	def _pi_loss_alternate(self, zs, action, mu, std, task):
		"""Q values, and the distance to what was done."""
		zs = zs[:-1]	# nothing was done in the last one
		pi_action, info = self.model.pi(zs, task)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		maxq_loss = ((-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs)) * self.rho[:-1, None, None]).sum(dim=(0, 2))
		# bc_loss = F.mse_loss(pi_action, mu, reduction='none').sum(-1)
		bc_loss = (F.mse_loss(pi_action, action, reduction='none').mean(2) * self.rho[:-1, None]).sum(0)
		pi_loss = (maxq_loss + self.cfg.prior_coef * bc_loss).mean()
		return pi_loss, qs[0].detach(), {"pi_loss": pi_loss, "pi_prior_loss": bc_loss.mean(), "pi_entropy": info["entropy"].mean()}

	def _pi_loss_constrained(self, zs, action, mu, std, task):
		"""Q values, and the likelihood under the plan."""
		zs = zs[:-1]
		pi_action, info = self.model.pi(zs, task)
		qs = self.model.Q(zs, pi_action, task, return_type='avg')
		q_loss = ((-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs)) * self.rho[:-1, None, None]).sum(dim=(0, 2))

		# How likely is the policy's action under the plan?
		std = torch.clamp(std, min=self.cfg.min_std)
		eps = (pi_action - mu) / std
		log_prior = math.gaussian_logprob(eps, std.log())
		log_prior = torch.where(self.scale.value > self.cfg.scale_threshold, self.scale(log_prior), torch.zeros_like(log_prior))
		prior_loss = -(log_prior * self.rho[:-1, None, None]).sum(dim=(0, 2))

		# pi_loss = (q_loss + self.cfg.prior_coef * prior_loss).mean()
		pi_loss = (q_loss + (self.cfg.prior_coef * self.cfg.action_dim / 61) * prior_loss).mean()
		info = {"pi_loss": pi_loss, "pi_q_loss": q_loss.mean(), "pi_prior_loss": prior_loss.mean(), "pi_entropy": info["entropy"].mean()}
		return pi_loss, qs[0].detach(), info

	def update_pi(self, zs, action, mu, std, task):
		"""A step of the policy, by the loss of the mode that is set."""
		if self.cfg.constrained_planning == 2:
			pi_loss, qs, info = self.pi_loss_constrained(zs, action, mu, std, task)
		elif self.cfg.constrained_planning == 1:
			pi_loss, qs, info = self.pi_loss_alternate(zs, action, mu, std, task)
		else:
			pi_loss, qs, info = self.pi_loss(zs, action, mu, std, task)

		pi_loss.backward()
		self.pi_optim.step()
		self.pi_optim.zero_grad(set_to_none=True)
		self.optim.zero_grad(set_to_none=True)

		with torch.no_grad():
			self.scale.update(qs)	# for the next step
		info["pi_scale"] = self.scale.value.mean()
		return info

	@torch.no_grad()
	def _td_target(self, next_z, reward, task):
		action, _ = self.model.pi(next_z, task)
		return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type='min', target=True)

	def _loss_fn(self, obs, action, reward, task=None):
		with torch.no_grad():
			next_z = self.model.encode(obs[1:], task)
			td_targets = self._td_target(next_z, reward, task)

		# Roll the model out from the first observation
		zs, consistency_loss = [self.model.encode(obs[0], task[0])], 0
		for t in range(self.cfg.horizon):
			zs.append(self.model.next(zs[t], action[t], task[t]))
			consistency_loss = consistency_loss + F.mse_loss(zs[t+1], next_z[t]) * self.rho[t]
		zs = torch.stack(zs)

		# Regress what it says about every step
		qs = self.model.Q(zs[:-1], action, task, return_type='all')
		reward_preds = self.model.reward(zs[:-1], action, task)
		reward_loss, value_loss = 0, 0
		for t in range(self.cfg.horizon):
			reward_loss = reward_loss + math.soft_ce(reward_preds[t], reward[t], self.cfg).mean() * self.rho[t]
			for q in qs.unbind(0):
				value_loss = value_loss + math.soft_ce(q[t], td_targets[t], self.cfg).mean() * self.rho[t]
		value_loss = value_loss / self.cfg.num_q

		total_loss = (
			self.cfg.consistency_coef * consistency_loss +
			self.cfg.reward_coef * reward_loss +
			self.cfg.value_coef * value_loss
		)
		info = {
			"consistency_loss": consistency_loss.detach(),
			"reward_loss": reward_loss.detach(),
			"value_loss": value_loss.detach(),
			"total_loss": total_loss.detach(),
		}
		return total_loss, zs.detach(), info

	def update(self, buffer):
		# obs, action, reward, task = buffer.sample(device=self.device)
		obs, action, mu, std, reward, task = buffer.sample(device=self.device)
		self.model.train()

		total_loss, zs, info = self.loss_fn(obs, action, reward, task)
		total_loss.backward()
		self.optim.step()
		self.optim.zero_grad(set_to_none=True)
		self.model._Qs.soft_update_target()

		if self.maxq_pi:
			pi_info = self.update_pi(zs, action, mu, std, task[:1])
			info.update(pi_info)
		self.model.eval()
		return info
