"""Networks: normalised linear layers, simplicial latents, the Q ensemble and its target."""

from copy import deepcopy
from itertools import pairwise

import torch
import torch.nn as nn
import torch.nn.functional as F

from .mish import Mish, norm_mish


class SimNorm(nn.Module):
    """Simplicial normalisation: softmax over groups of `simnorm_dim` features (arXiv:2204.00616)."""

    def __init__(self, cfg):
        super().__init__()
        self.dim = cfg.simnorm_dim

    def forward(self, x):
        groups = x.unflatten(-1, (-1, self.dim))
        if x.device.type == "cpu":  # where torch takes five to eight times as long for many short rows
            return groups.mT.softmax(-2).mT.flatten(-2)
        return groups.softmax(-1).flatten(-2)

    def extra_repr(self):
        return f"dim={self.dim}"


class Linear(nn.Linear):
    """Linear layer; its product may be in bfloat16, under autocast, but its output has the precision of its weights."""

    def forward(self, x):
        return super().forward(x).to(self.weight.dtype)


class NormedLinear(Linear):
    """Linear layer, LayerNorm, activation (Mish unless given)."""

    def __init__(self, *args, act=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.ln = nn.LayerNorm(self.out_features)
        self.act = Mish() if act is None else act

    def forward(self, x):
        return self.activated(super().forward(x))

    def activated(self, x):
        """What becomes of the output of the linear layer."""
        plain = type(self.act) is not Mish or torch.compiler.is_compiling() or x.device.type != "cpu"
        return self.act(self.ln(x)) if plain else norm_mish(x, self.ln.weight, self.ln.bias, self.ln.eps)

    def extra_repr(self):
        return f"{super().extra_repr()}, act={type(self.act).__name__}"


def mlp(in_dim, mlp_dims, out_dim, act=None):
    """Normalised hidden layers; the last layer is plain linear, or normalised with `act` where one is given."""
    widths = [in_dim, *mlp_dims]
    hidden = [NormedLinear(a, b) for a, b in pairwise(widths)]
    last = NormedLinear(widths[-1], out_dim, act=act) if act else Linear(widths[-1], out_dim)
    return nn.Sequential(*hidden, last)


def enc(cfg):
    """Encoders by observation kind; states only."""
    if cfg.obs != "state":
        raise ValueError(f"obs={cfg.obs!r}: this tree encodes obs='state' only")
    hidden = max(cfg.num_enc_layers - 1, 1) * [cfg.enc_dim]
    return nn.ModuleDict({"state": mlp(cfg.obs_shape["state"][0] + cfg.task_dim, hidden, cfg.latent_dim, SimNorm(cfg))})


class QEnsemble(nn.Module):
    """`num_q` Q networks evaluated together: [..., Z+A] gives logits [num_q, ..., num_bins]."""

    def __init__(self, cfg):
        super().__init__()
        in_dim = cfg.latent_dim + cfg.action_dim + cfg.task_dim
        self._Qs = nn.ModuleList([mlp(in_dim, 2 * [cfg.mlp_dim], max(cfg.num_bins, 1)) for _ in range(cfg.num_q)])
        if cfg.compile:
            self._forward = torch.compile(self._forward_impl)
        else:
            self._forward = self._forward_impl

    def _forward_impl(self, x, drawn=None):
        if isinstance(drawn, torch.Tensor):  # on the device, where nobody waits for the numbers
            names = [name for name, _ in self._Qs[0].named_parameters()]
            own = {name: torch.stack([q.get_parameter(name) for q in self._Qs])[drawn] for name in names}
            each = [{name: values[k] for name, values in own.items()} for k in range(len(drawn))]
            return torch.stack([torch.func.functional_call(self._Qs[0], parameters, (x,)) for parameters in each])
        chosen = self._Qs if drawn is None else [self._Qs[number] for number in drawn]
        return torch.stack([q(x) for q in chosen])

    def forward(self, x, drawn=None):
        """Outputs [num_q, ..., num_bins], or [k, ..., num_bins] of the k networks `drawn`: integers, or a tensor."""
        return self._forward(x, drawn)


def through(network, *parts):
    """The output of an `mlp` for parts of its input, [..., F] each, which broadcast against each other.

    The first layer is linear: its products with parts that many rows share are made once and added, not repeated.
    """
    if len({part.shape[:-1] for part in parts}) == 1:
        return network(torch.cat(parts, dim=-1))
    first = network[0]
    weights = first.weight.split([part.shape[-1] for part in parts], dim=1)
    products = [F.linear(part, weight) for part, weight in zip(parts, weights, strict=True)]
    return network[1:](first.activated(sum(products, start=first.bias)))


class QOnlineTargetEnsemble(nn.Module):
    """The Q ensemble that learns, and its slowly following copy."""

    def __init__(self, cfg):
        super().__init__()
        self.tau = cfg.tau
        self.online = QEnsemble(cfg)
        self.target = deepcopy(self.online)
        self.track_grad(False, network="target")
        self.train(True)

    def train(self, mode=True):
        """Set the mode of the online networks; the target stays in evaluation mode."""
        super().train(mode)
        self.target.eval()
        return self

    def track_grad(self, mode=True, network="online"):
        """Let gradients reach the parameters of `network` ("online" or "target"), or not."""
        getattr(self, network).requires_grad_(mode)

    def _pairs(self):
        return zip(self.target.parameters(), self.online.parameters(), strict=True)

    @torch.no_grad()
    def hard_update_target(self):
        """Copy the online weights to the target."""
        for target, online in self._pairs():
            target.copy_(online)

    @torch.no_grad()
    def soft_update_target(self):
        """Move the target weights towards the online ones by the fraction tau (Polyak averaging)."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), self.tau)

    def forward(self, x, target=False, drawn=None):
        """What `QEnsemble` gives, of the online networks or the target's."""
        return (self.target if target else self.online)(x, drawn)
