"""One probe or more per patch: functions from a tree to observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from newtfix.verify.observation import Observation
from newtfix.verify.probes import actor, collecting, demos, evaluation, networks, rows, settings, statistics, weights
from newtfix.verify.subject import Subject

Probe = Callable[[Subject], list[Observation]]

PROBES: Mapping[str, tuple[Probe, ...]] = {
    "planner-stats": (statistics.answers, statistics.callers, statistics.stored, statistics.handed_on, demos.demos),
    "seeding": (
        collecting.seeding,
        collecting.seeding_in_two_processes,
        collecting.seeding_rows,
        collecting.resumed_without_replay,
    ),
    "mu-std": (collecting.who_acts, collecting.random_rows, collecting.experienced),
    "burst": (collecting.burst, collecting.burst_setting, collecting.burst_after_resume),
    "actor-modes": (actor.actor_settings, actor.actor_modes),
    "prior-norm": (actor.prior_norm,),
    "prior-coef": (settings.prior_coef,),
    "rho": (weights.rho,),
    "scale-order": (actor.scale_order,),
    "q-dropout": (networks.q_dropout, networks.dropout_while_training),
    "q-ensemble": (networks.q_ensemble,),
    "eval-modes": (evaluation.eval_modes,),
    "target-q": (networks.target_q,),
    "episode-rows": (rows.episode_rows,),
    "first-obs": (rows.first_obs,),
    "plan-anneal": (settings.plan_anneal,),
}
