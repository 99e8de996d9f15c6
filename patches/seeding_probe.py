"""When a tree begins to learn, and what its buffer holds by then."""

from __future__ import annotations

from collections import Counter

from newtfix.model import Observation, Unobservable, decided, judged, unseen
from newtfix.verify import seeded
from newtfix.verify.batches import broken_slices
from newtfix.verify.runs import Run, Segment, run
from newtfix.verify.seeded import FEW, MANY, MIXED, RESUMED_LATE, first_at, named, newts, reference, resumed, shown
from newtfix.verify.subject import Subject


def probe_threshold(subject: Subject) -> list[Observation]:
    """The step of the first update."""
    found = []
    mixed = run(subject, MIXED, steps=2 * newts(subject, MIXED), until_update=True, settings={"utd": 1.0})
    for lengths, made in ((MANY, seeded.many(subject)), (FEW, seeded.few(subject)), (MIXED, mixed)):
        wanted = first_at(reference(lengths), lengths)
        unpatched = first_at(newts(subject, lengths), lengths)
        what = f"step of the first update ({named(lengths)}{made.leave})"
        found.append(judged(what, shown(wanted), shown(made.first_update), shown(unpatched)))
    return found


def probe_two_processes(subject: Subject) -> list[Observation]:
    """The step of the first update where two processes count their steps together."""
    settings = {"utd": 1.0, "world_size": 2, "episode_lengths": 2 * FEW}
    made = run(subject, FEW, steps=4 * newts(subject, FEW), until_update=True, settings=settings)
    wanted, unpatched = (first_at(threshold, 2 * FEW) for threshold in (reference(FEW), 2 * newts(subject, FEW)))
    what = f"step of the first update (2 processes of {named(FEW)})"
    return [judged(what, shown(wanted), shown(made.first_update), shown(unpatched))]


def probe_rows(subject: Subject) -> list[Observation]:
    """What the buffer holds at the first update, and in the end."""
    many, few = seeded.many(subject), seeded.few(subject)
    if many.first_update is None or few.first_update is None:
        raise Unobservable("there was no update to look at the buffer at")
    found = [
        _complete(f"stored at the first update ({named(MANY)})", many, many.held, many.taken),
        _complete(f"stored at the first update ({named(FEW)})", few, few.held, few.taken),
        _complete("stored in the end, all episodes being over", few, len(few.segments), len(few.trained_on)),
        _sampled("slices sampled at the first update", many),
        _sampled(f"slices sampled at the first update ({named(FEW)})", few),
    ]
    short = [len(segment) for segment in many.segments + few.segments if len(segment) <= few.trainer.cfg.horizon]
    what = "stored segments too short to sample from"
    return [*found, judged(what, "none", f"{len(short)} of them" if short else "none")]


def probe_resumed_without_replay(subject: Subject) -> list[Observation]:
    """A run that starts past the threshold with nothing in its buffer."""
    made = resumed(subject, RESUMED_LATE, rounds=3)
    what = "a run resumed past the threshold with an empty buffer"
    expected = "its first update has something to sample"
    if made.first_update is None:
        return [unseen("there was no update within three episodes", what, expected)]
    failed = isinstance(made.sampled, str)
    seen = f"its first update, at step {made.first_update:,}, has not: {made.sampled}" if failed else expected
    return [decided(what, expected, seen, good=not failed, bad=failed)]


def _complete(what: str, made: Run, segments: int, taken: int) -> Observation:
    """Whether the first so many segments hold every one of the transitions taken by then, once and with its reward."""
    chosen = made.segments[:segments]
    stored = Counter(key for segment in chosen for key in segment.keys[1:])
    twice = sum(count > 1 for count in stored.values())
    wrong = sum(_wrong_rewards(segment, made) for segment in chosen)
    expected = f"{taken:,} of {taken:,} transitions, each once"
    seen = f"{len(stored):,} of {taken:,} transitions, "
    faults = f"{twice:,} twice, {wrong:,} wrong"
    return judged(what, expected, seen + (faults if twice or wrong else "each once"))


def _wrong_rewards(segment: Segment, made: Run) -> int:
    """How many rows of a segment, which starts with an observation, hold no transition that was ever taken."""
    known = [made.env.transitions.get(key) for key in segment.keys[1:]]
    rewards = segment.values["reward"].flatten()[1:].tolist()
    right = [one is not None and float(one.taken.reward[one.index]) for one in known]
    return sum(a is False or abs(a - b) > 1e-6 for a, b in zip(right, rewards, strict=True))


def _sampled(what: str, made: Run) -> Observation:
    expected = "each from one episode, in order"
    if isinstance(made.sampled, str):
        return judged(what, expected, f"the buffer cannot be sampled from: {made.sampled}")
    broken = broken_slices(made.sampled, made.env)
    return judged(what, expected, f"{broken} are not" if broken else expected)
