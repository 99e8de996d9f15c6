"""Record an agent's episodes: a script beside the trainer."""

import torch


@torch.no_grad()
def record(env, agent, tasks, steps):
    """Observations and actions of a number of steps."""
    obs, _ = env.reset()
    done = torch.ones(len(obs), dtype=torch.bool)
    frames = []
    for _ in range(steps):
        action = agent(obs, t0=done, task=tasks, eval_mode=True)
        frames.append((obs, action.clamp(-1, 1)))
        obs, _, terminated, truncated, _ = env.step(action)
        done = terminated | truncated
    return frames
