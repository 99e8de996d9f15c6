"""The patches where several tasks share an agent, and where it is pretrained on demonstrations."""

from __future__ import annotations

from math import exp

import pytest
import torch
from trees import PATCHES, CountingAgent, make_cfg, make_trainer, stored_rewards, tree

ALL = list(PATCHES)
TWO = {
    "task": "one,other", "tasks": ["one", "other"], "global_tasks": ["one", "other"], "num_tasks": 2,
    "num_global_tasks": 2, "action_dims": [1, 2], "obs_shapes": [(3,), (3,)], "discounts": [0.97, 0.99],
    "task_dim": 4,
}  # fmt: skip


def real_agent(modules, cfg):
    torch.manual_seed(0)
    return modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)


@pytest.mark.parametrize("lengths", [[100, 300], [300, 100], [40, 60]], ids=str)
def test_seeding_lasts_as_long_as_the_longest_episode_says(lengths):
    trainer = make_trainer(["seeding", "episode-rows"], lengths, steps=1_600, utd=0.5, **TWO)
    trainer.train()
    assert trainer.agent.updated_at[0] == max(1_000, 5 * max(lengths))


@pytest.mark.parametrize("ids", [["seeding", "burst", "episode-rows", "first-obs"], ALL], ids=["some", "all"])
def test_all_transitions_of_tasks_of_different_lengths_are_stored_once(ids):
    trainer = make_trainer(ids, [90, 210], steps=1_500, **TWO)
    trainer.train()
    rewards = stored_rewards(trainer.buffer)
    assert len(rewards) == len(set(rewards))
    running = trainer.env.t.sum().item() - trainer._segment_start.sum().item()
    assert len(rewards) + running == trainer.env.transitions


def test_a_fully_patched_agent_of_two_tasks_learns():
    """Masks, embeddings, discounts and lengths of their own, through the real agent, with an evaluation."""
    trainer = make_trainer(ALL, [8, 12], steps=1_060, agent=real_agent, evaluate=True, burst_updates=3, **TWO)
    seen = []
    update = trainer.agent.update
    trainer.agent.update = lambda buffer: seen.append(update(buffer)) or seen[-1]
    trainer.eval_policy()
    trainer.train()
    assert len(seen) >= 6
    assert all(value.isfinite().all() for metrics in seen for value in metrics.values())
    stored = {name: values[: len(trainer.buffer)] for name, values in trainer.buffer._storage.items()}
    planned = (stored["std"][:, 0] <= trainer.cfg.max_std) & (stored["task"] == 0)
    assert planned.any()
    assert not stored["mu"][planned][:, 1:].any(), "the first task's second action is padding"


def offline_buffer(modules, cfg, tmp_path):
    """Demonstrations of one task, without mu and std, as a demo file holds them."""
    length = 20
    rows = {
        "obs": torch.randn(2 * length, 3),
        "action": torch.rand(2 * length, 2) * 2 - 1,
        "reward": torch.rand(2 * length),
        "episode": torch.arange(2).repeat_interleave(length),
    }
    for name in ("action", "reward"):
        rows[name][::length] = torch.nan
    torch.save(rows, tmp_path / "fake-task.pt")
    return modules.demos.demo_buffer(cfg, torch.device("cpu"))


def with_demos(ids, tmp_path, agent, steps, **settings):
    given = {"use_demos": True, "demo_steps": 7, "data_dir": str(tmp_path), "obs_shapes": [(3,)], **settings}
    trainer = make_trainer(ids, [250] * 20, steps=steps, agent=agent, **given)
    modules = tree(ids)
    offline = offline_buffer(modules, trainer.cfg, tmp_path)
    trainer.buffer = modules.buffer.EnsembleBuffer(offline, capacity=50_000, batch_size=8, horizon=trainer.cfg.horizon)
    return trainer


class Pretrained(CountingAgent):
    """A counting agent that can be pretrained, and notes in which way it was updated."""

    def __init__(self, modules, cfg):
        super().__init__()
        self.cfg, self.maxq_pi = cfg, True
        self.cloned = []
        self.stds = []

    def update(self, buffer):
        _, action, mu, std, _, _ = buffer.sample("cpu")
        self.stds.append((torch.equal(mu[:, :4], action[:, :4]), std[:, :4].unique().tolist()))
        self.cloned.append(not self.maxq_pi)
        self.updated_at.append(self.trainer._step)
        return {"total_loss": torch.tensor(1.0)}


def test_the_burst_follows_the_seeding_also_after_pretraining(tmp_path):
    trainer = with_demos(ALL, tmp_path, Pretrained, steps=1_300)
    trainer.train()
    agent = trainer.agent
    assert agent.cloned[:8] == [True] * 7 + [False]
    assert agent.updated_at[:7] == [0] * 7
    assert agent.updated_at[7 : 7 + 1_250] == [1_260] * 1_250
    assert agent.updated_at[7 + 1_250] > 1_260
    assert agent.acted_at[0] == 0, "a pretrained agent acts while seeding"


@pytest.mark.parametrize(
    ("settings", "first"),
    [({"use_demos": False}, 1_260), ({"demo_steps": 0}, 1_260), ({}, 0), ({"use_demos": False, "finetune": True}, 0)],
    ids=["no demos", "no pretraining", "pretrained", "finetuned"],
)
def test_who_acts_while_seeding(settings, first, tmp_path):
    trainer = with_demos(["mu-std", "seeding"], tmp_path, Pretrained, steps=1_260, **settings)
    trainer.train()
    assert trainer.agent.acted_at[0] == first


def test_demonstrations_count_as_wide_around_their_actions(tmp_path):
    trainer = with_demos(ALL, tmp_path, Pretrained, steps=1_250, burst_updates=2)
    trainer.train()
    assert len(trainer.agent.stds) == 9
    for mu_is_action, stds in trainer.agent.stds:
        assert mu_is_action
        assert stds == pytest.approx([exp(2.0)])


def test_a_fully_patched_agent_is_pretrained_and_goes_on(tmp_path):
    trainer = with_demos(ALL, tmp_path, real_agent, steps=1_250, burst_updates=2)
    seen = []
    update = trainer.agent.update
    trainer.agent.update = lambda buffer: seen.append(update(buffer)) or seen[-1]
    trainer.train()
    assert ["bc_loss" in metrics for metrics in seen] == [True] * 7 + [False] * 2
    assert all(value.isfinite().all() for metrics in seen for value in metrics.values())
    assert trainer.agent.cfg.prior_coef == trainer.cfg.prior_coef == 1.0


@pytest.mark.parametrize("ids", [["actor-modes"], ["actor-modes", "prior-norm"]], ids=["plain", "A/61"])
def test_each_sample_is_weighed_by_its_own_task_s_actions(ids):
    """The prior term of a batch of two tasks is the mean of the terms that each task has alone."""
    modules = tree([*ids, "rho"])
    cfg = make_cfg(modules, 2, [8, 8], scale_threshold=0.5, entropy_coef=0.0, **{**TWO, "task_dim": 0})
    agent = real_agent(modules, cfg)
    torch.manual_seed(1)
    zs = torch.rand(4, 6, 16)
    mask = agent.model._action_masks
    task = torch.tensor([[0, 1, 0, 1, 1, 1]])
    action, mu = torch.rand(3, 6, 2) * mask[task[0]], torch.rand(3, 6, 2) * mask[task[0]]
    std = torch.full((3, 6, 2), 0.3) * mask[task[0]]

    def prior(columns):
        torch.manual_seed(2)
        noise = torch.randn(3, 6, 2)
        keep = torch.randn_like
        torch.randn_like = lambda x, **_: noise[:, columns]
        try:
            loss, _, info = agent._pi_loss(
                zs[:, columns], action[:, columns], mu[:, columns], std[:, columns], task[:, columns]
            )
        finally:
            torch.randn_like = keep
        return (loss - info["pi_q_loss"]).item() / cfg.prior_coef, info["pi_prior_loss"].item()

    weighed, plain = prior(list(range(6)))
    own = [prior([i])[1] for i in range(6)]
    dims = [1, 2, 1, 2, 2, 2]
    factors = [a / 61 if "prior-norm" in ids else 1.0 for a in dims]
    assert plain == pytest.approx(sum(own) / 6, rel=1e-4)
    assert weighed == pytest.approx(sum(f * x for f, x in zip(factors, own, strict=True)) / 6, rel=1e-3)
