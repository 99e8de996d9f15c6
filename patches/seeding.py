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

from itertools import permutations

from newtfix.model import Add, Edit, Patch, Severity, Shape, Where

STORED_BY = Where("trainer", "self._tds[: $ep_len[$i] + 1, $i]", "Trainer")

_STEPS = ("self.cfg.num_envs", "self.cfg.episode_length", "self.cfg.world_size")
THRESHOLDS = (
    "self.cfg.seeding_coef * self._update_freq",
    "self._update_freq * self.cfg.seeding_coef",
    *(" * ".join(("self.cfg.seeding_coef", *factors)) for factors in permutations(_STEPS)),
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
        for name, value in segment.items():
            if name != "obs" and value.is_floating_point():
                value[0] = float("nan")
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
        remaining = int(self._episode_lengths[i]) - end
        if 0 < remaining < horizon:
            end -= horizon - remaining
        if end >= horizon:
            self._store_segment(i, end, finished=False)
    return self._can_sample()
'''

PATCH = Patch(
    title="Seeding ends after max(1000, 5 L) steps",
    severity=Severity.CRITICAL,
    changes="seeding ends at max(1000, 5·L) env steps, not at seeding_coef·N·L·W",
    after=("planner-stats",),
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
                        present="self._step >= self._seed_steps",
                        count=None,
                        every="self.cfg.seeding_coef",
                    )
                    for threshold in THRESHOLDS
                ),
            ),
        ),
        Edit(
            "seed-steps",
            "trainer",
            "Trainer.__init__",
            (
                Shape(
                    "self._update_freq = $freq",
                    """
                    self._update_freq = $freq
                    self._seed_steps = max(1000, 5 * self.cfg.episode_length)
                    self._segment_start = torch.zeros(self.cfg.num_envs, dtype=torch.int64)
                    self._seed_pending = torch.ones(self.cfg.num_envs, dtype=torch.bool)
                    self._stored_segments = 0
                    self._episode_steps = None
                    """,
                    present="self._seed_steps = $steps",
                ),
            ),
        ),
        Edit(
            "fresh-episodes",
            "trainer",
            "Trainer",
            (
                Shape(
                    "self._tds[$ep_len] = self.to_td($obs)",
                    """
                    self._cut_off_episodes()
                    self._episode_steps = $ep_len
                    self._tds[$ep_len] = self.to_td($obs)
                    """,
                    where=(STORED_BY,),
                ),
            ),
            present=("self._cut_off_episodes()",),
        ),
        Edit(
            "hand-over",
            "trainer",
            "Trainer",
            (
                Shape(
                    """
                    if self._step >= $threshold:
                        $$first
                        self._update_tokens += $tokens
                        $$rest
                    """,
                    """
                    if self._step >= $threshold and self._hand_over_segments($ep_len):
                        $$first
                        self._update_tokens += $tokens
                        $$rest
                    """,
                    where=(STORED_BY,),
                ),
                Shape(
                    """
                    if self._step >= $threshold:
                        $$first
                        if self._burst_due:
                            $$burst
                        else:
                            $$tokens
                        $$rest
                    """,
                    """
                    if self._step >= $threshold and self._hand_over_segments($ep_len):
                        $$first
                        if self._burst_due:
                            $$burst
                        else:
                            $$tokens
                        $$rest
                    """,
                    where=(STORED_BY,),
                ),
            ),
            present=("self._step >= $threshold and self._hand_over_segments($ep_len)",),
        ),
        Edit(
            "segments",
            "trainer",
            "Trainer",
            (
                Shape(
                    "self._tds[: $ep_len[$i] + 1, $i]",
                    "self._take_segment($i, $ep_len[$i], finished=True)",
                ),
            ),
        ),
        Add(
            "methods",
            "trainer",
            "Trainer",
            SEGMENT_METHODS,
            after="to_td",
            where=(
                Where("trainer", "self._episode_lengths = $_", "Trainer"),
                Where("trainer", "self.buffer.add($_, $*where)", "Trainer.train", portable=("where",), names=("self",)),
            ),
        ),
    ),
)
