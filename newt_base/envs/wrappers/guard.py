"""What one environment owes: observations and rewards that can be learned from, and a state to come back to."""

import contextlib
import json
import random
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Optional

import gymnasium as gym
import numpy as np

from ..dmcontrol import DMControl


class EnvironmentFailed(RuntimeError):
    """An environment raised, ended, did not answer, or gave what cannot be learned from; says which and how."""


class Late(BaseException):
    """Time is up; not an Exception, so that an environment that catches those is given up as well."""


class Guard(gym.Wrapper):
    """Names an environment in whatever goes wrong with it, and remembers how it came to where it is.

    Its state is what its random streams were before the last reset, and the actions since then: starting again from
    there gives the same episode, in any environment that draws from `np_random`, NumPy or Python. With a `timeout`,
    in seconds, a step or a reset that takes longer is given up, in the main thread, where it runs Python code.
    """

    def __init__(self, env: gym.Env, name: str, number: int = 0, timeout: Optional[float] = None):
        super().__init__(env)
        self._name, self._number, self._timeout = name, number, timeout
        self._before: dict = {}
        self._options: dict = {}
        self._actions: list[np.ndarray] = []

    def reset(self, **kwargs):
        self._before, self._options, self._actions = self._random(), kwargs, []
        obs, info = self._tried(self.env.reset, **kwargs)
        self._check_obs(obs)
        return obs, info

    def step(self, action):
        self._actions.append(np.array(action, dtype=np.float32))
        obs, reward, terminated, truncated, info = self._tried(self.env.step, action)
        self._check_obs(obs)
        with np.errstate(over="ignore"):
            is_number = np.ndim(reward) == 0 and np.isfinite(np.float32(reward))
        if not is_number:
            what = f"a reward of shape {np.shape(reward)}" if np.ndim(reward) > 0 else f"the reward {reward}"
            raise self._failure(f"gave {what}")
        return obs, reward, terminated, truncated, info

    def close(self):
        """Close the environment. What goes wrong is said, and no more: nothing is lost with it."""
        try:
            self._tried(self.env.close)
        except EnvironmentFailed as error:
            sys.stderr.write(f"Closing an environment failed: {error}.\n")

    # ---------------------------------------------------------------- faults

    def _tried(self, method, *args, **kwargs):
        try:
            with time_limit(self._timeout):
                return method(*args, **kwargs)
        except Late as error:
            problem = f"{self._name} did not answer within env_timeout={self._timeout:g} seconds"
            raise EnvironmentFailed(problem) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            raise self._failure(f"raised {type(error).__name__}: {error} ({where})") from error

    def _check_obs(self, obs):
        shape = self.observation_space.shape
        if np.shape(obs) != shape:
            raise self._failure(f"gave an observation of shape {np.shape(obs)}, not {shape}")
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(obs, dtype=np.float32))
        if not finite.all():
            entry = int(np.flatnonzero(~finite)[0])
            raise self._failure(f"gave an observation that is {obs.flat[entry]} in entry {entry}")

    def _failure(self, what):
        when = f"step {len(self._actions)} of its episode" if self._actions else "the start of an episode"
        return EnvironmentFailed(f"{self._name} {what}, at {when}")

    # ----------------------------------------------------------------- state

    def state(self) -> str:
        """How to come to where the environment is, as text."""
        actions = [action.tolist() for action in self._actions]
        return json.dumps({"before": self._before, "options": self._options, "actions": actions})

    def restore(self, states: list[str]) -> None:
        """Come to where the environment of this number was; `states` are those of all."""
        state = json.loads(states[self._number])
        if not state["before"]:  # it was never reset
            return
        self._set_random(state["before"])
        self.reset(**state["options"])
        for action in state["actions"]:
            self.step(np.array(action, dtype=np.float32))

    def _random(self) -> dict:
        kind, keys, *rest = np.random.get_state()
        return {"own": _own_random(self.unwrapped), "numpy": [kind, keys.tolist(), *rest], "python": random.getstate()}

    def _set_random(self, state: dict) -> None:
        if isinstance(self.unwrapped, DMControl):
            self.unwrapped.random_stream = state["own"]
        elif state["own"] is not None:
            self.unwrapped.np_random.bit_generator.state = _with_arrays(state["own"])
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))


@contextlib.contextmanager
def time_limit(seconds: Optional[float]):
    """While entered, Late is raised after so many seconds; None, another thread, or a system without: no limit."""
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _own_random(env):
    """The state of an environment's own stream in types that JSON has; None where it has none that is known."""
    if isinstance(env, DMControl):
        return env.random_stream
    own = getattr(env, "_np_random", None)
    return _with_lists(own.bit_generator.state) if isinstance(own, np.random.Generator) else None


def _with_lists(state):
    if isinstance(state, dict):
        return {name: _with_lists(part) for name, part in state.items()}
    return {"array": state.tolist(), "dtype": str(state.dtype)} if isinstance(state, np.ndarray) else state


def _with_arrays(state):
    if isinstance(state, dict) and state.keys() == {"array", "dtype"}:
        return np.array(state["array"], dtype=state["dtype"])
    return {name: _with_arrays(part) for name, part in state.items()} if isinstance(state, dict) else state


def has_begun(state: str) -> bool:
    """Whether the environment with this state had been reset."""
    return bool(json.loads(state)["before"])


def steps_of(state: str) -> int:
    """How many steps an environment takes to come to a state."""
    return len(json.loads(state)["actions"])
