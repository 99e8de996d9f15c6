"""Training, with a clock."""

from collections import defaultdict
from time import time

import torch
from tensordict import TensorDict


class Clock:
    """Steps a second."""

    def __init__(self):
        self.start = time()

    def rate(self, steps):
        return steps / max(1e-6, time() - self.start)


class Trainer:
	def __init__(self, cfg, env, agent, buffer, logger):
		self.cfg, self.env, self.agent, self.buffer, self.logger = cfg, env, agent, buffer, logger
		self.clock = Clock()
		self._step = 0
		self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
		self._episode_lengths = torch.tensor(cfg.episode_lengths)
		self._tds = TensorDict({}, batch_size=(cfg.episode_length + 1, cfg.num_envs), device="cpu")
		self._update_freq = cfg.num_envs * cfg.episode_length * cfg.world_size
		self._update_tokens = 0

	def common_metrics(self):
		return dict(step=self._step, steps_per_second=self.clock.rate(self._step))

	def eval(self):
		obs, _ = self.env.reset()
		action, mean, spread = self.agent(
			obs,
			t0=torch.ones(self.cfg.num_envs, dtype=torch.bool),
			step=self._step,
			eval_mode=True,
			task=self._tasks,
		)
		return {"action_size": action.abs().mean().item(), "spread": spread.mean().item()}

	def to_td(self, obs, action=None, reward=None, terminated=None, mean=None, spread=None):
		"""One row per environment."""
		unknown = torch.full_like(self.env.rand_act(), float("nan"))
		if reward is None:
			reward = torch.full((self.cfg.num_envs,), float("nan"))
		if terminated is None:
			terminated = torch.zeros(self.cfg.num_envs, dtype=torch.bool)
		return TensorDict(
			{
				"obs": obs,
				"action": unknown if action is None else action,
				"mu": unknown if mean is None else mean,
				"std": unknown if spread is None else spread,
				"reward": reward,
				"terminated": terminated,
				"task": self._tasks,
			},
			batch_size=(self.cfg.num_envs,),
		)

	def train(self):
		train_metrics = defaultdict(list)
		use_demos = self.cfg.get("use_demos", False)
		while self._step <= self.cfg.steps:
			if self._step % self.cfg.eval_freq == 0:
				evaluated = self.eval()
				evaluated.update(self.common_metrics())
				self.logger.log(evaluated, "eval")
				obs, _ = self.env.reset()
				ep_len = torch.zeros(self.cfg.num_envs, dtype=torch.int32)
				done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
				self._tds[ep_len] = self.to_td(obs)

			use_mpc = self._step >= self.cfg.seeding_coef * self._update_freq
			use_agent = (
				self.cfg.finetune
				or (use_demos and self.cfg.demo_steps > 0)
				or use_mpc
			)
			if use_agent:
				action, mean, spread = self.agent(
					obs,
					t0=done,
					step=self._step,
					task=self._tasks,
					mpc=use_mpc,
				)
			else:
				action, mean, spread = self.env.rand_act(), None, None

			obs, reward, terminated, truncated, info = self.env.step(action)
			done = terminated | truncated
			ep_len += 1
			self._step += self.cfg.num_envs * self.cfg.world_size

			_obs = obs.clone()
			if "final_observation" in info:
				_obs[done] = info["final_observation"]
			td = self.to_td(
				_obs,
				action,
				reward,
				terminated,
				mean=mean,
				spread=spread,
			)
			self._tds[ep_len] = td
			if done.any():
				for i in done.nonzero().flatten().tolist():
					_td = self._tds[: ep_len[i] + 1, i].unsqueeze(0)
					self.buffer.add(
						_td,
						self.cfg.world_size,
						self.cfg.rank,
					)
					ep_len[i] = 0

			if self._step >= self.cfg.seeding_coef * self._update_freq:
				self._update_tokens += (
					self.cfg.num_envs * self.cfg.world_size * self.cfg.utd
				)
				if self._update_tokens >= 1.0:
					whole = int(self._update_tokens)
					for _ in range(whole):
						_train_metrics = self.agent.update(self.buffer)
					train_metrics.update(_train_metrics)
					self._update_tokens -= whole
		self.logger.finish()
