"""Networks."""

from copy import deepcopy

import torch
import torch.nn as nn
from torch.func import functional_call


class NormedLinear(nn.Linear):
    def __init__(self, *args, dropout=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.ln = nn.LayerNorm(self.out_features)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else None

    def forward(self, x):
        x = super().forward(x)
        if self.dropout is not None:
            x = self.dropout(x)
        return torch.relu(self.ln(x))


def mlp(in_dim, width, out_dim, dropout=0.0):
    return nn.Sequential(
        NormedLinear(in_dim, width, dropout=dropout), NormedLinear(width, width), nn.Linear(width, out_dim)
    )


class QEnsemble(nn.Module):
    """Q networks that run side by side."""

    def __init__(self, cfg):
        super().__init__()
        width = cfg.latent_dim + cfg.action_dim
        self._Qs = nn.ModuleList([mlp(width, 16, 1, dropout=cfg.dropout) for _ in range(cfg.num_q)])
        self._forward = self._forward_impl

    def compile_forward(self):
        """To be called once nothing is copied any more."""
        self._forward = torch.compile(self._forward_impl, mode="reduce-overhead")

    def _forward_impl(self, x):
        params = [dict(q.named_parameters()) for q in self._Qs]
        stacked = {name: torch.stack([p[name] for p in params]) for name in params[0]}
        base = self._Qs[0]
        return torch.vmap(lambda p, x: functional_call(base, p, (x,)), (0, None), randomness="different")(stacked, x)

    def forward(self, x):
        return self._forward(x)


class QOnlineTargetEnsemble(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.online = QEnsemble(cfg)
        self.target = deepcopy(self.online)
        if cfg.compile:
            for ensemble in (self.online, self.target):
                ensemble.compile_forward()
        self.tau = cfg.tau
        self.track_grad(False, self.target)
        self.train(False)

    def train(self, mode=True):
        self.training = mode
        self.online.train(mode)
        self.target.train(False)
        return self

    def track_grad(self, mode, ensemble):
        for parameter in ensemble.parameters():
            parameter.requires_grad_(mode)

    @torch.no_grad()
    def soft_update_target(self):
        for theirs, mine in zip(self.target.parameters(), self.online.parameters()):
            theirs.lerp_(mine, self.tau)

    def forward(self, x, target=False):
        return self.target(x) if target else self.online(x)
