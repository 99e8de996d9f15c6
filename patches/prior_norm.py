"""The residual prior is weighted by A/61.

Claim: the reference multiplies prior_coef by action_dim / 61. (61 is the action dimension of HumanoidBench's H1 with
two hands, the benchmark it was tuned on, not of dm_control's dog, which has 38 actuators.)
Code: the prior term is weighted with prior_coef alone.
Change: it is scaled by A/61, A being each sample's own action dimension, counted in the action masks, not the padded
width.
Effect: humanoid (A=21): 0.344. The prior's log-probability already carries a factor A in the reference, so its weight
there grows with A^2: a tree whose log-probability lacks that factor does not match the reference by this patch alone;
`actor-modes` brings it.
Evidence: reference, `update_pi` in tdmpc_square.py.
"""

from newtfix.model import Edit, Patch, Severity, Shape, Where

PATCH = Patch(
    title="Residual prior scaled by A/61",
    severity=Severity.MODERATE,
    changes="the residual prior term is scaled by A/61, A the task's true action dimension",
    after=("planner-stats", "seeding", "mu-std", "burst", "actor-modes"),
    edits=(
        Edit(
            "weight",
            "agent",
            "TDMPC2",
            (
                Shape(
                    """
                    prior_loss = self.$mean(-$log_prior)
                    $$between
                    pi_loss = q_loss + self.cfg.prior_coef * prior_loss
                    """,
                    """
                    prior_loss = self.$mean(-$log_prior)
                    $$between
                    prior_norm = self.model._action_masks[task.long()].sum(-1, keepdim=True) / 61
                    pi_loss = q_loss + self.cfg.prior_coef * self.$mean(-$log_prior * prior_norm)
                    """,
                    present="prior_norm = self.model._action_masks[task.long()].sum(-1, keepdim=True) / 61",
                ),
            ),
            unless=(Where("agent", "self.cfg.scale_threshold", "TDMPC2", absent=True),),
        ),
    ),
)
