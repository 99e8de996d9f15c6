from dataclasses import dataclass
from typing import Any, Optional


@dataclass
class Config:
	"""Settings of a specimen tree."""

	# environment
	task: str = "plain"
	num_envs: int = 4			# environments side by side
	episode_length: int = 25
	episode_lengths: Any = (25, 25, 25, 25)

	# training
	steps: int = 400
	batch_size: int = 8
	utd: float = 0.05
	prior_coef: float = 10.0		# weight of the cloning term
	rho: float = 0.5
	lr: float = 3e-4
	tau: float = 0.01
	consistency_coef: float = 20.0
	reward_coef: float = 0.1
	value_coef: float = 0.1
	eval_freq: int = 500
	eval_episodes: int = 1			# per environment
	compile: bool = False
	seeding_coef: int = 5			# random episodes per environment
	finetune: bool = False
	use_demos: bool = False
	demo_steps: int = 0

	# planning and networks
	horizon: int = 3
	num_samples: int = 8
	min_std: float = 0.05
	max_std: float = 2.0
	mpc: bool = True
	log_std_min: float = -10
	log_std_max: float = 2.0
	entropy_coef: float = 1e-4		# weight of the entropy bonus
	latent_dim: int = 8
	num_q: int = 3
	obs_dim: int = 3
	action_dim: int = 2
	action_dims: Any = (2,)
	rank: int = 0
	world_size: int = 1
	note: Optional[str] = None

	get = lambda self, name, default=None: getattr(self, name, default)
