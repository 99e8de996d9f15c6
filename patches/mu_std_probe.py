"""Who acts while seeding, and the statistics that are stored meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from newtfix.model import Observation, Unobservable, decided, judged
from newtfix.verify import seeded
from newtfix.verify.fakes import Transition
from newtfix.verify.runs import Run, Segment, run
from newtfix.verify.seeded import FEW, MANY, named, shown
from newtfix.verify.subject import Subject


def probe_who_acts(subject: Subject) -> list[Observation]:
    """When the agent acts for the first time."""
    found = []
    for lengths, made in ((MANY, seeded.many(subject)), (FEW, seeded.few(subject))):
        if made.first_update is None:
            raise Unobservable("seeding never ended")
        acted = min((one.step for one in made.trained_on.values() if one.by_agent), default=None)
        what = f"step at which the agent acts for the first time ({named(lengths)})"
        if lengths is MANY:  # this run ends with its first update, in the last iteration of seeding
            expected, seen = (
                "not before the first update",
                "not before the first update" if acted is None else shown(acted),
            )
        else:
            expected, seen = shown(made.first_update), shown(acted)
        found.append(judged(what, expected, seen, shown(0)))
    return found


def probe_random_rows(subject: Subject) -> list[Observation]:
    """mu and std of the rows that were stored while seeding."""
    made = seeded.few(subject)
    threshold = made.first_update
    if threshold is None:
        raise Unobservable("seeding never ended")
    seeding_steps = list(_seeding_rows(made, threshold))
    std = math.exp(float(made.trainer.cfg.log_std_max))
    count = len(seeding_steps)
    good = sum(_is_wide(segment, row, taken, std) for segment, row, taken in seeding_steps)
    random = sum(not taken.by_agent for *_, taken in seeding_steps)
    expected = f"mu = action and std = {std:.4g} in all {count:,} rows"
    seen = expected if good == count else f"in {good:,} of {count:,} rows, {random:,} of them random actions"
    what = "statistics stored with the actions taken while seeding"
    return [decided(what, expected, seen, good=good == count > 0, bad=good == 0)]


def _seeding_rows(made: Run, threshold: int) -> Iterator[tuple[Segment, int, Transition]]:
    """The stored rows whose actions were chosen before the threshold."""
    for segment in made.segments:
        for row, key in enumerate(segment.keys):
            taken = made.env.transitions.get(key)
            if row > 0 and taken is not None and taken.step < threshold:
                yield segment, row, taken


def _is_wide(segment: Segment, row: int, taken: Transition, std: float) -> bool:
    if "mu" not in segment.values or "std" not in segment.values:
        return False
    action = taken.taken.action[taken.index]
    mean_right = bool((segment.values["mu"][row] - action).abs().max() < 1e-6)
    return mean_right and bool((segment.values["std"][row] - std).abs().max() < 1e-4 * std)


def probe_experienced(subject: Subject) -> list[Observation]:
    """Agents that are finetuned, or were pretrained, go on acting while seeding, in trees that know such agents."""
    cfg = subject.default_config()
    kinds: dict[str, dict[str, Any]] = {
        "is finetuned": {"finetune": True},
        "was pretrained on demonstrations": {"use_demos": True, "demo_steps": 50},
    }
    found = []
    for kind, settings in kinds.items():
        if all(hasattr(cfg, name) for name in settings):
            made = run(subject, FEW, steps=3 * len(FEW), settings=settings)
            acted = min((one.step for one in made.trained_on.values() if one.by_agent), default=None)
            what = f"step at which an agent that {kind} acts for the first time"
            found.append(judged(what, "0", shown(acted)))
    return found
