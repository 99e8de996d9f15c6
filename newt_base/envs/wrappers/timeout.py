"""Episodes with a time limit."""

import gymnasium as gym


class Timeout(gym.Wrapper):
    """Ends an episode after `max_episode_steps` agent steps, by truncation: learning bootstraps from its last state.

    With `episodic` an episode may also end before, by termination or truncation; otherwise every episode has exactly
    that length, and what the simulator says about being done is dropped here.
    """

    def __init__(self, env: gym.Env, max_episode_steps: int, episodic: bool = False):
        super().__init__(env)
        if max_episode_steps < 1:
            raise ValueError(f"an episode needs at least 1 step, got {max_episode_steps}")
        self.max_episode_steps = max_episode_steps
        self._episodic = episodic
        self._elapsed = 0

    def reset(self, **kwargs):
        self._elapsed = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._elapsed += 1
        timeout = self._elapsed >= self.max_episode_steps
        if not self._episodic:
            return obs, reward, False, timeout, info
        return obs, reward, terminated, truncated or (timeout and not terminated), info
