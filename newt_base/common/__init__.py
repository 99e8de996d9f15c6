"""Model sizes, seeding and devices: what every part of the tree shares."""

import random

import numpy as np
import torch

# Widths of the world model; T is this tree's own, for CPUs.
MODEL_SIZE = {
    "T": dict(enc_dim=64, mlp_dim=128, latent_dim=128, num_enc_layers=2, num_q=3),
    "S": dict(enc_dim=128, mlp_dim=256, latent_dim=384, num_enc_layers=2, num_q=3),
    "B": dict(enc_dim=256, mlp_dim=512, latent_dim=512, num_enc_layers=2),
    "L": dict(enc_dim=1024, mlp_dim=1024, latent_dim=512, num_enc_layers=3),
    "XL": dict(enc_dim=2048, mlp_dim=2048, latent_dim=704, num_enc_layers=4, num_q=7),
}


def set_seed(seed):
    """Seed Python, NumPy and torch (all devices)."""
    for seeder in (random.seed, np.random.seed, torch.manual_seed):
        seeder(seed)


def resolve_device(name="auto", rank=0):
    """Return the torch.device that the setting `device` stands for.

    `auto` is the CUDA device of this rank where there is one, else the CPU. A bare `cuda` gets the rank's index.
    """
    if name in (None, "auto"):
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} finds no CUDA device here; use device=cpu")
    return torch.device("cuda", rank if device.index is None else device.index)


def barrier():
    """Wait for the other ranks of a distributed run; alone, do nothing."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
