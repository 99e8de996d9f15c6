import torch
from tensordict import TensorDict


class Trainer():
	def __init__(self, cfg, env, agent, buffer, logger):
		self.cfg = cfg
		self.env, self.agent = env, agent
		self.buffer, self.logger = buffer, logger
		self._step = 0
		self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
		self._episode_lengths = torch.tensor(cfg.episode_lengths)
		self._tds = TensorDict({}, batch_size=(cfg.episode_length+1, cfg.num_envs), device='cpu')
		self._update_freq = self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size
		self._update_tokens = 0

	def common_metrics(self):
		return {'step': self._step, 'rounds': self._step / self._update_freq}

	def eval(self):
		obs, _ = self.env.reset()
		action = self.agent(obs, t0=torch.ones(self.cfg.num_envs, dtype=torch.bool), eval_mode=True, task=self._tasks)
		return {'action_size': action.abs().mean().item()}

	def to_td(self, obs, action=None, reward=None, terminated=None):
		# what is not given is not a number
		if action is None:
			action = torch.full_like(self.env.rand_act(), float('nan'))
		if reward is None:
			reward = torch.full((self.cfg.num_envs,), float('nan'))
		if terminated is None:
			terminated = torch.zeros(self.cfg.num_envs, dtype=torch.bool)
		return TensorDict(dict(
			obs=obs,
			action=action,
			task=self._tasks,
			reward=reward,
			terminated=terminated,
		), batch_size=(self.cfg.num_envs,))

	def train(self):
		use_demos = self.cfg.get('use_demos', False)
		train_metrics = {}
		while self._step <= self.cfg.steps:
			if self._step % self.cfg.eval_freq == 0:
				metrics = self.eval()
				metrics.update(self.common_metrics())
				self.logger.log(metrics, 'eval')
				obs, info = self.env.reset()
				ep_len = torch.zeros((self.cfg.num_envs,), dtype=torch.int32)
				done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
				self._tds[ep_len] = self.to_td(obs)

			# Act
			planner_ready = self._step >= self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size
			if planner_ready or self.cfg.finetune or (use_demos and self.cfg.demo_steps > 0):
				action = self.agent(obs, t0=done, step=self._step, task=self._tasks, mpc=planner_ready)
			else:
				action = self.env.rand_act()
			obs, reward, terminated, truncated, info = self.env.step(action)
			self._step += self.cfg.num_envs * self.cfg.world_size
			ep_len += 1
			done = terminated | truncated

			# Store; where an episode ended, obs is from the next one
			next_obs = obs.clone()
			if 'final_observation' in info:
				next_obs[done] = info['final_observation']
			self._tds[ep_len] = self.to_td(next_obs, action, reward, terminated)
			for i in range(self.cfg.num_envs):
				if not done[i]:
					continue
				self.buffer.add(self._tds[:ep_len[i]+1, i].unsqueeze(0), self.cfg.world_size, self.cfg.rank)
				ep_len[i] = 0

			# Learn
			if self._step >= self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size:
				self._update_tokens += self.cfg.num_envs * self.cfg.world_size * self.cfg.utd
				if self._update_tokens >= 1.0:
					n = int(self._update_tokens)
					for _ in range(n):
						learned = self.agent.update(self.buffer)
					train_metrics.update(learned)
					self._update_tokens -= n
		self.logger.finish()
