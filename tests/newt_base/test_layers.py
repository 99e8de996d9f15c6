"""Layers: the fast Mish is torch's, at every size of its input."""

import pytest
import torch
import torch.nn.functional as F
from trees import tree

LAYERS = tree().layers
SIZES = [0.0, 1e-4, 0.5, 3.0, 19.0, 21.0, 44.0, 45.0, 87.0, 90.0, 1e4, 1e30, 3e38]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_mish_is_torchs(dtype, learning, compiled):
    sizes = torch.tensor(SIZES, dtype=dtype)
    ends = torch.tensor([float("inf"), float("nan")], dtype=dtype)
    x = torch.cat([sizes, -sizes, torch.linspace(-10, 10, 501, dtype=dtype), ends]).requires_grad_(learning)
    mish = torch.compile(LAYERS.Mish(), backend="eager", fullgraph=True) if compiled else LAYERS.Mish()
    with torch.set_grad_enabled(learning):
        found, expected = mish(x), F.mish(x)
    assert found.dtype == dtype
    close = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(found, expected, rtol=close, atol=1e-35, equal_nan=True)
    if learning:
        finite = x.isfinite()
        slopes = (torch.autograd.grad(y[finite].sum(), x)[0][finite] for y in (found, expected))
        torch.testing.assert_close(*slopes, rtol=close, atol=close, equal_nan=True)
