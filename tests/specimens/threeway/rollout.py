"""Show what an agent does: a script beside the trainer."""

import torch


@torch.no_grad()
def rollout(env, agent, tasks, steps):
    """The actions of a number of steps, [steps, E, A]."""
    obs, _ = env.reset()
    done = torch.ones(len(obs), dtype=torch.bool)
    actions = []
    for _ in range(steps):
        action, _ = agent(obs, t0=done, task=tasks, eval_mode=True)
        actions.append(action)
        obs, _, terminated, truncated, _ = env.step(action)
        done = terminated | truncated
    return torch.stack(actions)
