"""Which rows the trainer stores: those of episodes of different lengths, and those that episodes begin with."""

from __future__ import annotations

from newtfix.verify.observation import Observation, judged
from newtfix.verify.runs import Segment, run
from newtfix.verify.subject import Subject, Unobservable

_MIXED = [2, 6]
_EQUAL = [5, 5]
_ROUNDS = 6


def episode_rows(subject: Subject) -> list[Observation]:
    """Episodes of 2 and of 6 steps, side by side."""
    made = run(subject, _MIXED, steps=_ROUNDS * len(_MIXED) * max(_MIXED) - 1)
    whole = [segment for segment in made.segments if segment.keys[-1][2] == _MIXED[segment.keys[-1][0]]]
    long = [segment for segment in whole if segment.keys[-1][0] == 1 and len(segment) == max(_MIXED) + 1]
    if not long:
        raise Unobservable("no whole episode of the longer kind was stored")
    steps = ", ".join(str(t) for *_, t in long[0].keys[1:])
    wrong = sum(_misplaced(segment) for segment in made.segments)
    stored = sum(len(segment) - 1 for segment in made.segments)
    what = f"steps in the rows of an episode of 6 beside episodes of 2{made.leave}"
    return [
        judged("episode-rows", what, "1, 2, 3, 4, 5, 6", steps,
               "5, 6, 3, 4, 5, 6"),
        _count("episode-rows", "rows that hold another step than their own", wrong, stored),
    ]  # fmt: skip


def _misplaced(segment: Segment) -> int:
    """How many rows are not where counting back from the last one puts them; the first one is not asked."""
    i, episode, t = segment.keys[-1]
    back = range(len(segment) - 2, -1, -1)
    return sum(key != (i, episode, t - k) for key, k in zip(segment.keys[1:], back, strict=True))


def _count(patch: str, what: str, wrong: int, of: int) -> Observation:
    """An observation of something that should occur nowhere; wherever it does, it is the discrepancy."""
    expected, seen = f"none of {of:,}", f"{wrong:,} of {of:,}" if wrong else f"none of {of:,}"
    return judged(patch, what, expected, seen, *([seen] if wrong else []))


def first_obs(subject: Subject) -> list[Observation]:
    """The first rows of episodes that began without a reset by the trainer."""
    made = run(subject, _EQUAL, steps=_ROUNDS * sum(_EQUAL) - 1)
    begun = [segment for segment in made.segments if segment.keys[1][1:] != (1, 1)]
    if not begun:
        raise Unobservable("no episode was stored that an environment began by itself")
    wrong = sum(segment.keys[0] != _before(segment.keys[1]) for segment in begun)
    return [_count("first-obs", "stored episodes that begin with the observation of another", wrong, len(begun))]


def _before(key: tuple[int, int, int]) -> tuple[int, int, int]:
    return key[0], key[1], key[2] - 1
