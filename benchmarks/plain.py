"""The same agent in plain eager torch, as newt computes it: what the trainer's figures are measured against.

It does the maths of `newt_base` and none of its short cuts: all Q networks run in a Python loop before two are drawn,
regression targets are dense and made anew for every network and step, every planner iteration sends all samples with
concatenated latents and actions through every layer, optimisers and averages walk over parameters one by one, and
nothing is compiled.

Shapes: E environments, N samples, P of them from the policy, H horizon, B batch, Z latent width, A action dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .plain_model import PlainModel, cross_entropy, log_density, value_of

Metrics = dict[str, Tensor]


class Plain:
    """An agent with the weights, settings, Q scale and warm start that `agent` has now. It has its own optimisers."""

    def __init__(self, agent: Any) -> None:
        self.cfg, self.device = agent.cfg, agent.device
        self.model = PlainModel(self.cfg).to(self.device)
        self.model.take(agent.model.state_dict())
        self.scale = agent.scale.value.detach().clone()
        self.prev_mean = agent._prev_mean.detach().clone()
        self.discount = torch.tensor(self.cfg.discounts, device=self.device, dtype=torch.float32)
        rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1, device=self.device))
        self.rho = rho / rho.sum()
        model, lr = self.model, self.cfg.lr
        parts = [model._dynamics, model._reward, model._Qs.online, model._pi]
        groups = [{"params": model._encoder.parameters(), "lr": lr * self.cfg.enc_lr_scale}]
        groups += [{"params": part.parameters()} for part in parts]
        self.optim = torch.optim.Adam(groups, lr=lr, foreach=False)
        self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=lr, eps=1e-5, foreach=False)

    # -------------------------------------------------------------- acting

    @torch.no_grad()
    def __call__(
        self,
        obs: Tensor,
        t0: Tensor,
        step: int | None = None,
        eval_mode: bool = False,
        task: Any = None,
        mpc: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Action, mu and std [E, A] for observations [E, O], as the trainer asks for them."""
        obs, task = obs.to(self.device), torch.as_tensor(task, device=self.device)
        if self.cfg.mpc if mpc is None else mpc:
            found = self.plan(obs, t0.to(self.device), step, eval_mode, task)
        else:
            action, info = self.model.pi(self.model.encode(obs), task)
            found = (info["mean"] if eval_mode else action, info["mean"], info["log_std"].exp())
        action, mu, std = (part.cpu() for part in found)
        return action, mu, std

    @torch.no_grad()
    def plan(
        self, obs: Tensor, t0: Tensor, step: int | None = None, eval_mode: bool = False, task: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Plan from observations [E, O]: action, mu and std, [E, A] each."""
        cfg = self.cfg
        pi_actions, z = self._policy_trajectories(obs, task)
        z = z.unsqueeze(1).repeat(1, cfg.num_samples, 1)
        shifted = torch.cat([self.prev_mean[:, 1:], torch.zeros_like(self.prev_mean[:, :1])], dim=1)
        mean = torch.where(t0.view(-1, 1, 1), torch.zeros_like(shifted), shifted)
        std = torch.full_like(mean, cfg.max_std)
        if cfg.constrained_planning == 2 and step is not None and cfg.num_pi_trajs > 1:
            pi_std = pi_actions.std(2).clamp(cfg.min_std, cfg.max_std)
            passed = max(0, step - cfg.constraint_start_step) / max(1, cfg.constraint_final_step)
            policy = max(0.0, 1.0 - passed)
            mean = policy * pi_actions.mean(2) + (1 - policy) * mean
            std = policy * pi_std + (1 - policy) * std
        mu, mean, std = self._search(z, pi_actions, task, mean, std)
        self.prev_mean = mean.clone()
        action = mu if eval_mode else mu + std * torch.randn_like(std)
        return action.clamp(-1, 1), mu, std

    def _policy_trajectories(self, obs: Tensor, task: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [E, H, P, A] of the policy, rolled out in the model, and the first latents [E, Z]."""
        z = self.model.encode(obs)
        latent = z.unsqueeze(1).repeat(1, self.cfg.num_pi_trajs, 1)
        actions = torch.empty(len(z), self.cfg.horizon, *latent.shape[1:2], self.cfg.action_dim, device=self.device)
        for t in range(self.cfg.horizon):
            actions[:, t], _ = self.model.pi(latent, task)
            if t < self.cfg.horizon - 1:
                latent = self.model.next(latent, actions[:, t])
        return actions, z

    def _search(
        self, z: Tensor, pi_actions: Tensor, task: Tensor, mean: Tensor, std: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """MPPI from latents [E, N, Z] and a first distribution [E, H, A]: first action, mean, first deviation."""
        cfg, proposed = self.cfg, self.cfg.num_pi_trajs
        actions = torch.empty(len(z), cfg.horizon, cfg.num_samples, cfg.action_dim, device=self.device)
        mask = self.model.mask(task, mean)
        for _ in range(cfg.iterations):
            noise = torch.randn(len(z), cfg.horizon, cfg.num_samples - proposed, cfg.action_dim, device=self.device)
            actions[:, :, :proposed] = pi_actions
            actions[:, :, proposed:] = (mean.unsqueeze(2) + std.unsqueeze(2) * noise).clamp(-1, 1)
            actions = actions * mask.unsqueeze(2)

            value = self._value(z, actions, task).nan_to_num(0)
            best = torch.topk(value.squeeze(2), cfg.num_elites, dim=1).indices
            elite_value = torch.gather(value, 1, best.unsqueeze(2))
            chosen = best[:, None, :, None].expand(-1, cfg.horizon, -1, cfg.action_dim)
            elites = torch.gather(actions, 2, chosen)

            score = torch.exp(cfg.temperature * (elite_value - elite_value.max(1, keepdim=True).values))
            score = score / (score.sum(1, keepdim=True) + 1e-9)
            weight = score.unsqueeze(1)
            total = weight.sum(2) + 1e-9
            mean = (weight * elites).sum(2) / total
            variance = (weight * (elites - mean.unsqueeze(2)).pow(2)).sum(2) / total
            mean, std = mean * mask, variance.sqrt().clamp(cfg.min_std, cfg.max_std) * mask

        score = score.squeeze(2)
        gumbel = -torch.empty_like(score).exponential_().log()
        drawn = ((torch.log(score + 1e-9) + gumbel) / cfg.temperature).argmax(1)
        index = drawn[:, None, None, None].expand(-1, cfg.horizon, 1, cfg.action_dim)
        return torch.gather(elites, 2, index).squeeze(2)[:, 0], mean, std[:, 0]

    def _value(self, z: Tensor, actions: Tensor, task: Tensor) -> Tensor:
        """Returns [E, N, 1] of action sequences [E, H, N, A]."""
        total = torch.zeros(*z.shape[:2], 1, device=self.device)
        discount = torch.ones(*z.shape[:2], 1, device=self.device)
        for t in range(self.cfg.horizon):
            total = total + discount * value_of(self.model.reward(z, actions[:, t]), self.cfg)
            z = self.model.next(z, actions[:, t])
            discount = discount * self.discount[task].view(-1, 1, 1)
        action, _ = self.model.pi(z, task)
        return total + discount * self.model.two_q(z, action).mean(0)

    # ------------------------------------------------------------ learning

    def update(self, buffer: Any) -> Metrics:
        """One gradient step of the world model and, after it, of the policy prior, on one batch."""
        obs, action, mu, std, reward, task = buffer.sample(device=self.device)
        self.model.train()
        loss, zs, metrics = self.model_loss(obs, action, reward, task)
        loss.backward()
        metrics["grad_norm"] = self._step(self.optim, self.model)
        with torch.no_grad():
            pairs = zip(self.model._Qs.target.parameters(), self.model._Qs.online.parameters(), strict=True)
            for target, online in pairs:
                target.lerp_(online, self.cfg.tau)
        metrics |= self._update_pi(zs, action, mu, std, task[:1])
        self.model.eval()
        return {name: value.detach().clone() for name, value in metrics.items()}

    def _step(self, optim: torch.optim.Optimizer, module: torch.nn.Module) -> Tensor:
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.cfg.grad_clip_norm, foreach=False)
        optim.step()
        optim.zero_grad(set_to_none=True)
        return norm

    def model_loss(self, obs: Tensor, action: Tensor, reward: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Metrics]:
        """Loss on obs [H+1, B, O], action [H, B, A], reward [H, B, 1], task [H, B]; latents [H+1, B, Z]; metrics."""
        cfg, model = self.cfg, self.model
        with torch.no_grad():
            next_z = model.encode(obs[1:])
            next_action, _ = model.pi(next_z, task)
            next_value = model.two_q(next_z, next_action, target=True).min(0).values
            targets = reward + self.discount[task].unsqueeze(-1) * next_value

        z = model.encode(obs[0])
        latents = [z]
        consistency = torch.zeros((), device=self.device)
        for t in range(cfg.horizon):
            z = model.next(z, action[t])
            consistency = consistency + F.mse_loss(z, next_z[t]) * self.rho[t]
            latents.append(z)
        zs = torch.stack(latents)

        qs = model.all_q(zs[:-1], action)
        rewards = model.reward(zs[:-1], action)
        reward_loss = value_loss = torch.zeros((), device=self.device)
        for t in range(cfg.horizon):
            reward_loss = reward_loss + cross_entropy(rewards[t], reward[t], cfg).mean() * self.rho[t]
            for q in range(cfg.num_q):
                value_loss = value_loss + cross_entropy(qs[q, t], targets[t], cfg).mean() * self.rho[t]
        value_loss = value_loss / cfg.num_q
        total = cfg.consistency_coef * consistency + cfg.reward_coef * reward_loss + cfg.value_coef * value_loss
        losses = {"consistency_loss": consistency, "reward_loss": reward_loss, "value_loss": value_loss}
        return total, zs.detach(), losses | {"total_loss": total}

    def _update_pi(self, zs: Tensor, action: Tensor, mu: Tensor, std: Tensor, task: Tensor) -> Metrics:
        for parameter in self.model._Qs.online.parameters():
            parameter.requires_grad_(False)
        loss, qs, metrics = self.policy_loss(zs, action, mu, std, task)
        loss.backward()
        metrics["pi_grad_norm"] = self._step(self.pi_optim, self.model._pi)
        for parameter in self.model._Qs.online.parameters():
            parameter.requires_grad_(True)
        low, high = torch.quantile(qs.flatten(), torch.tensor([0.05, 0.95], device=self.device))
        self.scale.lerp_((high - low).clamp(min=1.0), self.cfg.tau)
        return metrics | {"pi_scale": self.scale.mean()}

    def policy_loss(
        self, zs: Tensor, action: Tensor, mu: Tensor, std: Tensor, task: Tensor
    ) -> tuple[Tensor, Tensor, Metrics]:
        """Policy loss at latents [H+1, B, Z] with actions and planner statistics [H, B, A]; first Q values; metrics."""
        cfg, model = self.cfg, self.model
        if cfg.constrained_planning > 0:
            zs = zs[:-1]
        pi_action, info = model.pi(zs, task)
        qs = model.two_q(zs, pi_action).mean(0)
        weights = self.rho[: len(zs), None, None]
        q_loss = ((-cfg.entropy_coef * info["scaled_entropy"] - qs / self.scale) * weights).sum(0).mean()
        prior_loss = self._prior_loss(pi_action, action, mu, std, task)
        loss = q_loss + cfg.prior_coef * prior_loss
        metrics = {
            "pi_loss": loss,
            "pi_q_loss": q_loss,
            "pi_prior_loss": cfg.prior_coef * prior_loss,
            "pi_entropy": info["entropy"].mean(),
            "pi_scaled_entropy": info["scaled_entropy"].mean(),
            "pi_std": info["log_std"].exp().mean(),
        }
        return loss, qs[0].detach(), metrics

    def _prior_loss(self, pi_action: Tensor, action: Tensor, mu: Tensor, std: Tensor, task: Tensor) -> Tensor:
        """What holds the policy near the planner: nothing, squared error, or the planner's density [H, B, A]."""
        cfg, mask = self.cfg, self.model.mask(task, pi_action)
        weights = self.rho[: len(pi_action), None, None]
        if cfg.constrained_planning == 1:
            error = ((pi_action - action).pow(2) * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
            return (weights * error).sum(0).mean()
        if cfg.constrained_planning == 2:
            std = std.clamp(min=cfg.min_std)
            log_prior = log_density((pi_action - mu) / std * mask, std.log() * mask)
            log_prior = torch.where(self.scale > cfg.scale_threshold, log_prior / self.scale, 0.0)
            return -(weights * log_prior).sum(0).mean()
        return torch.zeros((), device=self.device)
