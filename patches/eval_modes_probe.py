"""Evaluation of the policy without planner beside the planner's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from newtfix.model import Observation, Unobservable, decided, judged
from newtfix.verify.fakes import Acted
from newtfix.verify.runs import Run, go, prepare
from newtfix.verify.subject import DISCOUNT, TASK, Subject, randomise

_LENGTHS = [6] * 3
_ROUND = sum(_LENGTHS)
_KEYS = ("episode_reward_pi", "episode_success_pi", "mc_value", "q_value")


def probe(subject: Subject) -> list[Observation]:
    """The second evaluation of a run: who acts in it, and what is logged."""
    cfg = subject.default_config()
    asked = {name: True for name in ("eval_pi", "eval_value") if hasattr(cfg, name)}
    made = prepare(subject, _LENGTHS, steps=2 * _ROUND - 1, evaluate=True, settings={"eval_freq": _ROUND, **asked})
    randomise(made.agent.model)
    go(made)
    lines = [line for category, line in made.log.lines if category == "eval" and line.get("step") == _ROUND]
    if not lines:
        raise Unobservable(f"there was no evaluation with eval_freq={_ROUND} at step {_ROUND}")
    acted = [one for one in made.env.acted if one.eval_mode and one.step == _ROUND]
    alone = [one for one in acted if one.mpc is False]
    steps = max(_LENGTHS)
    what = "actions without planner in an evaluation after training has begun (all environments at once)"
    found = [
        judged(what, f"{steps} times {len(_LENGTHS)}", f"{len(alone)} times {_width(alone)}", "0 times 0"),
        _logged(lines[-1]),
        _like_scores(lines[-1]),
    ]
    values = _values(made, alone) if len(alone) == steps else {}
    return [*found, *(_value(name, value, lines[-1]) for name, value in values.items())]


def _width(acted: Sequence[Acted]) -> int:
    return len(acted[0].action) if acted else 0


def _logged(line: dict[str, Any]) -> Observation:
    seen = [name for name in _KEYS if name in line]
    what = "logged beside the planner's numbers"
    return judged(what, ", ".join(_KEYS), ", ".join(seen) or "nothing", "nothing")


def _like_scores(line: dict[str, Any]) -> Observation:
    """newt's table of many tasks sums every key that starts with episode_score and contains a plus."""
    known = f"episode_score+{TASK}"
    alike = [name for name in line if name.startswith("episode_score") and "+" in name and name != known]
    return judged("keys that look like a task's planner score", "none", ", ".join(alike) or "none")


@torch.no_grad()
def _values(made: Run, alone: Sequence[Acted]) -> dict[str, float]:
    """What should be logged, from the rewards that there were, and the tree's own Q at the first observations."""
    rewards = torch.stack([_rewards(made, one) for one in alone])
    discounts = DISCOUNT ** torch.arange(len(alone)).double()
    first = alone[0]
    obs = torch.as_tensor(first.obs).float()
    tasks = torch.zeros(len(obs), dtype=torch.int64)
    z = made.agent.model.encode(obs, tasks)
    q = made.agent.model.Q(z, first.action, tasks, return_type="avg")
    return {
        "episode_reward_pi": float(rewards.sum(0).mean()),
        "mc_value": float((discounts.unsqueeze(1) * rewards).sum(0).mean()),
        "q_value": float(q.mean()),
    }


def _rewards(made: Run, acted: Acted) -> torch.Tensor:
    """The rewards [N] of an action."""
    for one in made.env.transitions.values():
        if torch.equal(one.taken.action, acted.action):
            return one.taken.reward.double()
    raise Unobservable("an action of the policy's evaluation was not taken as it was chosen")


def _value(name: str, wanted: float, line: dict[str, Any]) -> Observation:
    seen = float(line.get(name, math.nan))
    good = abs(seen - wanted) <= 1e-4 * max(abs(wanted), 1e-3)
    return decided(name, f"{wanted:.5g}", f"{wanted:.5g}" if good else f"{seen:.5g}", good, math.isnan(seen))
