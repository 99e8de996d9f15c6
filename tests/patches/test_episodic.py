"""Patched trees where episodes end before their time: all sixteen patches, the trainer, replay and the agent."""

from types import SimpleNamespace

import pytest
import torch
from trees import PATCHES, CountingAgent, FakeEnv, SilentLogger, make_cfg, tree

LENGTHS = [30, 30, 30]
HORIZON = 3


class FallingEnv(FakeEnv):
    """Episodes that terminate after 7, 12, 9, ... steps; an observation says which environment, episode and step."""

    def __init__(self, lengths):
        super().__init__(lengths)
        self.ends = {}

    def step(self, action):
        numbers = torch.arange(self.num_envs)
        falls = 7 + (5 * self.episode + 2 * numbers) % 11  # never as long as the time limit
        self.lengths = falls
        obs, reward, _, over, info = super().step(action)
        return obs, reward, over, torch.zeros_like(over), info


@pytest.fixture(scope="module")
def run():
    """A run of the patched trainer: 1,000 steps of seeding, and some behind them."""
    modules = tree(list(PATCHES))
    cfg = make_cfg(modules, len(LENGTHS), LENGTHS, steps=1200, episodic=True)
    agent, env = CountingAgent(), FallingEnv(LENGTHS)
    buffer = modules.buffer.Buffer(capacity=5000, batch_size=512, horizon=HORIZON, episodic=True)
    trainer = modules.trainer.Trainer(cfg, env, agent, buffer, SilentLogger())
    agent.trainer, trainer.eval, trainer.eval_policy = trainer, dict, dict
    trainer.train()
    return SimpleNamespace(agent=agent, env=env, buffer=buffer, trainer=trainer, cfg=cfg)


def test_learning_starts_where_seeding_ends_and_episodes_end_when_they_fall(run):
    assert run.agent.updated_at[0] in range(1000, 1000 + 3 * HORIZON)
    assert run.agent.updated_at.count(run.agent.updated_at[0]) >= 1000, "the burst"
    train = [metrics for category, metrics in run.trainer.logger.lines if category == "train"]
    assert train and all(metrics["episode_length"] < 20 for metrics in train)
    assert all(metrics["episode_terminated"] == 1.0 for metrics in train)


def test_every_transition_is_stored_once(run):
    rewards = run.buffer._storage["reward"][: len(run.buffer)]
    known = rewards[~rewards.isnan()]
    assert known.unique().numel() == known.numel()
    running = int(run.trainer._segment_start.eq(0).sum())
    assert run.env.transitions - known.numel() <= 20 * max(running, 3), "all but the running episodes"


def test_slices_follow_one_episode_and_only_their_last_row_may_be_terminal(run):
    obs, _, _, _, _, _, terminated = run.buffer.sample("cpu")
    assert (obs[1:, :, :2] == obs[:-1, :, :2]).all(), "one environment, one episode"
    assert (obs[1:, :, 2] == obs[:-1, :, 2] + 1).all()
    env, episode, t = obs[1:].unbind(-1)
    assert torch.equal(terminated[..., 0] == 1, t == 7 + (5 * episode + 2 * env) % 11)
    assert terminated[-1].sum() > 0 and terminated[:-1].sum() == 0


def test_the_patched_agent_learns_from_such_a_batch(run):
    modules = tree(list(PATCHES))
    agent = modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(run.cfg), run.cfg)
    q, agent.model.Q = agent.model.Q, lambda z, *_, **__: torch.full((*z.shape[:2], 1), 10.0)
    targets = agent._td_target(
        torch.rand(3, 2, 16), torch.ones(3, 2, 1), torch.zeros(3, 2, dtype=torch.int64), torch.tensor(1.0)
    )
    assert (targets == 1).all()
    agent.model.Q = q
    assert torch.isfinite(agent.update(run.buffer)["total_loss"])
