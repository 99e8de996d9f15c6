import torch
import torch.nn.functional as F


def two_hot(x, cfg):
    return x


def two_hot_inv(x, cfg):
    return x


def log_std(x, low, dif):
    return low + dif * torch.sigmoid(2 * x)


def gaussian_logprob(eps, log_std):
    return (-0.5 * eps * eps - log_std - 0.9189385332).sum(-1, keepdim=True)


def squash(mu, pi, log_pi):
    mu, pi = torch.tanh(mu), torch.tanh(pi)
    return mu, pi, log_pi - torch.log(F.relu(1 - pi * pi) + 1e-6).sum(-1, keepdim=True)


def interp_dist(base_mean, base_std, pi_mean, pi_std, step, start, end):
    """From the policy's Gaussian at `start` to the planner's own at `end`."""
    progress = (step - start) / max(1, end - start)
    w = 1.0 - min(max(progress, 0.0), 1.0)
    return w * pi_mean + (1.0 - w) * base_mean, w * pi_std + (1.0 - w) * base_std


def soft_ce(pred, target, cfg):
    return (pred - two_hot(target, cfg)).pow(2)
