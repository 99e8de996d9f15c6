"""Episodes of one fixed length."""

import gymnasium as gym


class Timeout(gym.Wrapper):
    """Ends an episode after exactly `max_episode_steps` agent steps, and for no other reason.

    The trainer stores whole episodes of one length and bootstraps from their last state, so the end is always a
    truncation; what the simulator says about being done is dropped here.
    """

    def __init__(self, env: gym.Env, max_episode_steps: int):
        super().__init__(env)
        if max_episode_steps < 1:
            raise ValueError(f"an episode needs at least 1 step, got {max_episode_steps}")
        self.max_episode_steps = max_episode_steps
        self._elapsed = 0

    def reset(self, **kwargs):
        self._elapsed = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        obs, reward, _, _, info = self.env.step(action)
        self._elapsed += 1
        return obs, reward, False, self._elapsed >= self.max_episode_steps, info
