"""An episode begins with its own first observation.

Claim: row 0 of an episode holds the observation it starts from.
Code: newt writes row 0 at an explicit reset only, which comes with an evaluation. After an automatic reset the next
episode is stored behind the first observation of an older one.
Change: when an environment starts a new episode by itself, the observation of that reset goes to row 0.
Effect: with the default eval_freq, 19 of 20 episodes are stored with a wrong first observation; their first
transition, one in 500 for DMControl, teaches the model a jump that never happened.
Evidence: newt, `Trainer.train` in trainer.py; found by running it.
Leave it off: only to repeat runs that were made with the defect.
"""

from newtfix.model import (
    Edit,
    Fact,
    Numbers,
    Observation,
    Patch,
    Running,
    Severity,
    Shape,
    Unobservable,
    Where,
    judged,
    show,
)
from newtfix.newt.conditions import ACTS_AT_RANDOM

# The observations that the environments go on from: a variable of the method that stores, or an attribute.
STEPPING = "$obs, $_, $_, $_, $_ = self.env.step($_)"
STORING = "self.to_td($_, $_, $*_)"
HERE = (
    Where("trainer", (STEPPING, STORING), "Trainer", together=True),
    Where("trainer", STEPPING, "Trainer", near=(STORING,)),
)
ELSEWHERE = Where("trainer", (STEPPING, STORING), "Trainer", together=True, absent=True)
NEXT = f"{STEPPING.replace('$obs', '$next')}\n$$_\n$obs = $next"
KEPT = Where("trainer", NEXT, "Trainer", portable=("obs",), names=("self",), near=ACTS_AT_RANDOM)
DIRECTLY = Where("trainer", STEPPING, "Trainer", portable=("obs",), names=("self",), near=ACTS_AT_RANDOM)


def _places(before: str, after: str, *where: Where, fallback: bool = False) -> tuple[Shape, ...]:
    """The same for observations that are at hand and for those that are kept as an attribute."""
    known = (HERE, (ELSEWHERE, KEPT), (ELSEWHERE, DIRECTLY))
    return tuple(
        Shape(
            before,
            after,
            where=(*at, AS_RESET, BEGINS, AT_ONCE, *where),
            fallback=fallback,
            untouched=KEEPS_DONE,
            near=COLLECTS,
        )
        for at in known
    )


# An evaluation has finished episodes, too, and collects nothing.
COLLECTS = ("self.to_td($*_)", "self._tds[$*_]")
# The environments go on from what a step returned, and rows hold it as it is; nothing is written into it, and `done`
# still says whose it is.
MADE = ("self.$_($*_)", "$variable($*_)", "$_ / $_", "$_ * $_", "$_ - $_")
AS_RESET = Where(
    "trainer",
    (
        "$obs[$_] = $_",
        *(f"self.to_td({made}{more})" for made in MADE for more in ("", ", $*_")),
        *(
            f"$made = {made}\n$$_\n$_ = self.to_td($made, $*_)"
            for made in (*MADE[2:], "self.$_($*_)", "$variable($made)")
        ),
        f"{STEPPING}\n$$_\n$obs = self.$_.$_($*_)",
        f"{STEPPING}\n$$_\nif $_:\n    $$_\n    $obs = $_\n    $$_",
        f"{STEPPING}\n$$_\nif $_:\n    $$_\n    $obs, $_ = $_\n    $$_",
    ),
    "Trainer",
    absent=True,
)
BEGINS = Where(
    "trainer", ("self.to_td($variable)", "self.to_td(obs=$variable)", "self.to_td(self.$_)"), "Trainer"
)  # where all are reset
# What a step returns is the next episode's first observation where the last one's final comes in the info.
AT_ONCE = Where("trainer", ('"final_observation"', '"final_obs"'), "Trainer")
KEEPS_DONE = ("before:done", "loop:done", "behind:done", "finished:done", "after:done")
ANY_DONE = "if $done.any():\n    $$finished"
WITH_LOOP = "if $done.any():\n    $$before\n    for $i in $environments:\n        $$loop\n    $$behind"
WRITE = "self._tds[0, $done] = self.to_td($obs)[$done]"
ADDING = "if $_.any():\n    $$_\n    for $_ in $_:\n        $$_\n    $$_"
FINISHED = tuple(
    places + end
    for places in (
        "$done.nonzero().flatten()",
        "$done.nonzero().squeeze(-1)",
        "$done.nonzero(as_tuple=True)[0]",
        "torch.nonzero($done).flatten()",
        "torch.where($done)[0]",
    )
    for end in ("", ".tolist()")
)


# The same by name.
LISTED = Where(
    "trainer",
    (
        "$ended = [$_ for $_, $over in enumerate($done.tolist()) if $over]",
        "$ended = [$_ for $_ in $_ if $done[$_]]",
    ),
    "Trainer",
)


def _behind_loop(
    body: str,
    environments: str = "$environments",
    each: str = "$i",
    fallback: bool = False,
    where: tuple[Where, ...] = (),
) -> tuple[Shape, ...]:
    """A loop over the environments, with the body given, that no `if done.any()` stands around."""
    loop = f"for {each} in {environments}:\n    {body}"
    alone = Where("trainer", ADDING, "Trainer", absent=True)
    return _places(loop, f"{loop}\nif $done.any():\n    {WRITE}", alone, *where, fallback=fallback)


PATCH = Patch(
    title="First observation of an automatically started episode",
    severity=Severity.MODERATE,
    kind="defect",
    changes="the observation of an automatic reset goes to row 0 of the episode that it starts",
    after=("episode-rows",),
    only_where=(
        Fact("never_changed", ("trainer", "first rows")),
        Fact("written_whole", ("trainer", "self._tds")),
        Fact("unchanged", ("trainer", "what environments show", "acted on")),
        Fact("computed_nowhere", ("trainer", "self.env.step")),
        Fact("never_changed", ("trainer", "observations")),
        Fact("always", ("trainer", "self.buffer.add", "an episode is over")),
        Fact("within", ("trainer", "self.buffer.add", "an episode is over")),
        Fact("leaves_no_trace", ("trainer", "to_td")),
        Fact("same_for_all_episodes", ("trainer", "to_td")),
        Fact("begins_rows", ("trainer", "self.env.reset", "self._tds")),
        Fact("refuses_nothing", ("trainer", "to_td", "reward")),
        Fact("stepped_at_one_place", ("trainer", "self.env.step", "eval")),
        Fact("bound_only_in", ("trainer", "self._tds", "__init__")),
        Fact("cut_from_first", ("trainer", "self._tds")),
        Fact("counts_rows", ("trainer", "self._tds")),
        Fact("alone_of_its_name", ("trainer", "self.env", "reset")),
        Fact("taken_as_given", ("buffer", "add", "row by row"), keys=("obs",)),
        Fact("copies_at_once", ("buffer", "add", "trainer", "self._tds")),
    ),
    edits=(
        Edit(
            "row-0",
            "trainer",
            "Trainer",
            (
                *_places(WITH_LOOP, f"{WITH_LOOP}\n    {WRITE}"),
                *_places(ANY_DONE, f"{ANY_DONE}\n    {WRITE}", fallback=True),
                *_behind_loop("if $done[$i]:\n        $$finished"),
                *_behind_loop("if $over:\n        $$finished", "enumerate($done.tolist())", "$i, $over"),
                *_behind_loop("if not $done[$i]:\n        continue\n    $$finished"),
                *_behind_loop("$$finished", "$ended", where=(LISTED,), fallback=True),
                *(
                    shape
                    for environments in FINISHED
                    for shape in (
                        *_behind_loop("$$before\n    $ep_len[$i] = 0\n    $$after", environments),
                        *_behind_loop("$$finished", environments, fallback=True),
                    )
                ),
            ),
            present=("self._tds[0, $done] = $_[$done]",),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    said = "Only an explicit reset, which comes with an evaluation, writes an episode's first observation"
    names = ("eval_freq", "num_envs", "world_size", "episode_length")
    every, envs, processes, length = map(numbers.setting, names)
    if not (every and envs and processes and length):
        return f"{said}: every other episode begins with that of an older one."
    episodes = max(1, round(every / (envs * processes * length)))
    least = "at least " if len(numbers.lengths) > 1 else ""
    return (
        f"{said}: with eval_freq={show(every)}, {least}{episodes - 1} of {episodes} episodes begin with that of an "
        "older one."
    )


def probe(tree: Running) -> list[Observation]:
    """The first rows of episodes that began without a reset by the trainer."""
    made = tree.run((5, 5), steps=6 * 10 - 1)
    begun = [segment.keys for segment in made.segments if segment.keys[1][1:] != (1, 1)]
    if not begun:
        raise Unobservable("no episode was stored that an environment began by itself")
    wrong = sum(first != (i, episode, t - 1) for first, (i, episode, t), *_ in begun)
    none, seen = f"none of {len(begun):,}", f"{wrong:,} of {len(begun):,}"
    what = "stored episodes that begin with the observation of another"
    return [judged(what, none, seen if wrong else none, seen)]
