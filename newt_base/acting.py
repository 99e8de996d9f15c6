"""An agent from a checkpoint, ready to act: its settings, and how wide it is."""

import dataclasses
from pathlib import Path

import torch
import yaml

from .common import resolve_device, set_matmul_precision
from .common.world_model import WorldModel
from .config import Config, ConfigError, load_cfg, parse_cfg
from .tdmpc2 import TDMPC2

# What of a run's settings its agent is made of, what it was trained on, and how it plans.
KEPT = """
    task action_repeat episodic obs pad num_q num_bins vmin vmax discount_max discount_min discount_denom log_std_min
    log_std_max mpc horizon iterations num_samples num_pi_trajs num_elites temperature min_std max_std
    constrained_planning constraint_start_step constraint_final_step model_size latent_dim simnorm_dim enc_dim
    num_enc_layers mlp_dim task_dim
""".split()
LARGEST = 2**20  # bytes of a run's settings


def of_the_run(checkpoint: str) -> dict[str, str]:
    """The settings that a checkpoint was trained with, as far as acting depends on them: its run wrote them beside it.

    Nothing where the file lies elsewhere.
    """
    path = Path(checkpoint).resolve().parent.parent / "config.yaml"
    try:
        found = yaml.safe_load(path.read_text("utf-8")) if path.is_file() and path.stat().st_size <= LARGEST else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    if not isinstance(found, dict):
        return {}
    kept = {name: found[name] for name in KEPT if isinstance(found.get(name), (str, int, float))}
    lengths, length = found.get("episode_lengths"), found.get("episode_length")
    if isinstance(lengths, list) and isinstance(length, int) and all(one == length for one in lengths):
        kept["episode_length"] = length
    return {name: str(value) for name, value in kept.items()}


def settings(arguments: list[str], purpose: str) -> Config:
    """Settings under which the agent of `checkpoint` acts, as wide as it is, alone or one of several tasks."""
    cfg = load_cfg(arguments)
    if cfg.checkpoint is None:
        raise ConfigError("checkpoint", None, f"{purpose} needs an agent", "add checkpoint=FILE")
    return parse_cfg(dataclasses.replace(cfg, finetune=True, use_demos=False, resume=False))


def agent_of(cfg: Config) -> tuple[TDMPC2, dict]:
    """The agent of `cfg.checkpoint`, and what else its file holds, the step at which it was written, say."""
    set_matmul_precision(cfg.tf32)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    agent = TDMPC2(WorldModel(cfg).to(resolve_device(cfg.device, cfg.rank)), cfg)
    return agent, agent.load(cfg.checkpoint)
