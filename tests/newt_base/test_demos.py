"""Demonstrations: recorded, read, mixed with replay, cloned before training, and refused where they don't fit."""

import json

import pytest
import torch
from tensordict import TensorDict
from trees import make_cfg, tree

from newt_base import generate_demos
from newt_base.common.buffer import Buffer, EnsembleBuffer
from newt_base.common.demos import DemoError, demo_buffer, load_demos, save_demos
from newt_base.config import ConfigError, load_cfg, parse_cfg
from newt_base.train import main

BASE = tree()
WIDE = float(torch.tensor(2.0).exp())  # the standard deviation that says nothing
TINY = [
    "preset=cpu", "num_envs=2", "batch_size=9", "num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1",
    "random_baseline=false", "plot=false", "tensorboard=false", "latent_dim=16", "mlp_dim=16", "enc_dim=16",
    "action_repeat=50", "utd=0.5", "eval_freq=1",
]  # fmt: skip


def demos(lengths=(6, 4), obs_dim=3, action_dim=2, **changes):
    """Rows whose reward counts them."""
    rows = sum(lengths)
    episode = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    action, reward = torch.rand(rows, action_dim) * 2 - 1, torch.arange(rows).float()
    starts = torch.tensor([0, *lengths]).cumsum(0)[:-1]
    action[starts], reward[starts] = torch.nan, torch.nan
    return {"obs": torch.randn(rows, obs_dim), "action": action, "reward": reward, "episode": episode} | changes


def cfg_for(folder, names=("a",), **settings):
    count = len(names)
    settings = {"obs_shapes": [(3,)] * count, "action_dims": [2] * count, "batch_size": 9} | settings
    return make_cfg(
        BASE, count, [50], data_dir=str(folder), global_tasks=list(names), num_global_tasks=count, **settings
    )


@pytest.mark.parametrize("padded", [False, True], ids=["own width", "newt's width"])
@pytest.mark.parametrize("wide_agent", [False, True], ids=["bare agent", "padded agent"])
@pytest.mark.parametrize("kind", [dict, TensorDict])
def test_reading(padded, wide_agent, kind, tmp_path):
    own, stored = demos(), demos()
    stored |= {name: own[name] for name in own}
    if padded:
        stored["obs"] = torch.nn.functional.pad(own["obs"], (0, 125))
        stored["action"] = torch.cat([own["action"], torch.rand(10, 14)], dim=1)
    torch.save(stored if kind is dict else TensorDict(stored, batch_size=(10,)), tmp_path / "a.pt")
    wide = {"obs_shape": {"state": (128,)}, "action_dim": 16} if wide_agent else {}
    first, second = load_demos(cfg_for(tmp_path, **wide), tmp_path / "a.pt", 0)
    assert (len(first), len(second)) == (6, 4)
    read = torch.cat([first, second])
    assert read["obs"].shape == (10, 128 if wide_agent else 3)
    assert read["action"].shape == read["mu"].shape == read["std"].shape == (10, 16 if wide_agent else 2)
    torch.testing.assert_close(read["obs"][:, :3], own["obs"])
    torch.testing.assert_close(read["action"][:, :2], own["action"], equal_nan=True)
    torch.testing.assert_close(read["mu"], read["action"], equal_nan=True)
    assert read["std"][:, :2].flatten().tolist() == pytest.approx([WIDE] * 20)
    for name in ("obs", "action", "std"):
        assert not read[name][:, 3 if name == "obs" else 2 :].any()
    assert read["reward"].isnan().nonzero().flatten().tolist() == [0, 6]


def test_statistics_in_the_file_are_kept_where_they_are_known(tmp_path):
    mu, std = torch.rand(10, 2), torch.rand(10, 2)
    mu[3], std[3] = torch.nan, torch.nan
    stored = demos(mu=mu, std=std)
    torch.save(stored, tmp_path / "a.pt")
    read = torch.cat(load_demos(cfg_for(tmp_path), tmp_path / "a.pt", 0))
    expected = torch.where(mu.isnan(), stored["action"], mu)
    torch.testing.assert_close(read["mu"], expected, equal_nan=True)
    assert read["std"][3].tolist() == pytest.approx([WIDE] * 2)
    assert torch.equal(read["std"][4:], std[4:])


BAD = {
    "reward is not finite in row 2": lambda d: d["reward"][2].fill_(torch.nan),
    "action is not finite in row 7": lambda d: d["action"][7].fill_(torch.inf),
    "obs is not finite in row 0": lambda d: d["obs"][0].fill_(torch.nan),
    "action is 5 wide; this task's own width is 2, padded 16": lambda d: d.update(action=torch.rand(10, 5)),
    "this task has 3 observations, the rows have more": lambda d: d.update(obs=torch.rand(10, 128)),
    "reward has 9 rows and obs 10": lambda d: d.update(reward=torch.rand(9)),
    "episode is not one row per time step": lambda d: d.update(episode=torch.zeros(10, 1)),
    "holds no demonstrations": lambda d: d.pop("episode"),
}


@pytest.mark.parametrize("problem", BAD)
def test_what_is_refused(problem, tmp_path):
    rows = demos()
    BAD[problem](rows)
    torch.save(rows, tmp_path / "a.pt")
    with pytest.raises(DemoError, match=problem) as caught:
        demo_buffer(cfg_for(tmp_path), "cpu")
    assert "a.pt" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello"], ids=["empty", "text"])
def test_files_that_cannot_be_read_safely(content, tmp_path):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(DemoError, match=r"a\.pt cannot be read safely(.|\n)*convert it once"):
        demo_buffer(cfg_for(tmp_path), "cpu")


def test_tasks_are_numbered_by_name_and_a_missing_one_is_named(tmp_path, capsys):
    torch.save(demos([5]), tmp_path / "c.pt")
    torch.save(demos([6]), tmp_path / "a.pt")
    buffer = demo_buffer(cfg_for(tmp_path, ["a", "b", "c"]), "cpu")
    said = capsys.readouterr().out
    assert "no demonstrations of b" in said
    assert "2 demonstrations with 11 rows" in said
    assert buffer._storage["task"].tolist() == [0] * 6 + [2] * 5


def test_all_too_short(tmp_path):
    torch.save(demos([3, 2]), tmp_path / "a.pt")
    with pytest.raises(DemoError, match="shorter than horizon=3"):
        demo_buffer(cfg_for(tmp_path), "cpu")


def test_without_any_file_training_does_not_begin(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"there is no \S*cup-catch.pt and no \S*pendulum-swingup.pt"):
        parse_cfg(load_cfg(["task=cup-catch,pendulum-swingup", "use_demos=true", f"data_dir={tmp_path}"]))
    (tmp_path / "cup-catch.pt").write_bytes(b"")
    arguments = ["task=cup-catch", *TINY, "use_demos=true", f"data_dir={tmp_path}", f"out_dir={tmp_path / 'logs'}"]
    assert main(arguments) == 2
    assert "cannot be read safely" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    "arguments, schedule",
    [([], "warmup"), (["lr_schedule=none"], None), (["use_demos=false"], None), (["checkpoint=F"], None)],
    ids=["demos", "given", "no demos", "checkpoint"],
)
def test_demonstrations_warm_up_the_learning_rate(arguments, schedule, tmp_path):
    torch.save(demos(), tmp_path / "cup-catch.pt")
    given = {"use_demos": "true", "data_dir": str(tmp_path), "task": "cup-catch"}
    given |= dict(argument.replace("=F", f"={tmp_path}/cup-catch.pt").split("=") for argument in arguments)
    assert parse_cfg(load_cfg([f"{name}={value}" for name, value in given.items()])).lr_schedule == schedule


@pytest.mark.parametrize("argument", ["demo_steps=-1", "use_demos=1", "demo_steps=x"])
def test_settings_that_are_refused(argument):
    with pytest.raises(ConfigError) as caught:
        load_cfg([argument])
    assert caught.value.key == argument.partition("=")[0]


def test_half_of_each_batch_is_demonstrations(tmp_path):
    torch.save(demos([10]), tmp_path / "a.pt")
    buffer = EnsembleBuffer(demo_buffer(cfg_for(tmp_path), "cpu"), capacity=100, batch_size=9, horizon=3)
    assert len(buffer) == buffer.num_eps == 0
    assert (buffer.sample("cpu")[4] < 100).all(), "until there is something else"
    online = load_demos(cfg_for(tmp_path), tmp_path / "a.pt", 0)[0]
    online["reward"] += 100
    buffer.add(online[:3].unsqueeze(0))
    assert (buffer.sample("cpu")[4] < 100).all(), "three rows are no slice yet"
    buffer.add(online.unsqueeze(0))
    obs, action, mu, std, reward, task = buffer.sample("cpu")
    assert obs.shape == (4, 9, 3)
    assert action.shape == mu.shape == std.shape == (3, 9, 2)
    assert (reward[..., 0] >= 100).tolist() == [[False] * 4 + [True] * 5] * 3
    assert task.shape == (3, 9)
    buffer.save(tmp_path / "replay")
    assert "_offline" not in torch.load(tmp_path / "replay", weights_only=True)
    again = EnsembleBuffer(buffer._offline, capacity=100, batch_size=9, horizon=3)
    again.load(tmp_path / "replay")
    assert len(again) == 13
    assert (again.sample("cpu")[4] >= 100).sum() == 15


def test_cloning_pulls_the_policy_to_the_demonstrations(tmp_path):
    torch.manual_seed(0)
    rows = demos([40])
    rows["action"] = torch.where(rows["action"].isnan(), rows["action"], torch.tensor([0.6, -0.3]))
    torch.save(rows, tmp_path / "a.pt")
    cfg = cfg_for(tmp_path, batch_size=32, lr=3e-3)
    agent = BASE.tdmpc2.TDMPC2(BASE.world_model.WorldModel(cfg), cfg)
    buffer = demo_buffer(cfg, "cpu")
    agent.maxq_pi = False
    agent.cfg.prior_coef = 1.0
    moved = [p.clone() for p in agent.model._pi.parameters()]
    losses = [agent.update(buffer)["bc_loss"].item() for _ in range(60)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert not any(torch.equal(a, b) for a, b in zip(moved, agent.model._pi.parameters(), strict=True))
    action, _, _ = agent(rows["obs"][:1], torch.ones(1, dtype=torch.bool), 0, True, torch.zeros(1).int(), mpc=False)
    assert action[0].tolist() == pytest.approx([0.6, -0.3], abs=0.25)


def test_the_cloning_loss_is_what_it_says():
    """Mean over time and batch of rho_t (squared error over the task's own dimensions - entropy_coef entropy)."""
    cfg = make_cfg(BASE, 1, [50], action_dim=4, action_dims=[2])
    torch.manual_seed(0)
    agent = BASE.tdmpc2.TDMPC2(BASE.world_model.WorldModel(cfg), cfg)
    zs, action, task = torch.rand(3, 8, 16), torch.rand(3, 8, 4), torch.zeros(3, 8, dtype=torch.int32)
    torch.manual_seed(1)
    loss, metrics = agent._clone_behaviour(zs, action, task)
    torch.manual_seed(1)
    pi, info = agent.model.pi(zs, task)
    error = (pi - action)[..., :2].square().mean(-1)
    rho = torch.tensor([1.0, 0.5, 0.25]) / 1.875
    expected = (rho.unsqueeze(1) * (error - cfg.entropy_coef * info["scaled_entropy"].squeeze(-1))).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(metrics["bc_loss"], error.mean())


def test_saved_demonstrations_are_numbered_and_whole(tmp_path):
    rows = TensorDict({"obs": torch.rand(4, 3)}, batch_size=(4,))
    save_demos(tmp_path / "new" / "a.pt", [rows, rows[:2]])
    saved = torch.load(tmp_path / "new" / "a.pt", weights_only=True)
    assert saved["episode"].tolist() == [0, 0, 0, 0, 1, 1]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.pt"]


def test_recorded_cloned_trained_on_and_resumed(tmp_path, capsys):
    """The whole way: train, record two demonstrations, pretrain on them, go on, resume without pretraining again."""
    common = ["task=cup-catch", *TINY]
    assert main([*common, "steps=30", "episode_length=5", f"out_dir={tmp_path / 'first'}"]) == 0
    checkpoint = next(tmp_path.rglob("final.pt"))
    data = tmp_path / "data"
    record = [*common, f"checkpoint={checkpoint}", f"data_dir={data}", "episode_length=8"]
    assert generate_demos.main([*record, "num_demos=3"]) == 0
    assert "3 demonstrations of cup-catch" in capsys.readouterr().out
    saved = torch.load(data / "cup-catch.pt", weights_only=True)
    assert {name: tuple(value.shape) for name, value in saved.items()} == {
        "obs": (27, 128), "action": (27, 16), "mu": (27, 16), "std": (27, 16),
        "reward": (27,), "terminated": (27,), "episode": (27,),
    }  # fmt: skip
    first = saved["action"].isnan().all(1)
    assert first.nonzero().flatten().tolist() == [0, 9, 18]
    assert not saved["action"][~first].isnan().any()
    assert torch.equal(saved["action"][~first], saved["mu"][~first].clamp(-1, 1)), "no exploration noise"
    assert (saved["std"][~first][:, :2] >= 0.05).all()
    assert not saved["obs"][:, 8:].any()
    assert not torch.equal(saved["obs"][0], saved["obs"][9])

    train = [*common, "use_demos=true", f"data_dir={data}", "demo_steps=20", "episode_length=5", "keep=none"]
    train += ["save_buffer=true", f"out_dir={tmp_path / 'second'}"]
    assert main([*train, "steps=80", "seeding_coef=2"]) == 0
    assert main([*train, "steps=100", "seeding_coef=2", "resume=true"]) == 0
    run = next((tmp_path / "second").rglob("metrics.jsonl"))
    logged = [json.loads(line) for line in run.read_text().splitlines()]
    pretraining = [row for row in logged if row["category"] == "pretrain"]
    assert [row["update"] for row in pretraining] == list(range(1, 21))
    assert all(row["bc_loss"] > 0 and row["step"] == 0 for row in pretraining)
    assert "pi_q_loss" not in pretraining[0]
    assert logged[20]["category"] == "eval"
    assert logged[-1]["step"] == 100
    trained = [row for row in logged if row["category"] == "train" and "total_loss" in row]
    assert trained
    assert all("bc_loss" not in row for row in trained)
    zero = torch.load(run.parent / "checkpoints" / "0.pt", weights_only=True)
    assert zero["step"] == 0
    assert zero["optim"]["state"][0]["step"] == 20


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["num_demos=0"], "num_demos=0"),
        (["num_demos=x"], "num_demos=x"),
        ([], "add checkpoint=FILE"),
        (["checkpoint=missing.pt"], "missing.pt is not a file"),
        (["nunber=3"], "unknown setting"),
    ],
)
def test_recording_with_wrong_settings(arguments, problem, capsys):
    assert generate_demos.main(["task=cup-catch", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_help(capsys):
    assert generate_demos.main(["--help"]) == 0
    assert "num_demos=20" in capsys.readouterr().out


def test_the_buffer_takes_another_batch_size():
    buffer = Buffer(100, 8)
    buffer.add(torch.cat(load_from_memory()).unsqueeze(0))
    assert buffer.sample("cpu", 3)[0].shape[1] == 3


def load_from_memory():
    rows = demos([12])
    extra = {"mu": rows["action"], "std": rows["action"], "task": torch.zeros(12, dtype=torch.int32)}
    return [TensorDict(rows | extra, batch_size=(12,))]
