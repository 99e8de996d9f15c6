"""Learning from demonstrations alone."""

import torch

from trainer import Trainer


class OfflineTrainer(Trainer):
	"""Takes no steps but those of its evaluations."""

	def train(self):
		while self._step <= self.cfg.steps:
			if self._step % self.cfg.eval_freq == 0:
				metrics = self.eval()
				metrics.update(self.common_metrics())
				self.logger.log(metrics, 'eval')
			self.agent.update(self.buffer)
			self._step += 1
		self.logger.finish()

	def try_out(self, steps):
		"""What the agent does in a number of steps, [steps, E, A]."""
		obs, _ = self.env.reset()
		done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
		actions = []
		for _ in range(steps):
			action = self.agent(obs, t0=done, task=self._tasks)
			actions.append(action.clone())
			obs, _, terminated, truncated, _ = self.env.step(action)
			done = terminated | truncated
		return torch.stack(actions)
