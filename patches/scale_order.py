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

from newtfix.model import Edit, Patch, Severity, Shape, Where

AFTERWARDS = """
with torch.no_grad():
    self.scale.update(qs)
    $$others
"""

# The scale is updated with the values at the first latents alone.
FIRST = Where("agent", ("return $_, $qs[0].detach(), $_", "return $_, $qs[0], $_"), "TDMPC2._pi_loss")

PATCH = Patch(
    title="Q scale updated before its use",
    severity=Severity.MINOR,
    changes="the running Q scale is updated before it is used, not after",
    after=("rho",),
    edits=(
        Edit(
            "before-use",
            "agent",
            "TDMPC2._pi_loss",
            (
                Shape(
                    "$qs = self.model.Q(zs, pi_action, $task, return_type='avg')",
                    """
                    $qs = self.model.Q(zs, pi_action, $task, return_type='avg')
                    with torch.no_grad():
                        self.scale.update($qs[0])
                        $$others
                    """,
                    where=(FIRST, Where("agent", AFTERWARDS, "TDMPC2.update_pi")),
                ),
                Shape(
                    "$qs = self.model.Q(zs, pi_action, $task, return_type='avg')",
                    """
                    $qs = self.model.Q(zs, pi_action, $task, return_type='avg')
                    with torch.no_grad():
                        self.scale.update($qs[0])
                    """,
                    where=(
                        FIRST,
                        Where("agent", "self.scale.update(qs)", "TDMPC2.update_pi"),
                        Where("agent", AFTERWARDS, "TDMPC2.update_pi", absent=True),
                    ),
                ),
            ),
            present=("self.scale.update($qs[0])", "self.scale.update($qs[0].detach())", "self.scale($qs, update=True)"),
        ),
        Edit(
            "not-after",
            "agent",
            "TDMPC2.update_pi",
            (
                Shape(AFTERWARDS, ""),
                Shape(
                    "self.scale.update(qs)",
                    "",
                    where=(Where("agent", AFTERWARDS, "TDMPC2.update_pi", absent=True),),
                ),
            ),
            optional=True,
        ),
    ),
)
