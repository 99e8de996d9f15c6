"""Common widths for tasks that share one agent."""

import gymnasium as gym
import numpy as np


class Pad(gym.Wrapper):
    """Pads observations with zeros to `obs_dim` entries; takes actions of `action_dim` entries and uses the first."""

    def __init__(self, env: gym.Env, obs_dim: int, action_dim: int):
        super().__init__(env)
        self._missing = obs_dim - env.observation_space.shape[0]
        self._used = env.action_space.shape[0]
        if self._missing < 0 or self._used > action_dim:
            sizes = f"{env.observation_space.shape[0]} observations and {self._used} actions"
            raise ValueError(f"an environment with {sizes} does not fit into {obs_dim} and {action_dim}")
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (obs_dim,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (action_dim,), np.float32)

    def _pad(self, obs: np.ndarray) -> np.ndarray:
        return np.pad(obs, (0, self._missing))

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        return self._pad(obs), info

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action[: self._used])
        return self._pad(obs), reward, terminated, truncated, info
