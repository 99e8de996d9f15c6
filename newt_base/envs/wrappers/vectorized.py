"""Many environments behind one batch of tensors."""

import contextlib
import multiprocessing
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Sequence

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from ...common.interrupt import ENDING
from ...common.settings import ConfigError
from ...common.video import Video
from .guard import EnvironmentFailed, Guard, Late, has_begun, steps_of, time_limit

SILENT = 50  # a level above all of gymnasium's
CLOSE_TIMEOUT = 5.0  # seconds that workers get to finish a pending step before they are ended


class VecEnv:
    """N environments of equal widths, stepped together, as torch tensors on the CPU; their lengths may differ.

    An environment whose episode ends starts its next one within the same step: `obs` is then the new episode's first
    observation, and `info` has

    - `final_observation` [D, O]: the last observations of the D finished environments, in their order;
    - `final_info`: `success` [N] and `score` [N] of the finished episodes, NaN for the environments still running.

    `info["success"]` [N] is there at every step. `async` runs each environment in a process of its own, `sync` all
    of them in this one; both give the same numbers.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gym.Env]],
        seeds: Sequence[int],
        mode: str = "sync",
        names: Sequence[str] = (),
        timeout: Optional[float] = None,
    ):
        if len(env_fns) != len(seeds):
            raise ValueError(f"{len(env_fns)} environments but {len(seeds)} seeds")
        self._names = names or [f"environment {i}" for i in range(len(env_fns))]
        self._timeout = timeout
        limits = timeout, timeout if mode == "sync" else None  # workers are waited for
        env_fns = [
            partial(_guarded, fn, name, i, *limits)
            for i, (fn, name) in enumerate(zip(env_fns, self._names, strict=True))
        ]
        if mode == "async":
            workers = [_in_worker(fn) for fn in env_fns]
            self._vec = AsyncVectorEnv(workers, autoreset_mode=AutoresetMode.SAME_STEP)
        else:
            self._vec = SyncVectorEnv(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        self._seeds: Optional[list[int]] = list(seeds)
        self._closed = False
        self._video: Optional[Video] = None
        self._busy = False  # a reset or a step has begun and is not over
        self.num_envs = len(env_fns)
        self.observation_space = self._vec.single_observation_space
        self.action_space = self._vec.single_action_space
        self.max_episode_steps = max(self._call("max_episode_steps"))

    def _call(self, name: str, *args) -> tuple:
        return self._answer("call", name, *args)

    def _answer(self, method: str, *args, steps: int = 1, **kwargs):
        """What all environments answer to a method of the batch that takes them so many steps.

        Raises EnvironmentFailed.
        """
        if isinstance(self._vec, SyncVectorEnv):
            return getattr(self._vec, method)(*args, **kwargs)
        self._busy = True
        timeout = None if self._timeout is None else steps * self._timeout
        level, gym.logger.min_level = gym.logger.min_level, SILENT  # what is wrong is said once
        try:
            getattr(self._vec, f"{method}_async")(*args, **kwargs)
            found = getattr(self._vec, f"{method}_wait")(timeout=timeout)
        except multiprocessing.TimeoutError as error:
            late = [name for name, pipe in zip(self._names, self._vec.parent_pipes, strict=True) if not pipe.poll()]
            problem = f"{' and '.join(late)} did not answer within env_timeout={self._timeout:g} seconds"
            raise EnvironmentFailed(problem) from error
        except (EOFError, ConnectionError) as error:
            raise EnvironmentFailed(f"the process of {self._ended()} ended (killed, or out of memory?)") from error
        finally:
            gym.logger.min_level = level
        self._busy = False
        return found

    def _ended(self) -> str:
        """The environments whose processes are gone."""
        for process in self._vec.processes:
            process.join(0.1)
        ended = [n for n, process in zip(self._names, self._vec.processes, strict=True) if not process.is_alive()]
        return " and ".join(ended) or "an environment"

    def states(self) -> list[str]:
        """The state of every environment, as text."""
        return list(self._call("state"))

    def restore(self, states: Sequence[str]) -> None:
        """Come to where environments were whose `states` these are; the next reset goes on with their streams.

        It seeds them as ever where they had not been reset.
        """
        if any(map(has_begun, states)):
            self._seeds = None
        self._answer("call", "restore", list(states), steps=1 + max(map(steps_of, states)))

    def rand_act(self) -> torch.Tensor:
        """Uniform actions [N, A] in [-1, 1], drawn from torch's global generator."""
        return torch.rand(self.num_envs, *self.action_space.shape) * 2 - 1

    def reset(self, seed: int | Sequence[int] | None = None) -> tuple[torch.Tensor, dict]:
        """Start new episodes everywhere.

        The first call seeds the environments, later ones go on with their random streams; `seed` seeds them anew with
        seed, seed + 1, and so on, or each with its own.
        """
        seeds = (
            self._seeds
            if seed is None
            else [seed + i for i in range(self.num_envs)]
            if isinstance(seed, int)
            else list(seed)
        )
        self._seeds = None
        obs, info = self._answer("reset", seed=seeds)
        if self._video is not None:
            self._video.begin()
        return _float(obs), {"success": _float(info["success"])}

    def step(self, action: torch.Tensor):
        """Step all environments with `action` [N, A] in [-1, 1]."""
        if not torch.isfinite(action).all():
            rows = (~torch.isfinite(action)).any(-1).nonzero().flatten().tolist()
            raise ValueError(f"actions that are not finite, in environments {rows}")
        obs, reward, terminated, truncated, info = self._answer("step", action.detach().cpu().numpy())
        done = terminated | truncated
        if self._video is not None:
            self._video.step(bool(done[0]))
        return (
            _float(obs),
            _float(reward),
            torch.from_numpy(terminated.copy()),
            torch.from_numpy(truncated.copy()),
            _tensor_info(info, done),
        )

    def record(self, path: Optional[Path]) -> None:
        """Write the first environment's first episode after the next reset to a video. None: go on without.

        Raises ConfigError where no video can be written there.
        """
        self._video = Video(path, self._render) if path is not None else None

    def _render(self) -> np.ndarray:
        return self._vec.envs[0].render() if isinstance(self._vec, SyncVectorEnv) else self._call("render")[0]

    def close(self) -> None:
        """Close all environments and end their processes; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if isinstance(self._vec, SyncVectorEnv):
            self._vec.close()
            return
        if not self._busy:  # after a step that was cut off, its answers are still in the pipes
            with contextlib.suppress(OSError, EOFError, AttributeError):
                self._vec.close(timeout=CLOSE_TIMEOUT)
                return
        self._end_processes()
        self._vec.closed = True  # so that Gymnasium does not try it again when the interpreter ends

    def _end_processes(self) -> None:
        for process in self._vec.processes:
            if process.is_alive():
                process.kill()
            process.join(CLOSE_TIMEOUT)

    def __enter__(self) -> "VecEnv":
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def _float(array) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _tensor_info(info: dict, done: np.ndarray) -> dict:
    """Gymnasium's info of a batch as the trainer reads it; `done` [N] marks the finished environments."""
    success = np.array(info["success"], dtype=np.float32)
    if not done.any():
        return {"success": _float(success)}
    final = {key: np.where(done, info["final_info"][key], np.nan) for key in ("success", "score")}
    success[done] = final["success"][done]
    return {
        "success": _float(success),
        "final_observation": _float(np.stack([obs for obs in info["final_obs"] if obs is not None])),
        "final_info": {key: _float(values) for key, values in final.items()},
    }


def _guarded(
    make: Callable[[], gym.Env], name: str, number: int, making: Optional[float], timeout: Optional[float]
) -> gym.Env:
    try:
        with time_limit(making):
            env = make()
    except Late as error:
        raise EnvironmentFailed(f"{name} was not made within env_timeout={making:g} seconds") from error
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise EnvironmentFailed(f"{name} cannot be made: {type(error).__name__}: {error}") from error
    return Guard(env, name, number, timeout)


def _in_worker(make: Callable[[], gym.Env]) -> Callable[[], gym.Env]:
    """`make`, run in a worker that leaves signals to the main process and never outlives it."""

    def start() -> gym.Env:
        parent = multiprocessing.parent_process()
        if parent is not None:
            for number in ENDING:  # the main process ends in its own time, and its workers with it
                signal.signal(number, signal.SIG_IGN)
            threading.Thread(target=_follow, args=(parent,), daemon=True).start()
        return make()

    return start


def _follow(parent) -> None:
    parent.join()
    os._exit(1)
