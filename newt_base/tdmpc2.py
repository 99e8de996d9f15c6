"""The agent: planning with MPPI in the latent space of the world model, and one gradient step of all its parts."""

import warnings
from copy import deepcopy

import torch
import torch.nn.functional as F

from .common import checkpoint, math, resolve_device
from .common.distributed import average_gradients
from .common.scale import RunningScale


class TDMPC2(torch.nn.Module):
    """TD-MPC2 agent in newt's form: E environments planned for at once, online updates from a replay buffer.

    Shapes: E environments, N sampled action sequences, H horizon, B batch, Z latent width, A action dimensions.
    """

    def __init__(self, model, cfg):
        super().__init__()
        self.cfg = deepcopy(cfg)
        self.device = resolve_device(cfg.device, cfg.rank)
        self.model = model.to(self.device)
        self.maxq_pi = True
        self.scale = RunningScale(self.cfg, self.device)
        self.discount = torch.tensor(self.cfg.discounts, device=self.device, dtype=torch.float32)
        self._prev_mean = torch.zeros(self.cfg.num_envs, self.cfg.horizon, self.cfg.action_dim, device=self.device)
        self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1, device=self.device))
        self.rho = self.rho / self.rho.sum()
        self._make_optimisers()
        self.model.eval()

        self.loss_fn = self._maybe_compile(self._loss_fn)
        self.pi_loss = self._maybe_compile(self._pi_loss)
        self.mppi = self._maybe_compile(self._mppi)
        self.sample_pi_trajs = self._maybe_compile(self._sample_pi_trajs)
        self.pi = self._maybe_compile(self._pi)

    def _make_optimisers(self):
        cfg, model = self.cfg, self.model
        fast = {"cuda": dict(fused=True, capturable=True), "cpu": dict(fused=True)}.get(self.device.type, {})
        self.optim = torch.optim.Adam(
            [
                {"params": model._encoder.parameters(), "lr": cfg.lr * cfg.enc_lr_scale},
                {"params": model._dynamics.parameters()},
                {"params": model._reward.parameters()},
                {"params": model._Qs.online.parameters()},
                {"params": model._pi.parameters()},
            ],
            lr=cfg.lr,
            **fast,
        )
        self.pi_optim = torch.optim.Adam(model._pi.parameters(), lr=cfg.lr, eps=1e-5, **fast)
        self._schedules = []
        if cfg.lr_schedule == "warmup":
            first = 1.0 / max(1, cfg.warmup_steps)
            for optim in (self.optim, self.pi_optim):
                warmup = torch.optim.lr_scheduler.LinearLR(optim, start_factor=first, total_iters=cfg.warmup_steps)
                self._schedules.append(warmup)

    def _step_schedules(self):
        with warnings.catch_warnings():
            # While the policy is pretrained, its own optimiser rests and its warm-up goes on.
            warnings.filterwarnings("ignore", message=".*before `optimizer.step")
            for schedule in self._schedules:
                schedule.step()

    def _maybe_compile(self, fn):
        if self.cfg.bf16:
            fn = self._in_bf16(fn)
        if not self.cfg.compile:
            return fn
        if self.device.type == "cuda":
            return torch.compile(fn, mode="reduce-overhead")
        return torch.compile(fn, options={"fallback_random": True})  # inductor's own numbers take five times as long

    def _in_bf16(self, fn):
        """`fn` with its linear layers in bfloat16. Raises ValueError where the device has no such products."""
        kind = "cpu" if self.device.type == "meta" else self.device.type  # on meta nothing is computed
        try:
            # No cache: older torch hands weights that were cast under no_grad, for the targets, to the loss as well.
            return torch.autocast(kind, dtype=torch.bfloat16, cache_enabled=False)(fn)
        except RuntimeError as error:
            raise ValueError(f"bf16=true does not work on device {self.device}: {error}; use bf16=false") from error

    def save(self, fp, **extra):
        """Write weights, optimisers and the Q scale to the file `fp`, with whatever plain values are in `extra`."""
        parts = {"model": self.model, "optim": self.optim, "pi_optim": self.pi_optim, "scale": self.scale}
        schedules = [schedule.state_dict() for schedule in self._schedules]
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"schedules": schedules} | extra, fp)

    def load(self, fp, resume=False):
        """Take weights from a checkpoint of this tree or newt's; with `resume`, optimisers and Q scale too.

        Optimisers are not taken where weights had to be resized. Returns what else the checkpoint holds. Raises
        ValueError, before anything has changed, for a file that is none, naming the first parameter that doesn't fit.
        """
        weights, extra = checkpoint.read(fp, self.device)
        obs_dim = (self.cfg.obs_shapes or [self.cfg.obs_shape[self.cfg.obs]])[0][0]
        weights, resized = checkpoint.fit(
            weights, self.model.state_dict(), fp, obs_dim=obs_dim, keep_tasks=self.cfg.finetune
        )
        parts = ("optim", "pi_optim", "scale")
        missing = [name for name in parts if name not in extra]
        if resume and missing:
            raise ValueError(f"{fp} cannot be resumed: it has no {missing[0]}; start from it with checkpoint= alone")
        self.model.load_state_dict(weights)
        if resume and not resized:
            self._load_optimisers(extra)
        return {name: value for name, value in extra.items() if name not in (*parts, "schedules")}

    def _load_optimisers(self, state):
        """Take optimisers, schedules and the Q scale of a checkpoint, but keep the learning rates of the settings."""
        groups = [group for optim in (self.optim, self.pi_optim) for group in optim.param_groups]
        rates = [group.get("initial_lr", group["lr"]) for group in groups]
        for name in ("optim", "pi_optim", "scale"):
            getattr(self, name).load_state_dict(state[name])
        for schedule, before in zip(self._schedules, state.get("schedules", []), strict=False):
            schedule.load_state_dict(before)
        groups = [group for optim in (self.optim, self.pi_optim) for group in optim.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            before = group.get("initial_lr", group["lr"])
            if before != rate:
                group["lr"] *= rate / before
                group["initial_lr"] = rate

    @torch.no_grad()
    def _pi(self, obs, task):
        """Sample the policy prior at observations [E, O]."""
        return self.model.pi(self.model.encode(obs, task), task)

    @torch.no_grad()
    def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
        """Choose actions for E environments.

        Args:
            obs: [E, O]. t0: [E] bool, first observation of an episode. step: environment steps so far.
            eval_mode: no exploration noise. task: [E] task indices. mpc: plan (default: the setting).

        Returns:
            On the CPU, [E, A] each: the action, and mean and standard deviation of the distribution it was drawn from.
        """
        obs = obs.to(self.device, non_blocking=True)
        task = torch.as_tensor(task, device=self.device)
        if self.cfg.mpc if mpc is None else mpc:
            t0 = t0.to(self.device, non_blocking=True)
            action, mu, std = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)
        else:
            action, info = self.pi(obs, task)
            mu, std = info["mean"], info["log_std"].exp()
            if eval_mode:
                action = mu
        return action.cpu(), mu.cpu(), std.cpu()

    @torch.no_grad()
    def _estimate_value(self, z, actions, task):
        """Returns [E, N, 1] of action sequences [E, H, N, A] from latents [E, N, Z]: rewards, then Q.

        Latents [E, 1, Z] that all sequences start from do as well, and cost less.
        """
        rewards = []
        for t in range(self.cfg.horizon):
            rewards.append(self.model.reward(z, actions[:, t], task))
            z = self.model.next(z, actions[:, t], task)
        final_action = self.model.sample(z, task)
        G = self.model.Q(z, final_action, task, return_type="avg")
        discount = self.discount[task].view(-1, 1, 1)
        for reward in reversed(math.two_hot_inv(torch.stack(rewards), self.cfg)):
            G = reward + discount * G
        return G

    @torch.no_grad()
    def _sample_pi_trajs(self, obs, task):
        """Roll the policy prior out in the model: actions [E, H, num_pi_trajs, A] and the first latents [E, Z]."""
        z = self.model.encode(obs, task)
        latent = z.unsqueeze(1).expand(-1, self.cfg.num_pi_trajs, -1)
        pi_actions = []
        for t in range(self.cfg.horizon):
            if t > 0:
                latent = self.model.next(latent, pi_actions[-1], task)
            pi_actions.append(self.model.sample(latent, task))
        return torch.stack(pi_actions, dim=1), z

    @torch.no_grad()
    def _mppi(self, z, pi_actions, task, mean, std):
        """Refine N action sequences per environment (model predictive path integral control, arXiv:1509.01149).

        Args:
            z: [E, 1, Z]. pi_actions: [E, H, P, A]. mean, std: [E, H, A], where the search starts.

        Returns:
            The first action of an elite sequence drawn by its score, [E, A]; the final mean, [E, H, A]; the final
            standard deviation of the first step, [E, A].
        """
        mask = self.model.action_mask(task, mean)
        num_random = self.cfg.num_samples - pi_actions.shape[2]
        for _ in range(self.cfg.iterations):
            noise = torch.randn(*mean.shape[:2], num_random, mean.shape[2], device=mean.device)
            candidates = (mean.unsqueeze(2) + std.unsqueeze(2) * noise).clamp(-1, 1)
            actions = torch.cat([pi_actions, candidates], dim=2) * mask.unsqueeze(2)

            value = self._estimate_value(z, actions, task).nan_to_num(0).squeeze(-1)
            elite_value, elite_idxs = value.topk(self.cfg.num_elites, dim=1)
            elite_actions = actions.take_along_dim(elite_idxs[:, None, :, None], dim=2)

            score = (self.cfg.temperature * (elite_value - elite_value.amax(1, keepdim=True))).exp()
            score = score / (score.sum(1, keepdim=True) + 1e-9)
            weight = score[:, None, :, None]
            mean = (weight * elite_actions).sum(2) / (weight.sum(2) + 1e-9)
            spread = (weight * (elite_actions - mean.unsqueeze(2)).square()).sum(2) / (weight.sum(2) + 1e-9)
            std = spread.sqrt().clamp(self.cfg.min_std, self.cfg.max_std)
            mean, std = mean * mask, std * mask

        chosen = math.gumbel_softmax_sample(score, temperature=self.cfg.temperature, dim=1)
        action = elite_actions[:, 0].take_along_dim(chosen[:, None, None], dim=1).squeeze(1)
        return action, mean, std[:, 0]

    @torch.no_grad()
    def plan(self, obs, t0, step=None, eval_mode=False, task=None):
        """Plan from observations [E, O]. Returns the action, mu and std, [E, A] each.

        mu is the elite action that was picked, before exploration noise; std is the planner's last one.
        """
        pi_actions, z = self.sample_pi_trajs(obs, task)
        shifted = F.pad(self._prev_mean[:, 1:], (0, 0, 0, 1))
        mean = torch.where(t0.view(-1, 1, 1), torch.zeros_like(shifted), shifted)
        std = torch.full_like(mean, self.cfg.max_std)

        if self.cfg.constrained_planning == 2 and step is not None and self.cfg.num_pi_trajs > 1:
            pi_mean = pi_actions.mean(2)
            pi_std = pi_actions.std(2).clamp(self.cfg.min_std, self.cfg.max_std)
            start, end = self.cfg.constraint_start_step, self.cfg.constraint_final_step
            mean, std = math.interp_dist(mean, std, pi_mean, pi_std, step, start, end)

        mu, mean, std = self.mppi(z.unsqueeze(1), pi_actions, task, mean, std)
        self._prev_mean = mean.clone()
        action = mu if eval_mode else mu + std * torch.randn_like(std)
        return action.clamp(-1, 1), mu, std

    def _sum_over_time(self, x):
        """Weigh per-step values [T, ...] by rho, add them up over time, and average over the rest."""
        weights = self.rho[: len(x)].view(-1, *[1] * (x.ndim - 1))
        return (weights * x).sum(0).mean()

    def _log_prior(self, pi_action, mu, std, task):
        """Log-density [H, B, 1] of policy actions under the planner's Gaussian (mu, std), [H, B, A] each."""
        mask = self.model.action_mask(task, pi_action)
        std = torch.clamp(std, min=self.cfg.min_std)
        eps = (pi_action - mu) / std
        return math.gaussian_logprob(eps * mask, std.log() * mask)

    def _pi_loss(self, zs, action, mu, std, task):
        """Policy loss at latents zs, [H+1, B, Z], whose first H come with actions and planner statistics, [H, B, A].

        constrained_planning 0: maximise Q and entropy; 1: and stay close to the stored actions; 2: and stay likely
        under the planner's distribution, once the Q scale has passed `scale_threshold`.
        """
        if self.cfg.constrained_planning > 0:
            zs = zs[:-1]
        pi_action, info = self.model.pi(zs, task)
        qs = self.model.Q(zs, pi_action, task, return_type="avg")
        q_loss = self._sum_over_time(-self.cfg.entropy_coef * info["scaled_entropy"] - self.scale(qs))

        if self.cfg.constrained_planning == 1:
            mask = self.model.action_mask(task, pi_action)
            bc_loss = self._sum_over_time(math.masked_bc(pi_action, action, mask))
            pi_loss = q_loss + self.cfg.prior_coef * bc_loss
        elif self.cfg.constrained_planning == 2:
            log_prior = self._log_prior(pi_action, mu, std, task)
            log_prior = torch.where(self.scale.value > self.cfg.scale_threshold, self.scale(log_prior), 0.0)
            prior_loss = self._sum_over_time(-log_prior)
            pi_loss = q_loss + self.cfg.prior_coef * prior_loss
        else:
            pi_loss = q_loss

        info = {
            "pi_loss": pi_loss,
            "pi_q_loss": q_loss,
            "pi_prior_loss": pi_loss - q_loss,
            "pi_entropy": info["entropy"].mean(),
            "pi_scaled_entropy": info["scaled_entropy"].mean(),
            "pi_std": info["log_std"].exp().mean(),
        }
        return pi_loss, qs[0].detach(), info

    def _descend(self, loss, optim, module):
        """Step an optimiser down the clipped gradient of a loss, and clear it. Returns the norm before clipping."""
        loss.backward()
        average_gradients(module.parameters())
        grad_norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.cfg.grad_clip_norm)
        optim.step()
        optim.zero_grad(set_to_none=True)
        return grad_norm

    def update_pi(self, zs, action, mu, std, task):
        """One gradient step of the policy prior on latents zs, [H+1, B, Z]. Returns metrics."""
        self.model._Qs.track_grad(False)
        pi_loss, qs, info = self.pi_loss(zs, action, mu, std, task)
        pi_grad_norm = self._descend(pi_loss, self.pi_optim, self.model._pi)
        self.model._Qs.track_grad(True)
        with torch.no_grad():
            self.scale.update(qs)
        return info | {"pi_grad_norm": pi_grad_norm, "pi_scale": self.scale.value.mean()}

    @torch.no_grad()
    def _td_target(self, next_z, reward, task, terminated=None):
        """One-step targets [H, B, 1] from the minimum of two target networks at the next latents [H, B, Z].

        terminated: [H, B, 1], 1 where nothing follows the next latent (default: nowhere).
        """
        action = self.model.sample(next_z, task)
        value = self.model.Q(next_z, action, task, return_type="min", target=True)
        if terminated is not None:
            value = value * (1 - terminated)
        return reward + self.discount[task].unsqueeze(-1) * value

    def _clone_behaviour(self, zs, action, task):
        """Prior loss at latents zs, [H, B, Z], while pretraining: squared error to actions, less an entropy bonus."""
        pi_action, info = self.model.pi(zs, task)
        bc_loss = math.masked_bc(pi_action, action, self.model.action_mask(task, pi_action))
        weights = self.rho[: len(zs)].view(-1, 1, 1)
        prior_loss = (weights * (bc_loss - self.cfg.entropy_coef * info["scaled_entropy"])).mean()
        metrics = {"bc_loss": bc_loss.mean(), "pi_prior_loss": prior_loss, "pi_entropy": info["entropy"].mean()}
        return prior_loss, metrics

    def _loss_fn(self, obs, action, reward, task, terminated=None):
        """Loss of the world model on obs [H+1, B, O], action [H, B, A], reward [H, B, 1], task [H, B].

        terminated: [H, B, 1], 1 where an episode ended for good; the values at its end are not asked for.
        Without `maxq_pi`, while pretraining on demonstrations, the policy learns in here as well, by cloning them.

        Returns the total loss, the detached latents of the model's own rollout, [H+1, B, Z], and metrics.
        """
        with torch.no_grad():
            next_z = self.model.encode(obs[1:], task)
            td_targets = self._td_target(next_z, reward, task, terminated)

        zs = [self.model.encode(obs[0], task[0])]
        for t in range(self.cfg.horizon):
            zs.append(self.model.next(zs[t], action[t], task[t]))
        zs = torch.stack(zs)
        consistency_loss = self._sum_over_time((zs[1:] - next_z).square())

        qs = self.model.Q(zs[:-1], action, task, return_type="all")
        reward_preds = self.model.reward(zs[:-1], action, task)
        reward_loss = self._sum_over_time(math.soft_ce(reward_preds, reward, self.cfg))
        value_loss = self._sum_over_time(math.soft_ce(qs, td_targets, self.cfg).mean(0))

        total_loss = (
            self.cfg.consistency_coef * consistency_loss
            + self.cfg.reward_coef * reward_loss
            + self.cfg.value_coef * value_loss
        )
        info = dict(consistency_loss=consistency_loss, reward_loss=reward_loss, value_loss=value_loss)
        if not self.maxq_pi:
            prior_loss, prior_info = self._clone_behaviour(zs[:-1], action, task)
            total_loss = total_loss + prior_loss
            info = info | prior_info
        return total_loss, zs.detach(), info | {"total_loss": total_loss}

    def update(self, buffer):
        """One gradient step of the world model and, after it, of the policy prior, on one batch. Returns metrics."""
        obs, action, mu, std, reward, task, *terminated = buffer.sample(device=self.device)
        self.model.train()
        torch.compiler.cudagraph_mark_step_begin()
        total_loss, zs, info = self.loss_fn(obs, action, reward, task, *terminated)
        grad_norm = self._descend(total_loss, self.optim, self.model)
        self.model.soft_update_target_Q()

        if self.maxq_pi:
            info = info | self.update_pi(zs, action, mu, std, task[:1])
        self._step_schedules()
        self.model.eval()
        info = info | {"grad_norm": grad_norm}
        return {name: value.detach().clone() for name, value in info.items()}
