"""Model sizes, sets of tasks, common widths, seeding and devices: what every part of the tree shares."""

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
# Width of the task embedding where several tasks share one agent; sizes that are not named take the other.
TASK_DIM = {"T": 64}
DEFAULT_TASK_DIM = 512

# Where several tasks share one agent, observations and actions are padded to these widths, or the widest task's.
PADDED_OBS, PADDED_ACTION = 128, 16

# newt's named sets whose simulators this tree has, and those whose simulators it lacks.
TASK_SET = {
    "dmcontrol": tuple(
        """
        acrobot-swingup cartpole-balance cartpole-balance-sparse cartpole-swingup cartpole-swingup-sparse cheetah-run
        cup-catch finger-spin finger-turn-easy finger-turn-hard fish-swim hopper-hop hopper-stand pendulum-swingup
        quadruped-run quadruped-walk reacher-easy reacher-hard walker-run walker-stand walker-walk
        """.split()
    ),
    "mujoco": tuple(
        """
        mujoco-ant mujoco-halfcheetah mujoco-hopper mujoco-inverted-pendulum mujoco-reacher mujoco-walker
        """.split()
    ),
}
ABSENT_SETS = ("atari", "box2d", "dmcontrol-ext", "maniskill", "metaworld", "ogbench", "pygame", "robodesk", "soup")


def padded_widths(obs_dim, action_dim):
    """The widths of observations and actions of a padded agent whose widest task has these."""
    return max(PADDED_OBS, obs_dim), max(PADDED_ACTION, action_dim)


def split_by_rank(items, rank, world_size):
    """The items that belong to one rank of a distributed run."""
    return list(items)[rank::world_size]


def env_tasks(cfg):
    """The task number of each environment of this rank: with K tasks, environment i of N runs number i // (N / K)."""
    tasks = split_by_rank(range(cfg.num_global_tasks), cfg.rank, cfg.world_size) or [0]
    return [task for task in tasks for _ in range(cfg.num_envs // len(tasks))]


def set_seed(seed):
    """Seed Python, NumPy and torch (all devices)."""
    for seeder in (random.seed, np.random.seed, torch.manual_seed):
        seeder(seed)


def set_matmul_precision(tf32):
    """Let float32 matrix products on CUDA round to TF32 what they multiply, or not; for all of this process."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")


def resolve_device(name="auto", rank=0):
    """Return the torch.device that the setting `device` stands for.

    `auto` is the CUDA device of this rank where there is one, else the CPU. A bare `cuda` gets the rank's index.
    Raises ValueError where there is no such device.
    """
    if name in (None, "auto"):
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} finds no MPS device here; use device=cpu")
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} finds no CUDA device here; use device=cpu")
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name}: there are {torch.cuda.device_count()} CUDA devices here, counted from 0")
    return torch.device("cuda", rank if device.index is None else device.index)


def barrier():
    """Wait for the other ranks of a distributed run; alone, do nothing."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
