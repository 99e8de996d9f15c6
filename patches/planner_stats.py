"""Planner statistics travel from the planner to the policy loss.

Claim: TD-M(PC)^2 keeps the policy close to the distribution that the planner acted from; it needs that distribution's
mean and standard deviation for every stored action.
Code: upstream newt's agent returns the action alone; trainer, buffer and update have no place for anything else.
Change: the agent returns (action, mu, std), where mu is the elite action that was picked, before exploration noise,
and std the planner's last one; the trainer stores both, the buffer samples them, the update hands them to the policy
loss. Callers elsewhere that take the action alone keep working where the tree has such callers.
Effect: none by itself; `mu-std` and `actor-modes` build on it.
Evidence: reference, `act` and `plan` in tdmpc_square.py, `to_td` in trainer/online_trainer.py.
"""

from newtfix.model import Edit, Patch, Severity, Shape

PATCH = Patch(
    title="Planner statistics in agent, trainer, buffer and update",
    severity=Severity.PREREQUISITE,
    changes="the agent returns (action, mu, std); both are stored, sampled and handed to the policy loss",
    edits=(),
)
