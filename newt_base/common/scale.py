"""The running scale that makes Q values comparable between tasks."""

import torch

from .distributed import average


class RunningScale(torch.nn.Module):
    """Moving average of the 5-95 percentile range of Q values, at least 1 (TD-MPC2, appendix of arXiv:2310.16828)."""

    def __init__(self, cfg, device=None):
        super().__init__()
        self.tau = cfg.tau
        self.register_buffer("value", torch.ones(1, device=device))
        self.register_buffer("_percentiles", torch.tensor([5.0, 95.0], device=device))

    def update(self, x):
        """Move the scale by the fraction tau towards the percentile range of x, [B, 1], or its mean over all ranks."""
        low, high = torch.quantile(x.detach().flatten(), self._percentiles / 100)
        spread = average((high - low).clamp(min=1.0))
        self.value.lerp_(spread.view_as(self.value), self.tau)

    def forward(self, x):
        return x / self.value

    def extra_repr(self):
        return f"S={self.value.tolist()}, tau={self.tau}"
