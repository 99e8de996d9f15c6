"""Several tasks in one agent: settings, widths, masks, embeddings, evaluation per task, mixed lengths, finetuning."""

import json
import math
from pathlib import Path

import pytest
import torch
from trees import FakeEnv, make_cfg, make_trainer, tree

from newt_base import envs
from newt_base.common import TASK_SET, env_tasks
from newt_base.common.world_model import WorldModel, task_embeddings
from newt_base.config import Config, ConfigError, load_cfg, parse_cfg
from newt_base.tdmpc2 import TDMPC2
from newt_base.train import main

BASE = tree()
TINY = [
    "preset=cpu", "env_mode=sync", "batch_size=8", "num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1",
    "random_baseline=false", "plot=false", "tensorboard=false", "latent_dim=16", "mlp_dim=16", "enc_dim=16",
]  # fmt: skip
TWO = "task=cup-catch,mujoco-reacher"


def rows(folder):
    return [json.loads(line) for line in next(Path(folder).rglob("metrics.jsonl")).read_text().splitlines()]


def test_settings_of_several_tasks():
    cfg = parse_cfg(load_cfg(["task=mujoco_reacher,ball_in_cup-catch,cartpole-swingup", "eval_freq=1"]))
    names = ["mujoco-reacher", "cup-catch", "cartpole-swingup"]
    assert cfg.tasks == cfg.global_tasks == names
    assert (cfg.num_tasks, cfg.num_global_tasks, cfg.num_envs) == (3, 3, 3)
    assert (cfg.obs_shape, cfg.action_dim, cfg.task_dim) == ({"state": (128,)}, 16, 512)
    assert (cfg.obs_shapes, cfg.action_dims) == ([(10,), (8,), (5,)], [2, 2, 1])
    assert (cfg.episode_lengths, cfg.episode_length) == ([50, 500, 500], 500)
    assert cfg.discounts == pytest.approx([0.95, 0.99, 0.99])
    assert cfg.eval_freq == 3 * 500
    assert cfg.work_dir == Path("logs/mujoco-reacher+cup-catch+cartpole-swingup/1/default")
    assert cfg.task_title == "Mujoco Reacher, Cup Catch, Cartpole Swingup"
    assert parse_cfg(cfg) == cfg
    short = parse_cfg(load_cfg(["task=mujoco-reacher,cup-catch", "preset=cpu"]))
    assert short.episode_lengths == [50, 250], "a preset's length only shortens"
    assert parse_cfg(short) == short
    given = parse_cfg(Config(task="cup-catch,mujoco-reacher", episode_length=20, num_envs=4, model_size="T"))
    assert (given.episode_lengths, given.task_dim) == ([20, 20], 64)
    assert env_tasks(given) == [0, 0, 1, 1]


def test_wide_tasks_widen_the_agent():
    cfg = parse_cfg(Config(task="humanoid-walk,quadruped-run"))
    assert (cfg.obs_shape["state"], cfg.action_dim) == ((128,), 21)


@pytest.mark.parametrize(
    "arguments, number", [([], 3), (["preset=cpu"], 6), (["num_envs=9"], 9), (["num_envs=4"], None)]
)
def test_environments_are_shared_evenly(arguments, number):
    settings = load_cfg(["task=cup-catch,pendulum-swingup,cartpole-balance", *arguments])
    if number is None:
        with pytest.raises(ConfigError, match="num_envs=4 cannot be shared evenly by 3 tasks") as caught:
            parse_cfg(settings)
        assert caught.value.valid == "a multiple of 3: 3, 6, 9, ..."
    else:
        assert parse_cfg(settings).num_envs == number


def test_named_sets():
    assert {name: len(envs.task_names(name)) for name in TASK_SET} == {"dmcontrol": 21, "mujoco": 6}
    assert envs.task_names("mujoco,cup-catch")[-2:] == ["mujoco-walker", "cup-catch"]
    assert load_cfg(["task=mujoco,ball_in_cup_catch"]).task == "mujoco,cup-catch"


@pytest.mark.parametrize(
    "task, problem",
    [
        ("soup", "the sets dmcontrol, mujoco"),
        ("walker-walk,metaworld", "the sets dmcontrol, mujoco"),
        ("walker-walk,walker_walk", "names walker-walk twice"),
        ("dmcontrol,cup-catch", "names cup-catch twice"),
        ("walker-walk,", "empty name"),
        ("walker-walk,waker-run", "did you mean task=walker-run"),
    ],
)
def test_lists_that_are_refused(task, problem):
    with pytest.raises(ConfigError) as caught:
        load_cfg([f"task={task}"])
    assert caught.value.key == "task"
    assert problem in str(caught.value)


def test_folders_of_long_lists_are_short_readable_and_differ():
    from newt_base.common.folder import name_of

    lists = [",".join(envs.task_names("dmcontrol")[k:]) for k in (0, 1)]
    first, second = map(name_of, lists)
    assert first.startswith("acrobot-swingup+20-more-")
    assert first != second
    assert max(len(first), len(second)) < 64


def test_one_task_may_be_padded_too():
    cfg = parse_cfg(Config(task="cup-catch", pad=True, num_envs=2, env_mode="sync"))
    assert (cfg.obs_shape["state"], cfg.action_dim, cfg.task_dim) == ((128,), 16, 0)
    assert (cfg.obs_shapes, cfg.action_dims) == ([(8,)] * 2, [2] * 2)
    with envs.make_env(cfg) as env:
        assert env.reset()[0].shape == (2, 128)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_environments_of_different_widths_and_lengths(mode):
    cfg = parse_cfg(Config(task="cup-catch,mujoco-reacher", num_envs=4, env_mode=mode, action_repeat=10))
    assert cfg.episode_lengths == [100, 5]
    with envs.make_env(cfg) as env:
        obs, _ = env.reset()
        assert obs.shape == (4, 128)
        assert env.rand_act().shape == (4, 16)
        assert not obs[:2, 8:].any()
        assert not obs[2:, 10:].any()
        ends = [env.step(env.rand_act()) for _ in range(10)]
    truncated = torch.stack([end[3] for end in ends])
    assert truncated.nonzero().tolist() == [[4, 2], [4, 3], [9, 2], [9, 3]]
    assert ends[4][4]["final_observation"].shape == (2, 128)


def test_unused_actions_do_not_reach_the_simulator():
    def run(action):
        with envs.make_env(parse_cfg(Config(task="cup-catch", pad=True, num_envs=1, env_mode="sync"))) as env:
            env.reset()
            return env.step(action)[0]

    action = torch.rand(1, 16)
    other = action.clone()
    other[:, 2:] = -1.0
    assert torch.equal(run(action), run(other))


def test_embeddings_depend_on_the_name_alone():
    one, two = task_embeddings(["walker-walk", "cup-catch"], 64), task_embeddings(["cup-catch"], 64)
    assert torch.equal(one[1], two[0])
    torch.testing.assert_close(one.norm(dim=1), torch.ones(2))
    assert one[0] @ one[1] < 0.5
    assert one[0, :3].tolist() == pytest.approx([0.02828, -0.03529, -0.03602], abs=1e-5)


def several(**settings):
    torch.manual_seed(0)
    defaults = {"action_dims": [2, 5, 1], "global_tasks": ["a", "b", "c"], "task_dim": 8, "action_dim": 16}
    cfg = make_cfg(BASE, 6, [20, 50, 10], num_global_tasks=3, discounts=[0.9, 0.99, 0.95], **defaults | settings)
    return TDMPC2(WorldModel(cfg), cfg)


@pytest.mark.parametrize("mpc", [True, False])
@pytest.mark.parametrize("eval_mode", [True, False])
def test_padded_actions_stay_zero(mpc, eval_mode):
    agent = several()
    task = torch.tensor(env_tasks(agent.cfg))
    for part in agent(torch.randn(6, 3), torch.ones(6, dtype=torch.bool), 5_000_000, eval_mode, task, mpc)[:2]:
        for row, dims in zip(part, [2, 2, 5, 5, 1, 1], strict=True):
            assert row[:dims].abs().min() > 0
            assert not row[dims:].any()


def test_embeddings_are_used_and_never_learn():
    agent = several()
    for p in agent.model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.3)
    obs = torch.randn(1, 3).expand(2, 3)
    z = agent.model.encode(obs, torch.tensor([0, 1]))
    assert not torch.allclose(z[0], z[1])
    before = agent.model._task_emb.weight.clone()
    task = torch.randint(3, (8,)).expand(3, 8)
    batch = torch.randn(4, 8, 3), *(torch.rand(3, 8, 16) for _ in range(3)), torch.rand(3, 8, 1), task
    metrics = agent.update(type("Batch", (), {"sample": lambda self, device: batch})())
    assert all(value.isfinite() for value in metrics.values())
    assert torch.equal(agent.model._task_emb.weight, before)
    learning = {id(p) for group in agent.optim.param_groups for p in group["params"]}
    assert id(agent.model._task_emb.weight) not in learning


def test_each_task_has_its_own_discount(monkeypatch):
    agent = several()
    monkeypatch.setattr(agent.model, "Q", lambda z, a, task, **_: torch.ones(*z.shape[:-1], 1))
    task = torch.tensor([[0, 1, 2]])
    targets = agent._td_target(torch.randn(1, 3, 16), torch.zeros(1, 3, 1), task)
    assert targets.flatten().tolist() == pytest.approx([0.9, 0.99, 0.95])
    monkeypatch.setattr("newt_base.common.math.two_hot_inv", lambda x, cfg: torch.zeros(*x.shape[:-1], 1))
    value = agent._estimate_value(torch.randn(3, 4, 16), torch.zeros(3, 3, 4, 16), torch.tensor([0, 1, 2]))
    assert value[:, 0, 0].tolist() == pytest.approx([0.9**3, 0.99**3, 0.95**3])


class ScoredEnv(FakeEnv):
    """Pays environment i the reward i + 1 at each step; only the last one knows what success is."""

    def step(self, action):
        obs, _, terminated, truncated, info = super().step(action)
        if "final_info" in info:
            success = torch.full((self.num_envs,), math.nan)
            success[-1] = 1.0
            info["final_info"] = {"success": success, "score": torch.arange(self.num_envs) / 10}
        return obs, torch.arange(self.num_envs) + 1.0, terminated, truncated, info


def test_evaluation_of_each_task_and_over_them():
    trainer = make_trainer([], [4, 4, 10, 10], steps=0, num_global_tasks=2, global_tasks=["a", "b"], eval_episodes=2)
    trainer.env = ScoredEnv([4, 4, 10, 10])
    result = BASE.trainer.Trainer.eval(trainer)
    assert result["episode_reward+a"] == 4 * 1.5
    assert result["episode_reward+b"] == 10 * 3.5
    assert result["episode_reward"] == (4 * 1.5 + 10 * 3.5) / 2
    assert (result["episode_length+a"], result["episode_length+b"], result["episode_length"]) == (4, 10, 7)
    assert result["episode_score"] == pytest.approx((0.05 + 0.25) / 2)
    assert math.isnan(result["episode_success+a"])
    assert (result["episode_success+b"], result["episode_success"]) == (1, 1)


def test_one_task_is_evaluated_under_plain_names():
    trainer = make_trainer([], [4] * 2, steps=0)
    trainer.env = ScoredEnv([4] * 2)
    result = BASE.trainer.Trainer.eval(trainer)
    assert list(result) == ["episode_reward", "episode_length", "episode_success", "episode_score"]


def test_mixed_lengths_in_the_loop():
    """Shorter episodes come more often; log lines come with the longest."""
    two = {"num_global_tasks": 2, "global_tasks": ["a", "b"], "episode_lengths": [6, 20]}
    trainer = make_trainer([], [6, 6, 20, 20], steps=200, **two)
    trainer.train()
    assert trainer._episode_lengths.tolist() == [6, 6, 20, 20]
    assert trainer._update_freq == 4 * 20
    logged = [metrics["step"] for category, metrics in trainer.logger.lines if category == "train"]
    assert logged == [80, 160]
    stored = trainer.buffer._storage["task"][: len(trainer.buffer)]
    assert (stored == 0).sum() == 2 * 8 * 7
    assert (stored == 1).sum() == 2 * 2 * 21


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two real tasks of different widths and lengths."""
    folder = tmp_path_factory.mktemp("several")
    settings = [TWO, *TINY, "num_envs=2", "action_repeat=20", "steps=300", "eval_freq=1", "seeding_coef=1", "utd=0.1"]
    assert main([*settings, f"out_dir={folder}"]) == 0
    return folder


def test_training_two_tasks(trained):
    logged = rows(trained)
    evaluation = [row for row in logged if row["category"] == "eval"][-1]
    assert evaluation["step"] == 300
    assert evaluation["episode_length+cup-catch"] == 50
    assert evaluation["episode_length+mujoco-reacher"] == 3
    returns = [evaluation[f"episode_reward+{task}"] for task in ("cup-catch", "mujoco-reacher")]
    assert evaluation["episode_reward"] == pytest.approx(sum(returns) / 2)
    assert any("total_loss" in row for row in logged)
    summary = json.loads(next(trained.rglob("summary.json")).read_text())
    assert [(task["task"], task["return_final"]) for task in summary["tasks"]] == [
        ("cup-catch", returns[0]), ("mujoco-reacher", returns[1]),
    ]  # fmt: skip


@pytest.mark.parametrize("task", ["pendulum-swingup", "cup-catch"], ids=["another task", "one of them"])
def test_finetuning_takes_the_checkpoints_widths(trained, task, tmp_path):
    checkpoint = next(trained.rglob("final.pt"))
    settings = [f"task={task}", *TINY, "num_envs=2", "action_repeat=50", "steps=60", f"checkpoint={checkpoint}"]
    cfg = parse_cfg(load_cfg([*settings, "finetune=true"]))
    assert (cfg.obs_shape["state"], cfg.action_dim, cfg.task_dim) == ((128,), 16, 64)
    assert main([*settings, "finetune=true", f"out_dir={tmp_path}", "utd=1", "seeding_coef=1"]) == 0
    state = torch.load(next(tmp_path.rglob("final.pt")), weights_only=True)["model"]
    assert torch.equal(state["_task_emb.weight"], task_embeddings([task] * 2, 64))
    assert state["_action_masks"].sum(1).tolist() == [cfg.action_dims[0]] * 2
    assert main([*settings, f"out_dir={tmp_path}"]) == 2, "without finetune it is another agent"


def test_finetuning_a_single_task_agent_needs_its_widths(tmp_path):
    settings = [*TINY, "num_envs=2", "action_repeat=50", "steps=40", f"out_dir={tmp_path}"]
    assert main(["task=cup-catch", *settings]) == 0
    checkpoint = next(tmp_path.rglob("final.pt"))
    finetune = [*settings, "finetune=true", f"checkpoint={checkpoint}"]
    cfg = parse_cfg(load_cfg(["task=pendulum-swingup", *finetune]))
    assert (cfg.obs_shape["state"], cfg.action_dim, cfg.action_dims[0], cfg.task_dim) == ((8,), 2, 1, 0)
    assert main(["task=pendulum-swingup", *finetune]) == 0
    with pytest.raises(ConfigError, match=r"walker-walk has 24 observations and 6 actions, .* at most 8 and 2"):
        parse_cfg(load_cfg(["task=walker-walk", *finetune]))
