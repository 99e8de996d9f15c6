"""Losses are weighted with rho^t and averaged over the horizon.

Claim: the reference weights step t of every loss with rho^t, t = 0 ... H-1, and divides the sum by H.
Code: newt divides the H+1 weights by their sum, and adds the weighted steps up.
Change: the weights are rho^t as they are, and every loss is a mean over the steps: consistency and reward
(1/H) sum_t rho^t l_t, value (1/(H num_q)) sum_q sum_t rho^t l_qt, and the policy's terms likewise.
Effect: for rho=0.5 and H=3, newt's weights are 0.533, 0.267, 0.133 (and 0.067), the reference's 0.333, 0.167, 0.083:
all losses shrink to 5/8. Adam hardly notices that, but gradient clipping does, and so does the balance with terms that
are averaged already: with `actor-modes` alone, whose terms are means of newt's weights, the policy's losses are
1.875 times too small. Where pretraining on demonstrations averages its cloning term already, as newt does, that
term grows by 1.875 while the model's losses shrink to 5/8.
Evidence: reference, `update` and `update_pi` in tdmpc_square.py; newt, `__init__` and `_loss_fn` in tdmpc2.py.
Leave it off: to keep logged losses comparable with earlier runs of newt.
"""

from itertools import product

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show
from newtfix.newt.conditions import ONE_HORIZON

NORMALISED = (
    *("self.rho.sum($*_)", "self.rho / $_", "self.rho /= $_", "self.rho = $_ / $_"),
    *("self.rho.div_($_)", "self.rho *= $_", "self.rho * $_"),
)
LOSSES = ("consistency", "reward", "value")
# On the way to the total they are averaged over the Q networks at most.
SCALED = (
    *(f"${name} {by} $_" for name in LOSSES for by in ("/", "/=", "*", "*=")),
    *("$_ / self.cfg.horizon", "$_ / self.horizon"),
)
NETWORKS = ("self.cfg.num_q", "cfg.num_q", "len(qs)", "qs.shape[0]", "qs.size(0)", "num_q", "self.model.num_q")
# Each is weighed by its setting, and perhaps by something else.
FACTORS = ("{} * {}", "{} * $_ * {}", "$_ * {} * {}")
PRODUCTS = {name: tuple(form.format(f"self.cfg.{name}_coef", f"${name}") for form in FACTORS) for name in LOSSES}
AVERAGED = (
    *(form for forms in PRODUCTS.values() for form in forms),
    *(f"$value {by} {networks}" for by in ("/", "/=") for networks in NETWORKS),
    "$_ * self.rho[$_] / self.cfg.horizon",
)
# Trees that weigh and add up in a method of its own.
METHODS = tuple(f"def {name}(self, $_):\n    $$_" for name in ("_sum_over_time", "_mean_over_time"))
WEIGHED = tuple(Where("agent", forms, "TDMPC2._loss_fn") for forms in PRODUCTS.values())
UNSCALED = Where("agent", SCALED, "TDMPC2._loss_fn", absent=True, outside=AVERAGED)


SET = ("self.rho = $_", 'self.register_buffer("rho", $*_)')
ATTRIBUTE, BUFFER = (Where("agent", form, "TDMPC2.__init__") for form in SET)
SHARES = 'self.register_buffer("rho", $_ / $_, $*_)'
BY_ANOTHER_NAME = ("$_ = self.rho", "$_, $_ = self.rho, $_", "$_, $_ = $_, self.rho")  # its uses are spelled out
BY_NAME = Where("agent", "$weight = $@_[self.rho[$_]]", "TDMPC2._loss_fn")

# Terms of policy losses: sums over time of what rho, or its first steps, weigh.
TERMS = {
    "": "($x * $temporal[$*steps]).sum($*dimensions)",
    "-by-name": "($x * $rho_name).sum($*dimensions)",
}
# Of no policy: another loss that is summed up over time by the same weights.
OTHER_SUMS = Where(
    "agent",
    ("(self.rho[$*_] * $_).sum($*_)", "($_ * self.rho[$*_]).sum($*_)"),
    "TDMPC2",
    absent=True,
    near=("self.model.reward($*_)",),
    far=("self.model.pi($*_)",),
)
MEANS = (
    "($_ * $temporal[$*_]).mean($*_)",
    "($_ * $rho_name).mean($*_)",
    "$weight = $_\n$$_\n$_ = ($weight * $_).mean($*_)",
)
# Losses are sums over the horizon, not over the first steps of it.
WHOLE = tuple(
    Where("agent", ("obs[:$_]", "action[:$_]", "reward[:$_]"), f"TDMPC2.{method}", absent=True)
    for method in ("update", "_loss_fn")
)
# The weights are those of the losses, and of nothing else; the policy's are sums or means that are known.
OF_LOSSES = (
    ONE_HORIZON,
    *WHOLE,
    Where("agent", "self.model.pi($*_)", "TDMPC2", near=("self.scale($_)", "self.scale($_, $*_)")),
    Where(
        "agent",
        ("self.rho[$*_] / $_.sum($*_)", "$rho_name / $rho_name.sum($*_)", "$rho_name /= $_"),
        "TDMPC2",
        absent=True,
        far=SET,
    ),
    Where(
        "agent",
        "self.rho",
        "TDMPC2",
        absent=True,
        far=(*SET, "self.model.pi($*_)", "self.model.reward($*_)", "return $_.mean()"),
        outside=("self.rho[$_].item()", "self.rho.$_($*_).item()", "self.rho.tolist()"),
    ),
    Where(
        "agent",
        "self.rho",
        "TDMPC2",
        absent=True,
        near=("self.model.pi($*_)",),
        far=("self.model.reward($*_)",),
        outside=(*TERMS.values(), *MEANS, "$rho_name = $_", *BY_ANOTHER_NAME),
    ),
)


# Losses that are weighed apart from that method.
APART = Where("agent", "self.rho", "TDMPC2._loss_fn", absent=True, outside=MEANS)
# Weights that go by a name of their own in a policy's loss.
NAMED = Where(
    "agent",
    "$rho_name",
    "TDMPC2",
    absent=True,
    near=("self.model.pi($*_)",),
    far=("self.model.reward($*_)",),
    outside=(*TERMS.values(), *MEANS, "$rho_name = $_"),
)


# They are summed up whatever the settings say.
ALWAYS = Where(
    "agent",
    (
        "if $_:\n    $$_\n    $total = $all_losses\n    $$_",
        "if $_:\n    $$_\nelse:\n    $$_\n    $total = $all_losses\n    $$_",
        "if $_:\n    $$_\n    for $_ in $_:\n        $$_\n        $other += $_ * $_\n        $$_\n    $$_",
    ),
    "TDMPC2._loss_fn",
    absent=True,
)


def _summed(weight: str, steps: tuple[str, ...]) -> tuple[Where, ...]:
    """The three losses are sums of steps with these weights, and rho weighs nothing but such steps."""
    each = [(f"${name} += $_ * {weight}", f"${name} += $_ * {weight} / self.cfg.horizon") for name in LOSSES]
    known = (
        *steps,
        *(f"{step} / self.cfg.horizon" for step in steps),
        "$weight = $@_[self.rho[$_]]",
        *BY_ANOTHER_NAME,
        *TERMS.values(),
        *MEANS,
    )
    return (
        *WEIGHED,
        *(Where("agent", either, "TDMPC2._loss_fn") for either in each),
        Where("agent", f"$other += $_ * {weight}", "TDMPC2._loss_fn", absent=True, outside=steps),
        UNSCALED,
        OTHER_SUMS,
        Where("agent", "self.rho", "TDMPC2._loss_fn", absent=True, outside=known),
        ALWAYS,
    )


# Each of the losses is divided.
DIVIDED = ("$_ = $_ / self.cfg.horizon", "$_ /= self.cfg.horizon")
THREE = (
    "$_, $_, $_ = $_ / self.cfg.horizon, $_ / self.cfg.horizon, $_ / self.cfg.horizon",
    "$_, $_, $_ = $_ / self.cfg.horizon, $_ / self.cfg.horizon, $_ / (self.cfg.horizon * $_)",
    *("\n$$_\n".join(three) for three in product(DIVIDED, repeat=3)),
)


def _total(by_name: bool) -> Shape:
    """The sum of all losses, which are the three, whatever terms it has that rho does not weigh."""
    divided = "".join(f"+ ${name} = ${name} / self.cfg.horizon\n" for name in LOSSES)
    weight = "$weight" if by_name else "self.rho[$_]"
    steps = tuple(f"${name} += $_ * {weight}" for name in LOSSES)
    return rewrite(
        f"{divided}  $total = $all_losses",
        where=(*((BY_NAME,) if by_name else ()), *_summed(weight, steps), NAMED),
    )


# Where rho weighs other terms as well, the steps of all are divided.
STEPS = rewrite(
    """
    - $step * self.rho[$t]
    + $step * self.rho[$t] / self.cfg.horizon
    """,
    where=(*_summed("self.rho[$_]", ("$_ += $_ * self.rho[$_]",)), NAMED),
    count=None,
    fallback=True,
)


PATCH = Patch(
    title="Temporal weights rho^t, averaged over the horizon",
    severity=Severity.MODERATE,
    changes="temporal weights rho^t are not normalised, each loss is averaged over H",
    after=("prior-coef",),
    there_only_where=(
        Fact("set_once", ("agent", "self.rho", "__init__")),
        Fact("normalised_last", ("agent", "self.rho")),
        Fact("has_powers", ("agent", "self.rho", "rho", "as they are")),
    ),
    only_where=(
        Fact("has_powers", ("agent", "self.rho", "rho")),
        Fact("not_asserted", ("agent", "rho")),
        Fact("none_derived", ("agent", "pi_loss")),
        Fact("not_replaced", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
        Fact("divided_only_by", ("agent", "consistency_loss", "reward_loss", "value_loss", "num_q", "horizon")),
        Fact("attribute_only_in", ("rho", "agent")),
        Fact("asks_not_for", ("math", "horizon")),
        Fact("written_only_in", ("agent", "self.rho", "__init__")),
        Fact("not_read_by", ("agent", "self.rho", "_td_target", "forward", "plan")),
        Fact("used_as_it_is", ("agent", "self.rho", "__init__")),
        Fact("normalised_last", ("agent", "self.rho")),
        Fact("unchanged", ("agent", "the total loss", "minimised")),
        Fact("independent", ("agent", "_loss_fn", "loss_fn")),
        Fact("ranges_by", ("agent", "__init__ _loss_fn", "horizon", "num_q")),
        Fact("set_plainly", ("consistency_coef", "reward_coef", "value_coef")),
    ),
    edits=(
        Edit(
            "weights",
            "agent",
            "TDMPC2.__init__",
            (
                rewrite("- self.rho /= self.rho.sum()", present="", where=(*OF_LOSSES, ATTRIBUTE)),
                rewrite(
                    """
                    - self.rho = $powers / $powers.sum()
                    + self.rho = $powers
                    """,
                    present="self.rho = $_",
                    where=(*OF_LOSSES, Where("agent", NORMALISED, "TDMPC2.__init__", absent=True)),
                ),
                rewrite(
                    """
                    - self.rho = $powers / $powers.sum()
                    + self.rho = $powers
                    """,
                    present="",
                    where=(
                        *OF_LOSSES,
                        ATTRIBUTE,
                        Where("agent", "self.rho / self.rho.sum()", "TDMPC2.__init__", absent=True),
                    ),
                ),
                *(
                    rewrite(
                        """
                        - self.register_buffer("rho", $powers / $powers.sum(), $*kept)
                        + self.register_buffer("rho", $powers, $*kept)
                        """,
                        present=present,
                        where=(*OF_LOSSES, BUFFER, Where("agent", SHARES, "TDMPC2.__init__", absent=there)),
                    )
                    for present, there in (('self.register_buffer("rho", $*_)', True), ("self.rho = $_", False))
                ),
            ),
        ),
        Edit(
            "mean-method",
            "agent",
            "TDMPC2",
            (
                rewrite(
                    '''
                    - def _sum_over_time(self, $x):
                    + def _mean_over_time(self, $x):
                    +     """Mean over time and all else of per-step values [T, ...], weighed by rho^t."""
                          $$weights
                    -     return ($weight * $@as_float[$x]).sum(0).mean()
                    +     return ($weight * $@as_float[$x]).mean()
                    ''',
                    present="def _mean_over_time(self, $_):\n    $$_",
                    where=(NAMED, APART),
                ),
            ),
            unless=(Where("agent", METHODS, "TDMPC2", absent=True),),
        ),
        Edit(
            "model-losses",
            "agent",
            "TDMPC2._loss_fn",
            (_total(by_name=False), _total(by_name=True), STEPS),
            present=(*THREE, "self.rho[$_] / $_"),
            unless=(Where("agent", METHODS, "TDMPC2"),),
        ),
        Edit(
            "means",
            "agent",
            "TDMPC2",
            (
                rewrite(
                    """
                - self._sum_over_time($*x)
                + self._mean_over_time($*x)
                """,
                    count=None,
                ),
            ),
            optional=True,
        ),
        *(
            Edit(
                f"policy-terms{kind}",
                "agent",
                "TDMPC2",
                (rewrite(f"- {term}\n+ {term} / self.cfg.horizon", count=None, near=("self.model.pi($*_)",)),),
                optional=True,
            )
            for kind, term in TERMS.items()
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    weights, total = numbers["temporal_weights"], numbers.get("loss_weight")
    if weights.here is None or total is None or total.ratio is None:
        return "The temporal weights are not rho^t averaged over the horizon, as in the reference."
    return (
        f"The steps of a loss weigh {show(weights.here)}, in the reference {show(weights.reference)}: the losses are "
        f"{show(total.ratio)} times as large."
    )
