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

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Shape, Where, show
from newtfix.newt.conditions import SEEDING_THRESHOLD

RANDOM = "$_ = self.env.rand_act()"
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
DECIDED = (
    *(f"$mpc = {over}\n$$_\n$agent = {condition}" for over, condition in product(OVER, WAITING)),
    *(
        f"$mpc = {over}\n$$_\nif {condition}:\n    $$_\nelse:\n    $$_\n    {RANDOM}\n    $$_"
        for over, condition in product(OVER, WAITING)
    ),
    *(f"$mpc = $agent = {over}" for over in OVER),
    *(f"if {test}:\n    $$_\n    {RANDOM}\n    $$_" for test in NOT_YET),
    *(f"if $_ and {test}:\n    $$_\n    {RANDOM}\n    $$_" for test in NOT_YET),
    *(f"if $_:\n    $$_\nelif {test}:\n    $$_\n    {RANDOM}\n    $$_" for test in NOT_YET),
    *(f"if {test}:\n    $$_\nelse:\n    $$_\n    {RANDOM}\n    $$_" for test in OVER),
    *(f"if $_ or {test}:\n    $$_\nelse:\n    $$_\n    {RANDOM}\n    $$_" for test in OVER),
    *(f"if {test}:\n    $$_\nelif $_:\n    $$_\nelse:\n    $$_\n    {RANDOM}\n    $$_" for test in OVER),
    *(f"if $_:\n    $$_\nelif {test}:\n    $$_\nelse:\n    $$_\n    {RANDOM}\n    $$_" for test in OVER),
    *(f"$seed = {test}\n$$_\nif $seed:\n    $$_\n    {RANDOM}\n    $$_" for test in NOT_YET),
    *(f"$seed = {test}\n$$_\n$agent = not $seed" for test in NOT_YET),
    *(f"$seed = {test}\n$$_\n$agent = $_ or not $seed" for test in NOT_YET),
    *(f"$seed = {test}\n$$_\nif $_ or not $seed:\n    $$_" for test in NOT_YET),
)

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


def _random(before: str, mu: str, std: str, where: tuple[Where, ...] = (), fallback: bool = False) -> Shape:
    """Statistics of random actions in place of what stands behind `rand_act` in `before`."""
    lines = [
        "$action = self.env.rand_act()",
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


ACTED = Where("trainer", "$_, $mu, $std = self.agent($*_)", "Trainer", near=(RANDOM,))
TOGETHER = "$action, $mu, $std = self.env.rand_act(), None, None"
NOTHING = (
    TOGETHER,
    "$like_mu = $like_std = None",
    "$like_mu, $like_std = None, None",
    "$like_mu = None",
    "self._mu, self._std = None, None",
)
NOT_NOTHING = Where("trainer", NOTHING, "Trainer", absent=True)
OWN = ("$like_mu, $like_std = $_", "$like_mu = $_", "$like_std = $_")  # statistics of the tree's own making

ROW = ("action", "mu", "std")

PATCH = Patch(
    title="Random actions with mu and std while seeding",
    severity=Severity.MODERATE,
    changes="while seeding: random actions, stored with mu = action, std = exp(log_std_max)",
    requires=("planner-stats",),
    after=("seeding",),
    only_where=(
        Fact("not_asserted", ("trainer", "mpc")),
        Fact("is_number", ("log_std_max",)),
        Fact("unchanged", ("trainer", "means of actions", "put into a row as mu")),
        Fact("unchanged", ("trainer", "deviations of actions", "put into a row as std")),
        Fact("decided_once", ("trainer", "self.env.rand_act")),
        Fact("unchanged", ("trainer", "random actions", "stored")),
        Fact("unchanged", ("trainer", "actions", "put into a row")),
        Fact("unchanged", ("trainer", "rows", "kept"), keys=ROW),
        Fact("unchanged", ("trainer", "episodes", "added to the buffer"), keys=ROW),
        Fact("taken_as_given", ("buffer", "add"), keys=ROW),
        Fact("not_under", ("log_std_max", "log", "log2", "log10", "sqrt")),
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
                _random("$$gap\n$like_mu, $like_std = None, None", "$like_mu", "$like_std"),
                _random("$$gap\n$like_mu = None\n$like_std = None", "$like_mu", "$like_std"),
                _random("$$gap\n$like_mu = $like_std = None", "$like_mu", "$like_std"),
                _random("$$gap\nself._mu, self._std = None, None", "self._mu", "self._std"),
                _random("$$gap\n$mu, $std = None, None", "$mu", "$std", (ACTED,), fallback=True),
                Shape(
                    TOGETHER,
                    """
                    $action = self.env.rand_act()
                    $mu = $action.clone()
                    $std = torch.full_like($action, self.cfg.log_std_max).exp()
                    """,
                    present="$std = torch.full_like($action, self.cfg.log_std_max).exp()",
                ),
                _random(
                    "",
                    "$like_mu",
                    "$like_std",
                    (
                        Where("trainer", "$_, $like_mu, $like_std = self.agent($*_)", "Trainer", near=(RANDOM,)),
                        NOT_NOTHING,
                        Where("trainer", tuple(f"{RANDOM}\n$$_\n{own}" for own in OWN), "Trainer", absent=True),
                    ),
                ),
                *(
                    _random(f"$$gap\n{own}", "$like_mu", "$like_std", (NOT_NOTHING,))
                    for own in ("$like_mu, $like_std = $_, $_", "$like_mu = $_\n$like_std = $_")
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
