"""The networks and numbers of `plain.py`, each in its most direct form; weights have newt's names.

Shapes: any leading dimensions, Z latent width, A action dimensions. One task, so no task embeddings.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class SimNorm(nn.Module):
    """Softmax over groups of `width` features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        groups = x.view(*x.shape[:-1], -1, self.width)
        return torch.softmax(groups, dim=-1).view(*x.shape)


class Layer(nn.Linear):
    """Linear, LayerNorm, activation."""

    def __init__(self, inputs: int, outputs: int, activation: nn.Module | None = None) -> None:
        super().__init__(inputs, outputs)
        self.ln = nn.LayerNorm(outputs)
        self.activation = activation or nn.Mish()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.ln(super().forward(x)))


def network(inputs: int, hidden: list[int], outputs: int, last: nn.Module | None = None) -> nn.Sequential:
    """Layers of these widths; the last one is linear, or normalised with the activation `last`."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(Layer(inputs, width))
        inputs = width
    layers.append(Layer(inputs, outputs, last) if last else nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


class Critics(nn.Module):
    """All Q networks, one after the other: [..., Z+A] gives logits [num_q, ..., num_bins]."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        inputs, hidden = cfg.latent_dim + cfg.action_dim, [cfg.mlp_dim, cfg.mlp_dim]
        self._Qs = nn.ModuleList([network(inputs, hidden, cfg.num_bins) for _ in range(cfg.num_q)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([q(x) for q in self._Qs], dim=0)


class OnlineAndTarget(nn.Module):
    """The Q networks that learn, and those that follow them."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.online, self.target = Critics(cfg), Critics(cfg)
        for parameter in self.target.parameters():
            parameter.requires_grad_(False)


class PlainModel(nn.Module):
    """Encoder, dynamics, reward, policy prior and Q networks. Takes the weights of a newt-style world model."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        if cfg.task_dim or cfg.num_bins < 2:
            raise ValueError("the plain model knows one task and distributional values only")
        self.cfg = cfg
        joint, hidden = cfg.latent_dim + cfg.action_dim, [cfg.mlp_dim, cfg.mlp_dim]
        encoder = max(cfg.num_enc_layers - 1, 1) * [cfg.enc_dim]
        observed = cfg.obs_shape["state"][0]
        self._encoder = nn.ModuleDict({"state": network(observed, encoder, cfg.latent_dim, SimNorm(cfg.simnorm_dim))})
        self._dynamics = network(joint, hidden, cfg.latent_dim, SimNorm(cfg.simnorm_dim))
        self._reward = network(joint, hidden, cfg.num_bins)
        self._pi = network(cfg.latent_dim, hidden, 2 * cfg.action_dim)
        self._Qs = OnlineAndTarget(cfg)
        self.register_buffer("_action_masks", torch.zeros(len(cfg.action_dims), cfg.action_dim))
        self.register_buffer("log_std_min", torch.tensor(0.0))
        self.register_buffer("log_std_dif", torch.tensor(0.0))

    def take(self, weights: dict[str, Tensor]) -> None:
        """Copy the weights of a world model; what it has beside newt's names is ignored. Raises KeyError."""
        missing = self.load_state_dict(weights, strict=False).missing_keys
        if missing:
            raise KeyError(f"these weights lack {missing[0]}")

    def mask(self, task: Tensor, like: Tensor) -> Tensor:
        """The task's action dimensions, 1 or 0, in the shape of `like`, [..., A]."""
        mask = self._action_masks[task.long()]
        while mask.ndim < like.ndim:
            mask = mask.unsqueeze(-2)
        return mask.expand_as(like)

    def encode(self, obs: Tensor) -> Tensor:
        return self._encoder["state"](obs)

    def next(self, z: Tensor, action: Tensor) -> Tensor:
        return self._dynamics(torch.cat([z, action], dim=-1))

    def reward(self, z: Tensor, action: Tensor) -> Tensor:
        return self._reward(torch.cat([z, action], dim=-1))

    def pi(self, z: Tensor, task: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """A sample of the policy prior [..., A], its mean and log_std, and its entropies [..., 1]."""
        mean, raw = self._pi(z).chunk(2, dim=-1)
        log_std = self.log_std_min + 0.5 * self.log_std_dif * (torch.tanh(raw) + 1)
        noise = torch.randn_like(mean)
        mask = self.mask(task, mean)
        mean, log_std, noise = mean * mask, log_std * mask, noise * mask

        log_prob = log_density(noise, log_std)
        scaled = log_prob * mask.sum(-1, keepdim=True)
        action = torch.tanh(mean + noise * log_std.exp())
        log_prob = log_prob - torch.log(torch.relu(1 - action.pow(2)) + 1e-6).sum(-1, keepdim=True)
        entropy_scale = scaled / (log_prob + 1e-8)
        return action, {
            "mean": torch.tanh(mean),
            "log_std": log_std,
            "entropy": -log_prob,
            "scaled_entropy": -log_prob * entropy_scale,
        }

    def all_q(self, z: Tensor, action: Tensor, target: bool = False) -> Tensor:
        """Logits of every Q network, [num_q, ..., num_bins]."""
        critics = self._Qs.target if target else self._Qs.online
        return critics(torch.cat([z, action], dim=-1))

    def two_q(self, z: Tensor, action: Tensor, target: bool = False) -> Tensor:
        """Values of two Q networks drawn at random, [2, ..., 1], after all have been evaluated."""
        logits = self.all_q(z, action, target)
        drawn = torch.randperm(self.cfg.num_q, device=logits.device)[:2]
        return value_of(logits[drawn], self.cfg)


def log_density(noise: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [..., 1] of a diagonal Gaussian at standardised noise [..., A]."""
    return (-0.5 * noise.pow(2) - log_std - 0.5 * math.log(2 * math.pi)).sum(-1, keepdim=True)


def value_of(logits: Tensor, cfg: Any) -> Tensor:
    """The scalars [..., 1] that logits over bins in symlog space stand for."""
    bins = torch.linspace(cfg.vmin, cfg.vmax, cfg.num_bins, device=logits.device, dtype=logits.dtype)
    x = torch.sum(torch.softmax(logits, dim=-1) * bins, dim=-1, keepdim=True)
    return torch.sign(x) * (torch.exp(torch.abs(x)) - 1)


def two_hot(x: Tensor, cfg: Any) -> Tensor:
    """Scalars [B, 1] as dense weights [B, num_bins] of the two nearest bins."""
    x = torch.sign(x) * torch.log(1 + torch.abs(x))
    position = (torch.clamp(x, cfg.vmin, cfg.vmax) - cfg.vmin) / cfg.bin_size
    lower = torch.clamp(torch.floor(position), max=cfg.num_bins - 1)
    share = position - lower
    dense = torch.zeros(len(x), cfg.num_bins, device=x.device, dtype=x.dtype)
    dense = dense.scatter_add(1, lower.long(), 1 - share)
    return dense.scatter_add(1, torch.clamp(lower.long() + 1, max=cfg.num_bins - 1), share)


def cross_entropy(logits: Tensor, x: Tensor, cfg: Any) -> Tensor:
    """Cross-entropy [B, 1] of logits [B, num_bins] against scalars [B, 1]."""
    return -(two_hot(x, cfg) * torch.log_softmax(logits, dim=-1)).sum(-1, keepdim=True)
