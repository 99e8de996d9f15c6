"""Environments that go wrong: each ends the run with its name, and comes back to where it was otherwise."""

import os
import time

import gymnasium as gym
import numpy as np
import pytest
import torch

from newt_base import envs, train
from newt_base.config import ConfigError, load_cfg, parse_cfg
from newt_base.envs import EnvironmentFailed
from newt_base.envs.wrappers import vectorized
from newt_base.envs.wrappers.timeout import Timeout
from newt_base.envs.wrappers.vectorized import VecEnv


class Faulty(gym.Env):
    """Observes a random walk; at its third step it does what `fault` says."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, fault=None):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.normal(size=3).astype(np.float32)
        return self.place, {"success": 0.0, "score": 0.0}

    def step(self, action):
        self.t += 1
        self.place = self.place + action[0] + self.np_random.normal(size=3).astype(np.float32) + np.random.rand()
        obs, reward = self.place.astype(np.float32), 1.0
        if self.t == 3 and self.fault is not None:
            obs, reward = self.fault(obs, reward)
        return obs, reward, False, False, {"success": 0.0, "score": 0.0}


def fail(obs, reward):
    raise ZeroDivisionError("by nothing")


def leave(obs, reward):
    raise SystemExit(0)


class GivenUp(BaseException):
    pass


def give_up(obs, reward):
    raise GivenUp("at last")


def hang(obs, reward):
    time.sleep(60)


FAULTS = {
    "raises": (fail, r"raised ZeroDivisionError: by nothing \(test_guard\.py:\d+\), at step 3 of its episode"),
    "nan reward": (lambda obs, reward: (obs, float("nan")), "gave the reward nan, at step 3"),
    "raises what is no Exception": (give_up, r"raised GivenUp: at last \(test_guard\.py:\d+\), at step 3"),
    "leaves": (leave, r"raised SystemExit: 0 \(test_guard\.py:\d+\), at step 3 of its episode"),
    "reward beyond float32": (lambda obs, reward: (obs, 1e39), "gave the reward 1e\\+39, at step 3"),
    "infinite reward": (lambda obs, reward: (obs, -float("inf")), "gave the reward -inf, at step 3"),
    "reward of a shape": (lambda obs, reward: (obs, np.ones(2)), r"gave a reward of shape \(2,\)"),
    "nan": (lambda obs, reward: (obs * [1, np.nan, 1], reward), "gave an observation that is nan in entry 1"),
    "infinite": (lambda obs, reward: (obs / np.float32(0), reward), "gave an observation that is -?inf in entry 0"),
    "shorter": (lambda obs, reward: (obs[:1], reward), r"gave an observation of shape \(1,\), not \(3,\)"),
    "none": (lambda obs, reward: (None, reward), r"gave an observation of shape \(\), not \(3,\)"),
}


def make(fault=None, mode="sync", timeout=None, length=5):
    fns = [lambda: Timeout(Faulty(), length), lambda: Timeout(Faulty(fault), length)]
    return VecEnv(fns, [1, 2], mode, ["environment 0 (calm)", "environment 1 (faulty)"], timeout)


def steps(env, number):
    return [env.step(torch.full((2, 1), 0.1 * k))[0] for k in range(number)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("fault", "words"), FAULTS.values(), ids=FAULTS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_goes_wrong_is_said_with_the_name(fault, words, mode, capfd):
    with make(fault, mode) as env:
        env.reset()
        with pytest.raises(EnvironmentFailed, match=r"^environment 1 \(faulty\) " + words):
            steps(env, 3)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_that_hangs_is_given_up_after_the_time_out(mode):
    with make(hang, mode, timeout=0.5) as env:
        env.reset()
        with pytest.raises(EnvironmentFailed, match=r"^environment 1 \(faulty\) did not answer within env_timeout=0.5"):
            steps(env, 3)
    if mode == "async":
        assert not [process for process in env._vec.processes if process.is_alive()]


def test_one_that_cannot_be_made():
    with pytest.raises(EnvironmentFailed, match=r"environment 0 cannot be made: ZeroDivisionError"):
        VecEnv([lambda: 1 / 0], [1], "sync")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_that_is_not_made_in_time(mode):
    with pytest.raises(EnvironmentFailed, match=r"^environment 0 was not made within env_timeout=0.2 seconds"):
        VecEnv([lambda: time.sleep(60)], [1], mode, timeout=0.2)


def test_its_sizes_are_not_waited_for_longer(monkeypatch):
    monkeypatch.setattr(envs, "make_single_env", lambda *_: time.sleep(60))
    with pytest.raises(ConfigError, match=r"task=cup-catch was not made within env_timeout=0.2 seconds"):
        parse_cfg(load_cfg(["task=cup-catch", "env_timeout=0.2"]))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_that_cannot_be_closed_is_named(mode, monkeypatch, capfd):
    monkeypatch.setattr(Faulty, "close", lambda self: 1 / 0)
    with make(mode=mode) as env:
        env.reset()
    said = capfd.readouterr().err
    assert "Closing an environment failed: environment 1 (faulty) raised ZeroDivisionError" in said
    assert "Traceback" not in said


def test_a_worker_that_died_is_not_asked_to_close_again():
    env = make(lambda obs, reward: os._exit(1), "async")
    env.reset()
    with pytest.raises(EnvironmentFailed, match="the process of environment 1"):
        steps(env, 3)
    env.close()
    env._vec.__del__()  # raises where it tries again


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("before", [0, 3, 5, 7], ids=["after a reset", "within", "at the end", "in the second episode"])
def test_a_restored_environment_goes_on_as_the_other_one(mode, before):
    np.random.seed(0)
    with make(mode=mode) as env, make(mode=mode) as other:
        env.reset()
        steps(env, before)
        states = env.states()
        other.restore(states)
        there = [*steps(other, 8), other.reset()[0]]
        env.restore(states)
        here = [*steps(env, 8), env.reset()[0]]
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b)


class Twisted(Faulty):
    """Draws from a generator of another kind than Gymnasium's own."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.np_random = np.random.Generator(np.random.MT19937(seed))
        return super().reset(options=options)


class Old(Twisted):
    """Draws from what NumPy had before generators; where that is nobody can tell."""

    def reset(self, *, seed=None, options=None):
        found = super().reset(seed=seed)
        self.np_random = np.random.RandomState(seed)
        return found


def test_other_generators_than_gymnasiums_own():
    envs = [VecEnv([lambda: Timeout(Twisted(), 5)], [1], "sync") for _ in range(2)]
    for env in envs:
        env.reset()
    envs[0].step(torch.zeros(1, 1))
    states, found = envs[0].states(), []
    for env in reversed(envs):
        env.restore(states)
        found.append(env.step(torch.zeros(1, 1))[0])
    assert torch.equal(*found)
    with VecEnv([lambda: Timeout(Old(), 5)], [1], "sync") as env:
        env.reset()
        env.step(torch.zeros(1, 1))
        assert env.states()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_attribute_of_any_name_is_the_environments_own(mode):
    def made():
        env = Timeout(Faulty(), 5)
        env.unwrapped.random_stream = np.random.default_rng(0)
        return env

    with VecEnv([made], [1], mode) as env:
        env.reset()
        env.restore(env.states())


def test_coming_back_to_a_late_step_may_take_as_long_as_the_steps_do(monkeypatch):
    with make(mode="async", timeout=2.0) as env:
        env.reset()
        steps(env, 4)
        states, waited = env.states(), []
        wait = env._vec.call_wait
        monkeypatch.setattr(env._vec, "call_wait", lambda timeout: waited.append(timeout) or wait(timeout=timeout))
        env.restore(states)
    assert waited == [5 * 2.0]


# ------------------------------------------------------------------- whole runs


@pytest.mark.parametrize(("fault", "words"), [FAULTS["raises"], FAULTS["infinite reward"]], ids=["raises", "infinite"])
def test_a_run_ends_with_name_step_and_checkpoint(fault, words, tmp_path, monkeypatch, capsys):
    quick = ["task=cartpole-swingup", "preset=cpu", "num_envs=2", "episode_length=4", "eval_freq=8", "batch_size=8"]
    quick += ["num_samples=8", "num_elites=4", "num_pi_trajs=2", "iterations=1", "enc_dim=16", "mlp_dim=16", "utd=0.1"]
    quick += ["latent_dim=16", "plot=false", "random_baseline=false", "save_buffer=true"]
    monkeypatch.chdir(tmp_path)
    guarded, count = vectorized.Guard, [0]

    class Broken(gym.Wrapper):
        def step(self, action):
            obs, reward, *rest = super().step(action)
            count[0] += 1
            return (*fault(obs, reward), *rest) if count[0] == 31 else (obs, reward, *rest)

    monkeypatch.setattr(vectorized, "Guard", lambda env, *which: guarded(Broken(env), *which))
    assert train.main([*quick, "steps=80"]) == 1
    said = capsys.readouterr().err
    assert "Training ended at step 14: environment 0 (cartpole-swingup)" in said and "Traceback" not in said
    assert f"Last checkpoint: {tmp_path}/logs/cartpole-swingup/1/default/checkpoints/14.pt" in said
    assert train.main([*quick, "steps=24", "resume=true"]) == 0, "with new episodes"
