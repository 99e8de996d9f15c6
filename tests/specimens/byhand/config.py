from dataclasses import dataclass
from typing import Any


@dataclass
class Config:
    """Settings."""

    # environment
    task: str = "byhand"
    num_envs: int = 4
    episode_length: int = 25
    episode_lengths: Any = (25, 25, 25, 25)

    # training
    steps: int = 400
    batch_size: int = 8
    utd: float = 0.05
    consistency_coef: float = 20.0
    reward_coef: float = 0.1
    value_coef: float = 0.1
    prior_coef: float = 1.  # was 10
    entropy_coef: float = 1e-4
    rho: float = 0.5
    lr: float = 3e-4
    tau: float = 0.01
    seeding_coef: int = 5  # not used any more
    finetune: bool = False
    use_demos: bool = False
    demo_steps: int = 0
    eval_freq: int = 500
    eval_episodes: int = 1
    eval_pi: bool = True  # the policy without its planner, too
    eval_value: bool = True  # what it earns beside what Q says
    compile: bool = False

    # planner
    mpc: bool = True
    horizon: int = 3
    num_samples: int = 8
    min_std: float = 0.05
    max_std: float = 2.0
    constraint_start_step: int = 100
    constraint_final_step: int = 200
    scale_threshold: float = 2.0

    # networks
    log_std_min: float = -10
    log_std_max: float = 2.0
    latent_dim: int = 8
    num_q: int = 3
    dropout: float = 0.01
    obs_dim: int = 3
    action_dim: int = 2
    action_dims: Any = (2,)

    # processes
    rank: int = 0
    world_size: int = 1

    @property
    def seed_steps(self):
        """Random steps in all environments together."""
        return max(1000, 5 * self.episode_length)

    def get(self, name, default=None):
        return getattr(self, name, default)
