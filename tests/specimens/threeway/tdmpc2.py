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
        self.model.eval()
        self.optim = torch.optim.Adam(model.parameters(), lr=cfg.lr)
        self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr)
        self.scale = RunningScale()
        self.discount = torch.tensor([0.9])
        powers = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
        self.rho = powers / powers.sum()
        self.loss_fn = torch.compile(self._loss_fn) if cfg.compile else self._loss_fn
        self.pi_loss = torch.compile(self._pi_loss) if cfg.compile else self._pi_loss
        self.mppi = torch.compile(self._mppi) if cfg.compile else self._mppi

    @torch.no_grad()
    def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
        """The action, [E, A], and a dict about the decision."""
        obs = obs.to(self.device)
        if mpc is None:
            mpc = self.cfg.mpc
        if mpc:
            action, info = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)
        else:
            action, about = self.model.pi(self.model.encode(obs, task), task)
            info = {"plan_mean": about["mean"], "plan_std": about["log_std"].exp()}
            if eval_mode:
                action = about["mean"]
        return action.cpu(), {name: value.cpu() for name, value in info.items()}

    @torch.no_grad()
    def _mppi(self, z, task, mean, std):
        """One round: sample around a Gaussian, take the best."""
        noise = torch.randn(len(z), self.cfg.num_samples, self.cfg.action_dim)
        candidates = (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp(-1, 1)
        latents = z.unsqueeze(1).expand(-1, self.cfg.num_samples, -1)
        best = self.model.Q(latents, candidates, task, return_type="avg").argmax(1, keepdim=True)
        spread = candidates.std(1).clamp(self.cfg.min_std, self.cfg.max_std)
        chosen = candidates.gather(1, best.expand(-1, -1, self.cfg.action_dim)).squeeze(1)
        return chosen, candidates.mean(1), spread

    @torch.no_grad()
    def plan(self, obs, t0, step=None, eval_mode=False, task=None):
        z = self.model.encode(obs, task)
        mean = torch.zeros(len(z), self.cfg.action_dim)
        std = torch.full_like(mean, self.cfg.max_std)
        if self.cfg.constrained_planning == 2 and step is not None:
            _, about = self.model.pi(z, task)
            pi_std = about["log_std"].exp().clamp(self.cfg.min_std, self.cfg.max_std)
            mean, std = math.interp_dist(
                mean,
                std,
                about["mean"],
                pi_std,
                step,
                self.cfg.constraint_start_step,
                self.cfg.constraint_final_step,
            )
        best, mean, spread = self.mppi(z, task, mean, std)
        self._prev_mean = mean.clone()
        action = best if eval_mode else best + spread * torch.randn_like(best)
        return action.clamp(-1, 1), {"plan_mean": best, "plan_std": spread}

    def _pi_loss(self, zs, action, task):
        """Policy loss at latents [H+1, B, Z]; the last one has no action to be close to."""
        constrained = self.cfg.constrained_planning > 0
        if constrained:
            zs = zs[: len(action)]
        rho = self.rho[: len(zs)]
        pi_action, info = self.model.pi(zs, task)
        qs = self.model.Q(zs, pi_action, task, return_type="avg")
        q_loss = ((-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs)) * rho[:, None, None]).sum((0, 2))
        if constrained:
            error = F.mse_loss(pi_action, action, reduction="none").mean(2)
            prior_loss = (error * rho[:, None]).sum(0)
            loss = (q_loss + self.cfg.prior_coef * prior_loss).mean()
        else:
            loss = q_loss.mean()
        return loss, qs[0].detach(), {"pi_loss": loss, "pi_entropy": info["entropy"].mean()}

    def update_pi(self, zs, action, task):
        loss, qs, metrics = self.pi_loss(zs, action, task)
        loss.backward()
        self.pi_optim.step()
        self.pi_optim.zero_grad()
        self.optim.zero_grad()
        self.scale.update(qs)
        return metrics

    @torch.no_grad()
    def _td_target(self, next_z, reward, task):
        action = self.model.pi(next_z, task)[0]
        return reward + self.discount[0] * self.model.Q(next_z, action, task, return_type="min", target=True)

    def _loss_fn(self, obs, action, reward, task):
        """Model losses, and the latents they were made from, [H+1, B, Z]."""
        with torch.no_grad():
            next_z = self.model.encode(obs[1:], task)
            target = self._td_target(next_z, reward, task)
        zs, consistency_loss, reward_loss, value_loss = [self.model.encode(obs[0], task[0])], 0, 0, 0
        for t in range(self.cfg.horizon):
            weight = self.rho[t]
            predicted = self.model.reward(zs[t], action[t], task[t])
            reward_loss = reward_loss + math.soft_ce(predicted, reward[t], self.cfg).mean() * weight
            for q in self.model.Q(zs[t], action[t], task[t], return_type="all"):
                value_loss = value_loss + math.soft_ce(q, target[t], self.cfg).mean() * weight
            zs.append(self.model.next(zs[t], action[t], task[t]))
            consistency_loss = consistency_loss + F.mse_loss(zs[-1], next_z[t]) * weight
        value_loss = value_loss / self.cfg.num_q
        total_loss = (
            self.cfg.consistency_coef * consistency_loss
            + reward_loss * self.cfg.reward_coef
            + value_loss * self.cfg.value_coef
        )
        losses = {"consistency_loss": consistency_loss, "reward_loss": reward_loss, "value_loss": value_loss}
        return total_loss, torch.stack(zs).detach(), {name: loss.detach() for name, loss in losses.items()}

    def update(self, buffer):
        obs, action, reward, task = buffer.sample(device=self.device)
        self.model.train()
        total_loss, zs, metrics = self.loss_fn(obs, action, reward, task)
        total_loss.backward()
        self.optim.step()
        self.optim.zero_grad()
        self.model._Qs.soft_update_target()
        metrics.update(self.update_pi(zs, action, task[:1]))
        self.model.eval()
        return metrics
