"""Random actions while seeding, with statistics that say so.

Claim: the reference seeds with uniformly random actions and stores them with mu = action and std = exp(log_std_max), a
distribution wide enough to pull the policy nowhere.
Code: the tree lets the untrained agent act from the first step on (the branch with random actions is never taken), or
stores random actions without statistics.
Change: while seeding, actions are random; they are stored with mu = action and std = exp(log_std_max). The agent acts
in the first iteration that starts at or past the threshold. An agent that was pretrained on demonstrations or is being
finetuned goes on acting while seeding.
Effect: every transition collected while seeding has statistics: for N=20 and L=250, 1,260 of them with `seeding` (63
iterations of 20), 25,000 without. Their std is exp(2) = 7.389. The pull of a prior goes with 1/std^2, so it is 0.018 of
that of std 1, and 1/21,800 of that of the planner's smallest, 0.05.
Evidence: reference, `train` in `trainer/online_trainer.py`.
Leave it off: when the agent shall act from the first step on, as with a checkpoint that already knows the task and is
loaded without `finetune`, or to compare with runs that were seeded by the untrained planner.
"""

import math
from itertools import product

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show
from newtfix.newt.conditions import SEEDING_THRESHOLD

RANDOM = "self.env.rand_act()"
# What else is given in the same statement stays.
DRAWN = ("$action = self.env.rand_act()", "$action, $other = self.env.rand_act(), $value")
DRAWING = ("$_ = self.env.rand_act()", "$_, $_ = self.env.rand_act(), $_")
ACTING = """
if $agent:
    $$before
    $result = self.agent($*front, mpc=$mpc, $*back)
    $$behind
else:
    $$random
"""
OVER, NOT_YET = ("self._step >= $_", "self._step > $_"), ("self._step < $_", "self._step <= $_")
WAITING = ("$mpc", "$_ or $mpc", "$mpc or $_", "$mpc or $_ or $_", "$_ or $mpc or $_", "$_ or $_ or $mpc")


def _decided(drawn: str) -> tuple[str, ...]:
    """How the step decides who acts, where actions are drawn with this statement."""
    return (
        *(f"$mpc = {over}\n$$_\n$agent = {condition}" for over, condition in product(OVER, WAITING)),
        *(
            f"$mpc = {over}\n$$_\nif {condition}:\n    $$_\nelse:\n    $$_\n    {drawn}\n    $$_"
            for over, condition in product(OVER, WAITING)
        ),
        *(f"$mpc = $agent = {over}" for over in OVER),
        *(f"if {test}:\n    $$_\n    {drawn}\n    $$_" for test in NOT_YET),
        *(f"if $_ and {test}:\n    $$_\n    {drawn}\n    $$_" for test in NOT_YET),
        *(f"if $_:\n    $$_\nelif {test}:\n    $$_\n    {drawn}\n    $$_" for test in NOT_YET),
        *(f"if {test}:\n    $$_\nelse:\n    $$_\n    {drawn}\n    $$_" for test in OVER),
        *(f"if $_ or {test}:\n    $$_\nelse:\n    $$_\n    {drawn}\n    $$_" for test in OVER),
        *(f"if {test}:\n    $$_\nelif $_:\n    $$_\nelse:\n    $$_\n    {drawn}\n    $$_" for test in OVER),
        *(f"if $_:\n    $$_\nelif {test}:\n    $$_\nelse:\n    $$_\n    {drawn}\n    $$_" for test in OVER),
        *(f"$seed = {test}\n$$_\nif $seed:\n    $$_\n    {drawn}\n    $$_" for test in NOT_YET),
        *(f"$seed = {test}\n$$_\n$agent = not $seed" for test in NOT_YET),
        *(f"$seed = {test}\n$$_\n$agent = $_ or not $seed" for test in NOT_YET),
        *(f"$seed = {test}\n$$_\nif $_ or not $seed:\n    $$_" for test in NOT_YET),
    )


DECIDED = tuple(dict.fromkeys(form for drawn in DRAWING for form in _decided(drawn)))

FINETUNE = "self.cfg.finetune"
DEMOS = '$demos = self.cfg.get("use_demos", $*_)'
# What says that the agent was pretrained on demonstrations: a variable of the method that acts, or the settings.
PRETRAINED = {
    "($demos and self.cfg.demo_steps > 0)": (
        Where("trainer", (RANDOM, DEMOS), "Trainer", together=True),
        Where("trainer", DEMOS, "Trainer"),
        Where("config", "demo_steps: $_ = $_"),
    ),
    "(self.cfg.use_demos and self.cfg.demo_steps > 0)": (
        Where("trainer", (RANDOM, DEMOS), "Trainer", together=True, absent=True),
        Where("config", "use_demos: $_ = $_"),
        Where("config", "demo_steps: $_ = $_"),
    ),
    "": (
        Where("trainer", (RANDOM, DEMOS), "Trainer", together=True, absent=True),
        Where("config", ("use_demos: $_ = $_",), absent=True),
    ),
}


# Both switches are on, one after the other or at once.
SWITCHES = (
    "$mpc = True\n$$gap\n$agent = True\n$$after",
    "$agent = True\n$$gap\n$mpc = True\n$$after",
    "$mpc, $agent = True, True\n$$after",
    "$agent, $mpc = True, True\n$$after",
    "$mpc = $agent = True\n$$after",
    "$agent = $mpc = True\n$$after",
)


def _acting(condition: str, where: tuple[Where, ...], switches: str) -> Shape:
    """Who acts in trees that know, or don't know, agents that are finetuned or pretrained on demonstrations."""
    gap = "$$gap\n" if "$$gap" in switches else ""
    return Shape(
        switches + ACTING,
        f"$mpc = self._step >= $seeding\n{gap}$agent = {condition}\n$$after{ACTING}",
        present=f"$mpc = self._step >= $seeding\n$$_\n$agent = {condition}",
        where=(SEEDING_THRESHOLD, *where),
    )


def _acting_by_one(condition: str, where: tuple[Where, ...], switch: str) -> Shape:
    """The same where one switch, or none, stands for both questions."""
    name = switch or "use_mpc"
    on = ACTING.replace("$agent", switch or "True").replace("$mpc", switch or "True")
    asked = condition.replace("$mpc", name)
    decided = ACTING.replace("$agent", asked).replace("$mpc", name)
    return Shape(
        (f"{switch} = True\n$$after" if switch else "") + on,
        f"{name} = self._step >= $seeding\n" + ("$$after" if switch else "") + decided,
        present=f"{name} = self._step >= $seeding\n$$_\nif {asked}:\n    $$_\nelse:\n    $$_",
        where=(SEEDING_THRESHOLD, *where),
    )


def _conditions() -> list[tuple[str, tuple[Where, ...]]]:
    found = []
    for finetune, (demos, where) in product((True, False), PRETRAINED.items()):
        parts = (FINETUNE if finetune else "", demos, "$mpc")
        known = Where("config", "finetune: $_ = $_", absent=not finetune)
        found.append((" or ".join(part for part in parts if part), (known, *where)))
    return found


def _random(drawn: str, before: str, mu: str, std: str, where: tuple[Where, ...] = (), fallback: bool = False) -> Shape:
    """Statistics of random actions in place of what stands behind `rand_act` in `before`."""
    lines = [
        drawn,
        *(["$$gap"] if "$$gap" in before else []),
        f"{mu} = $action.clone()",
        f"{std} = torch.full_like($action, self.cfg.log_std_max).exp()",
    ]
    return Shape(
        f"{lines[0]}\n{before}",
        "\n".join(lines),
        present=f"{std} = torch.full_like($action, self.cfg.log_std_max).exp()",
        where=where,
        fallback=fallback,
    )


ACTED = Where("trainer", "$_, $mu, $std, $*_ = self.agent($*_)", "Trainer", near=DRAWING)
TOGETHER = "$action, $mu, $std = self.env.rand_act(), None, None"
NOTHING = (
    TOGETHER,
    "$like_mu = $like_std = None",
    "$like_mu, $like_std = None, None",
    "$like_mu = None",
    "self._mu, self._std = None, None",
)
# None before it is asked who acts: what is set where actions are drawn counts.
BEFORE = tuple(
    f"{nothing}\n$$_\nif $_:\n    $$_\n{drawn}"
    for nothing in NOTHING[1:4]
    for one in DRAWING
    for drawn in (f"    {one}\n    $$_\nelse:\n    $$_", f"else:\n    $$_\n    {one}\n    $$_")
)
NOT_NOTHING = Where("trainer", NOTHING, "Trainer", absent=True, outside=BEFORE)
OWN = ("$like_mu, $like_std = $_", "$like_mu = $_", "$like_std = $_")  # statistics of the tree's own making


def _statistics(drawn: str) -> tuple[Shape, ...]:
    """Statistics of random actions that are drawn with this statement: in place of none, of the tree's own, or new."""
    given = Where("trainer", "$_, $like_mu, $like_std, $*_ = self.agent($*_)", "Trainer", near=DRAWING)
    own = Where("trainer", tuple(f"{one}\n$$_\n{own}" for one, own in product(DRAWING, OWN)), "Trainer", absent=True)
    return (
        _random(drawn, "$$gap\n$like_mu, $like_std = None, None", "$like_mu", "$like_std"),
        _random(drawn, "$$gap\n$like_mu = None\n$like_std = None", "$like_mu", "$like_std"),
        _random(drawn, "$$gap\n$like_mu = $like_std = None", "$like_mu", "$like_std"),
        _random(drawn, "$$gap\nself._mu, self._std = None, None", "self._mu", "self._std"),
        _random(drawn, "$$gap\n$mu, $std = None, None", "$mu", "$std", (ACTED,), fallback=True),
        _random(drawn, "", "$like_mu", "$like_std", (given, NOT_NOTHING, own)),
        *(
            _random(drawn, f"$$gap\n{own}", "$like_mu", "$like_std", (NOT_NOTHING,))
            for own in ("$like_mu, $like_std = $_, $_", "$like_mu = $_\n$like_std = $_")
        ),
    )


ROW = ("action", "mu", "std")

PATCH = Patch(
    title="Random actions with mu and std while seeding",
    severity=Severity.MODERATE,
    changes="while seeding: random actions, stored with mu = action, std = exp(log_std_max)",
    requires=("planner-stats",),
    after=("seeding",),
    there_only_where=(Fact("unchanged", ("trainer", "deviations of random actions", "stored as std")),),
    only_where=(
        Fact("not_asserted", ("trainer", "mpc")),
        Fact("leaves_as_given", ("step",)),
        Fact("not_mixed", ("trainer", "self.to_td", "mu", "std")),
        Fact("leaves_no_trace", ("agent", "forward", "plan")),
        Fact("read_only_in", ("seeding_coef", "trainer", "config")),
        Fact("always", ("trainer", "self.buffer.add", "an episode is over")),
        Fact("is_number", ("log_std_max",)),
        Fact("bounded_below", ("agent", "std")),
        Fact("without_alternatives", ("trainer", "demo_steps")),
        Fact("unchanged", ("trainer", "means of actions", "put into a row as mu")),
        Fact("unchanged", ("trainer", "deviations of actions", "put into a row as std")),
        Fact("decided_once", ("trainer", "self.env.rand_act")),
        Fact("unchanged", ("trainer", "random actions", "stored")),
        Fact("unchanged", ("trainer", "actions", "put into a row")),
        Fact("unchanged", ("trainer", "rows", "kept"), keys=ROW),
        Fact("unchanged", ("trainer", "episodes", "added to the buffer"), keys=ROW),
        Fact("taken_as_given", ("buffer", "add"), keys=ROW),
        Fact("not_under", ("log_std_max", "log", "log2", "log10", "sqrt")),
        Fact("not_a_logarithm", ("world_model", "log_std")),
        Fact("returns_unscaled", ("math", "log_std")),
        Fact("no_logarithm", ("agent", "forward", "plan")),
        Fact("loaded_only_for", ("checkpoint", "finetune", "resume", "demo")),
        Fact("not_handed_to", ("trainer", "self.agent", "mu", "std")),
        Fact("only_replaced", ("agent", "mu", "std")),
    ),
    edits=(
        Edit(
            "who-acts",
            "trainer",
            "Trainer",
            tuple(
                shape
                for condition, where in _conditions()
                for shape in (
                    *(_acting(condition, where, switches) for switches in SWITCHES),
                    *(_acting_by_one(condition, where, switch) for switch in ("$mpc", "")),
                )
            ),
            given=DECIDED,
        ),
        Edit(
            "random-statistics",
            "trainer",
            "Trainer",
            (
                *(shape for drawn in DRAWN for shape in _statistics(drawn)),
                rewrite(
                    f"""
                    - {TOGETHER}
                    + $action = self.env.rand_act()
                    + $mu = $action.clone()
                    + $std = torch.full_like($action, self.cfg.log_std_max).exp()
                    """,
                    present="$std = torch.full_like($action, self.cfg.log_std_max).exp()",
                ),
            ),
            present=(
                "torch.full_like($_, $_.exp(self.cfg.log_std_max))",
                "torch.exp(torch.full_like($_, self.cfg.log_std_max))",
                "torch.full_like($_, self.cfg.log_std_max).exp()",
                "torch.full($_, $_.exp(self.cfg.log_std_max), $*_)",
            ),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    steps = numbers["seed_steps"].here
    count = "The" if steps is None else f"The {show(steps)}"
    largest = numbers.setting("log_std_max")
    std = f" = {math.exp(largest):.4g}" if largest is not None and largest < 100 else ""
    return (
        f"{count} transitions collected while seeding are not stored with mu = action and std = exp(log_std_max){std}, "
        "as the reference stores its random ones."
    )
