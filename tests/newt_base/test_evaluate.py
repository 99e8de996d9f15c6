"""How good an agent is: with the planner and without, per task, from its checkpoint alone."""

import json
import os

import numpy as np
import pytest
import torch

from newt_base import evaluate
from newt_base.acting import of_the_run
from newt_base.config import load_cfg
from newt_base.envs import EnvironmentFailed, mujoco
from newt_base.train import build

SMALL = ["device=cpu", "model_size=T", "env_mode=sync", "batch_size=8", "iterations=1", "num_samples=8", "num_envs=1"]
SMALL += ["num_elites=4", "num_pi_trajs=2", "threads=1", "plot=false", "episode_length=4", "task=cartpole-swingup"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The checkpoint of a run of its own kind of agent: smaller than the usual one."""
    folder = tmp_path_factory.mktemp("run")
    trainer = build(load_cfg([*SMALL, f"out_dir={folder}", "latent_dim=16", "mlp_dim=16", "enc_dim=16"]))
    trainer.env.close()
    path = trainer.logger.save_agent(trainer.agent, "final", step=12)
    trainer.logger.finish()
    return path


def run(capsys, *arguments):
    status = evaluate.main(list(arguments))
    return status, capsys.readouterr()


def test_a_checkpoint_says_itself_how_it_was_trained(checkpoint, capsys):
    status, shown = run(capsys, f"checkpoint={checkpoint}", "episodes=3", "seeds=1,2", "json=true")
    found = json.loads(shown.out)
    (task,) = found["tasks"]
    assert (status, found["planner"], task["task"], task["episodes"]) == (0, True, "cartpole-swingup", 6)
    assert task["length"] == 4 and len(task["returns"]) == 6
    assert task["mean"] == pytest.approx(np.mean(task["returns"]))
    assert task["mean_interval"][0] <= task["mean"] <= task["mean_interval"][1]
    again = json.loads(run(capsys, f"checkpoint={checkpoint}", "episodes=3", "seeds=1,2", "json=true")[1].out)
    assert again == found


def test_without_planner_it_does_something_else(checkpoint, capsys, monkeypatch):
    asked = []
    forward = evaluate.TDMPC2.forward
    monkeypatch.setattr(
        evaluate.TDMPC2, "forward", lambda self, *a, **k: asked.append((k["mpc"], k["step"])) or forward(self, *a, **k)
    )
    for policy in ("true", "false"):
        assert run(capsys, f"checkpoint={checkpoint}", "episodes=1", f"policy={policy}")[0] == 0
    assert set(asked[:4]) == {(False, 12)} and set(asked[4:]) == {(True, 12)} and len(asked) == 8


def test_no_two_seeds_share_an_episode(checkpoint, capsys):
    assert len({evaluate._own_seed(seed, number) for seed in range(50) for number in range(20)}) == 1_000
    status, shown = run(capsys, f"checkpoint={checkpoint}", "seeds=1,2,1")
    assert status == 2 and "has 1 twice" in shown.err


def test_an_environment_that_fails_is_said_in_json(checkpoint, capsys, monkeypatch):
    def fail(self, action):
        raise EnvironmentFailed("environment 0 raised")

    monkeypatch.setattr(evaluate.VecEnv, "step", fail)
    status, shown = run(capsys, f"checkpoint={checkpoint}", "json=true")
    assert (status, json.loads(shown.out)["error"]) == (1, "environment 0 raised")


def test_every_environment_has_its_share_of_each_task():
    assert evaluate._shares([0, 0, 0, 1], 8) == [3, 3, 2, 8]
    assert evaluate._shares([0, 1, 0, 1], 3) == [2, 2, 1, 1]


def test_the_interquartile_mean_leaves_the_outer_quarters_out():
    found = evaluate.summary(evaluate.Episodes([0.0, 10.0, 20.0, 1000.0], [5, 5, 5, 5], [float("nan")] * 4))
    assert (found["iqm"], found["mean"], found["success"]) == (15.0, 257.5, None)
    assert evaluate.summary(evaluate.Episodes([3.0], [5], [1.0]))["mean_interval"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task=walker-walk"], "evaluating needs an agent"),
        (["checkpoint=nothing.pt"], "is not a file"),
        (["episodes=0"], "at least 1"),
        (["seeds=a"], "whole numbers with commas"),
        (["policy=yes"], "true, false"),
        (["video=x.avi"], "a .gif file, or a .mp4 file"),
    ],
)
def test_what_cannot_be_measured_is_said(capsys, arguments, words):
    status, shown = run(capsys, *arguments)
    assert status == 2 and words in shown.err
    status, shown = run(capsys, *arguments, "json=true")
    assert status == 2 and words in json.loads(shown.out)["error"]


def test_a_checkpoint_that_lies_alone_has_its_task_named(checkpoint, tmp_path, capsys):
    alone = tmp_path / "alone.pt"
    alone.write_bytes(checkpoint.read_bytes())
    status, shown = run(capsys, f"checkpoint={alone}")
    assert status == 2 and "says which task it was trained on" in shown.err


def test_a_module_that_a_run_names_is_run_only_when_the_user_names_it(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_module.py").write_text("import pathlib\n\npathlib.Path('was_run').touch()\n")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    path = tmp_path / "run/checkpoints/final.pt"
    path.write_bytes(checkpoint.read_bytes())
    (tmp_path / "run/config.yaml").write_text("task: gym:own_module:Own-v0\n")
    status, shown = run(capsys, f"checkpoint={path}")
    assert (status, (tmp_path / "was_run").exists()) == (2, False)
    assert "task=gym:own_module:Own-v0, if you trust that module" in shown.err
    run(capsys, f"checkpoint={path}", "task=gym:own_module:Own-v0")
    assert (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "task: " + "[" * 5_000,
        "episode_lengths: 3",
        "episode_lengths: [[1]]",
        "episode_lengths: [5]",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntask: [*c, *c]",
        None,
    ],
    ids=["nested", "a number", "lists", "no length", "aliases", "a pipe"],
)
def test_settings_that_no_run_wrote_are_none(tmp_path, text):
    (tmp_path / "checkpoints").mkdir()
    if text is None:
        os.mkfifo(tmp_path / "config.yaml")
    else:
        (tmp_path / "config.yaml").write_text(text)
    assert of_the_run(str(tmp_path / "checkpoints/final.pt")) == {}


def test_a_video_holds_the_first_episode(checkpoint, capsys, tmp_path, monkeypatch):
    frames = iter(range(100))
    monkeypatch.setattr(
        "newt_base.envs.dmcontrol.DMControl.render", lambda self: np.full((8, 8, 3), next(frames), np.uint8)
    )
    status, _ = run(capsys, f"checkpoint={checkpoint}", "episodes=2", "num_envs=1", f"video={tmp_path / 'v.gif'}")
    import imageio

    assert status == 0 and len(imageio.mimread(tmp_path / "v.gif")) == 4 and next(frames) == 4


def test_where_nothing_can_be_drawn_it_is_said(checkpoint, capsys, tmp_path, monkeypatch):
    def fails(self):
        raise RuntimeError("no OpenGL here")

    monkeypatch.setattr("newt_base.envs.dmcontrol.DMControl.render", fails)
    status, shown = run(capsys, f"checkpoint={checkpoint}", "episodes=1", f"video={tmp_path / 'v.gif'}")
    assert status == 2 and "no frame can be drawn for a video: no OpenGL here" in shown.err


def test_a_loaded_agent_plans_from_its_first_evaluation_on(checkpoint, tmp_path):
    sizes = ["latent_dim=16", "mlp_dim=16", "enc_dim=16"]
    for loaded, plans in (([*sizes, "finetune=true", f"checkpoint={checkpoint}"], True), (sizes, False)):
        trainer = build(load_cfg([*SMALL, *loaded, f"out_dir={tmp_path / str(plans)}", "eval_episodes=1"]))
        asked = []
        agent = trainer.agent
        trainer.agent = lambda *a, _agent=agent, _asked=asked, **k: _asked.append(k["mpc"]) or _agent(*a, **k)
        with torch.no_grad():
            trainer.eval()
        trainer.env.close()
        assert set(asked) == {plans}


def test_mujoco_draws_only_when_asked():
    env, _ = mujoco.make_env("mujoco-hopper", render=True)
    assert env.unwrapped.render_mode == "rgb_array"
    env.close()
