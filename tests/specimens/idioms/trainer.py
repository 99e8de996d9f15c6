from collections import defaultdict

import torch
from tensordict.tensordict import TensorDict
from tqdm import tqdm


class Trainer():
	"""Collects, stores, updates."""

	def __init__(self, cfg, env, agent, buffer, logger):
		self.cfg, self.env, self.agent = cfg, env, agent
		self.buffer, self.logger = buffer, logger
		self._step = 0
		self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
		self._episode_lengths = torch.tensor(cfg.episode_lengths)
		self._tds = TensorDict({}, batch_size=(self.cfg.episode_length+1, self.cfg.num_envs), device='cpu')
		self._update_freq = self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size	# steps a round
		self._update_tokens = 0

	@property
	def seeding_over(self):
		"""Whether the agent acts and learns."""
		return self._step >= self.cfg.seeding_coef * self._update_freq

	def common_metrics(self):
		return dict(step=self._step)

	def evaluate(self):
		"""One action, for show."""
		obs, _ = self.env.reset()
		action, _ = self.agent(obs, t0=torch.ones(self.cfg.num_envs, dtype=torch.bool), eval_mode=True, task=self._tasks)
		assert action.shape == (self.cfg.num_envs, self.cfg.action_dim)
		return {}

	def to_td(self, obs, action=None, reward=None, terminated=None):
		"""A row per environment."""
		if action is None:
			action = torch.full_like(self.env.rand_act(), float('nan'))
		if reward is None:
			reward = torch.full((self.cfg.num_envs,), float('nan'))
		td = TensorDict(
			obs=obs,
			action=action,
			reward=reward,
			task=self._tasks,
			batch_size=self._tasks.shape)
		return td

	def train(self):
		cfg, env, agent, buffer = self.cfg, self.env, self.agent, self.buffer
		use_demos = cfg.get('use_demos', False)
		train_metrics = defaultdict(list)
		while self._step <= cfg.steps:

			# Now and then
			if self._step % cfg.eval_freq == 0:
				metrics = self.evaluate()
				metrics.update(self.common_metrics())
				self.logger.log(metrics, 'eval')
				obs, info = env.reset()
				ep_len = torch.zeros((cfg.num_envs,), dtype=torch.int32)
				done = torch.ones(cfg.num_envs, dtype=torch.bool)
				self._tds[ep_len] = self.to_td(obs)

			# Collect experience
			use_mpc = self.seeding_over
			use_agent = use_mpc or cfg.finetune or (use_demos and cfg.demo_steps > 0)
			if use_agent:
				# the planner takes over
				action, about = agent(obs, t0=done, step=self._step, task=self._tasks, mpc=use_mpc)
			else:
				action = env.rand_act()
				about = {}

			obs, reward, terminated, truncated, info = env.step(action)
			ep_len += 1
			self._step += cfg.num_envs * cfg.world_size
			done = terminated | truncated

			# Store experience
			after = obs.clone()
			if 'final_observation' in info:
				after[done] = info['final_observation']
			td = self.to_td(after, action, reward, terminated)
			self._tds[ep_len] = td
			for i in done.nonzero().flatten().tolist():
				_td = self._tds[:ep_len[i]+1, i].unsqueeze(0)
				buffer.add(_td, cfg.world_size, cfg.rank)
				ep_len[i] = 0

			# Update agent
			if self.seeding_over:
				self._update_tokens += cfg.num_envs * cfg.world_size * cfg.utd
				while self._update_tokens >= 1:
					_metrics = agent.update(buffer)
					train_metrics.update(_metrics)
					self._update_tokens -= 1
