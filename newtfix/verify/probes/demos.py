"""Batches that come in half from demonstrations, which have no statistics of their own."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from tensordict import TensorDict

from newtfix.verify.batches import carries, keys, observations
from newtfix.verify.fakes import Taken, Transition
from newtfix.verify.observation import Observation, judged, unseen
from newtfix.verify.runs import Run, go, prepare
from newtfix.verify.subject import ACTION_DIM, BATCH, TRUE_ACTION_DIM, Subject, buffer_arguments, derived, make, words
from newtfix.verify.updates import FILLING, Rig, filled

_SOURCE = 99  # stands where an environment's number stands in other rows
_LENGTH, _COUNT = 9, 6
_WHAT = "statistics that the policy's turn is given of a batch that is half demonstrations"


def demos(subject: Subject) -> list[Observation]:
    """In a tree that mixes demonstrations into its batches."""
    cls = getattr(subject.module("buffer"), "EnsembleBuffer", None)
    if cls is None:
        return []
    example = filled(subject).example
    made = prepare(subject, **FILLING, make_buffer=lambda cfg, own: _both(subject, cls, cfg, own, example))
    _tell(made, example)
    try:
        go(made)
        rig = Rig(subject, made=made)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        return [judged("planner-stats", _WHAT, "a batch", words(error, subject.root))]
    from_demos = sum(key[0] == _SOURCE for key in keys(observations(rig.batch))[0])
    expected = f"mu = action and std = {math.exp(float(rig.cfg.log_std_max)):.4g} of demonstrations, else as stored"
    if not 0 < from_demos < observations(rig.batch).shape[1]:
        return [unseen("planner-stats", f"{from_demos} of its slices come from demonstrations", _WHAT, expected)]
    calls = rig.update().calls
    answered = any(one.mu is not None and one.std is not None for one in made.env.acted)
    seen = [name for name in ("mu", "std") if answered and any(carries(given, rig.wanted(name)) for _, given in calls)]
    found = expected if len(seen) == 2 else ", ".join(f"{name} only" for name in seen) or "none of that"
    return [judged("planner-stats", _WHAT, expected, found, *([] if answered else [found]))]


def _both(subject: Subject, cls: Any, cfg: Any, overrides: Any, example: Any) -> Any:
    """A buffer of both kinds, with its demonstrations."""
    known = buffer_arguments(cfg)
    offline = make(subject.cls("buffer"), {**known, "batch_size": BATCH // 2})
    _load(offline, cfg, example)
    parameters = inspect.signature(cls).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        own = inspect.signature(subject.cls("buffer")).parameters
        both = derived(cls, overrides)(offline, **{name: known[name] for name in own if name in known})
    else:
        both = make(derived(cls, overrides), {**known, "offline_buffer": offline, "offline": offline})
    if hasattr(both, "load_demos"):  # as newt does: its online half begins with them
        _load(both, cfg, example)
    return both


def _load(buffer: Any, cfg: Any, example: Any) -> None:
    """Fill a buffer by its own method, or with episodes whose statistics are already what they should count as."""
    rows = _rows(example)
    if hasattr(buffer, "load_demos"):
        buffer.load_demos(rows)
        return
    rows["mu"], rows["std"] = rows["action"].clone(), torch.full_like(rows["action"], float(cfg.log_std_max)).exp()
    for episode in rows.exclude("episode").split(_LENGTH):
        type(buffer).add(buffer, episode.unsqueeze(0))


def _rows(example: Any) -> TensorDict:
    """Rows of episodes without statistics, one after the other, with all else that the tree's own, [1, T], have."""
    size = _LENGTH * _COUNT
    generator = torch.Generator().manual_seed(11)
    action = torch.rand(size, ACTION_DIM, generator=generator) * 2 - 1
    action[:, TRUE_ACTION_DIM:] = 0.0
    episode = torch.arange(_COUNT).repeat_interleave(_LENGTH)
    steps = torch.arange(_LENGTH).repeat(_COUNT)
    own = example.reshape(-1)[:1]
    rows = {name: torch.zeros_like(own[name]).repeat(size, *[1] * (own[name].ndim - 1)) for name in own.keys()}  # noqa: SIM118
    rows |= {
        "obs": torch.stack([torch.full((size,), _SOURCE), episode, steps], dim=1).float(),
        "action": action,
        "reward": torch.rand(size, generator=generator),
    }
    kept = {name: value for name, value in rows.items() if name not in ("mu", "std")}
    return TensorDict({**kept, "episode": episode}, batch_size=(size,))


def _tell(made: Run, example: Any) -> None:
    """Let the environment know of the demonstrations' transitions, so that batches can be looked up there."""
    rows = _rows(example)
    taken = Taken(rows["action"], rows["reward"], 0, by_agent=False, evaluation=True, mu=None, std=None)
    for index, (_, episode, t) in enumerate(rows["obs"].long().tolist()):
        if t > 0:
            made.env.transitions[_SOURCE, episode, t] = Transition(taken, index)
