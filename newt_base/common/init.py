"""Initial weights."""

import torch.nn as nn


def weight_init(module):
    """Truncated normal (std 0.02) weights and zero biases for linear layers; other modules keep torch's own."""
    if not isinstance(module, nn.Linear):
        return
    nn.init.trunc_normal_(module.weight, std=0.02)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def zero_(parameters):
    """Set parameters to zero in place."""
    for parameter in parameters:
        nn.init.zeros_(parameter)
