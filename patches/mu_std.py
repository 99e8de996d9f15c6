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

from newtfix.conditions import SEEDING_THRESHOLD
from newtfix.model import Edit, Patch, Severity, Shape, Where

DECIDED = ("use_agent = use_mpc", "use_agent = $_ or use_mpc", "use_agent = use_mpc or $_", "if use_mpc:\n    $$_")
PRESENT = "std = torch.full_like($action, self.cfg.log_std_max).exp()"


def _acting(condition: str, finetune: bool, demos: bool) -> Shape:
    """Who acts in trees that know, or don't know, agents that are finetuned or pretrained on demonstrations."""
    return Shape(
        """
        use_mpc = True
        use_agent = True
        if use_agent:
            $$act
        """,
        f"""
        use_mpc = self._step >= $threshold
        use_agent = {condition}
        if use_agent:
            $$act
        """,
        present=f"use_agent = {condition}",
        where=(
            SEEDING_THRESHOLD,
            Where("config", "finetune: bool = $_", "Config", absent=not finetune),
            Where("trainer", "use_demos = $_", "Trainer.train", absent=not demos),
        ),
    )


PATCH = Patch(
    title="Random actions with mu and std while seeding",
    severity=Severity.MODERATE,
    changes="while seeding: random actions, stored with mu = action, std = exp(log_std_max)",
    requires=("planner-stats",),
    after=("seeding",),
    edits=(
        Edit(
            "who-acts",
            "trainer",
            "Trainer",
            (
                _acting(
                    "self.cfg.finetune or (use_demos and self.cfg.demo_steps > 0) or use_mpc", finetune=True, demos=True
                ),
                _acting("self.cfg.finetune or use_mpc", finetune=True, demos=False),
                _acting("(use_demos and self.cfg.demo_steps > 0) or use_mpc", finetune=False, demos=True),
                _acting("use_mpc", finetune=False, demos=False),
            ),
            given=tuple(f"use_mpc = self._step >= $threshold\n{acting}" for acting in DECIDED),
        ),
        Edit(
            "random-statistics",
            "trainer",
            "Trainer",
            (
                Shape(
                    """
                    action = self.env.rand_act()
                    mu, std = None, None
                    """,
                    """
                    action = self.env.rand_act()
                    mu = action.clone()
                    std = torch.full_like(action, self.cfg.log_std_max).exp()
                    """,
                    present=PRESENT,
                ),
                Shape(
                    "action = self.env.rand_act()",
                    """
                    action = self.env.rand_act()
                    mu = action.clone()
                    std = torch.full_like(action, self.cfg.log_std_max).exp()
                    """,
                    present=PRESENT,
                    where=(Where("trainer", "mu, std = None, None", "Trainer", absent=True),),
                ),
            ),
        ),
    ),
)
