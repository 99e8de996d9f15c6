"""Widths: of the networks, by model size; of observations, actions and task embedding, by tasks or a checkpoint."""

from . import DEFAULT_TASK_DIM, MODEL_SIZE, TASK_DIM, padded_widths
from .checkpoint import read, widths
from .settings import ConfigError


def apply_model_size(cfg, explicit):
    """Give the settings the widths of their model size, but for those that are `explicit`. Raises ConfigError."""
    cfg.model_size = cfg.model_size or "B"
    for name, value in MODEL_SIZE[cfg.model_size].items():
        if name not in explicit:
            setattr(cfg, name, value)
    if cfg.latent_dim % cfg.simnorm_dim:
        problem = f"latent_dim={cfg.latent_dim} cannot be split into groups of simnorm_dim={cfg.simnorm_dim}"
        raise ConfigError("latent_dim", cfg.latent_dim, problem, f"a multiple of {cfg.simnorm_dim}")


def agent_widths(cfg, obs_dim, action_dim):
    """Widths of observations, actions and task embedding for tasks of which the widest has these. Raises ConfigError.

    An agent that is finetuned has widths already, which must be enough.
    """
    if cfg.finetune:
        return _widths_of_checkpoint(cfg, obs_dim, action_dim)
    several = cfg.num_global_tasks > 1
    if several or cfg.pad:
        obs_dim, action_dim = padded_widths(obs_dim, action_dim)
    task_dim = cfg.task_dim if "task_dim" in cfg.explicit else None
    if task_dim is None:
        task_dim = TASK_DIM.get(cfg.model_size, DEFAULT_TASK_DIM) if several else 0
    return obs_dim, action_dim, task_dim


def _widths_of_checkpoint(cfg, obs_dim, action_dim):
    try:
        found = widths(read(cfg.checkpoint)[0], cfg.checkpoint)
    except ValueError as error:
        raise ConfigError("checkpoint", cfg.checkpoint, str(error)) from error
    if obs_dim > found[0] or action_dim > found[1]:
        problem = (
            f"task={cfg.task} has {obs_dim} observations and {action_dim} actions, "
            f"the agent in {cfg.checkpoint} takes at most {found[0]} and {found[1]}"
        )
        raise ConfigError("finetune", True, problem, "a checkpoint trained on tasks as wide, or with pad=true")
    if "task_dim" in cfg.explicit and cfg.task_dim not in (None, found[2]):
        problem = f"task_dim={cfg.task_dim} is not that of the agent in {cfg.checkpoint}"
        raise ConfigError("task_dim", cfg.task_dim, problem, str(found[2]))
    return found
