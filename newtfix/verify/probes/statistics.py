"""The planner's statistics, from the agent's answer by way of trainer and buffer to the policy's loss."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from newtfix.verify.answers import parts_of
from newtfix.verify.batches import carries
from newtfix.verify.callers import Caller, calls_of_agents
from newtfix.verify.choices import choices
from newtfix.verify.observation import Observation, judged, unseen
from newtfix.verify.runs import Run
from newtfix.verify.subject import TRUE_ACTION_DIM, Subject, Unobservable, randomise, seed, words
from newtfix.verify.updates import LENGTHS, Rig, Update, filled

_PATCH = "planner-stats"
_STEP = 10**6


def answers(subject: Subject) -> list[Observation]:
    """What the agent answers to the trainer's own call, planning."""
    made = filled(subject)
    asked = next(
        (call for call in made.answers.asked if call[1].get("mpc") is not False and not call[1].get("eval_mode")), None
    )
    if asked is None:
        raise Unobservable("the trainer does not ask its agent for actions")
    agent = _agent(subject)
    explore, settle = (parts_of(_ask(agent, asked, eval_mode=mode)) for mode in (False, True))
    what = "the agent's answer to the trainer"
    if not {"mu", "std"} <= explore.keys():
        seen = ", ".join(name for name in ("action", "mu", "std") if name in explore)
        return [judged(_PATCH, what, "action, mu, std", seen, "action")]
    return [judged(_PATCH, what, "action, mu, std", "action, mu, std"), *_meaning(agent, explore, settle)]


def _meaning(agent: Any, explore: dict[str, Tensor], settle: dict[str, Tensor]) -> list[Observation]:
    """mu is the action before exploration noise, std the planner's, for the same plan with and without noise."""
    cfg = agent.cfg
    near = torch.allclose(explore["mu"], settle["mu"], atol=1e-5) and torch.allclose(
        settle["mu"].clamp(-1, 1), settle["action"], atol=1e-5
    )
    noisy = not torch.allclose(explore["action"], explore["mu"], atol=1e-4)
    what, expected = "mu of a plan", "the action before exploration noise"
    found = [judged(_PATCH, what, expected, expected if near and noisy else "something else")]
    std = explore["std"][..., :TRUE_ACTION_DIM]
    low, high = float(cfg.min_std), float(cfg.max_std)
    inside = bool((std >= low - 1e-6).all() and (std <= high + 1e-6).all())
    expected = f"within min_std={low:g} and max_std={high:g}"
    seen = expected if inside else f"{float(std.min()):.3g} to {float(std.max()):.3g}"
    return [*found, judged(_PATCH, "std of a plan", expected, seen)]


def _agent(subject: Subject) -> Any:
    seed(9)
    agent = subject.agent(subject.config(LENGTHS))
    randomise(agent.model)
    agent.model.eval()
    return agent


def _ask(agent: Any, asked: tuple[str, dict[str, Any]], **others: Any) -> Any:
    """Ask as the trainer did, each time with the same random numbers and nothing left from an earlier plan."""
    if isinstance(getattr(agent, "_prev_mean", None), Tensor):
        agent._prev_mean.zero_()
    seed(10)
    with torch.no_grad():
        method, given = asked
        return getattr(agent, method)(**{**given, **others})


def callers(subject: Subject) -> list[Observation]:
    """Calls of an agent in other files than the trainer's: whether they still get what they take."""
    agent = _agent(subject)
    return [found for one in calls_of_agents(subject) if (found := _caller(agent, one, subject))]


def _caller(agent: Any, one: Caller, subject: Subject) -> Observation | None:
    """What a call gets; nothing where it fails inside the planner, whatever that would answer."""
    what = f"what {one.place} gets from the agent"
    expected = "the action alone" if one.takes == 1 else f"{one.takes} values"
    parameters = inspect.signature(type(agent).forward).parameters
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
        return unseen(_PATCH, f"it passes {', '.join(unknown)}, which is not known here", what, expected)
    try:
        answer = _ask(agent, ("__call__", {name: known[name] for name in one.names}))
    except Exception as error:
        if "task" in parameters and "task" not in one.names:  # a planner that needs a task cannot do without
            return None
        return judged(_PATCH, what, expected, words(error, subject.root))
    count = len(answer) if isinstance(answer, tuple) else 1
    return judged(_PATCH, what, expected, "the action alone" if count == 1 else f"{count} values")


def stored(subject: Subject) -> list[Observation]:
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
        found = judged(_PATCH, what, expected, "no mu and std are stored", "no mu and std are stored")
        return [found, *_sampled(made, subject)]
    good = sum(
        all(_equal(segment.values[name][row], taken.value(name)) for name in there) for segment, row, taken in rows
    )
    seen = expected if good == len(rows) else f"in {good:,} of {len(rows):,} rows"
    return [judged(_PATCH, what, expected, seen), *_sampled(made, subject)]


def _equal(value: Tensor, wanted: Tensor | None) -> bool:
    return wanted is not None and torch.allclose(value, wanted.reshape(value.shape), atol=1e-6)


def _sampled(made: Run, subject: Subject) -> list[Observation]:
    rig = Rig(subject)
    seen = [name for name in ("mu", "std") if carries(rig.batch, rig.wanted(name)) and _answered(made)]
    what = "statistics in what the buffer samples"
    return [judged(_PATCH, what, "mu, std", ", ".join(seen) or "none", "none")]


def _answered(made: Run) -> bool:
    return any(one.mu is not None and one.std is not None for one in made.env.acted)


def handed_on(subject: Subject) -> list[Observation]:
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
    return judged(_PATCH, f"statistics that {name} is given", "mu, std", seen, "none")
