"""The burst at the end of seeding."""

from __future__ import annotations

from newtfix.model import Observation, Unobservable, decided, judged, unseen
from newtfix.verify import seeded
from newtfix.verify.runs import Run, run
from newtfix.verify.seeded import (
    END,
    FEW,
    MOST_TOKENS,
    RESUMED_EARLY,
    RESUMED_LATE,
    UTD,
    first_at,
    named,
    reference,
    resumed,
    shown,
)
from newtfix.verify.subject import Subject


def probe_burst(subject: Subject) -> list[Observation]:
    """How many updates there are at the end of seeding, and afterwards."""
    made = seeded.few(subject)
    size = _burst_size(made)
    assert made.first_update is not None
    at_first = made.updates[made.first_update]
    what = f"updates at the end of seeding ({named(FEW)}, utd {UTD})"
    found = [decided(what, f"{size:,}", f"{at_first:,}", at_first == size, at_first <= MOST_TOKENS)]
    later = {step: count for step, count in made.updates.items() if step != made.first_update}
    spent = sum(later.values())
    iterations = (END - made.first_update) // len(FEW)
    paid = int(iterations * len(FEW) * UTD)
    expected = f"{paid:,} updates by tokens, at most {MOST_TOKENS} at a time"
    seen = f"{spent:,} updates by tokens, at most {max(later.values(), default=0)} at a time"
    near = abs(spent - paid) <= MOST_TOKENS and max(later.values(), default=0) <= MOST_TOKENS
    return [*found, judged("updates afterwards", expected, expected if near else seen)]


def probe_setting(subject: Subject) -> list[Observation]:
    """The size of the burst as it is set."""
    if not hasattr(subject.default_config(), "burst_updates"):
        return []
    found = []
    for updates, expected in ((30, "30"), (0, f"none, up to {MOST_TOKENS} by tokens")):
        made = run(subject, FEW, steps=END - 1, settings={"utd": UTD, "burst_updates": updates})
        if made.first_update is None:
            raise Unobservable("seeding never ended")
        count = made.updates[made.first_update]
        seen = expected if updates == 0 and count <= MOST_TOKENS else f"{count:,}"
        found.append(judged(f"updates at the end of seeding with burst_updates={updates}", expected, seen))
    return found


def probe_resume(subject: Subject) -> list[Observation]:
    """A run resumed past the threshold does not burst again, one resumed before it does."""
    late = resumed(subject, RESUMED_LATE, rounds=3)
    most = max(late.updates.values(), default=0)
    what = "most updates at a time in a run resumed past the threshold"
    found = []
    if late.first_update is None:
        found.append(unseen("there was no update within three episodes", what))
    else:
        few = f"at most {MOST_TOKENS}"
        found.append(judged(what, few, few if most <= MOST_TOKENS else f"{most:,}"))
    early = run(subject, FEW, steps=END - 1, start=RESUMED_EARLY, settings={"eval_freq": RESUMED_EARLY, "utd": UTD})
    size = _burst_size(early)
    bursts = [count for count in early.updates.values() if count > MOST_TOKENS]
    what = "bursts in a run resumed before the threshold"
    expected, seen = f"one, of {size:,} updates", f"{len(bursts)}: {', '.join(map(str, bursts))}" if bursts else "none"
    return [*found, judged(what, expected, expected if bursts == [size] else seen, "none")]


def _burst_size(made: Run) -> int:
    """As many updates as this tree's own seed steps."""
    rule = reference(FEW)
    threshold = _newts_of(made)
    if made.first_update == first_at(rule, FEW):
        return rule
    if made.first_update == first_at(threshold, FEW):
        return threshold
    raise Unobservable(f"its first update, at step {shown(made.first_update)}, follows no rule that is known here")


def _newts_of(made: Run) -> int:
    return int(getattr(made.trainer.cfg, "seeding_coef", 5)) * sum(FEW)
