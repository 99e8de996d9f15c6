"""The residual prior is weighted by A/61.

Claim: the reference multiplies prior_coef by A/61, A the number of action dimensions.
Code: the prior term is weighted with prior_coef alone, or by the width that actions are padded to.
Change: it is scaled by A/61, A being each sample's own action dimension, counted in the action masks, not the padded
width.
Effect: the factor is 0.344 for humanoid (A=21) and 0.098 for A=6. The reference's log-probability carries a factor A
of its own, so there the weight is prior_coef A^2/61: with prior_coef 1, it is 61 for A=61, 7.2 for A=21 and 0.59 for
A=6.
Evidence: reference, `update_pi` in `tdmpc_square.py`.
Corrections: 61 is the action dimension of HumanoidBench's H1 with two hands, the benchmark that the reference was
tuned on, not of dm_control's dog, which has 38 actuators. A tree whose log-probability lacks the factor A does not
match the reference by this patch alone; `actor-modes` brings it.
Leave it off: when prior_coef was tuned for the task at hand without the factor, or when one weight shall count alike
in tasks of different action dimensions.
"""

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Where, rewrite, show

ARGUMENTS = Where(
    "agent",
    ("def $_(self, $_, $_, $_, $_, $task):\n    $$_", "def $_(self, $_, $_, $_, $_, $task=$_):\n    $$_"),
    "TDMPC2",
    near=("self.cfg.prior_coef * $_",),
)
# The term of the planner's prior, where other losses have terms with the same weight.
WEIGHED = Where(
    "agent",
    ("self.cfg.prior_coef * $prior_loss", "$_ * self.cfg.prior_coef * $prior_loss"),
    "TDMPC2",
    near=("self.cfg.scale_threshold", "self._log_prior($*_)"),
)
UNSCALED = Where(
    "agent",
    tuple(f"{prior} {by}= $_" for prior in ("log_prior", "prior_loss") for by in "*/")
    + tuple(f"{prior} = {prior} {by} $_" for prior in ("log_prior", "prior_loss") for by in "*/")
    + tuple(f"{prior} = $_ * {prior}{more}" for prior in ("log_prior", "prior_loss") for more in ("", " / $_")),
    "TDMPC2",
    absent=True,
    outside=tuple(
        form.format(f"(self.scale.value {over} $_){cast}")
        for form in ("$prior *= {}", "$prior = $prior * {}", "$on = {}\n$$_\n$prior = $prior * $on")
        for over in (">", ">=")
        for cast in ("", ".float()", ".to($*_)", ".type_as($_)")
    ),
)
# Priors that are summed up over time, the log-probabilities being [H, B, 1].
SUMS = tuple(
    (term.format(prior="$log_prior") + mean, term.format(prior="$log_prior * prior_norm") + mean)
    for term in ("(-{prior} * $weight).sum($*over)", "-({prior} * $weight).sum($*over)")
    for mean in ("", ".mean()")
    if not (mean and term.startswith("-("))
)
DIMS = "self.model._action_masks[task.long()].sum(-1{}) / 61"

# The factor with the width that actions are padded to, in trees that pad.
WIDTH = "self.cfg.prior_coef * self.cfg.action_dim / 61"
WIDTHS = (WIDTH, "self.cfg.action_dim / 61")
MASKED = 'self.register_buffer("_action_masks", {})'
UNPADDED = Where("world_model", MASKED.format("torch.ones($*_)"), "WorldModel")
UNMASKED = Where("world_model", (MASKED.format("$*_"), "self._action_masks"), "WorldModel", absent=True)
BY_WIDTH = Where("agent", "def $_(self, $_, $_, $_, $_, $task):\n    $$_", "TDMPC2", near=WIDTHS)
PER_SAMPLE = Where("agent", "$log_prior = math.gaussian_logprob_constrained($*_).mean(dim=-1)", "TDMPC2", near=WIDTHS)

PATCH = Patch(
    title="Residual prior scaled by A/61",
    severity=Severity.MODERATE,
    changes="the residual prior term is scaled by A/61, A the task's true action dimension",
    after=("actor-modes",),
    there_only_where=(Fact("numbers_each", ("agent", "self._log_prior", "61")),),
    only_where=(
        Fact("set_plainly", ("prior_coef",)),
        Fact("summed_only", ("agent", "gaussian_logprob")),
        Fact("names_no_number", ("agent", "61")),
        Fact("names_no_number", ("math", "61")),
        Fact("never_none", ("agent", "update_pi", "task")),
        Fact("none_derived", ("agent", "pi_loss")),
        Fact("not_replaced", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
        Fact("none_derived", ("agent", "_log_prior")),
        Fact("called_only_in", ("agent", "self._log_prior", "_loss")),
        Fact("asks_beside", ("agent", "scale_threshold", "log_prior", "logprob", "log_prob")),
        Fact("scaled_by", ("agent", "_log_prior", "self.scale")),
        Fact("calls_no", ("math", "gaussian_logprob", "mean", "nanmean")),
        Fact("summed_only", ("agent", "log_prob")),
        Fact("averages_nowhere", ("agent", "_log_prior")),
        Fact("not_remade", ("agent", "log_prior prior_loss", "scale where")),
        Fact("not_filled", ("world_model", "_action_masks")),
        Fact("written_only_in", ("world_model", "self._action_masks", "__init__")),
        Fact("not_accumulated", ("agent", "_loss", "prior")),
        Fact("asked_once", ("agent", "pi_loss", "self._log_prior", "math.gaussian_logprob")),
    ),
    edits=(
        Edit(
            "weight",
            "agent",
            "TDMPC2._residual_loss",
            (
                rewrite(
                    f"""
                      $prior_loss = self.$mean(-$log_prior)
                      $$between
                    - $pi_loss = $q_loss + self.cfg.prior_coef * $prior_loss
                    + prior_norm = {DIMS.format(", keepdim=True")}
                    + $pi_loss = $q_loss + self.cfg.prior_coef * self.$mean(-$log_prior * prior_norm)
                    """,
                    present=f"prior_norm = {DIMS.format(', keepdim=True')}",
                    untouched=("between:prior_loss",),
                ),
            ),
            present=("$_ / 61", "$_ / 61.0"),
            optional=True,
        ),
        Edit(
            "own-dimension",
            "agent",
            "TDMPC2",
            (
                rewrite(
                    f"""
                    - $prior_loss = -($log_prior.mean(dim=-1) * $weights).mean()
                    + prior_norm = {DIMS.format("").replace("task.", "$task.")}
                    + $prior_loss = -(($log_prior * prior_norm).mean(dim=-1) * $weights).mean()
                      $$between
                    - $pi_loss = $q_loss + {WIDTH} * $prior_loss
                    + $pi_loss = $q_loss + self.cfg.prior_coef * $prior_loss
                    """,
                    present=f"prior_norm = {DIMS.format('').replace('task.', '$task.')}",
                    where=(BY_WIDTH, PER_SAMPLE),
                    untouched=("between:prior_loss",),
                ),
            ),
            unless=(Where("agent", WIDTHS, "TDMPC2", absent=True),),
            or_unless=(
                (UNPADDED,),
                (UNMASKED,),
                (Where("agent", "def _residual_loss(self, $*_):\n    $$_", "TDMPC2"),),
            ),
        ),
        Edit(
            "own-loss",
            "agent",
            "TDMPC2",
            (
                *(
                    rewrite(
                        f"""
                          $prior_loss = self.$mean(-$log_prior)
                          $$between
                        - $pi_loss = $q_loss + {factor}self.cfg.prior_coef * $prior_loss{more}
                        + prior_norm = {DIMS.format(", keepdim=True").replace("task.", "$task.")}
                        + $pi_loss = $q_loss + {factor}self.cfg.prior_coef * self.$mean(-$log_prior * prior_norm){more}
                        """,
                        present=f"prior_norm = {DIMS.format(', keepdim=True').replace('task.', '$task.')}",
                        where=(ARGUMENTS, UNSCALED),
                        untouched=("between:prior_loss",),
                    )
                    for factor, more in (("", ""), ("", " + $more"), ("$factor * ", ""))
                ),
                rewrite(
                    f"""
                      def $loss(self, $pi_action, $mu, $std, task):
                          $$head
                    -     return self.$mean(-$log_prior)
                    +     prior_norm = {DIMS.format(", keepdim=True")}
                    +     return self.$mean(-$log_prior * prior_norm)
                    """,
                    where=(Where("agent", "self.cfg.prior_coef * self.$loss($*_)", "TDMPC2"), UNSCALED),
                ),
                *(
                    rewrite(
                        f"""
                        - $prior_loss = {before}
                        + prior_norm = {DIMS.format(", keepdim=True").replace("task.", "$task.")}
                        + $prior_loss = {after}
                        """,
                        where=(ARGUMENTS, WEIGHED, UNSCALED),
                    )
                    for before, after in SUMS
                ),
            ),
            present=(
                "prior_norm = $_ / 61",
                *(f"self.cfg.prior_coef * $_ / {most} * $_" for most in ("61", "61.0")),
                *(f"$variable = $variable * $_ / {most}" for most in ("61", "61.0")),
            ),
            unless=(
                Where(
                    "agent",
                    ("self.cfg.scale_threshold", "def _residual_loss(self, $*_):\n    $$_"),
                    "TDMPC2",
                    absent=True,
                ),
            ),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    coefficient, dims = show(numbers.setting("prior_coef"), "alone"), numbers.action_dims
    weighted = f"The prior term is weighted with prior_coef ({coefficient}); the reference's factor A/61"
    if not dims:
        return f"{weighted}, {show(21 / 61)} for A=21, is missing."
    return f"{weighted} = {show(numbers['prior_factor'].reference)} for A={', '.join(map(str, dims))} is missing."
