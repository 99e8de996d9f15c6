"""Distributional regression, the squashed Gaussian policy, and small schedules."""

from functools import lru_cache
from math import log, pi

import torch
import torch.nn.functional as F

HALF_LOG_2PI = 0.5 * log(2 * pi)


def symlog(x):
    """Compress magnitudes: sign(x) log(1 + |x|) (DreamerV3, arXiv:2301.04104)."""
    return x.sign() * (1 + x.abs()).log()


def symexp(x):
    """The inverse of symlog.

    Rounded as in newt and the reference, which both subtract 1: below 1e-7 they give 0, where expm1 would not.
    """
    return x.sign() * (x.abs().exp() - 1)


def _two_bins(x, cfg):
    """The two nearest bins of scalars [..., 1], integers [..., 2], and their weights [..., 2]."""
    position = (symlog(x).clamp(cfg.vmin, cfg.vmax) - cfg.vmin) / cfg.bin_size
    lower = position.nan_to_num().floor().clamp(max=cfg.num_bins - 1)
    upper_weight = position - lower
    lower = lower.long()
    upper = (lower + 1).clamp(max=cfg.num_bins - 1)
    return torch.cat([lower, upper], dim=-1), torch.cat([1 - upper_weight, upper_weight], dim=-1)


def two_hot(x, cfg):
    """Spread scalars [..., 1] over the two nearest of `num_bins` bins in symlog space: [..., num_bins], rows sum to 1.

    Values beyond vmin and vmax fall into the outermost bins. num_bins 0: x itself; 1: symlog(x).
    """
    if cfg.num_bins <= 1:
        return symlog(x) if cfg.num_bins else x
    bins, weights = _two_bins(x, cfg)
    spread = torch.zeros(*x.shape[:-1], cfg.num_bins, device=x.device, dtype=x.dtype)
    return spread.scatter_add(-1, bins, weights)


def two_hot_inv(x, cfg):
    """Scalars [..., 1] that logits [..., num_bins] stand for: the mean bin under their softmax, out of symlog space."""
    if cfg.num_bins <= 1:
        return symexp(x) if cfg.num_bins else x
    values = _bin_values if not torch.compiler.is_compiling() else _bin_values.__wrapped__
    bins = values(cfg.vmin, cfg.vmax, cfg.num_bins, x.device, x.dtype)
    # Not as a matrix product, which autocast would round to bfloat16.
    return symexp((x.softmax(-1) * bins).sum(-1, keepdim=True))


@lru_cache(maxsize=16)
def _bin_values(low, high, number, device, dtype):
    return torch.linspace(low, high, number, device=device, dtype=dtype)


def soft_ce(pred, target, cfg):
    """Cross-entropy of logits [..., num_bins] against scalars [..., 1], which broadcast: [..., 1].

    Of the bins, only the two that count are looked at.
    """
    if cfg.num_bins <= 1:
        return (two_hot(target, cfg) * -pred.log_softmax(-1)).sum(-1, keepdim=True)
    bins, weights = _two_bins(target, cfg)
    log_prob = pred.log_softmax(-1).gather(-1, bins.expand(*pred.shape[:-1], 2))
    return -(weights * log_prob).sum(-1, keepdim=True)


def log_std(x, low, dif):
    """Bound raw log standard deviations to [low, low + dif]."""
    return low + dif * (x.tanh() + 1) / 2


def gaussian_logprob(eps, log_std):
    """Log-density [..., 1] of a diagonal Gaussian at standardised noise eps, [..., A]."""
    return (-eps.square() / 2 - log_std - HALF_LOG_2PI).sum(-1, keepdim=True)


def squash(mu, pi, log_pi):
    """Tanh of mean and sample, [..., A], with the change of variables applied to log_pi, [..., 1]."""
    mu, pi = mu.tanh(), pi.tanh()
    volume = (F.relu(1 - pi.square()) + 1e-6).log()
    return mu, pi, log_pi - volume.sum(-1, keepdim=True)


def masked_bc(pi_action, action, mask):
    """Squared error over an agent's real action dimensions: [..., A] and a mask [..., A] give [..., 1]."""
    error = (pi_action - action).square() * mask
    return error.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)


def discount_heuristic(cfg, episode_length):
    """Discount for episodes of a given length in agent steps: (f - 1)/f, f = length/discount_denom, within bounds."""
    frac = episode_length / cfg.discount_denom
    return max(cfg.discount_min, min(cfg.discount_max, (frac - 1) / frac))


def gumbel_softmax_sample(p, temperature=1.0, dim=1):
    """Sample indices along `dim` with probabilities p, without leaving the device."""
    noise = -torch.empty_like(p).exponential_().log()
    return (((p + 1e-9).log() + noise) / temperature).argmax(dim)


def interp_dist(base_mean, base_std, pi_mean, pi_std, step, start, end):
    """Mix two Gaussians: all policy until step `start`, then annealed linearly towards the base.

    Means and stds are [E, H, A]; `step`, `start` and `end` count environment steps.
    """
    num = max(0, step - start)
    den = max(1, end)
    w = max(0.0, 1.0 - num / den)
    return w * pi_mean + (1 - w) * base_mean, w * pi_std + (1 - w) * base_std
