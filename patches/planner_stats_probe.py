"""The planner's statistics, from the agent's answer by way of trainer and buffer to the policy's loss."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from newtfix.model import Observation, Unobservable, judged, unseen
from newtfix.verify.answers import parts_of
from newtfix.verify.asking import ask, own_call
from newtfix.verify.batches import carries, keys, observations
from newtfix.verify.callers import Caller, calls_of_agents
from newtfix.verify.choices import choices
from newtfix.verify.fakes import Taken, Transition
from newtfix.verify.runs import Run, go, prepare
from newtfix.verify.subject import (
    ACTION_DIM,
    BATCH,
    TRUE_ACTION_DIM,
    Subject,
    buffer_arguments,
    derived,
    make,
    randomise,
    seed,
    words,
)
from newtfix.verify.updates import FILLING, LENGTHS, Rig, Update, filled

_STEP = 10**6
_SOURCE = 99  # stands where an environment's number stands in other rows
_LENGTH, _COUNT = 9, 6
_WHAT = "statistics that the policy's turn is given of a batch that is half demonstrations"


def probe_answers(subject: Subject) -> list[Observation]:
    """What the agent answers to the trainer's own call, planning."""
    call = own_call(subject)
    agent = _agent(subject)
    explore, settle = (parts_of(ask(agent, call, eval_mode=mode)) for mode in (False, True))
    what = "the agent's answer to the trainer"
    if not {"mu", "std"} <= explore.keys():
        seen = ", ".join(name for name in ("action", "mu", "std") if name in explore)
        return [judged(what, "action, mu, std", seen, "action")]
    return [judged(what, "action, mu, std", "action, mu, std"), *_meaning(agent, explore, settle)]


def _meaning(agent: Any, explore: dict[str, Tensor], settle: dict[str, Tensor]) -> list[Observation]:
    """mu is the action before exploration noise, std the planner's, for the same plan with and without noise."""
    cfg = agent.cfg
    near = torch.allclose(explore["mu"], settle["mu"], atol=1e-5) and torch.allclose(
        settle["mu"].clamp(-1, 1), settle["action"], atol=1e-5
    )
    noisy = not torch.allclose(explore["action"], explore["mu"], atol=1e-4)
    what, expected = "mu of a plan", "the action before exploration noise"
    found = [judged(what, expected, expected if near and noisy else "something else")]
    std = explore["std"][..., :TRUE_ACTION_DIM]
    low, high = float(cfg.min_std), float(cfg.max_std)
    inside = bool((std >= low - 1e-6).all() and (std <= high + 1e-6).all())
    expected = f"within min_std={low:g} and max_std={high:g}"
    seen = expected if inside else f"{float(std.min()):.3g} to {float(std.max()):.3g}"
    return [*found, judged("std of a plan", expected, seen)]


def _agent(subject: Subject) -> Any:
    seed(9)
    agent = subject.agent(subject.config(LENGTHS))
    randomise(agent.model)
    agent.model.eval()
    return agent


def probe_callers(subject: Subject) -> list[Observation]:
    """Calls of an agent in other files than the trainer's: whether they still get what they take."""
    agent = _agent(subject)
    return [found for one in calls_of_agents(subject) if (found := _caller(agent, one, subject))]


def _caller(agent: Any, one: Caller, subject: Subject) -> Observation | None:
    """What a call gets; nothing where it fails inside the planner, whatever that would answer."""
    what = f"what {one.place} gets from the agent"
    expected = "the action alone" if one.takes == 1 else f"{one.takes} values"
    method = "forward" if one.method == "__call__" else one.method
    if not hasattr(agent, method):  # it is another agent that is asked so
        return None
    parameters = inspect.signature(getattr(type(agent), method)).parameters
    known = {
        "obs": torch.zeros(len(LENGTHS), 3),
        "t0": torch.ones(len(LENGTHS), dtype=torch.bool),
        "step": _STEP,
        "task": torch.zeros(len(LENGTHS), dtype=torch.int32),
        "eval_mode": False,
        "mpc": True,
        **one.constants,
    }
    if unknown := [name for name in one.names if name not in known or name not in parameters]:
        return unseen(f"it passes {', '.join(unknown)}, which is not known here", what, expected)
    try:
        answer = ask(agent, (one.method, {name: known[name] for name in one.names}))
    except Exception as error:
        if "task" in parameters and "task" not in one.names:  # a planner that needs a task cannot do without
            return None
        return judged(what, expected, words(error, subject.root))
    count = len(answer) if isinstance(answer, tuple) else 1
    return judged(what, expected, "the action alone" if count == 1 else f"{count} values")


def probe_stored(subject: Subject) -> list[Observation]:
    """The statistics in the rows that the trainer stores, and in what the buffer samples."""
    made = filled(subject)
    rows = [
        (segment, row, made.env.transitions[key])
        for segment in made.segments
        for row, key in enumerate(segment.keys)
        if row > 0 and key in made.env.transitions and made.env.transitions[key].by_agent
    ]
    if not rows:
        raise Unobservable("no action of the agent was stored")
    there = {name for name in ("mu", "std") if all(name in segment.values for segment in made.segments)}
    what = "statistics stored with the agent's actions"
    expected = f"mu and std as answered, in all {len(rows):,} rows"
    if len(there) < 2:
        found = judged(what, expected, "no mu and std are stored", "no mu and std are stored")
        return [found, *_sampled(made, subject)]
    good = sum(
        all(_equal(segment.values[name][row], taken.value(name)) for name in there) for segment, row, taken in rows
    )
    seen = expected if good == len(rows) else f"in {good:,} of {len(rows):,} rows"
    return [judged(what, expected, seen), *_sampled(made, subject)]


def _equal(value: Tensor, wanted: Tensor | None) -> bool:
    return wanted is not None and torch.allclose(value, wanted.reshape(value.shape), atol=1e-6)


def _sampled(made: Run, subject: Subject) -> list[Observation]:
    rig = Rig(subject)
    seen = [name for name in ("mu", "std") if carries(rig.batch, rig.wanted(name)) and _answered(made)]
    what = "statistics in what the buffer samples"
    return [judged(what, "mu, std", ", ".join(seen) or "none", "none")]


def _answered(made: Run) -> bool:
    return any(one.mu is not None and one.std is not None for one in made.env.acted)


def probe_handed_on(subject: Subject) -> list[Observation]:
    """What the update hands to the policy's turn, and to a loss that it can go down; others may do without."""
    given: dict[str, set[str]] = {}
    for choice in choices(subject):
        rig = Rig(subject, choice)
        update = rig.update()
        for name in {name for name, _ in update.calls} - {"pi_loss"}:
            given.setdefault(name, set()).update(_given(rig, update, name))
    if not given:
        raise Unobservable("the update calls neither update_pi nor a policy loss")
    losses = [name for name in given if name != "update_pi"]
    best = max(losses, key=lambda name: len(given[name]), default="update_pi")
    return [_handed(name, given[name]) for name in sorted({best, "update_pi"} & given.keys())]


def _given(rig: Rig, update: Update, name: str) -> set[str]:
    calls = [values for called, values in update.calls if called == name]
    return {part for part in ("mu", "std") if _answered(rig.run) and any(carries(g, rig.wanted(part)) for g in calls)}


def _handed(name: str, given: set[str]) -> Observation:
    seen = ", ".join(sorted(given)) or "none"
    return judged(f"statistics that {name} is given", "mu, std", seen, "none")


def probe_demos(subject: Subject) -> list[Observation]:
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
        return [judged(_WHAT, "a batch", words(error, subject.root))]
    from_demos = sum(key[0] == _SOURCE for key in keys(observations(rig.batch))[0])
    expected = f"mu = action and std = {math.exp(float(rig.cfg.log_std_max)):.4g} of demonstrations, else as stored"
    if not 0 < from_demos < observations(rig.batch).shape[1]:
        return [unseen(f"{from_demos} of its slices come from demonstrations", _WHAT, expected)]
    calls = rig.update().calls
    answered = any(one.mu is not None and one.std is not None for one in made.env.acted)
    seen = [name for name in ("mu", "std") if answered and any(carries(given, rig.wanted(name)) for _, given in calls)]
    found = expected if len(seen) == 2 else ", ".join(f"{name} only" for name in seen) or "none of that"
    return [judged(_WHAT, expected, found, *([] if answered else [found]))]


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
