"""The world model of TD-MPC2: encoder, latent dynamics, reward, policy prior and Q functions."""

import hashlib

import numpy as np
import torch
import torch.nn as nn

from . import init, layers, math


def task_embeddings(tasks, width):
    """One unit vector [width] per task name, [len(tasks), width], drawn from the name: the same in every set."""
    rows = []
    for task in tasks:
        seed = int.from_bytes(hashlib.sha256(task.encode()).digest()[:4], "big")
        row = np.random.RandomState(seed).standard_normal(width)
        rows.append(row / np.linalg.norm(row))
    return torch.tensor(np.stack(rows), dtype=torch.float32)


class WorldModel(nn.Module):
    """Self-predictive latent model. Z latent width, A action dimensions (padded where tasks differ), T task width."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self._task_emb = None
        if cfg.task_dim:
            self._task_emb = nn.Embedding.from_pretrained(task_embeddings(cfg.global_tasks, cfg.task_dim), freeze=True)
        masks = torch.zeros(len(cfg.action_dims), cfg.action_dim)
        for row, width in zip(masks, cfg.action_dims, strict=True):
            row[:width] = 1.0
        self.register_buffer("_action_masks", masks)
        joint_dim = cfg.latent_dim + cfg.action_dim + cfg.task_dim
        hidden = 2 * [cfg.mlp_dim]
        self._encoder = layers.enc(cfg)
        self._dynamics = layers.mlp(joint_dim, hidden, cfg.latent_dim, act=layers.SimNorm(cfg))
        self._reward = layers.mlp(joint_dim, hidden, max(cfg.num_bins, 1))
        self._pi = layers.mlp(cfg.latent_dim + cfg.task_dim, hidden, 2 * cfg.action_dim)
        self._Qs = layers.QOnlineTargetEnsemble(cfg)
        self.apply(init.weight_init)
        init.zero_([self._reward[-1].weight, *(q[-1].weight for q in self._Qs.online._Qs)])
        self._Qs.hard_update_target()
        self.register_buffer("log_std_min", torch.tensor(float(cfg.log_std_min)))
        self.register_buffer("log_std_dif", torch.tensor(float(cfg.log_std_max - cfg.log_std_min)))

    @property
    def total_params(self):
        """Number of parameters that learn."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def soft_update_target_Q(self):
        """Let the target Q networks follow the online ones."""
        self._Qs.soft_update_target()

    def task_emb(self, x, task):
        """Append the embedding of `task` (any shape that broadcasts to the batch of x) to x, [..., T] more features."""
        if self._task_emb is None:
            return x
        emb = self._fit(self._task_emb(task.long()), x)
        return torch.cat([x, emb.expand(*x.shape[:-1], -1)], dim=-1)

    @staticmethod
    def _fit(rows, x):
        """Give per-task rows [*batch, F] as many batch dimensions as x has, the new ones next to the features."""
        while rows.ndim < x.ndim:
            rows = rows.unsqueeze(-2)
        return rows

    def action_mask(self, task, x):
        """Which action dimensions of x, [..., A], belong to `task`: 1 or 0, broadcastable to x."""
        return self._fit(self._action_masks[task.long()], x)

    def encode(self, obs, task):
        """Latents [..., Z] of observations [..., O]."""
        return self._encoder[self.cfg.obs](self.task_emb(obs, task))

    def next(self, z, a, task):
        """The latents [..., Z] that actions [..., A] lead to."""
        return self._dynamics(torch.cat([self.task_emb(z, task), a], dim=-1))

    def reward(self, z, a, task):
        """Logits [..., num_bins] of the reward for taking actions in latents."""
        return self._reward(torch.cat([self.task_emb(z, task), a], dim=-1))

    def pi(self, z, task):
        """Sample the policy prior, a squashed Gaussian, at latents [..., Z].

        Returns the action [..., A] and a dict with mean (squashed) and log_std, [..., A], and entropy and
        scaled_entropy (times the task's action dimensions), [..., 1]. All are zero in padded dimensions.
        """
        mean, log_std = self._pi(self.task_emb(z, task)).chunk(2, dim=-1)
        mask = self.action_mask(task, mean)
        mean = mean * mask
        log_std = math.log_std(log_std, self.log_std_min, self.log_std_dif) * mask
        eps = torch.randn_like(mean) * mask

        log_prob = math.gaussian_logprob(eps, log_std)
        scaled_log_prob = log_prob * mask.sum(-1, keepdim=True)
        action = mean + eps * log_std.exp()
        mean, action, log_prob = math.squash(mean, action, log_prob)
        entropy_scale = scaled_log_prob / (log_prob + 1e-8)
        info = {
            "log_std": log_std,
            "mean": mean,
            "entropy": -log_prob,
            "scaled_entropy": -log_prob * entropy_scale,
        }
        return action, info

    def Q(self, z, a, task, return_type="min", target=False):
        """Q values of actions [..., A] in latents [..., Z].

        "all": logits of every network, [num_q, ..., num_bins]; "min" and "avg": minimum and mean of the values of
        two networks drawn at random, [..., 1]. `target`: ask the target networks.
        """
        if return_type not in ("min", "avg", "all"):
            raise ValueError(f"return_type={return_type!r} is none of 'min', 'avg', 'all'")
        logits = self._Qs(torch.cat([self.task_emb(z, task), a], dim=-1), target=target)
        if return_type == "all":
            return logits
        qidx = torch.randperm(self.cfg.num_q, device=logits.device)
        qidx = qidx[:2] if self.cfg.num_q > 2 else qidx  # torch's compiler stumbles over a slice that takes all of it
        values = math.two_hot_inv(logits[qidx], self.cfg)
        return values.amin(0) if return_type == "min" else values.mean(0)
