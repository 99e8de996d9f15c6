"""Mish (arXiv:1908.08681), x tanh(softplus(x)), from a single exponential; and LayerNorm with Mish in one go on a CPU.

With m = e^x + e^2x / 2, tanh(softplus(x)) = m / (m + 1). torch's own takes three transcendental functions.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

_ONE = torch.ones(())  # adding a Python number takes twice as long on a small tensor: it is converted each time
_WHOLE = 2**17  # numbers that are worked on at once: what is made of them in between stays in the cache
_PART = 2**16  # and how many at a time where there are more


class Mish(nn.Module):
    """Mish; compiled for a CPU, one kernel."""

    def forward(self, x):
        if x.device.type != "cpu" or x.dtype is torch.bfloat16 or not torch.compiler.is_compiling():
            return F.mish(x)
        e = x.clamp(max=20).exp()
        m = e + 0.5 * e * e
        rest = 1 / (m + 1)
        return x * torch.where(x > 0, 1 - rest, m * rest)  # of the two forms of m / (m + 1) each has its exact slope


def norm_mish(x, weight, bias, eps):
    """Mish of the layer-normalised x, in eager code on a CPU.

    x is [..., F] and weight and bias are [F], or [N, ..., F] and [N, F]: N networks, each with its own.
    """
    if torch.is_grad_enabled():
        return _NormMish.apply(x, weight, bias, eps)
    if _at_once(x, weight):
        return mish_(torch.native_layer_norm(x, weight.shape[-1:], weight, bias, eps)[0])
    if x.numel() <= _WHOLE:  # several small networks
        normed = torch.native_layer_norm(x, weight.shape[-1:], None, None, eps)[0]
        shape = len(weight), *[1] * (x.ndim - 2), -1
        return mish_(torch.addcmul(bias.view(shape), normed, weight.view(shape)))
    y = torch.empty_like(x)
    for own, (rows, out) in _parts((weight, bias), (x, y)):
        mish_(torch.native_layer_norm(rows, weight.shape[-1:], *own, eps)[0], out)
    return y


def mish_(x, out=None):
    """Mish of x, into `out` or its place."""
    e = x.exp()  # where it overflows, the reciprocal is 0 and the output x
    rest = torch.addcmul(e, e, e, value=0.5, out=e).reciprocal_().add_(_ONE)
    return torch.div(x, rest, out=x if out is None else out)


def mish_and_slope_(x, out=None, slope=None):
    """Mish of x, into `out` or its place, and its derivative, m/(m+1) + x (e^x + e^2x) / (m+1)^2, into `slope`."""
    low = x.clamp(max=20)  # above, the quotient is 1 in float32
    e = low.exp()
    m = torch.addcmul(e, e, e, value=0.5)
    rest = (m + _ONE).reciprocal_()
    gate = m.mul_(rest)
    steep = torch.addcmul(e, e, e, out=e).mul_(rest).mul_(rest)
    return torch.mul(x, gate, out=x if out is None else out), torch.addcmul(gate, low, steep, out=slope)


def _at_once(x, weight):
    return weight.ndim == 1 and x.numel() <= _WHOLE


def _parts(of_networks, of_rows):
    """What belongs to one network, of tensors [F] or [N, F], with some rows of tensors [..., *] or [N, ..., *]."""
    alone = of_networks[0].ndim == 1
    of_networks = [x[None] if alone else x for x in of_networks]
    of_rows = [x.view(1 if alone else len(x), -1, x.shape[-1]) for x in of_rows]
    step = max(1, _PART // of_networks[0].shape[-1])
    for own, *rows in zip(zip(*of_networks, strict=True), *of_rows, strict=True):
        for some in zip(*(x.split(step) for x in rows), strict=True):
            yield own, some


class _NormMish(torch.autograd.Function):
    """LayerNorm and Mish, which keeps the derivative of Mish for the backward pass."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        x, width = x.contiguous(), weight.shape[-1:]
        if _at_once(x, weight):
            normed, *moments = torch.native_layer_norm(x, width, weight, bias, eps)
            y, slope = mish_and_slope_(normed)
        else:
            y, slope, moments = torch.empty_like(x), torch.empty_like(x), []
            for own, (rows, *out) in _parts((weight, bias), (x, y, slope)):
                normed, *own_moments = torch.native_layer_norm(rows, width, *own, eps)
                mish_and_slope_(normed, *out)
                moments += own_moments
        ctx.save_for_backward(x, weight, bias, slope, *moments)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, slope, *moments = ctx.saved_tensors
        width, needed = weight.shape[-1:], list(ctx.needs_input_grad[:3])
        backward = torch.ops.aten.native_layer_norm_backward
        if _at_once(x, weight):
            return *backward(grad * slope, x, width, *moments, weight, bias, needed), None
        grad_x, sums = torch.empty_like(x), []
        parts = _parts((weight, bias), (x, slope, grad.contiguous(), grad_x))
        for own, (rows, own_slope, own_grad, into) in parts:
            mean, rstd, *moments = moments
            found = backward(own_grad.mul(own_slope), rows, width, mean, rstd, *own, needed)
            into.copy_(found[0])
            sums.append(found[1:])
        totals = [
            torch.stack(each).view(*weight.shape[:-1], -1, *width).sum(-2) if wanted else None
            for each, wanted in zip(zip(*sums, strict=True), needed[1:], strict=True)
        ]
        return grad_x, *totals, None
