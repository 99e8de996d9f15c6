"""The agent."""

from copy import deepcopy

import torch
import torch.nn.functional as F

from common import math


class RunningScale(torch.nn.Module):
    """How far the Q values reach, at least 1."""

    def __init__(self):
        super().__init__()
        self.register_buffer("value", torch.ones(1))

    def forward(self, x):
        return x / self.value

    def update(self, x):
        self.value.lerp_((x.max() - x.min()).clamp(min=1.0).view(1), 0.01)


class TDMPC2(torch.nn.Module):
    def __init__(self, model, cfg):
        super().__init__()
        self.cfg = deepcopy(cfg)
        self.device = torch.device("cpu")
        self.model = model
        self.optim = torch.optim.Adam(model.parameters(), lr=cfg.lr)
        self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr)
        self.scale = RunningScale()
        self.discount = torch.tensor([0.9])
        self.rho = cfg.rho ** torch.arange(cfg.horizon)
        self.loss_fn = torch.compile(self._loss_fn) if cfg.compile else self._loss_fn
        self.pi_loss = torch.compile(self._pi_loss) if cfg.compile else self._pi_loss
        self.mppi = torch.compile(self._mppi) if cfg.compile else self._mppi

    @torch.no_grad()
    def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
        """Action, and mean and standard deviation of what it was drawn from, [E, A] each."""
        z = self.model.encode(obs.to(self.device), task)
        if self.cfg.mpc if mpc is None else mpc:
            action, mu, std = self.plan(z, step, eval_mode, task)
        else:
            action, info = self.model.pi(z, task)
            mu, std = info["mean"], info["log_std"].exp()
            action = mu if eval_mode else action
        return action.cpu(), mu.cpu(), std.cpu()

    @torch.no_grad()
    def _mppi(self, z, task, mean, std):
        noise = torch.randn(len(z), self.cfg.num_samples, self.cfg.action_dim)
        candidates = (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp(-1, 1)
        latents = z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1)
        best = self.model.Q(latents, candidates, task, return_type="avg").argmax(1, keepdim=True)
        spread = candidates.std(1).clamp(self.cfg.min_std, self.cfg.max_std)
        chosen = candidates.gather(1, best.expand(-1, -1, self.cfg.action_dim)).squeeze(1)
        return chosen, candidates.mean(1), spread

    @torch.no_grad()
    def plan(self, z, step, eval_mode, task):
        mean = torch.zeros(len(z), self.cfg.action_dim)
        std = torch.full_like(mean, self.cfg.max_std)
        if step is not None:
            _, info = self.model.pi(z, task)
            start, end = self.cfg.constraint_start_step, self.cfg.constraint_final_step
            pi_std = info["log_std"].exp().clamp(self.cfg.min_std, self.cfg.max_std)
            mean, std = math.interp_dist(mean, std, info["mean"], pi_std, step, start, end)
        elite, _, spread = self.mppi(z, task, mean, std)
        action = elite if eval_mode else elite + spread * torch.randn_like(elite)
        return action.clamp(-1, 1), elite, spread

    def _pi_loss(self, zs, action, mu, std, task):
        """Q values, entropy and the plan's likelihood, over the first H latents."""
        zs = zs[: self.cfg.horizon]
        rho = self.rho.view(-1, 1, 1)
        pi_action, info = self.model.pi(zs, task)
        qs = self.model.Q(zs, pi_action, task, return_type="avg")
        with torch.no_grad():
            self.scale.update(qs[0].detach())
        q_loss = (rho * (-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs))).mean()

        spread = std.clamp(min=self.cfg.min_std)
        log_prior = math.gaussian_logprob((pi_action - mu) / spread, spread.log())
        log_prior = log_prior * self.model._action_masks[task].sum(-1, keepdim=True) / 61.0  # as the reference
        log_prior = self.scale(log_prior) * (self.scale.value > self.cfg.scale_threshold)
        pi_loss = q_loss - self.cfg.prior_coef * (rho * log_prior).mean()
        return pi_loss, qs[0].detach(), {"pi_loss": pi_loss.detach(), "pi_q_loss": q_loss.detach()}

    def update_pi(self, zs, action, mu, std, task):
        loss, _, metrics = self.pi_loss(zs, action, mu, std, task)
        loss.backward()
        self.pi_optim.step()
        self.pi_optim.zero_grad()
        self.optim.zero_grad()
        return metrics

    @torch.no_grad()
    def _td_target(self, next_z, reward, task):
        action = self.model.pi(next_z, task)[0]
        return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type="min", target=True)

    def _loss_fn(self, obs, action, reward, task):
        """Model losses as the reference weighs them, and the latents they were made from, [H+1, B, Z]."""
        H = self.cfg.horizon
        with torch.no_grad():
            next_z = self.model.encode(obs[1:], task)
            target = self._td_target(next_z, reward, task)
        zs, consistency_loss, reward_loss, value_loss = [self.model.encode(obs[0], task[0])], 0, 0, 0
        for t in range(H):
            weight = self.rho[t] / H
            predicted = self.model.reward(zs[t], action[t], task[t])
            reward_loss = reward_loss + math.soft_ce(predicted, reward[t], self.cfg).mean() * weight
            qs = self.model.Q(zs[t], action[t], task[t], return_type="all")
            value_loss = value_loss + sum(math.soft_ce(q, target[t], self.cfg).mean() for q in qs) * weight / len(qs)
            zs.append(self.model.next(zs[t], action[t], task[t]))
            consistency_loss = consistency_loss + F.mse_loss(zs[-1], next_z[t]) * weight
        total_loss = (
            self.cfg.consistency_coef * consistency_loss
            + reward_loss * self.cfg.reward_coef
            + value_loss * self.cfg.value_coef
        )
        losses = {"consistency_loss": consistency_loss, "reward_loss": reward_loss, "value_loss": value_loss}
        return total_loss, torch.stack(zs).detach(), {name: loss.detach() for name, loss in losses.items()}

    def update(self, buffer):
        obs, action, mu, std, reward, task = buffer.sample(device=self.device)
        mu = mu.where(~mu.isnan(), action)
        std = std.nan_to_num(nan=torch.tensor(self.cfg.log_std_max).exp().item())
        self.model.train()
        total_loss, zs, metrics = self.loss_fn(obs, action, reward, task)
        total_loss.backward()
        self.optim.step()
        self.optim.zero_grad()
        self.model._Qs.soft_update_target()
        metrics.update(self.update_pi(zs, action, mu, std, task[:1]))
        self.model.eval()
        return metrics
