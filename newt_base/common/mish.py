"""Mish, and the forms in which it is computed fastest."""

import torch
import torch.nn as nn
import torch.nn.functional as F

_ONE = torch.ones(())  # adding a Python number takes twice as long on a small tensor: it is converted each time


class Mish(nn.Module):
    """Mish, x tanh(softplus(x)) (arXiv:1908.08681); on a CPU from a single exponential, where torch takes three.

    With m = e^x + e^2x / 2, tanh(softplus(x)) = m / (m + 1).
    """

    def forward(self, x):
        if x.device.type != "cpu" or x.dtype is torch.bfloat16:
            return F.mish(x)
        if torch.compiler.is_compiling():  # one kernel; of the two forms of m / (m + 1) each has its exact slope
            e = x.clamp(max=20).exp()
            m = e + 0.5 * e * e
            rest = 1 / (m + 1)
            return x * torch.where(x > 0, 1 - rest, m * rest)
        if not torch.is_grad_enabled():
            e = x.exp()  # where it overflows, the reciprocal is 0 and the output x
            return x / torch.addcmul(e, e, e, value=0.5).reciprocal_().add_(_ONE)
        return _MishInTransforms.apply(x)[0] if torch._C._are_functorch_transforms_active() else _Mish.apply(x)


def _mish_and_slope(x):
    """Mish and its derivative, m/(m+1) + x (e^x + e^2x) / (m+1)^2; above 20 the first is 1 in float32."""
    low = x.clamp(max=20)
    e = low.exp()
    m = torch.addcmul(e, e, e, value=0.5)
    rest = (m + _ONE).reciprocal_()
    gate = m * rest
    return x * gate, torch.addcmul(gate, low, torch.addcmul(e, e, e).mul_(rest).mul_(rest))


class _Mish(torch.autograd.Function):
    """Mish, which keeps its derivative for the backward pass."""

    @staticmethod
    def forward(ctx, x):
        y, slope = _mish_and_slope(x)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


class _MishInTransforms(torch.autograd.Function):
    """The same in the form that `torch.vmap` asks for; calling it takes longer."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return _mish_and_slope(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx, grad, _):
        return grad * ctx.saved_tensors[0]
