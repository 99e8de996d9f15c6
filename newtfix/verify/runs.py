"""Runs of a tree's own trainer and buffer around a fake environment and an agent whose answers are made up."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.parity.standin import place_in_tree
from newtfix.verify.answers import Answers
from newtfix.verify.fakes import OBS_DIM, Env, Key, Log, Metrics, Transition, keys_of
from newtfix.verify.subject import ACTION_DIM, Subject, words

CPU = torch.device("cpu")
_EVALUATIONS = ("eval", "evaluate")  # what trees call their evaluation


class Stop(BaseException):
    """Enough was seen. Not an Exception, so that a tree which catches those lets it through."""


@dataclass(frozen=True)
class Segment:
    """Rows that were added together: which observations they hold (environment, episode, steps into it), and the rest.

    The first row is where the segment starts; the others are transitions.
    """

    keys: tuple[Key, ...]
    values: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.keys)


class Clock:
    """Tells the trainer's own counter of environment steps; -1 before there is a trainer."""

    trainer: Any = None

    def __call__(self) -> int:
        return -1 if self.trainer is None else int(self.trainer._step)


@dataclass
class Run:
    """What happened in a run.

    `updates` counts them by the trainer's step; `segments` are what the buffer was given, in order, `held` how many
    of them at the first update; `sampled` is what the buffer gave then, or the words of its error; `example` is the
    first thing that was added, in the tree's own form; `refused` is where an assertion of the tree was left out.
    """

    env: Env
    log: Log
    answers: Answers
    updates: Counter[int] = field(default_factory=Counter)
    segments: list[Segment] = field(default_factory=list)
    held: int = 0
    taken: int = 0
    example: Any = None
    refused: str = ""
    sampled: Any = None
    trainer: Any = None
    agent: Any = None
    buffer: Any = None

    @property
    def leave(self) -> str:
        """By whose leave it ran, as an addition to what is observed."""
        return f"; the tree's own assertion at {self.refused} left out" if self.refused else ""

    @property
    def first_update(self) -> int | None:
        return min(self.updates, default=None)

    @property
    def trained_on(self) -> dict[Key, Transition]:
        """The transitions that belong into the buffer: all but those of evaluations."""
        return {key: one for key, one in self.env.transitions.items() if not one.evaluation}


def run(
    subject: Subject,
    lengths: Sequence[int],
    steps: int,
    start: int = 0,
    until_update: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train from step `start` to `steps`, or to the first update; the same run is made once."""
    key = (tuple(lengths), steps, start, until_update, repr(settings))
    if key not in subject.runs:
        subject.runs[key] = _ran(subject, lengths, steps, start, until_update, settings)
    found: Run = subject.runs[key]
    return found


def _ran(subject: Subject, lengths: Sequence[int], *how: Any) -> Run:
    """The run; where the tree itself refuses episodes of different lengths, what it would do with them."""
    steps, start, until_update, settings = how
    made = prepare(subject, lengths, steps, start, until_update, settings=settings)
    try:
        go(made)
    except AssertionError as error:
        place = place_in_tree(error, subject.root, innermost=True)
        if len(set(lengths)) == 1 or not place:
            raise
        made = prepare(subject, lengths, steps, start, until_update, settings=settings, asserts=False)
        made.refused = place
        go(made)
    return made


def prepare(
    subject: Subject,
    lengths: Sequence[int],
    steps: int,
    start: int = 0,
    until_update: bool = False,
    evaluate: bool = False,
    make_buffer: Callable[[Any, Any], Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    asserts: bool = True,
) -> Run:
    """A trainer, ready to go, whose every part notes what happens to it; without `asserts` it checks nothing.

    `make_buffer` makes another buffer than the tree's usual one, of settings and a method `add` of its own.
    """
    cfg = subject.config(lengths, steps=steps, **(settings or {}))
    clock = Clock()
    env = Env(lengths, ACTION_DIM, clock)
    made = Run(env, Log(), Answers(env, clock))
    made.buffer = (make_buffer or subject.buffer)(cfg, {"add": _adding(made, subject.cls("buffer"))})
    made.agent = subject.agent(cfg, _pretending(made, subject, until_update))
    quiet: dict[str, Any] = {} if evaluate else dict.fromkeys(_EVALUATIONS, lambda self, *args, **kwargs: {})
    parts = {"cfg": cfg, "env": made.env, "agent": made.agent, "buffer": made.buffer, "logger": made.log}
    made.trainer = subject.trainer(quiet, asserts, **parts)
    if not hasattr(made.trainer, "_step"):
        raise Unobservable("the tree's trainer counts its steps under another name than _step")
    made.trainer._step = start
    clock.trainer = made.trainer
    return made


def go(made: Run) -> None:
    """Let the trainer train."""
    with suppress(Stop):
        made.trainer.train()


def _adding(made: Run, cls: Any) -> Callable[..., Any]:
    """`Buffer.add` that notes what is added."""

    @functools.wraps(cls.add)
    def add(self: Any, td: Any, *args: Any, **kwargs: Any) -> Any:
        made.segments.append(segment_of(td))
        made.example = td.clone() if made.example is None else made.example
        return cls.add(self, td, *args, **kwargs)

    return add


def segment_of(td: Any) -> Segment:
    """The rows of an episode, a TensorDict [1, T] or [T]. Raises Unobservable for anything else."""
    if not isinstance(td, (TensorDictBase, Mapping)) or "obs" not in td.keys():  # noqa: SIM118
        raise Unobservable("what the trainer adds to the buffer is no TensorDict with obs")
    values = {name: value for name, value in td.items() if isinstance(value, Tensor)}
    obs = values["obs"]
    if obs.shape[-1] != OBS_DIM:
        raise Unobservable(f"observations are stored with the shape {list(obs.shape)}")
    keys = keys_of(obs)
    flat = {name: value.detach().clone().reshape(len(keys), -1) for name, value in values.items()}
    return Segment(tuple(keys), flat)


def _pretending(made: Run, subject: Subject, until_update: bool) -> dict[str, Any]:
    """Methods of an agent that acts at random, in the form that the tree's own agent answers in, and never learns."""
    cls = subject.cls("agent")

    @functools.wraps(cls.update)
    def update(self: Any, *args: Any, **kwargs: Any) -> Metrics:
        if made.env.transitions:  # else the agent is being pretrained
            if not made.updates:
                made.held, made.taken = len(made.segments), len(made.trained_on)
                made.sampled = _sampled(made.buffer, subject)
            made.updates[int(made.trainer._step)] += 1
            if until_update:
                raise Stop
        return Metrics(total_loss=torch.ones(()))

    return {**made.answers.methods(cls), "update": update}


def _sampled(buffer: Any, subject: Subject) -> Any:
    try:
        return buffer.sample(CPU)
    except Exception as error:
        return words(error, subject.root)
