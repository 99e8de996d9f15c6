"""Collects, stores, evaluates, and has the agent updated."""

import math
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
        self._added = torch.zeros(cfg.num_envs, dtype=torch.int64)  # rows of the running episodes in the buffer

    def common_metrics(self):
        return {"step": self._step}

    def eval(self):
        """The size of the first actions."""
        obs, _ = self.env.reset()
        first = torch.ones(self.cfg.num_envs, dtype=torch.bool)
        action, _, spread = self.agent(obs, t0=first, eval_mode=True, task=self._tasks)
        return {"action_size": action.abs().mean().item(), "spread": spread.mean().item()}

    @torch.no_grad()
    def eval_prior(self):
        """An episode of every environment without planning: what it earns, and what Q says at its start."""
        if not (self.cfg.eval_pi or self.cfg.eval_value):
            return {}
        returns, discounted = torch.zeros(2, self.cfg.num_envs)
        running = torch.ones(self.cfg.num_envs, dtype=torch.bool)
        success = torch.zeros(self.cfg.num_envs)
        obs, _ = self.env.reset()
        gamma, t = float(self.agent.discount[0]), 0
        while running.any():
            action, _, _ = self.agent(obs, t0=running & (t == 0), eval_mode=True, task=self._tasks, mpc=False)
            if t == 0:
                z = self.agent.model.encode(obs, self._tasks)
                q = self.agent.model.Q(z, action, self._tasks, return_type="avg")
            obs, reward, terminated, truncated, info = self.env.step(action)
            returns += running * reward
            discounted += running * gamma**t * reward
            ended = running & (terminated | truncated)
            if ended.any():
                success[ended] = info["final_info"]["success"][ended]
            running &= ~ended
            t += 1
        policy = {"episode_reward_pi": returns.mean().item(), "episode_success_pi": success.mean().item()}
        value = {"mc_value": discounted.mean().item(), "q_value": q.mean().item()}
        return {**(policy if self.cfg.eval_pi else {}), **(value if self.cfg.eval_value else {})}

    def to_td(self, obs, action=None, mu=None, std=None, reward=None, terminated=None):
        """A row per environment; NaN where there is nothing to store."""
        unknown = torch.full((self.cfg.num_envs, self.cfg.action_dim), float("nan"))
        if reward is None:
            reward = torch.full((self.cfg.num_envs,), float("nan"))
        if terminated is None:
            terminated = torch.zeros(self.cfg.num_envs, dtype=torch.bool)
        rows = {"obs": obs, "reward": reward, "terminated": terminated, "task": self._tasks}
        for name, value in (("action", action), ("mu", mu), ("std", std)):
            rows[name] = unknown.clone() if value is None else value
        return TensorDict(rows, batch_size=(self.cfg.num_envs,))

    def _add(self, i, end):
        """Store what environment i has done since it was stored last, up to a row."""
        begin = int(self._added[i])
        part = self._tds[begin : end + 1, i].clone()
        if begin > 0:
            part["reward"][0] = float("nan")  # stored before
        self.buffer.add(part.unsqueeze(0), self.cfg.world_size, self.cfg.rank)
        self._added[i] = end

    def _add_running(self, ep_len):
        """Seeding is over: learn from the running episodes as well, as far as they and their rests are long enough."""
        H = self.cfg.horizon
        for i in range(self.cfg.num_envs):
            end, rest = int(ep_len[i]), int(self._episode_lengths[i] - ep_len[i])
            if 0 < rest < H:
                end -= H - rest
            if end >= H:
                self._add(i, end)

    def train(self):
        pretrained = self.cfg.use_demos and self.cfg.demo_steps > 0
        if pretrained:
            for _ in range(self.cfg.demo_steps):
                self.agent.update(self.buffer)
        pretrained_on_seeds = self._step >= self.cfg.seed_steps  # a resumed run has done that
        running_added = False
        metrics = defaultdict(list)
        while self._step <= self.cfg.steps:
            if self._step % self.cfg.eval_freq == 0:
                eval_metrics = self.eval()
                eval_metrics.update(self.eval_prior())
                eval_metrics.update(self.common_metrics())
                self.logger.log(eval_metrics, "eval")
                obs, _ = self.env.reset()
                ep_len = torch.zeros(self.cfg.num_envs, dtype=torch.int64)
                done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
                self._added.zero_()
                self._tds[0] = self.to_td(obs)

            seeding = self._step < self.cfg.seed_steps
            if self.cfg.finetune or pretrained or not seeding:
                action, mu, std = self.agent(obs, t0=done, step=self._step, task=self._tasks, mpc=not seeding)
            else:
                action = self.env.rand_act()
                mu, std = action.clone(), torch.full_like(action, math.exp(self.cfg.log_std_max))

            obs, reward, terminated, truncated, info = self.env.step(action)
            self._step += self.cfg.num_envs * self.cfg.world_size
            done = terminated | truncated
            ep_len += 1

            last_obs = obs.clone()
            if "final_observation" in info:
                last_obs[done] = info["final_observation"]
            everyone = torch.arange(self.cfg.num_envs)
            self._tds[ep_len, everyone] = self.to_td(last_obs, action, mu, std, reward, terminated)
            for i in done.nonzero().flatten().tolist():
                self._add(i, int(ep_len[i]))
                ep_len[i] = 0
                self._added[i] = 0

            if self._step < self.cfg.seed_steps:
                continue
            if not running_added:
                running_added = True
                self._add_running(ep_len)
            if not pretrained_on_seeds:
                pretrained_on_seeds = True
                for _ in range(self.cfg.seed_steps):
                    metrics.update(self.agent.update(self.buffer))
                continue
            self._update_tokens += self.cfg.num_envs * self.cfg.world_size * self.cfg.utd
            while self._update_tokens >= 1.0:
                metrics.update(self.agent.update(self.buffer))
                self._update_tokens -= 1.0
        self.logger.finish()
