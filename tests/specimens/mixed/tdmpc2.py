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
        self.discount = torch.tensor([0.9])
        self.rho = torch.pow(
            self.cfg.rho, torch.arange(self.cfg.horizon + 1)
        )
        self.rho = self.rho / self.rho.sum()
        self.pi_loss = self._maybe_compile(self._pi_loss)
        self.mppi = self._maybe_compile(self._mppi)
        self.loss_fn = self._maybe_compile(self._loss_fn)

    def _maybe_compile(self, fn):
        return torch.compile(fn) if self.cfg.compile else fn

    @torch.no_grad()
    def forward(
        self,
        obs,
        t0,
        step=None,
        eval_mode=False,
        task=None,
        mpc=None,
    ):
        obs = obs.to(self.device)
        mpc = mpc if mpc is not None else self.cfg.mpc
        if mpc:
            action, mean, spread = self.plan(
                obs, t0=t0, step=step, eval_mode=eval_mode, task=task
            )
        else:
            action, info = self.model.pi(
                self.model.encode(obs, task), task
            )
            mean, spread = info['mean'], info['log_std'].exp()
            if eval_mode:
                action = mean
        return action.cpu(), mean.cpu(), spread.cpu()

    @torch.no_grad()
    def _mppi(self, z, task, mean, std):
        noise = torch.randn(
            len(z), self.cfg.num_samples, self.cfg.action_dim
        )
        actions = (
            mean.unsqueeze(1) + std.unsqueeze(1) * noise
        ).clamp(-1, 1)
        value = self.model.Q(
            z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1),
            actions,
            task,
            return_type='avg',
        )
        best = value.argmax(1, keepdim=True).expand(
            -1, -1, self.cfg.action_dim
        )
        std = actions.std(1).clamp(self.cfg.min_std, self.cfg.max_std)
        return actions.gather(1, best).squeeze(1), actions.mean(1), std

    @torch.no_grad()
    def plan(
        self, obs, t0, step=None, eval_mode=False, task=None
    ):
        z = self.model.encode(obs, task)
        mean = torch.zeros(len(z), self.cfg.action_dim)
        std = torch.full_like(mean, self.cfg.max_std)
        if self.cfg.constrained_planning and step is not None:
            _, info = self.model.pi(z, task)
            mean, std = math.interp_dist(
                mean,
                std,
                info['mean'],
                info['log_std'].exp(),
                step,
                self.cfg.constraint_start_step,
                self.cfg.constraint_final_step,
            )
        elite, mean, std = self.mppi(z, task, mean, std)
        self._prev_mean = mean.clone()
        action = elite
        if not eval_mode:
            action = elite + std * torch.randn_like(elite)
        return action.clamp(-1, 1), elite, std

    def _log_prior(self, pi_action, mu, std):
        std = torch.clamp(std, min=self.cfg.min_std)
        eps = (pi_action - mu) / std
        return math.gaussian_logprob(eps, std.log())

    def _pi_loss(self, zs, action, mu, std, task):
        constrained = self.cfg.constrained_planning
        zs = zs[:-1] if constrained else zs
        rho = self.rho[: zs.shape[0]].view(-1, 1, 1)
        pi_action, info = self.model.pi(zs, task)
        qs = self.model.Q(
            zs, pi_action, task, return_type='avg'
        )
        q_loss = (
            (
                -self.cfg.entropy_coef * info['scaled_entropy']
                - self.scale(qs)
            )
            * rho
        ).sum(0).mean()
        pi_loss = q_loss
        if constrained:
            log_prior = self.scale(
                self._log_prior(pi_action, mu, std)
            )
            log_prior = torch.where(
                self.scale.value > self.cfg.scale_threshold,
                log_prior,
                torch.zeros_like(log_prior),
            )
            prior_loss = (-log_prior * rho).sum(0).mean()
            pi_loss = q_loss + self.cfg.prior_coef * prior_loss
        return (
            pi_loss,
            qs[0].detach(),
            {'pi_loss': pi_loss, 'pi_entropy': info['entropy'].mean()},
        )

    def update_pi(self, zs, action, mu, std, task):
        pi_loss, qs, info = self.pi_loss(
            zs, action, mu, std, task
        )
        pi_loss.backward()
        self.pi_optim.step()
        self.pi_optim.zero_grad(set_to_none=True)
        self.optim.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.scale.update(qs)
        return info

    @torch.no_grad()
    def _td_target(self, next_z, reward, task):
        action, _ = self.model.pi(next_z, task)
        return reward + self.discount[0] * self.model.Q(
            next_z, action, task, return_type='min', target=True
        )

    def _loss_fn(self, obs, action, reward, task):
        with torch.no_grad():
            next_z = self.model.encode(obs[1:], task)
            td_targets = self._td_target(next_z, reward, task)
        zs, consistency_loss = [self.model.encode(obs[0], task[0])], 0
        for t in range(self.cfg.horizon):
            zs.append(self.model.next(zs[t], action[t], task[t]))
            consistency_loss = (
                consistency_loss
                + F.mse_loss(zs[t + 1], next_z[t]) * self.rho[t]
            )
        zs = torch.stack(zs)
        qs = self.model.Q(zs[:-1], action, task, return_type='all')
        reward_preds = self.model.reward(zs[:-1], action, task)
        reward_loss, value_loss = 0, 0
        for t in range(self.cfg.horizon):
            reward_loss = (
                reward_loss
                + math.soft_ce(
                    reward_preds[t], reward[t], self.cfg
                ).mean()
                * self.rho[t]
            )
            for q in qs.unbind(0):
                value_loss = (
                    value_loss
                    + math.soft_ce(
                        q[t], td_targets[t], self.cfg
                    ).mean()
                    * self.rho[t]
                )
        value_loss = value_loss / self.cfg.num_q
        total_loss = (
            self.cfg.consistency_coef * consistency_loss
            + reward_loss * self.cfg.reward_coef
            + value_loss * self.cfg.value_coef
        )
        losses = {
            'consistency_loss': consistency_loss.detach(),
            'reward_loss': reward_loss.detach(),
            'value_loss': value_loss.detach(),
        }
        return total_loss, zs.detach(), losses

    def update(self, buffer):
        obs, action, mu, std, reward, task = buffer.sample(
            device=self.device
        )
        mu = torch.where(torch.isnan(mu), action, mu)
        std = torch.where(
            torch.isnan(std),
            torch.full_like(std, self.cfg.log_std_max).exp(),
            std,
        )
        self.model.train()
        total_loss, zs, info = self.loss_fn(obs, action, reward, task)
        total_loss.backward()
        self.optim.step()
        self.optim.zero_grad(set_to_none=True)
        self.model._Qs.soft_update_target()
        info.update(self.update_pi(zs, action, mu, std, task[:1]))
        self.model.eval()
        return info
