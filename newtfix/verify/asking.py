"""An agent, asked for actions as the tree's own trainer asks it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.verify.subject import Subject, seed
from newtfix.verify.updates import filled

Call = tuple[str, dict[str, Any]]


def own_call(subject: Subject) -> Call:
    """The method that the trainer asks while it explores, and the arguments it gave once."""
    for method, given in filled(subject).answers.asked:
        if given.get("mpc") is not False and not given.get("eval_mode"):
            return method, given
    raise Unobservable("the trainer does not ask its agent for actions")


def ask(agent: Any, call: Call, **others: Any) -> Any:
    """Ask as the trainer did, each time with the same random numbers and nothing left from an earlier plan."""
    if isinstance(getattr(agent, "_prev_mean", None), Tensor):
        agent._prev_mean.zero_()
    seed(10)
    with torch.no_grad():
        method, given = call
        return getattr(agent, method)(**{**given, **others})
