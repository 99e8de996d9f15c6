"""The training loop: collect with the planner, store finished episodes, spend update tokens, evaluate."""

from collections import defaultdict
from time import time

import torch
from tensordict import TensorDict

from .common import barrier, env_tasks
from .common.distributed import gather, over_ranks
from .common.files import write_whole
from .common.interrupt import Interrupted, Requests
from .common.progress import Progress
from .common.resume import CheckpointError, own_progress, replay_file, running, take_up
from .envs import EnvironmentFailed

PRETRAIN_ROWS = 50  # rows that are logged while pretraining
EVAL_METRICS = ("episode_reward", "episode_length", "episode_success", "episode_score")
EPISODE_METRICS = ("episode_reward", "episode_success", "episode_score", "episode_length", "episode_terminated")


class TrainingDiverged(RuntimeError):
    """A loss or another training quantity is no longer finite.

    Attributes: step (environment steps), quantity (the metric's name), value.
    """

    def __init__(self, step, quantity, value):
        super().__init__(f"training diverged at step {step:,}: {quantity} is {value}")
        self.step, self.quantity, self.value = step, quantity, value


class Trainer:
    """Online training of one agent in N parallel environments, on one of W ranks.

    Episodes of a task have a fixed length, or, with `episodic`, a longest one; L is the longest of all.
    """

    def __init__(self, cfg, env, agent, buffer, logger):
        self.cfg, self.logger = cfg, logger
        self.env, self.agent, self.buffer = env, agent, buffer
        self._start_time = time()
        self._step = self._ep_idx = 0
        self._tasks = torch.tensor(env_tasks(cfg), dtype=torch.int32)
        lengths = torch.tensor(cfg.episode_lengths, dtype=torch.int32)
        self._episode_lengths = lengths[self._tasks] if len(lengths) == cfg.num_global_tasks else lengths
        self._tds = TensorDict({}, batch_size=(cfg.episode_length + 1, cfg.num_envs), device="cpu")
        self._update_freq = cfg.num_envs * cfg.episode_length * cfg.world_size
        self._update_tokens = 0.0
        self.requests = Requests()  # to end
        self._saved_at = None  # step of the last checkpoint
        self._running = None  # the running episodes, between two steps
        self._envs_are_sound = True

    def common_metrics(self):
        """Counters and clocks that go with every log line."""
        elapsed_time = time() - self._start_time
        return {
            "step": self._step,
            "episode": self._ep_idx,
            "elapsed_time": elapsed_time,
            "steps_per_second": self._step / elapsed_time,
        }

    def eval(self):
        """Run `eval_episodes` episodes in every environment with the planner. Returns means over those of all ranks.

        With several tasks these are the unweighted means of the tasks' own, which stand beside them as NAME+TASK.
        Before the first training step the policy prior acts instead of the planner, unless the agent was loaded.
        """
        results = defaultdict(list)
        obs, _ = self.env.reset()
        episode_reward = torch.zeros(self.cfg.num_envs)
        episode_len = torch.zeros(self.cfg.num_envs)
        episodes_completed = torch.zeros(self.cfg.num_envs, dtype=torch.int32)
        while (episodes_completed < self.cfg.eval_episodes).any():
            use_mpc = self._step > 0 or (self.cfg.checkpoint is not None and not self.cfg.resume)
            torch.compiler.cudagraph_mark_step_begin()
            action, _, _ = self.agent(
                obs, t0=episode_len == 0, step=self._step, eval_mode=True, task=self._tasks, mpc=use_mpc
            )
            self._check_finite({"action": action})
            obs, reward, terminated, truncated, info = self.env.step(action)
            episode_len += 1
            episode_reward += reward
            done = terminated | truncated
            for i in done.nonzero().flatten().tolist():
                if episodes_completed[i] < self.cfg.eval_episodes:
                    final = (episode_reward, episode_len, *map(info["final_info"].get, ("success", "score")))
                    results[self._tasks[i].item()].append([values[i].item() for values in final])
                episodes_completed[i] += 1
            episode_reward[done] = 0.0
            episode_len[done] = 0.0
        barrier()
        return self._means(results)

    def _means(self, results):
        """Means of all ranks' episodes, NaN left out: `results` lists values of EVAL_METRICS by task number."""
        episodes = defaultdict(list)
        for part in gather(results):
            for task, values in part.items():
                episodes[task] += values
        means = {
            task: [torch.tensor(column).nanmean().item() for column in zip(*episodes[task], strict=True)]
            for task in sorted(episodes)
        }
        if self.cfg.num_global_tasks == 1:
            return dict(zip(EVAL_METRICS, means[0], strict=True))
        overall = torch.tensor(list(means.values())).nanmean(0).tolist()
        named = dict(zip(EVAL_METRICS, overall, strict=True))
        for task, values in means.items():
            named |= {f"{k}+{self.cfg.global_tasks[task]}": v for k, v in zip(EVAL_METRICS, values, strict=True)}
        return named

    def to_td(self, obs, action=None, mu=None, std=None, reward=None, terminated=None):
        """One row per environment, a TensorDict [N]. Rewards, actions and statistics that are not given are NaN."""
        if action is None:
            action = torch.full_like(self.env.rand_act(), float("nan"))
        unknown = torch.full_like(action, float("nan"))
        return TensorDict(
            {
                "obs": obs.cpu(),
                "action": action,
                "mu": unknown if mu is None else mu,
                "std": unknown if std is None else std,
                "reward": torch.full((self.cfg.num_envs,), float("nan")) if reward is None else reward,
                "terminated": torch.zeros(self.cfg.num_envs, dtype=torch.bool) if terminated is None else terminated,
                "task": self._tasks,
            },
            batch_size=(self.cfg.num_envs,),
        )

    def resume(self):
        """Go on where the checkpoint of the settings was written, with its replay. Raises CheckpointError."""
        path = replay_file(self.cfg.checkpoint, self.cfg.rank)
        try:
            take_up(self, self.buffer.load(path))
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            problem = f"{path} cannot be resumed from here: {type(error).__name__}: {error}"
            raise CheckpointError(
                "resume", problem, "the tree that wrote it; or start from it with checkpoint= alone"
            ) from error

    def _progress(self):
        """How far the run is, as checkpoints say."""
        progress = {"step": self._step, "episode": self._ep_idx, "update_tokens": self._update_tokens}
        return progress | {"world_size": self.cfg.world_size}

    def _save_checkpoint(self):
        """Rank 0 writes the agent; before that, with save_buffer, every rank its replay and all else to go on from."""
        if not self.cfg.save_agent:
            return
        self._saved_at = self._step
        progress, name = self._progress(), f"{self._step:_}"
        if self.cfg.save_buffer:
            path, own = replay_file(self.logger.model_dir / f"{name}.pt", self.cfg.rank), own_progress(self)
            progress["replays"] = gather(write_whole(path, lambda file: self.buffer.save(file, **own)))
            progress |= self.logger.progress()
        self.logger.save_agent(self.agent, name, **progress)

    def _save_where_due(self):
        """Save every `save_freq` steps, and before the end where somebody asked for it: then raises Interrupted."""
        asked = self.requests.pending
        if self._step != self._saved_at and (asked or self._step % self.cfg.save_freq == 0):
            self._save_checkpoint()
        if asked:
            raise Interrupted(asked)

    def save_without_environments(self):
        """Save what there is when an environment has failed; a resumed run begins new episodes."""
        self._envs_are_sound, self._running = False, None
        if self._step != self._saved_at and self.cfg.world_size == 1:
            self._save_checkpoint()

    def _check_finite(self, metrics):
        """Raise TrainingDiverged for the first metric that is NaN or infinite."""
        scalars = {name: value for name, value in metrics.items() if name not in EPISODE_METRICS}
        if not scalars:
            return
        device = next((value.device for value in scalars.values() if isinstance(value, torch.Tensor)), None)
        means = [torch.as_tensor(value, dtype=torch.float32, device=device).mean() for value in scalars.values()]
        values = torch.stack(means).cpu()
        if values.isfinite().all():
            return
        bad = (~values.isfinite()).nonzero()[0].item()
        raise TrainingDiverged(self._step, list(scalars)[bad], values[bad].item())

    def _record_video(self):
        """With `save_video`, let the first episode from now on be a video."""
        if self.cfg.get("save_video", False):
            self.env.record(self.logger.video_path(self._step))

    def _check_in_step(self, ep_len):
        """Rows are written for all environments at once, so episodes that end at other times would overwrite others."""
        if (ep_len != ep_len[0]).any() and self.cfg.get("episodic", False):
            raise EnvironmentFailed(
                f"an episode ended before its time; in this tree the running episodes of {self.cfg.num_envs} "
                "environments then overwrite each other: say num_envs=1, or apply episode-rows "
                "(newtfix apply episode-rows first-obs)"
            )

    def _round_is_over(self, longest):
        """Whether the longest episodes are over, on all ranks at once; this rank's longest one has `longest` steps.

        Where episodes may end before their time, as many steps as the longest ones take.
        """
        if self.cfg.world_size > 1 or self.cfg.get("episodic", False):
            return self._step % self._update_freq == 0
        return longest >= self.cfg.episode_length

    def _pretrain(self):
        """Clone the behaviour in the demonstrations, and learn the model from them, for `demo_steps` updates."""
        self.agent.maxq_pi = False
        every = max(1, self.cfg.demo_steps // PRETRAIN_ROWS)
        with Progress(self.cfg.demo_steps, rank=self.cfg.rank) as progress:
            for update in range(1, self.cfg.demo_steps + 1):
                metrics = self.agent.update(self.buffer)
                self._check_finite(metrics)
                progress.update(update, "pretraining")
                if update % every == 0 or update == self.cfg.demo_steps:
                    self.logger.log({"step": self._step, "update": update, **over_ranks(metrics)}, "pretrain")
        self.agent.maxq_pi = True
        self._save_checkpoint()

    def train(self):
        """Train until `steps` environment steps have been taken."""
        use_demos = self.cfg.get("use_demos", False)
        if use_demos and self.cfg.checkpoint is None and self.cfg.demo_steps > 0:
            self._pretrain()
        train_metrics = defaultdict(list)
        obs = None
        if self._running is not None:
            obs, done, ep_len, ep_reward, train_metrics = running(self._running)
        with Progress(self.cfg.steps, rank=self.cfg.rank) as progress:
            while self._step <= self.cfg.steps:
                self._save_where_due()

                # Evaluate and start all episodes afresh
                evaluate = self._step % self.cfg.eval_freq == 0
                if evaluate:
                    progress.update(self._step, "evaluation")
                    self._record_video()
                    eval_metrics = self.eval()
                    eval_metrics.update(self.common_metrics())
                    self.logger.log(eval_metrics, "eval")
                if evaluate or obs is None:
                    obs, _ = self.env.reset()
                    done = torch.ones(self.cfg.num_envs, dtype=torch.bool)
                    ep_len = torch.zeros(self.cfg.num_envs, dtype=torch.int32)
                    ep_reward = torch.zeros(self.cfg.num_envs)
                    self._tds[ep_len] = self.to_td(obs)

                # Collect experience
                use_mpc = True
                use_agent = True
                if use_agent:
                    torch.compiler.cudagraph_mark_step_begin()
                    action, mu, std = self.agent(obs, t0=done, step=self._step, task=self._tasks, mpc=use_mpc)
                else:
                    action = self.env.rand_act()
                    mu, std = None, None
                self._check_finite({"action": action})
                obs, reward, terminated, truncated, info = self.env.step(action)
                self._step += self.cfg.num_envs * self.cfg.world_size
                done = terminated | truncated
                ep_len += 1
                ep_reward += reward
                self._check_in_step(ep_len)

                # Store experience; a finished episode's last observation is not the one to act on next
                _obs = obs.clone()
                if "final_observation" in info:
                    _obs[done] = info["final_observation"]
                td = self.to_td(_obs, action, mu, std, reward, terminated)
                self._tds[ep_len] = td
                max_ep_len = ep_len.max()
                if done.any():
                    for i in range(self.cfg.num_envs):
                        if done[i]:
                            _td = self._tds[: ep_len[i] + 1, i].unsqueeze(0)
                            self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)
                            final = (ep_reward, *map(info["final_info"].get, ("success", "score")), ep_len, terminated)
                            for name, values in zip(EPISODE_METRICS, final, strict=True):
                                train_metrics[name].append(float(values[i]))
                            self._ep_idx += self.cfg.world_size
                            ep_len[i], ep_reward[i] = 0, 0.0

                # Log once the longest episodes are over
                if self._round_is_over(max_ep_len):
                    train_metrics = over_ranks(train_metrics)
                    for name in EPISODE_METRICS:
                        train_metrics[name] = torch.tensor(train_metrics[name]).float().nanmean().item()
                    progress.episode_return = train_metrics["episode_reward"]
                    train_metrics.update(self.common_metrics())
                    self.logger.log(train_metrics, "train")
                    train_metrics = defaultdict(list)

                # Update agent
                if self._step >= self.cfg.seeding_coef * self._update_freq:
                    progress.update(self._step, "training")
                    self._update_tokens += self.cfg.num_envs * self.cfg.world_size * self.cfg.utd
                    if self._update_tokens >= 1.0:
                        for _ in range(int(self._update_tokens)):
                            update_metrics = self.agent.update(self.buffer)
                        train_metrics.update(update_metrics)
                        self._update_tokens %= 1.0
                else:
                    progress.update(self._step, "seeding")
                self._check_finite(train_metrics)
                self._running = obs, done, ep_len, ep_reward, train_metrics
        if self.cfg.save_buffer and self._step != self._saved_at:
            self._save_checkpoint()
        self.logger.save_agent(self.agent, **self._progress())
        self.logger.finish()
