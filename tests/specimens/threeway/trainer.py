"""Collects, stores, evaluates, and has the agent updated."""

from collections import defaultdict

import torch
from tensordict import TensorDict


class Trainer:
    def __init__(self, cfg, env, agent, buffer, logger):
        self.cfg, self.logger = cfg, logger
        self.env, self.agent, self.buffer = env, agent, buffer
        self._step = 0
        self._tasks = torch.zeros(cfg.num_envs, dtype=torch.int64)
        self._episode_lengths = torch.tensor(cfg.episode_lengths)
        self._tds = TensorDict({}, batch_size=(cfg.episode_length + 1, cfg.num_envs), device="cpu")
        self._update_freq = cfg.num_envs * cfg.episode_length * cfg.world_size
        self._update_tokens = 0

    def common_metrics(self):
        return {"step": self._step}

    def eval(self):
        """The size of the first actions."""
        obs, _ = self.env.reset()
        first = torch.ones(self.cfg.num_envs, dtype=torch.bool)
        action, info = self.agent(obs, t0=first, eval_mode=True, task=self._tasks)
        return {"action_size": action.abs().mean().item(), "spread": info["plan_std"].mean().item()}

    def to_td(self, obs, action=None, reward=None, terminated=None):
        """A row per environment; NaN where there is nothing to store."""
        if action is None:
            action = torch.full_like(self.env.rand_act(), float("nan"))
        if reward is None:
            reward = torch.full((self.cfg.num_envs,), float("nan"))
        if terminated is None:
            terminated = torch.zeros(self.cfg.num_envs, dtype=torch.bool)
        return TensorDict(
            {"obs": obs, "action": action, "reward": reward, "terminated": terminated, "task": self._tasks},
            batch_size=(self.cfg.num_envs,),
        )

    def _pretrain(self):
        for _ in range(self.cfg.demo_steps):
            self.agent.update(self.buffer)

    def train(self):
        pretrained = self.cfg.use_demos and self.cfg.demo_steps > 0
        if pretrained:
            self._pretrain()
        seed_until = self.cfg.seeding_coef * self._update_freq
        metrics = defaultdict(list)
        while self._step <= self.cfg.steps:
            if self._step % self.cfg.eval_freq == 0:
                evaluated = self.eval()
                evaluated.update(self.common_metrics())
                self.logger.log(evaluated, "eval")
                obs, _ = self.env.reset()
                ep_len = torch.zeros(self.cfg.num_envs, dtype=torch.int64)
                done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
                self._tds[ep_len] = self.to_td(obs)

            # Who acts?
            if self.cfg.finetune or pretrained:
                planning = self._step >= seed_until  # until then, the policy alone
                action, _ = self.agent(obs, t0=done, step=self._step, task=self._tasks, mpc=planning)
            elif self._step < seed_until:
                action = self.env.rand_act()
            else:
                action, _ = self.agent(obs, t0=done, step=self._step, task=self._tasks)

            obs, reward, terminated, truncated, info = self.env.step(action)
            self._step += self.cfg.num_envs * self.cfg.world_size
            done = terminated | truncated
            ep_len += 1

            last_obs = obs.clone()
            if "final_observation" in info:
                last_obs[done] = info["final_observation"]
            row = self.to_td(last_obs, action, reward, terminated)
            self._tds[ep_len] = row
            for i in range(self.cfg.num_envs):
                if done[i]:
                    episode = self._tds[: ep_len[i] + 1, i].unsqueeze(0)
                    self.buffer.add(episode, self.cfg.world_size, self.cfg.rank)
                    ep_len[i] = 0

            if self._step >= seed_until and self.buffer.num_eps > 0:
                self._update_tokens += self.cfg.utd * self.cfg.num_envs * self.cfg.world_size
                if self._update_tokens >= 1.0:
                    num_updates = int(self._update_tokens)
                    for _ in range(num_updates):
                        new_metrics = self.agent.update(self.buffer)
                    metrics.update(new_metrics)
                    self._update_tokens -= num_updates
        self.logger.finish()
