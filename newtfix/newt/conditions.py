"""Conditions that several patches share."""

from __future__ import annotations

from itertools import permutations, product
from textwrap import indent

from newtfix.model import Edit, Shape, Where

_TESTS = tuple(
    f"self._step {over} $seeding{more}" for over in (">=", ">") for more in ("", " and $_", " and $_ and $_")
)
_SPENDING = ("self._update_tokens += $_", "if self._burst_due:\n    $$_\nelse:\n    $$_", "$_.update(self.$_())")

# A method of its own that spends the update tokens and returns metrics, and where it is called.
SPENT_BY_A_METHOD = (
    Where("trainer", "def $spend(self):\n    $$_\n    self._update_tokens += $_\n    $$_", "Trainer"),
    Where(
        "trainer",
        tuple(
            f"if {test}:\n    $$_\n{indent(spending, '    ')}\n    $$_"
            for test in _TESTS
            for spending in (
                "$_.update(self.$spend())",
                "if self._burst_due:\n    $$_\nelse:\n    $_.update(self.$spend())",
            )
        ),
        "Trainer",
    ),
)
# The threshold that ends seeding: the one that the block spending the update tokens asks for, which mentions the
# setting it comes from, whatever else compares the step with something. Its code moves to other methods.
SEEDING_THRESHOLD = Where(
    "trainer",
    (
        *(f"if {test}:\n    $$_\n{indent(spending, '    ')}\n    $$_" for test, spending in product(_TESTS, _SPENDING)),
        *(
            f"if {waiting}:\n    $$_\nelse:\n    $$_\n{indent(spending, '    ')}\n    $$_"
            for waiting in ("self._step < $seeding", "self._step < $seeding or $_")
            for spending in _SPENDING
        ),
    ),
    "Trainer",
    portable=("seeding",),
)
# How a trainer acts at random.
ACTS_AT_RANDOM = (
    "$_ = self.env.rand_act()",
    "$_, $_ = self.env.rand_act(), $_",
    "$_, $_, $_ = self.env.rand_act(), $_, $_",
)
# How the target Q networks are made.
_COPIES = ("deepcopy(self.online)", "copy.deepcopy(self.online)")
_FROZEN = ("eval()", "requires_grad_(False)")
TARGET_COPIES = (
    *(
        f"self.target = {copied}{more}"
        for copied in _COPIES
        for more in ("", ".requires_grad_(False)", ".eval()", *(f".{a}.{b}" for a, b in permutations(_FROZEN)))
    ),
    *(
        f"$copy = {copied}\n$$frozen\n{named}"
        for copied in _COPIES
        for named in ("self.target = $copy", "self.target, $other = $copy, $value")
    ),
)

# Planning and learning look equally far ahead.
ONE_HORIZON = Where(
    "agent",
    ("range($other_horizon)", "range($other_horizon + 1)", "torch.arange($other_horizon + 1, $*_)"),
    "TDMPC2",
    absent=True,
)

# Where an action comes from the policy alone, its statistics are the policy's: some trees leave them without a value.
_CHOSEN = """
if $mpc:
    $$device
    $action, $like_mu, $like_std, $*about = self.plan($*plan)
else:
    $action, $info = $prior
    {own}$$rest
$$tail
return $action.cpu(), $like_mu.cpu(), $like_std.cpu(), $*more
"""
_OWN = '$like_mu, $like_std = $info["mean"], $info["log_std"].exp()\n    '
WITHOUT_PLANNER = Edit(
    "without-planner",
    "agent",
    "TDMPC2.forward",
    (
        Shape(
            _CHOSEN.format(own=""),
            _CHOSEN.format(own=_OWN),
            untouched=("rest:like_mu", "rest:like_std"),
        ),
    ),
    optional=True,
    given=("$like_mu, $like_std = $_, $_",),
    supplement=True,
)
