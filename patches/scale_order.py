"""The running Q scale is updated before it is used.

Claim: the reference updates its running scale with the Q values of a batch, and divides these by the updated scale.
Code: newt divides by the scale of the update before, and updates it after the policy's step.
Change: the loss updates the scale as soon as it has the Q values, and uses it afterwards.
Effect: small: with tau 0.01 a scale of 2.5 and a batch whose 5-95 percentile range is 10 give a divisor of 2.575
instead of 2.5, 3% less. It matters most at the beginning, and around `scale_threshold`, which is passed one update
earlier.
Evidence: reference, `update_pi` in tdmpc_square.py; newt, `update_pi` in tdmpc2.py.
Leave it off: when a loss must not change anything by being evaluated: with the patch, every call of `_pi_loss` moves
the scale.
"""

from itertools import product
from textwrap import indent

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Shape, Where

POLICY = "$pi_action, $info = self.model.pi($zs, $task)"
VALUES = "$qs = self.model.Q($zs, $pi_action, $task, return_type='avg')"
# How the scale is updated: alone, or in a block that makes all ranks agree.
PLAIN = "self.scale.update({})"
BLOCK = f"with torch.no_grad():\n    {PLAIN}"
AGREEING = (f"{BLOCK}\n    if $several:\n        $$agree", f"{BLOCK}\n    $agree")
UPDATES = (PLAIN, BLOCK, *AGREEING)
# A method that does nothing else.
METHOD = "self.$follow({})"
FOLLOWING = tuple(f"def $follow(self, $given):\n{indent(one.format('$given'), '    ')}" for one in (PLAIN, BLOCK))
FOLLOWS = Where("agent", FOLLOWING, "TDMPC2")
# Losses that go on with the values divided, under the same name.
REBOUND = "$qs = self.scale($qs)"
OWN = ("$qs[0]", "$qs[0].detach()")
# What the policy's step updates it with: the values that the loss returned, or the first of them.
RETURNED = ("$@_[$values]", "$@_[$_[0]]")
CALLED = Where(
    "agent",
    (
        "$_, $values, $_ = self.$_($*_)",
        "$_, $values, $_ = $variable",
        "$_, $values, $_ = $variable($*_)",
        "$_, $values, $_ = $variable[$_]($*_)",
    ),
    "TDMPC2.update_pi",
)
INLINE = (Where("agent", VALUES, "TDMPC2.update_pi", absent=True),)


def _indented(code: str) -> str:
    return indent(code, "    ")


def _loss(result: str, update: str = "") -> str:
    """A loss of the policy; the scale is updated with the values at the first latents alone, which it returns."""
    lines = (POLICY, "$$between", VALUES, *([update] if update else []), "$$using")
    return "\n".join((*lines, f"return $loss, {result}, $metrics"))


# What the loss returned is what the scale is updated with.
AS_RETURNED = Where(
    "agent",
    tuple(
        f"$_, $values, $_ = self.$_($*_)\n$$_\n{changed}"
        for changed in ("$values = $_", "if $_:\n    $$_\n    $values = $_\n    $$_")
    ),
    "TDMPC2.update_pi",
    absent=True,
)
# Nothing but the policy's step computes the loss.
IN_STEPS, IN_STEPS_BY_METHOD = (
    Where("agent", ("self.pi_loss($*_)", "self._pi_loss($*_)"), "TDMPC2", absent=True, far=(update,))
    for update in ("self.scale.update($*_)", "self.$follow($*_)")
)


def _in_loss(update: str) -> Where:
    """The loss has this very block, with what makes all ranks agree."""
    return Where("agent", update.format("$_"), "TDMPC2", near=(VALUES,))


def _steps(update: str) -> tuple[Where, ...]:
    return (FOLLOWS, IN_STEPS_BY_METHOD) if update is METHOD else (IN_STEPS,)


def _moved(update: str, values: str, result: str) -> Shape:
    """The update goes from the policy's step, where nothing decides whether it happens, into the loss."""
    followed = (update, f"{BLOCK}\n    $_[$_] = $_") if update is PLAIN else (update,)
    steps = tuple(f"def update_pi(self, $*_):\n    $$_\n{_indented(one.format(values))}\n    $$_" for one in followed)
    block = BLOCK if update is PLAIN else update
    first = "$qs[0].detach()" if update is METHOD else "$qs[0]"
    return Shape(
        _loss(result),
        _loss(result, block.format(first)),
        where=(*_steps(update), CALLED, Where("agent", steps, "TDMPC2.update_pi"), AS_RETURNED),
        count=None,
        untouched=("between:uses self.scale", "using:qs"),
    )


def _by_method() -> list[str]:
    """The loss calls that method in time."""
    found = []
    for result, values, follows in product(OWN, OWN, FOLLOWING):
        loss = f"def $_(self, $*_):\n    $$_\n{_indented(_loss(result, METHOD.format(values)))}"
        found += [f"{loss}\n$$_\n{follows}", f"{follows}\n$$_\n{loss}"]
    return found


PATCH = Patch(
    title="Q scale updated before its use",
    severity=Severity.MINOR,
    changes="the running Q scale is updated before it is used, not after",
    after=("rho",),
    only_where=(
        Fact(
            "called_only_in",
            ("agent", "self.scale", "pi_loss", "update_pi", "sac_loss", "residual_loss", "awac_loss", "bc_loss"),
        ),
        Fact("reached", ("agent", "update_pi", "self.scale.update")),
        Fact("each_divides", ("agent", "pi_loss", "self.model.Q", "self.scale")),
        Fact("unchanged", ("agent", "Q values", "followed by the scale")),
        Fact("nothing_else_with", ("agent", "update_pi", "self.scale", "update")),
        Fact("only_called_by", ("agent", "update_pi", "_pi_loss", "pi_loss")),
        Fact("read_only_after", ("agent", "self.scale", "self.model.Q")),
        Fact("once", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
        Fact("called_for", ("agent", "self.scale.update", "update_pi", "pi_loss")),
        Fact("not_replaced", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
        Fact("updated_only_in", ("agent", "scale.update")),
        Fact("handed_only_to", ("agent", "pi_loss", "compile", "get")),
        Fact("none_derived", ("agent", "pi_loss")),
        Fact("reads_what_it_sets", ("RunningScale", "update", "forward", "__call__")),
        Fact("traceable", ("RunningScale", "update")),
    ),
    there_only_where=(Fact("called_before", ("agent", "self.scale.update", "self.scale")),),
    edits=(
        Edit(
            "before-use",
            "agent",
            "TDMPC2",
            tuple(_moved(*case) for case in product((*UPDATES, METHOD), RETURNED, OWN)),
            present=(
                *(
                    _loss(result, f"$$_\n{update.format(values)}")
                    for result, values, update in product(OWN, OWN, UPDATES)
                ),
                *_by_method(),
                "self.scale($qs, update=True)",
            ),
            unless=(Where("agent", VALUES, "TDMPC2.update_pi"),),
        ),
        Edit(
            "before-rebinding",
            "agent",
            "TDMPC2",
            tuple(
                Shape(
                    f"{VALUES}\n{REBOUND}",
                    f"{VALUES}\n{(BLOCK if update is PLAIN else update).format('$qs[0]')}\n{REBOUND}",
                    where=(
                        CALLED,
                        Where(
                            "agent",
                            f"def update_pi(self, $*_):\n    $$_\n{_indented(update.format('$values'))}\n    $$_",
                        ),
                        IN_STEPS,
                    ),
                    count=None,
                )
                for update in UPDATES
            ),
            optional=True,
        ),
        Edit(
            "not-after",
            "agent",
            "TDMPC2.update_pi",
            (
                *(
                    Shape(update.format("$values"), "", where=(*own, *INLINE, _in_loss(update)))
                    for update, own in (*((one, ()) for one in UPDATES[1:]), (METHOD, (FOLLOWS,)))
                ),
                Shape(PLAIN.format("$values"), "", where=INLINE, fallback=True),
            ),
            optional=True,
        ),
        Edit(
            "in-place",
            "agent",
            "TDMPC2.update_pi",
            tuple(
                Shape(f"{VALUES}\n$$using\n{update}", f"{VALUES}\n{update}\n$$using", present=f"{VALUES}\n{update}")
                for follows in UPDATES
                for update in (
                    follows.format("$@first[$qs[0]]"),
                    f"$values = $@first[$qs[0]]\n{follows.format('$values')}",
                )
            ),
            unless=INLINE,
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    tau = numbers.setting("tau")
    if tau is None:
        return "The running Q scale is updated after it is used: each update divides by that of the update before."
    return (
        f"Each update divides by the Q scale of the update before: with tau={tau:g}, a scale of 2.5 and a batch range "
        f"of 10, by 2.5 instead of {2.5 + 7.5 * tau:.4g}."
    )
