from collections import defaultdict

import torch
from tensordict.tensordict import TensorDict
from tqdm import tqdm


class Trainer():
	"""Collects with the planner, stores its statistics, updates."""

	def __init__(self, cfg, env, agent, buffer, logger):
		self.cfg = cfg
		self.logger = logger
		self.env, self.agent, self.buffer = env, agent, buffer
		self._step, self._ep_idx = 0, 0
		self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
		self._episode_lengths = torch.tensor(cfg.episode_lengths)
		self._tds = TensorDict({}, batch_size=(self.cfg.episode_length+1, self.cfg.num_envs), device='cpu')
		self._update_freq = self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size
		self._update_tokens = 0

	def common_metrics(self):
		return dict(step=self._step, episode=self._ep_idx)

	def eval(self):
		"""What the planner would do first."""
		obs, info = self.env.reset()
		use_mpc = self._step > 0 or self.cfg.finetune
		t0 = torch.ones(self.cfg.num_envs, dtype=torch.bool)
		action, _, _ = self.agent(obs, t0=t0, step=self._step, eval_mode=True, task=self._tasks, mpc=use_mpc)
		return {'action_size': action.abs().mean().item()}

	def to_td(self, obs, action=None, mu=None, std=None, reward=None, terminated=None):
		"""One row of every environment."""
		if action is None:
			action = torch.full_like(self.env.rand_act(), float('nan'))
		if mu is None:
			mu = torch.full_like(action, float('nan'))
		if std is None:
			std = torch.full_like(action, float('nan'))
		if reward is None:
			reward = torch.full((self.cfg.num_envs,), float('nan'))
		ended = torch.zeros(self.cfg.num_envs, dtype=torch.bool) if terminated is None else terminated
		rows = TensorDict(
			obs=obs, task=self._tasks,
			action=action, mu=mu, std=std,
			reward=reward, terminated=ended,
			batch_size=(self.cfg.num_envs,))
		return rows

	def train(self):
		use_demos = self.cfg.get('use_demos', False)

		# Learn from demonstrations first
		if use_demos and self.cfg.demo_steps > 0:
			self.agent.maxq_pi = False
			for _ in tqdm(range(self.cfg.demo_steps), desc='Pretraining', disable=None):
				self.agent.update(self.buffer)
			self.agent.maxq_pi = True

		train_metrics = defaultdict(list)
		while self._step <= self.cfg.steps:

			# Evaluate, and start anew
			if self._step % self.cfg.eval_freq == 0:
				results = self.eval()
				results.update(self.common_metrics())
				self.logger.log(results, 'eval')

				obs, info = self.env.reset()
				done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
				ep_len, ep_reward = torch.zeros(self.cfg.num_envs, dtype=torch.int32), torch.zeros(self.cfg.num_envs)
				self._tds[ep_len] = self.to_td(obs)

			# Collect
			# use_mpc = self._step >= self.cfg.seeding_coef * self._update_freq
			# use_agent = self.cfg.finetune or (use_demos and self.cfg.demo_steps > 0) or use_mpc
			use_mpc = True  # the planner knows best
			use_agent = True
			if use_agent:
				torch.compiler.cudagraph_mark_step_begin()
				# action = self.agent(obs, t0=done, step=self._step, task=self._tasks, mpc=use_mpc)
				action, mu, std = self.agent(obs, done, mpc=use_mpc, step=self._step, task=self._tasks)
			else:
				action = self.env.rand_act()

			obs, reward, terminated, truncated, info = self.env.step(action)
			self._step += self.cfg.world_size * self.cfg.num_envs
			ep_len += 1
			ep_reward += reward
			done = truncated | terminated

			# Store
			reached = obs.clone()
			if 'final_observation' in info:
				reached[done] = info['final_observation']
			# td = self.to_td(_obs, action, reward, terminated)
			td = self.to_td(reached, action, mu, std, reward, terminated)
			self._tds[ep_len] = td
			if done.any():
				longest = ep_len.max()

				for i in range(self.cfg.num_envs):
					if done[i]:
						_td = self._tds[:ep_len[i]+1, i].unsqueeze(0)
						self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)

						train_metrics['episode_reward'].append(ep_reward[i].item())
						train_metrics['episode_length'].append(ep_len[i].item())
						ep_reward[i] = 0.0
						ep_len[i] = 0

				# One line a round
				if longest >= self.cfg.episode_length:
					self._ep_idx += self.cfg.num_envs
					means = {key: sum(values) / len(values) for key, values in train_metrics.items() if key.startswith('episode')}
					self.logger.log({**train_metrics, **means, **self.common_metrics()}, 'train')
					train_metrics = defaultdict(list)

			# Update
			if self._step >= self.cfg.seeding_coef * self._update_freq:
				self._update_tokens += self.cfg.utd * self.cfg.world_size * self.cfg.num_envs
				if self._update_tokens >= 1.0:
					whole = int(self._update_tokens)
					for _ in range(whole):
						update_metrics = self.agent.update(self.buffer)
					train_metrics.update(update_metrics)
					self._update_tokens -= whole
		self.logger.finish()
