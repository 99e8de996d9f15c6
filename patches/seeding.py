"""Seeding ends after max(1000, 5 L) environment steps.

Claim: the reference starts learning after max(1000, 5 L) steps, L the episode length, however many environments
collect.
Code: newt waits for `seeding_coef * num_envs * episode_length * world_size` steps, N W times as many where L is 200 or
more, with N environments in each of W processes.
Change: one threshold, `_seed_steps`, for every place that asks whether seeding is over. Since newt's buffer receives
finished episodes only, and with many environments none has finished by then, running episodes are handed over as
segments when seeding ends; the rest of such an episode follows as a segment of its own. No transition is stored twice,
and a part too short to sample from waits.
Effect: with N=20 and W=1, 25,000 steps become 1,250 for L=250, and 50,000 become 2,500 for L=500: 20 times fewer. The
reference's DMControl episodes always have 500 steps, so there it is 2,500.
Evidence: reference, `cfg.seed_steps` in `envs/__init__.py`; newt, `Trainer.train`.
Leave it off: when newt's longer seeding is wanted: 5 episodes of every environment, 100 in all for N=20, before the
first update. `seeding_coef` has no effect with this patch.
"""

from itertools import product

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show
from newtfix.newt.conditions import ONE_HORIZON, SEEDING_THRESHOLD, SPENT_BY_A_METHOD

# How many steps every episode has taken; where the code that asks for it moves, it is an attribute.
STORED = "self._tds[: $ep_len[$i] + 1, $i]"
STORED_BY = Where("trainer", STORED, "Trainer")
SPENDING = ("self._update_tokens += $_", STORED)
SPENT_WHERE_STORED = (Where("trainer", SPENDING, "Trainer", together=True), STORED_BY)
SPENT_ELSEWHERE = (
    Where("trainer", SPENDING, "Trainer", together=True, absent=True),
    Where("trainer", STORED, "Trainer", portable=("ep_len",), names=("self",)),
)
# The count is a variable of another method; the attribute that is set to it is the same tensor, counted in place.
SPENT_OUT_OF_REACH = (
    SPENT_ELSEWHERE[0],
    STORED_BY,
    Where(
        "trainer",
        "$ep_len = $_",
        "Trainer",
        absent=True,
        outside=("$ep_len = $ep_len + $_", "$ep_len = torch.where($*_)", "$ep_len = torch.zeros($*_)"),
    ),
)
CALLED_WHERE_STORED = (
    *SPENT_BY_A_METHOD,
    Where("trainer", "$_.update(self.$spend())", "Trainer", near=(STORED,)),
    STORED_BY,
)
OVER = ("self._step >= $seeding", "self._step > $seeding")

THRESHOLDS = (
    "self.cfg.seeding_coef * self._update_freq",
    "self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size",
)
IN_INIT = (
    "cfg.seeding_coef * self._update_freq",
    "cfg.seeding_coef * cfg.num_envs * cfg.episode_length * cfg.world_size",
)

SEGMENT_METHODS = '''
def _take_segment(self, i, end, finished):
    """Take what environment i's running episode has collected since its last stored segment.

    Args:
        i: environment. end: last row of the segment. finished: the episode is over.

    Returns:
        TensorDict [T] of rows; the first holds an observation only, as its transition was stored before.
    """
    start = int(self._segment_start[i])
    segment = self._tds[start : int(end) + 1, i].clone()
    if start > 0:
        for name in {"action", "mu", "std", "reward"} & set(segment.keys()):
            segment[name][0] = float("nan")
    self._segment_start[i] = 0 if finished else int(end)
    self._seed_pending[i] &= self._step < self._seed_steps
    self._stored_segments += segment.shape[0] > self.cfg.horizon
    return segment

def _store_segment(self, i, end, finished):
    """Store what environment i's running episode has collected up to row `end` since its last stored segment."""
    segment = self._take_segment(i, end, finished)
    self.buffer.add(segment.unsqueeze(0), $*where)

def _can_sample(self):
    """Whether there is anything to train on: segments that were stored, or what was loaded with a checkpoint."""
    return self._stored_segments > 0 or getattr(self.buffer, "num_slices", 0) > 0

def _cut_off_episodes(self):
    """Before all environments are reset, store what their running episodes have collected, where it can be sampled.

    Episodes that begin after the end of seeding hold nothing that learning has to wait for.
    """
    for i, end in enumerate([] if self._episode_steps is None else self._episode_steps.tolist()):
        if end - int(self._segment_start[i]) >= self.cfg.horizon:
            self._store_segment(i, end, finished=True)
    self._segment_start.zero_()
    self._seed_pending.fill_(self._step < self._seed_steps or not self._can_sample())

def _hand_over_segments(self, ep_len):
    """Once seeding is over, store the running episodes' transitions so far; ep_len, [N], counts their steps.

    A part of fewer than `horizon` transitions waits until it is long enough, and as many are held back as the rest
    of the episode needs to be long enough itself. Returns whether there is anything to train on.
    """
    horizon = self.cfg.horizon
    for i in self._seed_pending.nonzero().flatten().tolist():
        end = int(ep_len[i])
        remaining = int(self._episode_lengths[i % len(self._episode_lengths)]) - end
        if 0 < remaining < horizon:
            end -= horizon - remaining
        if end >= horizon:
            self._store_segment(i, end, finished=False)
    return self._can_sample()
'''

# A step is stored before anything learns from it, and learning has no horizon of its own.
STORED_FIRST = Where(
    "trainer",
    tuple(
        f"if {test}:\n    $$_\n    {spending}\n    $$_\n$$_\nself._tds[$*_] = $_"
        for test, spending in (("$_", "self._update_tokens += $_"), ("self._step >= $seeding", "$_.update(self.$_())"))
    ),
    "Trainer",
    absent=True,
)
# What acts asks for a threshold of its own: the agent would not act from where it learns.
ACTS_FROM = Where(
    "trainer",
    ("self._step >= self.cfg.$_", "self.cfg.seeding_coef", "self.env.rand_act()"),
    "Trainer",
    together=True,
    absent=True,
)
# The agent does not ask on its own whether seeding is over.
NO_OTHER = Where("agent", "self.cfg.seeding_coef", "TDMPC2", absent=True)
TESTS = ("self._step >= $seeding", "self._step > $seeding", *(f"{over} and $more" for over in OVER))
SPENDERS = (
    "    self._update_tokens += $tokens\n",
    "    if self._burst_due:\n        $$burst\n    else:\n        $$tokens\n",
)
CALLERS = (
    "    $metrics.update(self.$spend())\n",
    "    if self._burst_due:\n        $$burst\n    else:\n        $metrics.update(self.$spend())\n",
)


def _handing_over(test: str, spending: str, where: tuple[Where, ...], steps: str = "$ep_len") -> Shape:
    """Where tokens are earned once seeding is over: first the segments, whatever else is asked for."""
    body = f"    $$first\n{spending}    $$rest"
    over, _, more = test.partition(" and ")
    asked = " and ".join(part for part in (over, f"self._hand_over_segments({steps})", more) if part)
    return Shape(
        f"if {test}:\n{body}",
        f"if {asked}:\n{body}",
        where=where,
        present="self._hand_over_segments($_)",
        fallback=steps != "$ep_len",
    )


def _still_waiting(spending: str, where: tuple[Where, ...]) -> Shape:
    """The same where it is asked whether seeding goes on."""
    body = f"    $$waiting\nelse:\n    $$first\n{spending}    $$rest"
    return Shape(
        f"if self._step < $seeding:\n{body}",
        f"if self._step < $seeding or not self._hand_over_segments($ep_len):\n{body}",
        where=where,
        present="self._hand_over_segments($_)",
    )


# Where the trainer sets how many steps a round of episodes takes.
FREQUENCIES = (
    "self._update_freq = $freq",
    "self._update_freq, $other = $freq, $value",
    "$other, self._update_freq = $value, $freq",
)
# How the first rows of fresh episodes are stored, behind the place that counts their steps from zero.
FIRST_ROWS = (
    ("", "self._tds[$ep_len]"),
    ("", "self._tds[$ep_len, $columns]"),
    ("$ep_len = $zeros\n$$gap\n", "self._tds[0]"),
)
CUT_OFF = "self._cut_off_episodes()\nself._episode_steps = $ep_len\n"


def _beginning(statement: str) -> Shape:
    """What the trainer begins with, behind a statement; the threshold where the tree has none of its own."""
    own = "self._seed_steps" in statement
    state = """
self._segment_start = torch.zeros(self.cfg.num_envs, dtype=torch.int64)
self._seed_pending = torch.ones(self.cfg.num_envs, dtype=torch.bool)
self._stored_segments = 0
self._episode_steps = None
"""
    threshold = "" if own else "\nself._seed_steps = max(1000, 5 * self.cfg.episode_length)"
    none = Where("trainer", "self._seed_steps = $_", "Trainer.__init__", absent=True)
    return Shape(
        statement,
        statement + threshold + state,
        present="self._seed_steps = max(1000, 5 * $_)\n$$_\nself._segment_start = $_",
        where=() if own else (none,),
    )


def _early(threshold: str, absent: bool) -> Where:
    """Whether the threshold has a name before what it consists of has one."""
    return Where("trainer", f"$_ = {threshold}\n$$_\nself._update_freq = $_", "Trainer.__init__", absent=absent)


def _by_name(threshold: str) -> Shape:
    return Shape(threshold, "self._seed_steps", present="self._seed_steps", where=(_early(threshold, absent=True),))


def _by_name_early(threshold: str) -> Shape:
    return Shape(threshold, "max(1000, 5 * cfg.episode_length)", where=(_early(threshold, absent=False),))


PATCH = Patch(
    title="Seeding ends after max(1000, 5 L) steps",
    severity=Severity.CRITICAL,
    changes="seeding ends at max(1000, 5·L) env steps, not at seeding_coef·N·L·W",
    measured="seed_steps",
    holds_back=True,
    after=("planner-stats",),
    there_only_where=(Fact("set_once", ("trainer", "self._seed_steps", "__init__", "train")),),
    only_where=(
        Fact("goes_only_to", ("trainer", "episodes", "self.buffer.add")),
        Fact("written_whole", ("trainer", "self._tds")),
        Fact("begun_only", ("trainer", "self._tds", "an episode is over")),
        Fact("within", ("trainer", "self.buffer.add", "an episode is over")),
        Fact("once_a_turn", ("trainer", "kept first")),
        Fact("unchanged", ("trainer", "rows", "kept")),
        Fact("unchanged", ("trainer", "episodes", "added to the buffer")),
        Fact("always", ("trainer", "self.buffer.add", "an episode is over")),
        Fact("takes_any_length", ("buffer", "add")),
        Fact("taken_as_given", ("buffer", "add", "row by row"), keys=("reward", "obs")),
        Fact("attribute_only_in", ("_tds", "trainer")),
        Fact("read_only_in", ("seeding_coef", "trainer", "config")),
        Fact("ends_after", ("agent", "update", "backward")),
        Fact("asked_alike", ("trainer", "self._step", "seeding_coef", "_update_freq")),
        Fact("only_compared", ("trainer", "seeding_coef")),
        Fact("compared_alone", ("trainer", "self._step", "seeding_coef", "_update_freq")),
        Fact("counts_all", ("trainer", "self._step", "num_envs", "world_size")),
        Fact("made_by_library", ("trainer", "self._tds")),
        Fact("columns_in_order", ("trainer", "self._tds")),
        Fact("independent", ("buffer", "add")),
        Fact("draws_evenly", ("buffer",)),
        Fact("asks_for_none", ("buffer", "add", "", "torch.cat", "cat")),
        Fact("not_asked_before", ("trainer", "self._update_tokens", "self.buffer")),
        Fact("counts_rows", ("trainer", "self._tds")),
    ),
    by_hand=(
        Where("trainer", ("self._step >= $seeding", "self._step < $seeding"), "Trainer"),
        Where("trainer", "self.cfg.seeding_coef", "Trainer", absent=True),
        Where("trainer", "self._tds[$begin : $end + 1, $i]", "Trainer"),
        Where("trainer", "self._tds[0 : $_, $_]", "Trainer", absent=True),
        Where("trainer", "for $begin in range($*_):\n    $$_", "Trainer", absent=True),
        Where("trainer", "def _take_segment(self, $*_):\n    $$_", "Trainer", absent=True),
    ),
    edits=(
        Edit(
            "threshold",
            "trainer",
            "Trainer",
            (
                *(
                    Shape(
                        threshold,
                        "self._seed_steps",
                        present=asked,
                        count=None,
                        every="self.cfg.seeding_coef",
                        where=(ACTS_FROM, NO_OTHER),
                        fallback="<" in asked,
                    )
                    for threshold in THRESHOLDS
                    for asked in (
                        "self._step >= self._seed_steps",
                        "self._step < self._seed_steps or not self._hand_over_segments($_)",
                    )
                ),
                *(
                    Shape(
                        over,
                        "self._step >= self._seed_steps",
                        count=None,
                        where=(SEEDING_THRESHOLD, ACTS_FROM, NO_OTHER),
                        every="self.cfg.seeding_coef",
                        fallback=True,
                    )
                    for over in OVER
                ),
            ),
        ),
        Edit(
            "threshold-by-name",
            "trainer",
            "Trainer.__init__",
            tuple(map(_by_name, IN_INIT)) + tuple(map(_by_name_early, IN_INIT)),
            optional=True,
        ),
        Edit(
            "seed-steps",
            "trainer",
            "Trainer.__init__",
            (*map(_beginning, FREQUENCIES), _beginning("self._seed_steps = max(1000, 5 * $length)")),
        ),
        Edit(
            "fresh-episodes",
            "trainer",
            "Trainer",
            tuple(
                Shape(
                    f"{counted}{row} = {made}",
                    f"{counted}{CUT_OFF}{row} = {made}",
                    count=None,
                    where=(STORED_BY,),
                )
                for counted, row in FIRST_ROWS
                for made in ("self.to_td($obs)", "self.to_td(obs=$obs)")
            ),
            present=("self._cut_off_episodes()",),
        ),
        Edit(
            "counted",
            "trainer",
            "Trainer",
            (
                rewrite(
                    """
                      $ep_len = $ep_len + $one
                    + self._episode_steps = $ep_len
                    """,
                    where=(STORED_BY,),
                ),
            ),
            optional=True,
        ),
        Edit(
            "counted-anew",
            "trainer",
            "Trainer",
            (
                rewrite(
                    """
                      $ep_len = torch.where($*choice)
                    + self._episode_steps = $ep_len
                    """,
                    where=(STORED_BY,),
                ),
            ),
            optional=True,
        ),
        Edit(
            "hand-over",
            "trainer",
            "Trainer",
            (
                *(_handing_over(*case) for case in product(TESTS, SPENDERS, (SPENT_WHERE_STORED, SPENT_ELSEWHERE))),
                *(_handing_over(test, spending, CALLED_WHERE_STORED) for test in TESTS for spending in CALLERS),
                *(_still_waiting(*case) for case in product(SPENDERS, (SPENT_WHERE_STORED, SPENT_ELSEWHERE))),
                *(
                    _handing_over(test, spending, SPENT_OUT_OF_REACH, "self._episode_steps")
                    for test, spending in product(TESTS, SPENDERS)
                ),
            ),
            present=("self._hand_over_segments($_)",),
        ),
        Edit(
            "segments",
            "trainer",
            "Trainer",
            (Shape(STORED, "self._take_segment($i, $ep_len[$i], finished=True)", where=(STORED_FIRST, ONE_HORIZON)),),
        ),
        Add(
            "methods",
            "trainer",
            "Trainer",
            SEGMENT_METHODS,
            after="to_td",
            where=(
                Where("trainer", "self._episode_lengths = $_", "Trainer"),
                Where("trainer", "self.buffer.add($_, $*where)", "Trainer", portable=("where",), names=("self",)),
            ),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    seed = numbers["seed_steps"]
    if seed.ratio is None:
        example = f" {seed.example[0].upper()}{seed.example[1:]}." if seed.example else ""
        here = f"{seed.here_formula or 'a number not found here'} environment steps"
        return f"Learning starts after {here}; in the reference after {seed.reference_formula}.{example}"
    times = "just" if seed.ratio == 1 else f"{show(seed.ratio)} times"
    return (
        f"Learning starts after {show(seed.here)} environment steps, in the reference after {show(seed.reference)}: "
        f"{times} as many."
    )
