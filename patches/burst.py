"""One burst of updates on the seed data when seeding ends.

Claim: the reference makes as many gradient steps as there were seed steps before it takes the next action.
Code: newt spends update tokens from the first step past the threshold on, `utd` per environment step.
Change: the first time seeding is over, `burst_updates` updates take the place of that iteration's token updates (None:
as many as this tree's seed steps; 0: no burst). Once per run: a run resumed past the threshold makes none, one resumed
before it does. Every rank makes the same number.
Effect: 1,250 updates at once for L=250 with `seeding`; 25,000 for N=20 without it. By tokens, at newt's 0.075 updates
per step, 1,250 updates take 16,667 more environment steps.
Evidence: reference, `train` in `trainer/online_trainer.py` ("Pretraining agent on seed data").
Leave it off: when the seed data are few or narrow, so that so many updates would overfit them, or when the pause is
too long: without `seeding` the burst is 25,000 updates for N=20. `burst_updates=0` is the old behaviour with the patch
in.
"""

from textwrap import indent

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show
from newtfix.newt.conditions import SEEDING_THRESHOLD, SPENT_BY_A_METHOD

BURST_METHOD = '''
def _burst(self):
    """Train on the seed data, once: as many updates as `burst_updates` says. Returns the last one's metrics."""
    self._burst_due = False
    updates = $seeding if self.cfg.burst_updates is None else self.cfg.burst_updates
    metrics = {}
    if self.cfg.rank == 0:
        tqdm.write(f"burst of {updates:,} updates begins at step {self._step:,}")
    for _ in tqdm(range(updates), desc="burst", leave=False, disable=None if self.cfg.rank == 0 else True):
        metrics = self.agent.update($*batch)
    if self.cfg.rank == 0:
        values = {name: torch.as_tensor(value).detach() for name, value in metrics.items() if name.endswith("loss")}
        losses = [f"{name} {float(value):.4g}" for name, value in values.items()]
        tqdm.write(f"burst of {updates:,} updates at step {self._step:,}: {', '.join(losses)}")
    return metrics
'''

SPENDING = ("self._update_tokens += $_",)
# They are made where the tokens are, or in a method that returns what they measured; pretraining does neither.
LEARNING = (*SPENDING, "return $_")
UPDATE = Where("trainer", "self.agent.update($*batch)", "Trainer", portable=("batch",), names=("self",), near=LEARNING)
UPDATES = ("$_ = self.agent.update($*_)", "self.agent.update($*_)", "$_.update(self.agent.update($*_))")
# Updates in a loop over the seed steps.
BURSTS = tuple(
    f"for $_ in {steps}:\n    $$_\n    {update}\n    $$_"
    for steps in ("range($seeding)", "range(int($seeding))", "tqdm(range($seeding), $*_)", "trange($seeding, $*_)")
    for update in UPDATES
)

METRICS = "$metrics.update({new})"
MERGED = "$metrics |= {new}"
EACH = "for $key, $value in {new}.items():\n    $metrics[$key].append($value)"
AT_ONCE = f"for $each in $updates:\n    {METRICS.format(new='self.agent.update($*batch)')}"
# How the tokens of an iteration are spent, and how the metrics of its updates are kept.
SPENDING_TOKENS = (
    *(
        (f"{test}:\n    $$before\n{indent(kept.format(new='$new'), '    ')}\n    $$after", kept)
        for test in ("if $enough", "while self._update_tokens >= $one", "for $each in $updates")
        for kept in (METRICS, MERGED, EACH)
    ),
    (f"if $enough:\n    $$before\n{indent(AT_ONCE, '    ')}\n    $$after", METRICS),
)


def _instead(spent: str, kept: str) -> Shape:
    tokens = f"self._update_tokens += $tokens\n$$gap\n{spent}"
    burst = kept.format(new="self._burst()")
    return Shape(
        tokens,
        f"if self._burst_due:\n{indent(burst, '    ')}\nelse:\n{indent(tokens, '    ')}",
        present=burst,
    )


PATCH = Patch(
    title="A burst of updates when seeding ends",
    severity=Severity.MODERATE,
    changes="the first time seeding is over, one burst of as many updates as there were seed steps",
    measured="burst_updates",
    after=("mu-std",),
    goes_with=("seeding",),
    there_only_where=(Fact("set_once", ("trainer", "self._burst_due", "train")),),
    only_where=(
        Fact("paid_in", ("trainer", "self._update_tokens", "self.agent.update")),
        Fact("undisturbed", ("trainer", "self.agent.update", "self.env")),
        Fact("only_calls", ("trainer", "self.agent.update", "where update tokens are spent")),
        Fact("not_overridden", ("trainer", "self.agent.update")),
        Fact("without_deadline", ("trainer",)),
        Fact("once", ("agent", "update", "backward")),
        Fact("ends_after", ("agent", "update", "backward")),
        Fact("trains_once_nowhere", ("trainer", "self.agent", "self._update_tokens")),
        Fact("repeated_by", ("trainer", "self.agent.update", "self._update_tokens")),
        Fact("alone_in_loop", ("trainer", "self.agent.update", "self.agent")),
        Fact("only_kept", ("trainer", "self.agent.update", "self._update_tokens")),
        Fact("independent", ("agent", "update")),
        Fact("independent", ("buffer", "sample")),
        Fact("read_by_none", ("burst_updates", "_burst", "_burst_due")),
        Fact("counts_all", ("trainer", "self._step", "num_envs", "world_size")),
        Fact("not_compared", ("burst_updates",)),
        Fact("not_read_in", ("utd", "agent")),
    ),
    by_hand=(Where("trainer", BURSTS, "Trainer"),),
    edits=(
        Add(
            "setting",
            "config",
            "Config",
            "burst_updates: Optional[int] = None  # updates when seeding ends; None: as many as seed steps, 0: none",
            after="seeding_coef",
        ),
        Add("optional", "config", "", "from typing import Optional", optional=True),
        Add("import", "trainer", "", "from tqdm import tqdm", after="TensorDict", optional=True),
        Edit(
            "not-due",
            "trainer",
            "Trainer.__init__",
            (
                rewrite("""
                  self._update_tokens = $none
                + self._burst_due = False
                """),
            ),
            optional=True,
        ),
        Edit(
            "due",
            "trainer",
            "Trainer",
            tuple(
                rewrite(
                    f"""
                    + self._burst_due = self.cfg.burst_updates != 0 and self._step < $seeding
                      while {test}:
                          $$loop
                    """,
                    present="self._burst_due = self.cfg.burst_updates != 0 and self._step < $seeding",
                    where=(SEEDING_THRESHOLD,),
                )
                for test in (f"self._step {over} $steps{more}" for over in ("<=", "<") for more in ("", " and $more"))
            ),
        ),
        Edit(
            "instead-of-tokens",
            "trainer",
            "Trainer",
            (
                *(_instead(*spends) for spends in SPENDING_TOKENS),
                rewrite(
                    """
                    - $metrics.update(self.$spend())
                    + if self._burst_due:
                    +     $metrics.update(self._burst())
                    + else:
                    +     $metrics.update(self.$spend())
                    """,
                    present="$metrics.update(self._burst())",
                    where=SPENT_BY_A_METHOD,
                ),
            ),
        ),
        Add(
            "method",
            "trainer",
            "Trainer",
            BURST_METHOD,
            after="to_td",
            where=(SEEDING_THRESHOLD, UPDATE),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    made, rate = numbers["burst_updates"], numbers["updates_per_step"].here
    missed = made.reference
    if not isinstance(missed, (int, float)):
        return f"No updates at once when seeding ends; in the reference {made.reference_formula}."
    later = ""
    if isinstance(rate, (int, float)) and rate:
        later = f" At {show(rate)} updates per step they take {show(missed / rate)} more environment steps."
    return f"{show(made.here, 'No')} updates at once when seeding ends; in the reference {show(missed)}.{later}"
