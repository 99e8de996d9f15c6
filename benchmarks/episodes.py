"""Episodes of random numbers, in the form in which the trainer stores them."""

from __future__ import annotations

import torch
from tensordict import TensorDict

# Columns of a transition in the trainer's rows, beside obs [O] and action, mu, std [A].
SCALARS = ("reward", "terminated", "task")


def episode(obs_dim: int, action_dim: int, rows: int, seed: int = 0) -> TensorDict:
    """One episode, a TensorDict [1, rows]; a row is what `Trainer.to_td` makes of a step."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(1, rows, *shape, generator=generator)

    return TensorDict(
        {
            "obs": 2 * uniform(obs_dim) - 1,
            "action": 2 * uniform(action_dim) - 1,
            "mu": 2 * uniform(action_dim) - 1,
            "std": 0.05 + uniform(action_dim),
            "reward": uniform(),
            "terminated": torch.zeros(1, rows, dtype=torch.bool),
            "task": torch.zeros(1, rows, dtype=torch.int32),
        },
        batch_size=(1, rows),
    )
