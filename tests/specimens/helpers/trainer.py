"""The training loop, one method per stage."""

import torch
from tensordict.tensordict import TensorDict


class Trainer:
    """Trains an agent in environments that run side by side."""

    def __init__(self, cfg, env, agent, buffer, logger):
        self.cfg, self.logger = cfg, logger
        self.env, self.agent, self.buffer = env, agent, buffer
        self._step = 0
        self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
        self._episode_lengths = torch.tensor(cfg.episode_lengths)
        self._tds = TensorDict({}, batch_size=(cfg.episode_length + 1, cfg.num_envs), device="cpu")
        self._update_freq = cfg.num_envs * cfg.episode_length * cfg.world_size
        self._warmup = cfg.seeding_coef * self._update_freq  # random steps
        self._update_tokens = 0
        self._metrics = {}

    def common_metrics(self):
        return {"step": self._step, "warm": float(self._step >= self._warmup)}

    def eval(self):
        """The size of the first actions."""
        obs, _ = self.env.reset()
        t0 = torch.ones(self.cfg.num_envs, dtype=torch.bool)
        action = self.agent(obs, t0=t0, eval_mode=True, task=self._tasks)
        return {"action_size": action.abs().mean().item()}

    def to_td(self, obs, action=None, reward=None, terminated=None):
        """A row per environment."""
        nan = float("nan")
        action = torch.full_like(self.env.rand_act(), nan) if action is None else action
        reward = torch.full((self.cfg.num_envs,), nan) if reward is None else reward
        terminated = torch.zeros(self.cfg.num_envs, dtype=torch.bool) if terminated is None else terminated
        td = TensorDict(
            obs=obs,
            action=action,
            task=self._tasks,
            reward=reward,
            terminated=terminated,
            batch_size=(self.cfg.num_envs,),
        )
        return td

    def train(self):
        while self._step <= self.cfg.steps:
            if self._step % self.cfg.eval_freq == 0:
                self._evaluate()
                self._reset()
            action, next_obs, reward, terminated, truncated, info = self._collect()
            self._store(action, next_obs, reward, terminated, info)
            self._update()
        self.logger.finish()

    def _evaluate(self):
        eval_metrics = self.eval()
        eval_metrics.update(self.common_metrics())
        self.logger.log(eval_metrics, "eval")

    def _reset(self):
        self._obs, _ = self.env.reset()
        self._ep_len = torch.zeros(self.cfg.num_envs, dtype=torch.int32)
        self._done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
        self._tds[self._ep_len] = self.to_td(self._obs)

    def _collect(self):
        """A step of every environment."""
        use_mpc = self._step >= self._warmup
        pretrained = self.cfg.get("use_demos", False) and self.cfg.demo_steps > 0
        use_agent = self.cfg.finetune or pretrained or use_mpc
        if use_agent:
            action = self.agent(self._obs, t0=self._done, step=self._step, task=self._tasks, mpc=use_mpc)
        else:
            action = self.env.rand_act()
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._obs = obs
        self._ep_len += 1
        self._step += self.cfg.num_envs * self.cfg.world_size
        self._done = terminated | truncated
        return action, obs, reward, terminated, truncated, info

    def _store(self, action, obs, reward, terminated, info):
        """Rows to the running episodes, finished episodes to the buffer."""
        obs = obs.clone()
        if "final_observation" in info:
            obs[self._done] = info["final_observation"]
        td = self.to_td(obs, action, reward, terminated)
        self._tds[self._ep_len] = td
        if self._done.any():
            for i in range(self.cfg.num_envs):
                if self._done[i]:
                    _td = self._tds[: self._ep_len[i] + 1, i].unsqueeze(0)
                    self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)
                    self._ep_len[i] = 0

    def _update(self):
        """Spend the tokens that this step has earned."""
        if self._step >= self._warmup:
            self._update_tokens += self.cfg.utd * self.cfg.num_envs * self.cfg.world_size
            if self._update_tokens >= 1.0:
                num_updates = int(self._update_tokens)
                for _ in range(num_updates):
                    update_metrics = self.agent.update(self.buffer)
                self._metrics.update(update_metrics)
                self._update_tokens -= num_updates
