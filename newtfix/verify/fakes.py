"""What stands around a tree's trainer: environments whose every transition is known, and a logger that keeps it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from newtfix.parity.standin import Anything

OBS_DIM = 3
# Rewards are numbers that single precision holds exactly, each of them once.
REWARD_STEP = 2.0**-10

Key = tuple[int, int, int]


@dataclass(frozen=True)
class Taken:
    """One step of all N environments, and how it came about.

    `step` is the trainer's counter when the action was asked for; `by_agent`: the agent chose it; `mu` and `std` are
    the agent's statistics, where it gave some; `evaluation`: it belongs to no episode that is trained on.
    """

    action: Tensor
    reward: Tensor
    step: int
    by_agent: bool
    evaluation: bool
    mu: Tensor | None
    std: Tensor | None


@dataclass(frozen=True, slots=True)
class Transition:
    """What led to one observation of one environment."""

    taken: Taken
    index: int

    def value(self, name: str) -> Tensor | None:
        """This environment's part of `action`, `reward`, `mu` or `std`."""
        found = getattr(self.taken, name)
        return None if found is None else found[self.index]

    @property
    def step(self) -> int:
        return self.taken.step

    @property
    def by_agent(self) -> bool:
        return self.taken.by_agent

    @property
    def evaluation(self) -> bool:
        return self.taken.evaluation


@dataclass
class Acted:
    """An action [N, A] that the agent chose, with its statistics if it gave some; `mpc` says whether it planned."""

    step: int
    action: Tensor
    mu: Tensor | None
    std: Tensor | None
    mpc: bool | None
    eval_mode: bool
    obs: Tensor | None = None


class Env:
    """N episodes side by side, of fixed lengths.

    Observations are (environment, episode of that environment, steps into the episode).
    """

    def __init__(self, lengths: Sequence[int], action_dim: int, tell_step: Any) -> None:
        self.lengths, self.action_dim = torch.tensor(lengths), action_dim
        self.num_envs, self.max_episode_steps = len(lengths), max(lengths)
        self.episode = torch.zeros(self.num_envs)
        self.t = torch.zeros(self.num_envs)
        self.transitions: dict[Key, Transition] = {}
        self.resets = 0
        self.acted: list[Acted] = []
        self._pending: Acted | None = None
        self._step = tell_step
        self._generator = torch.Generator().manual_seed(1)

    def observe(self) -> Tensor:
        return torch.stack([torch.arange(self.num_envs).float(), self.episode, self.t], dim=1)

    def rand_act(self) -> Tensor:
        return torch.rand(self.num_envs, self.action_dim, generator=self._generator) * 2 - 1

    def render(self, *args: Any, **kwargs: Any) -> Tensor:
        return torch.zeros(3, 2, 2, dtype=torch.uint8)

    def close(self) -> None:
        pass

    def note(self, acted: Acted) -> None:
        """The agent has chosen actions, which are perhaps taken next."""
        self.acted.append(acted)
        self._pending = acted

    def reset(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Any]]:
        self.resets += 1
        self.episode += 1
        self.t.zero_()
        return self.observe(), {}

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.t += 1
        first = len(self.transitions)
        reward = torch.arange(first, first + self.num_envs) * REWARD_STEP
        self._keep(torch.as_tensor(action).detach().cpu().float().clone(), reward)
        truncated = self.t >= self.lengths
        info: dict[str, Any] = {}
        if truncated.any():
            info["final_observation"] = self.observe()[truncated]
            info["final_info"] = FinalInfo({name: torch.zeros(self.num_envs) for name in ("success", "score")})
            self.episode += truncated
            self.t[truncated] = 0
        return self.observe(), reward, torch.zeros_like(truncated), truncated, info

    def _keep(self, action: Tensor, reward: Tensor) -> None:
        by, self._pending = self._pending, None
        if by is not None and not (by.action.shape == action.shape and torch.equal(by.action, action)):
            by = None
        taken = Taken(
            action=action,
            reward=reward,
            step=int(self._step()),
            by_agent=by is not None,
            evaluation=by is not None and by.eval_mode,
            mu=by.mu if by else None,
            std=by.std if by else None,
        )
        for index, key in enumerate(keys_of(self.observe())):
            self.transitions[key] = Transition(taken, index)

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


def keys_of(obs: Tensor) -> list[Key]:
    """Environment, episode and step of observations [..., 3] or wider, all in one list."""
    rows = obs.reshape(-1, obs.shape[-1])[:, :OBS_DIM].round().long().tolist()
    return [(row[0], row[1], row[2]) for row in rows]


class FinalInfo(dict[Any, Any]):
    """By name for all environments, as upstream has it; by number for one of them, as gymnasium has it."""

    def __missing__(self, index: Any) -> dict[str, Any]:
        if not isinstance(index, int):
            raise KeyError(index)
        return {name: values[index] for name, values in self.items()}


@dataclass
class Log:
    """A logger that keeps the lines, and takes whatever else it is asked for without doing anything."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def log(self, metrics: Any, category: str = "train", *args: Any, **kwargs: Any) -> None:
        self.lines.append((category, dict(metrics)))

    def save_agent(self, *args: Any, **kwargs: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


class Metrics(dict[str, Any]):
    """What an update reports: 1 under any name."""

    def __missing__(self, name: str) -> Tensor:
        return torch.ones(())
