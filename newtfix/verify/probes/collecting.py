"""Seeding, what is stored meanwhile, and the burst at its end: the trainer's loop around an agent that never learns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from newtfix.verify.batches import broken_slices
from newtfix.verify.fakes import Transition
from newtfix.verify.observation import Observation, decided, judged, unseen
from newtfix.verify.runs import Run, Segment, run
from newtfix.verify.subject import Subject, Unobservable

# 20 environments with the episodes of the discrepancy's own example: nothing has finished when seeding ends.
MANY = [250] * 20
# 7 environments: 1,001 steps are no multiple of anything, and some episodes have finished by then, others not.
FEW = [40] * 7
# Two environments of different lengths: what counts is the longest.
MIXED = [300, 20]
_ROUND = sum(FEW)
_END = 7 * _ROUND
_RESUMED_LATE = 18 * _ROUND
_RESUMED_EARLY = 2 * _ROUND
_UTD = 0.5
_MOST_TOKENS = 4  # updates that 7 steps at 0.5 each, and a carried-over half, can pay for


def reference(lengths: list[int]) -> int:
    """The threshold by the reference's rule."""
    return max(1000, 5 * max(lengths))


def first_at(threshold: int, lengths: list[int]) -> int:
    """The first step at or past a threshold, which grows by the number of environments."""
    return math.ceil(threshold / len(lengths)) * len(lengths)


def newts(subject: Subject, lengths: list[int]) -> int:
    """The threshold by newt's own rule, at the tree's own seeding_coef."""
    return int(getattr(subject.default_config(), "seeding_coef", 5)) * len(lengths) * max(lengths)


def _many(subject: Subject) -> Run:
    return run(subject, MANY, steps=2 * newts(subject, MANY), until_update=True, settings={"utd": 1.0})


def _few(subject: Subject) -> Run:
    return run(subject, FEW, steps=_END - 1, settings={"utd": _UTD})


def _named(lengths: list[int]) -> str:
    steps = " and ".join(str(length) for length in dict.fromkeys(lengths))
    return f"{len(lengths)} environments, {steps} steps an episode"


def _step(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"


def seeding(subject: Subject) -> list[Observation]:
    """The step of the first update."""
    found = []
    mixed = run(subject, MIXED, steps=2 * newts(subject, MIXED), until_update=True, settings={"utd": 1.0})
    for lengths, made in ((MANY, _many(subject)), (FEW, _few(subject)), (MIXED, mixed)):
        wanted = first_at(reference(lengths), lengths)
        unpatched = first_at(newts(subject, lengths), lengths)
        what = f"step of the first update ({_named(lengths)}{made.leave})"
        found.append(judged("seeding", what, _step(wanted), _step(made.first_update), _step(unpatched)))
    return found


def seeding_in_two_processes(subject: Subject) -> list[Observation]:
    """The step of the first update where two processes count their steps together."""
    settings = {"utd": 1.0, "world_size": 2, "episode_lengths": 2 * FEW}
    made = run(subject, FEW, steps=4 * newts(subject, FEW), until_update=True, settings=settings)
    wanted, unpatched = (first_at(threshold, 2 * FEW) for threshold in (reference(FEW), 2 * newts(subject, FEW)))
    what = f"step of the first update (2 processes of {_named(FEW)})"
    return [judged("seeding", what, _step(wanted), _step(made.first_update), _step(unpatched))]


def seeding_rows(subject: Subject) -> list[Observation]:
    """What the buffer holds at the first update, and in the end."""
    many, few = _many(subject), _few(subject)
    if many.first_update is None or few.first_update is None:
        raise Unobservable("there was no update to look at the buffer at")
    found = [
        _complete(f"stored at the first update ({_named(MANY)})", many, many.held, many.taken),
        _complete(f"stored at the first update ({_named(FEW)})", few, few.held, few.taken),
        _complete("stored in the end, all episodes being over", few, len(few.segments), len(few.trained_on)),
        _sampled("slices sampled at the first update", many),
        _sampled(f"slices sampled at the first update ({_named(FEW)})", few),
    ]
    short = [len(segment) for segment in many.segments + few.segments if len(segment) <= few.trainer.cfg.horizon]
    what = "stored segments too short to sample from"
    return [*found, judged("seeding", what, "none", f"{len(short)} of them" if short else "none")]


def _complete(what: str, made: Run, segments: int, taken: int) -> Observation:
    """Whether the first so many segments hold every one of the transitions taken by then, once and with its reward."""
    chosen = made.segments[:segments]
    stored = Counter(key for segment in chosen for key in segment.keys[1:])
    twice = sum(count > 1 for count in stored.values())
    wrong = sum(_wrong_rewards(segment, made) for segment in chosen)
    expected = f"{taken:,} of {taken:,} transitions, each once"
    seen = f"{len(stored):,} of {taken:,} transitions, "
    faults = f"{twice:,} twice, {wrong:,} wrong"
    return judged("seeding", what, expected, seen + (faults if twice or wrong else "each once"))


def _wrong_rewards(segment: Segment, made: Run) -> int:
    """How many rows of a segment, which starts with an observation, hold no transition that was ever taken."""
    known = [made.env.transitions.get(key) for key in segment.keys[1:]]
    rewards = segment.values["reward"].flatten()[1:].tolist()
    right = [one is not None and float(one.taken.reward[one.index]) for one in known]
    return sum(a is False or abs(a - b) > 1e-6 for a, b in zip(right, rewards, strict=True))


def _sampled(what: str, made: Run) -> Observation:
    expected = "each from one episode, in order"
    if isinstance(made.sampled, str):
        return judged("seeding", what, expected, f"the buffer cannot be sampled from: {made.sampled}")
    broken = broken_slices(made.sampled, made.env)
    return judged("seeding", what, expected, f"{broken} are not" if broken else expected)


def resumed_without_replay(subject: Subject) -> list[Observation]:
    """A run that starts past the threshold with nothing in its buffer."""
    made = _resumed(subject, _RESUMED_LATE, rounds=3)
    what = "a run resumed past the threshold with an empty buffer"
    expected = "its first update has something to sample"
    if made.first_update is None:
        return [unseen("seeding", "there was no update within three episodes", what, expected)]
    failed = isinstance(made.sampled, str)
    seen = f"its first update, at step {made.first_update:,}, has not: {made.sampled}" if failed else expected
    return [decided("seeding", what, expected, seen, good=not failed, bad=failed)]


def _resumed(subject: Subject, start: int, rounds: int) -> Run:
    return run(subject, FEW, steps=start + rounds * _ROUND - 1, start=start, settings={"eval_freq": start, "utd": _UTD})


def who_acts(subject: Subject) -> list[Observation]:
    """When the agent acts for the first time."""
    found = []
    for lengths, made in ((MANY, _many(subject)), (FEW, _few(subject))):
        if made.first_update is None:
            raise Unobservable("seeding never ended")
        acted = min((one.step for one in made.trained_on.values() if one.by_agent), default=None)
        what = f"step at which the agent acts for the first time ({_named(lengths)})"
        if lengths is MANY:  # this run ends with its first update, in the last iteration of seeding
            expected, seen = (
                "not before the first update",
                "not before the first update" if acted is None else _step(acted),
            )
        else:
            expected, seen = _step(made.first_update), _step(acted)
        found.append(judged("mu-std", what, expected, seen, _step(0)))
    return found


def random_rows(subject: Subject) -> list[Observation]:
    """mu and std of the rows that were stored while seeding."""
    made = _few(subject)
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
    return [decided("mu-std", what, expected, seen, good=good == count > 0, bad=good == 0)]


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


def experienced(subject: Subject) -> list[Observation]:
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
            found.append(judged("mu-std", what, "0", _step(acted)))
    return found


def _burst_size(made: Run) -> int:
    """As many updates as this tree's own seed steps."""
    rule = reference(FEW)
    threshold = newts_of(made)
    if made.first_update == first_at(rule, FEW):
        return rule
    if made.first_update == first_at(threshold, FEW):
        return threshold
    raise Unobservable(f"its first update, at step {_step(made.first_update)}, follows no rule that is known here")


def newts_of(made: Run) -> int:
    return int(getattr(made.trainer.cfg, "seeding_coef", 5)) * sum(FEW)


def burst(subject: Subject) -> list[Observation]:
    """How many updates there are at the end of seeding, and afterwards."""
    made = _few(subject)
    size = _burst_size(made)
    assert made.first_update is not None
    at_first = made.updates[made.first_update]
    what = f"updates at the end of seeding ({_named(FEW)}, utd {_UTD})"
    found = [decided("burst", what, f"{size:,}", f"{at_first:,}", at_first == size, at_first <= _MOST_TOKENS)]
    later = {step: count for step, count in made.updates.items() if step != made.first_update}
    spent = sum(later.values())
    iterations = (_END - made.first_update) // len(FEW)
    paid = int(iterations * len(FEW) * _UTD)
    expected = f"{paid:,} updates by tokens, at most {_MOST_TOKENS} at a time"
    seen = f"{spent:,} updates by tokens, at most {max(later.values(), default=0)} at a time"
    near = abs(spent - paid) <= _MOST_TOKENS and max(later.values(), default=0) <= _MOST_TOKENS
    return [*found, judged("burst", "updates afterwards", expected, expected if near else seen)]


def burst_setting(subject: Subject) -> list[Observation]:
    """The size of the burst as it is set."""
    if not hasattr(subject.default_config(), "burst_updates"):
        return []
    found = []
    for updates, expected in ((30, "30"), (0, f"none, up to {_MOST_TOKENS} by tokens")):
        made = run(subject, FEW, steps=_END - 1, settings={"utd": _UTD, "burst_updates": updates})
        if made.first_update is None:
            raise Unobservable("seeding never ended")
        count = made.updates[made.first_update]
        seen = expected if updates == 0 and count <= _MOST_TOKENS else f"{count:,}"
        found.append(judged("burst", f"updates at the end of seeding with burst_updates={updates}", expected, seen))
    return found


def burst_after_resume(subject: Subject) -> list[Observation]:
    """A run resumed past the threshold does not burst again, one resumed before it does."""
    late = _resumed(subject, _RESUMED_LATE, rounds=3)
    most = max(late.updates.values(), default=0)
    what = "most updates at a time in a run resumed past the threshold"
    found = []
    if late.first_update is None:
        found.append(unseen("burst", "there was no update within three episodes", what))
    else:
        few = f"at most {_MOST_TOKENS}"
        found.append(judged("burst", what, few, few if most <= _MOST_TOKENS else f"{most:,}"))
    early = run(subject, FEW, steps=_END - 1, start=_RESUMED_EARLY, settings={"eval_freq": _RESUMED_EARLY, "utd": _UTD})
    size = _burst_size(early)
    bursts = [count for count in early.updates.values() if count > _MOST_TOKENS]
    what = "bursts in a run resumed before the threshold"
    expected, seen = f"one, of {size:,} updates", f"{len(bursts)}: {', '.join(map(str, bursts))}" if bursts else "none"
    return [*found, judged("burst", what, expected, expected if bursts == [size] else seen, "none")]
