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

    def _parts(self, z, a, task):
        """What dynamics and reward are a function of: latents, the embedding of `task` if there is one, and actions."""
        if self._task_emb is None:
            return z, a
        return z, self._fit(self._task_emb(task.long()), z), a

    def _two_networks(self):
        """Numbers of two Q networks drawn at random, in ascending order, or None: there are no more.

        They are drawn on the CPU, so that no device is waited for. Compiled code can't choose networks by a number that
        it doesn't know: there they are a tensor.
        """
        if self.cfg.num_q <= 2:
            return None
        if self.cfg.compile:
            return torch.randperm(self.cfg.num_q, device=self.log_std_min.device)[:2]
        return sorted(torch.randperm(self.cfg.num_q)[:2].tolist())

    @staticmethod
    def _fit(rows, x):
        """Give per-task rows [*batch, F] as many batch dimensions as x has, the new ones next to the features."""
        while rows.ndim < x.ndim:
            rows = rows.unsqueeze(-2)
        return rows

    def action_mask(self, task, x):
        """Which action dimensions of x, [..., A], belong to `task`: 1 or 0, broadcastable to x."""
        if len(self._action_masks) == 1:
            return self._action_masks.view(*[1] * (x.ndim - 1), -1)
        return self._fit(self._action_masks[task.long()], x)

    def encode(self, obs, task):
        """Latents [..., Z] of observations [..., O]."""
        return self._encoder[self.cfg.obs](self.task_emb(obs, task))

    def next(self, z, a, task):
        """The latents [..., Z] that actions [..., A] lead to."""
        return layers.through(self._dynamics, *self._parts(z, a, task))

    def reward(self, z, a, task):
        """Logits [..., num_bins] of the reward for taking actions in latents."""
        return layers.through(self._reward, *self._parts(z, a, task))

    def _gaussian(self, z, task):
        """Mean and log standard deviation of the policy prior before it is squashed, [..., A], and its action mask."""
        mean, log_std = self._pi(self.task_emb(z, task)).chunk(2, dim=-1)
        mask = self.action_mask(task, mean)
        return mean * mask, math.log_std(log_std, self.log_std_min, self.log_std_dif) * mask, mask

    def sample(self, z, task):
        """The actions that `pi` samples at latents [..., Z], without all else that it computes: [..., A]."""
        mean, log_std, mask = self._gaussian(z, task)
        return (mean + torch.randn_like(mean) * mask * log_std.exp()).tanh()

    def pi(self, z, task):
        """Sample the policy prior, a squashed Gaussian, at latents [..., Z].

        Returns the action [..., A] and a dict with mean (squashed) and log_std, [..., A], and entropy and
        scaled_entropy (times the task's action dimensions), [..., 1]. All are zero in padded dimensions.
        """
        mean, log_std, mask = self._gaussian(z, task)
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
        x = torch.cat([self.task_emb(z, task), a], dim=-1)
        if return_type == "all":
            return self._Qs(x, target=target)
        values = math.two_hot_inv(self._Qs(x, target=target, drawn=self._two_networks()), self.cfg)
        return values.amin(0) if return_type == "min" else values.mean(0)
