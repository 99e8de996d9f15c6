"""Environments: names, sizes, fixed episodes, seeds, batches."""

import math
import multiprocessing
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from newt_base import envs
from newt_base.envs import dmcontrol, mujoco


def settings(**changes):
    """Settings of one task as parse_cfg leaves them, as far as environments read them."""
    values = {
        "task": "cartpole-swingup",
        "seed": 3,
        "action_repeat": None,
        "episode_length": 5,
        "num_envs": 2,
        "env_mode": "sync",
        "env_timeout": 60.0,
        "obs": "state",
        "rank": 0,
        "world_size": 1,
        "num_global_tasks": 1,
        "episodic": False,
    }
    cfg = SimpleNamespace(**(values | changes))
    info = envs.task_info(cfg, cfg.task)
    cfg.global_tasks, cfg.episode_lengths = [cfg.task], [info.episode_length]
    cfg.obs_shape, cfg.action_dim = {"state": (info.obs_dim,)}, info.action_dim
    return cfg


@pytest.mark.parametrize(
    "spelling, name",
    [
        ("walker-walk", "walker-walk"),
        ("walker_walk", "walker-walk"),
        ("cup-catch", "cup-catch"),
        ("ball_in_cup-catch", "cup-catch"),
        ("ball_in_cup_catch", "cup-catch"),
        ("point_mass_easy", "pointmass-easy"),
        ("finger_turn_easy", "finger-turn-easy"),
        ("cartpole-two-poles", "cartpole-two-poles"),
        ("humanoid_CMU-walk", "humanoid_CMU-walk"),
        ("humanoid_CMU_run", "humanoid_CMU-run"),
        ("humanoid-run-pure-state", "humanoid-run-pure-state"),
        ("swimmer-swimmer6", "swimmer-swimmer6"),
        ("lqr_lqr_2_1", "lqr-lqr-2-1"),
        ("mujoco_inverted_pendulum", "mujoco-inverted-pendulum"),
    ],
)
def test_task_names(spelling, name):
    assert envs.task_name(spelling) == name
    assert name in envs.all_tasks()


def test_every_suite_task_has_one_name():
    from dm_control import suite

    assert sorted(dmcontrol.tasks().values()) == sorted(suite.ALL_TASKS)


def test_unknown_task_names_the_nearest():
    with pytest.raises(envs.UnknownTaskError, match="did you mean task=walker-walk") as caught:
        envs.task_name("waker-wlk")
    assert caught.value.suggestions[0] == "walker-walk"


@pytest.mark.parametrize(
    "task, sizes",
    [
        ("walker-walk", (24, 6, 500)),
        ("cup-catch", (8, 2, 500)),
        ("lqr-lqr-2-1", (4, 1, 500)),
        ("dog-run", (223, 38, 500)),
        ("mujoco-halfcheetah", (17, 6, 1000)),
        ("mujoco-reacher", (10, 2, 50)),
        ("mujoco-pusher", (23, 7, 100)),
        ("mujoco-hopper", (11, 3, 500)),
    ],
)
def test_sizes_and_usual_lengths(task, sizes):
    info = envs.task_info(settings(episode_length=None), task)
    assert (info.obs_dim, info.action_dim, info.episode_length) == sizes


def test_length_follows_action_repeat():
    assert envs.task_info(settings(episode_length=None, action_repeat=4), "walker-walk").episode_length == 250
    assert envs.task_info(settings(episode_length=None, action_repeat=3), "walker-walk").episode_length == 334


def test_dmcontrol_equals_the_suite():
    """Two repeats of the scaled action, rewards summed, entries concatenated."""
    from dm_control import suite

    env, _ = dmcontrol.make_env("quadruped-walk", seed=7)
    reference = suite.load("quadruped", "walk", task_kwargs={"random": 7})
    obs, _ = env.reset(seed=11)
    reference.task.random.seed(11)
    step = reference.reset()
    spec, rng = reference.action_spec(), np.random.default_rng(0)
    for _ in range(5):
        np.testing.assert_allclose(obs, np.concatenate([np.ravel(v) for v in step.observation.values()]), rtol=1e-6)
        action = rng.uniform(-1, 1, spec.shape).astype(np.float32)
        obs, reward, *_ = env.step(action)
        scaled = spec.minimum + (action.astype(np.float64) + 1) / 2 * (spec.maximum - spec.minimum)
        expected = 0.0
        for _ in range(2):
            step = reference.step(scaled)
            expected += step.reward
        assert reward == pytest.approx(expected)
    env.close()


def test_physics_go_on_beyond_the_suites_limit():
    env = envs.make_single_env("pendulum-swingup", seed=1, action_repeat=500, episode_length=4)
    obs, _ = env.reset(seed=1)
    seen = [obs]
    for i in range(4):
        obs, _, terminated, truncated, _ = env.step(np.ones(1, np.float32))
        seen.append(obs)
        assert not terminated and truncated == (i == 3)
    physics_time = env.unwrapped._env.physics.data.time
    assert physics_time == pytest.approx(4 * 500 * 0.02)
    env.close()


@pytest.mark.parametrize("task", sorted(mujoco.TASKS))
def test_mujoco_episodes_have_one_length(task):
    with envs.make_env(settings(task=task, episode_length=40, num_envs=1)) as env:
        torch.manual_seed(0)
        env.reset()
        for i in range(40):
            obs, reward, terminated, truncated, info = env.step(env.rand_act())
            assert not terminated.any() and truncated.item() == (i == 39)
            assert obs.isfinite().all() and reward.isfinite().all()
        score = info["final_info"]["score"].item()
        assert math.isnan(score) if mujoco.TASKS[task].score_range is None else 0 <= score <= 1


def test_no_reward_after_a_pendulum_fell():
    env = envs.make_single_env("mujoco-inverted-pendulum", seed=1, action_repeat=None, episode_length=200)
    env.reset(seed=1)
    rewards = [env.step(np.ones(1, np.float32))[1] for _ in range(100)]
    assert rewards[0] == 2 and rewards[-1] == 0
    assert rewards == sorted(rewards, reverse=True)
    env.close()


def rollout(cfg, steps):
    torch.manual_seed(0)
    with envs.make_env(cfg) as env:
        record = [env.reset()[0]]
        for _ in range(steps):
            obs, reward, terminated, truncated, info = env.step(env.rand_act())
            record += [obs, reward, terminated, truncated, info["success"].nan_to_num(-1.0)]
            if "final_info" in info:
                record += [info["final_observation"], info["final_info"]["score"]]
        return record


@pytest.mark.parametrize("task", ["cartpole-swingup", "mujoco-hopper"])
def test_sync_and_async_agree_and_repeat(task):
    first, again, workers = (rollout(settings(task=task, env_mode=mode), 12) for mode in ("sync", "sync", "async"))
    for other in (again, workers):
        assert len(first) == len(other)
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_seeds_tell_environments_and_ranks_apart():
    start = rollout(settings(num_envs=3), 0)[0]
    assert not torch.equal(start[0], start[1])
    shifted = rollout(settings(seed=4, num_envs=2), 0)[0]
    assert torch.equal(start[1:], shifted)
    assert not torch.equal(start, rollout(settings(num_envs=3, rank=1), 0)[0])


def test_environments_share_their_dynamics():
    """lqr draws its springs at random; all environments of a batch must have the same ones."""
    with envs.make_env(settings(task="lqr-lqr-2-1", num_envs=2)) as env:
        models = [single.unwrapped._env.physics.model for single in env._vec.envs]
        assert np.array_equal(models[0].dof_damping, models[1].dof_damping)


def test_batch_at_an_episodes_end():
    with envs.make_env(settings()) as env:
        assert (env.num_envs, env.max_episode_steps) == (2, 5)
        assert env.observation_space.shape == (5,) and env.action_space.shape == (1,)
        obs, info = env.reset()
        assert obs.shape == (2, 5) and obs.dtype == torch.float32 and info["success"].shape == (2,)
        total = torch.zeros(2)
        for _ in range(4):
            obs, reward, terminated, truncated, info = env.step(env.rand_act())
            total += reward
            assert "final_info" not in info and not truncated.any()
        before = obs
        obs, reward, terminated, truncated, info = env.step(env.rand_act())
        total += reward
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (torch.float32, torch.bool, torch.bool)
        assert truncated.all() and not terminated.any()
        assert info["final_observation"].shape == (2, 5)
        assert (info["final_observation"] - before).abs().max() < (obs - before).abs().max()  # obs is a new episode
        assert torch.allclose(info["final_info"]["score"], total / 1000)
        assert info["final_info"]["success"].isnan().all()  # DMControl has no notion of success


def test_environments_that_end_at_different_times():
    from newt_base.envs.wrappers.vectorized import VecEnv

    def make(length):
        return lambda: envs.make_single_env("cartpole-swingup", 1, None, length)

    with VecEnv([make(3), make(2), make(3)], seeds=[1, 2, 3]) as env:
        env.reset()
        env.step(env.rand_act())
        _, _, _, truncated, info = env.step(env.rand_act())
        assert truncated.tolist() == [False, True, False]
        assert info["final_observation"].shape == (1, 5)
        assert info["final_info"]["score"].isnan().tolist() == [True, False, True]


def test_random_actions_come_from_torchs_generator():
    with envs.make_env(settings(num_envs=50)) as env:
        torch.manual_seed(1)
        first = env.rand_act()
        torch.manual_seed(1)
        assert torch.equal(first, env.rand_act())
        assert first.shape == (50, 1) and -1 <= first.min() < -0.5 and 0.5 < first.max() <= 1


def test_actions_that_are_not_finite_are_refused():
    with envs.make_env(settings()) as env:
        env.reset()
        with pytest.raises(ValueError, match=r"environments \[1\]"):
            env.step(torch.tensor([[0.0], [float("nan")]]))


@pytest.mark.filterwarnings("ignore:.*pending call")
@pytest.mark.parametrize("pending", [False, True], ids=["at rest", "within a step"])
def test_close_ends_the_workers(pending):
    env = envs.make_env(settings(env_mode="async"))
    env.reset()
    if pending:
        env._vec.step_async(np.zeros((2, 1), np.float32))
    env.close()
    env.close()
    assert not [process for process in env._vec.processes if process.is_alive()]


def test_a_worker_leaves_signals_to_the_main_process():
    with envs.make_env(settings(env_mode="async")) as env:
        env.reset()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(env._vec.processes[1].pid, number)
        assert env.step(env.rand_act())[0].isfinite().all()


def test_a_killed_worker_is_reported():
    env = envs.make_env(settings(env_mode="async"))
    env.reset()
    env._vec.processes[1].kill()
    env._vec.processes[1].join()
    with pytest.raises(RuntimeError, match=r"the process of environment 1 \(cartpole-swingup\) ended"):
        env.step(env.rand_act())
    env.close()
    assert not [child for child in multiprocessing.active_children() if child in env._vec.processes]


def test_workers_are_ended_after_a_step_that_was_cut_off_right_after_it_was_sent(capfd):
    """Gymnasium takes them for idle then; asked to close, they would answer into a pipe that nobody reads."""
    env = envs.make_env(settings(env_mode="async"))
    env.reset()
    vec = env._vec

    send = vec.step_async

    def cut_off(action):
        idle = vec._state
        send(action)
        vec._state = idle
        raise KeyboardInterrupt

    vec.step_async = cut_off
    with pytest.raises(KeyboardInterrupt):
        env.step(env.rand_act())
    env.close()
    assert {process.exitcode for process in vec.processes} == {-signal.SIGKILL}
    assert "Traceback" not in capfd.readouterr().err
