"""What a recording holds: the arrays that belong together, and the shapes they have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

REFERENCE, NEWT = "reference", "newt"

# Dimensions of the arrays: H horizon, B batch, O observations, A actions, Z latent, Q networks, K bins,
# N planned sequences, M and L examples of distributional regression.
SHAPES = {
    "in/obs": "H+1 B O",
    "in/action": "H B A",
    "in/reward": "H B 1",
    "in/mu": "H B A",
    "in/std": "H B A",
    "in/eps": "H B A",
    "in/eps_td": "H B A",
    "in/eps_pi": "H B A",
    "in/q_td": "2",
    "in/q_pi": "2",
    "in/q_data": "2",
    "in/q_plan": "2",
    "in/two_hot_x": "M 1",
    "in/two_hot_logits": "L K",
    "in/plan_actions": "H N A",
    "in/eps_plan": "N A",
    "out/encode": "H+1 B Z",
    "out/rollout": "H+1 B Z",
    "out/next": "H B Z",
    "out/td_target": "H B 1",
    "out/reward_logits": "H B K",
    "out/q_logits": "Q H B K",
    "out/q_logits_target": "Q H B K",
    "out/q_avg_data": "H B 1",
    "out/two_hot": "M K",
    "out/two_hot_inv": "L 1",
    "out/pi_mean": "H B A",
    "out/pi_action": "H B A",
    "out/pi_log_std": "H B A",
    "out/pi_log_prob": "H B 1",
    "out/pi_entropy": "H B 1",
    "out/pi_scaled_entropy": "H B 1",
    "out/log_pi_action": "H B 1",
    "out/plan_value": "N 1",
}
SIZES = {"H": "horizon", "O": "obs_dim", "A": "action_dim", "Z": "latent_dim", "Q": "num_q", "K": "num_bins"}
ARCHITECTURE = (*SIZES.values(), "enc_dim", "mlp_dim", "num_enc_layers", "simnorm_dim", "vmin", "vmax")
LOSSES = ("consistency_loss", "reward_loss", "value_loss", "total_loss")
MODES = ("sac", "awac", "residual", "bc_sac", "bc")
ACTOR_PARTS = ("pi_loss", "q_loss", "prior_loss", "grad_norm")
ACTOR = re.compile(r"actor/(?P<mode>\w+)/scale_(?P<scale>[^/]+)/(?P<part>\w+)")

_BATCH = ("in/obs", "in/action")
_POLICY_UPDATE = (*_BATCH, "in/mu", "in/std", "in/eps_pi", "in/q_pi", "cfg/rho", "cfg/entropy_coef")
_BY_MODE = {
    "residual": ("cfg/prior_coef", "cfg/scale_threshold", "cfg/min_std"),
    "bc_sac": ("cfg/prior_coef",),
    "bc": ("cfg/min_std",),
    "awac": ("in/q_data", "cfg/awac_lambda", "cfg/exp_adv_min", "cfg/exp_adv_max"),
}


@dataclass(frozen=True)
class Group:
    """Results that were recorded together, and the keys that they follow from; a `core` one must be there."""

    title: str
    results: tuple[str, ...]
    needs: tuple[str, ...]
    core: bool = False


def _group(title: str, results: str, *needs: str, core: bool = False) -> Group:
    return Group(title, tuple(results.split()), needs, core)


_REGRESSION = (
    _group("regression", "two_hot", "in/two_hot_x"),
    _group("regression", "two_hot_inv", "in/two_hot_logits"),
)
_FIXED = {
    REFERENCE: (
        _group("latents and heads", "encode rollout reward_logits q_logits", *_BATCH, core=True),
        _group("latents and heads", "q_avg_data", *_BATCH, "in/q_data"),
        *_REGRESSION,
        _group("policy", "pi_mean pi_action pi_log_std pi_log_prob", *_BATCH, "in/eps_pi", core=True),
        _group("policy", "log_pi_action", *_BATCH),
        _group("model losses", "td_target", "in/reward", "in/eps_td", "in/q_td", "cfg/discount", core=True),
        _group(
            "model losses",
            " ".join(LOSSES),
            *("cfg/rho", "cfg/consistency_coef", "cfg/reward_coef", "cfg/value_coef"),
            core=True,
        ),
        _group("planning", "plan_value", "in/obs", "in/plan_actions", "in/eps_plan", "in/q_plan", "cfg/discount"),
    ),
    NEWT: (
        _group("latents and heads", "encode next reward_logits q_logits q_logits_target", *_BATCH, core=True),
        *_REGRESSION,
        _group("policy", "pi_mean pi_action pi_log_std pi_entropy pi_scaled_entropy", "in/obs", "in/eps", core=True),
    ),
}
_ORDER = Group(
    "scale order",
    tuple(f"scale_order/{part}" for part in ("before", "after", "pi_loss", "grad_norm")),
    (*_POLICY_UPDATE, *_BY_MODE["residual"], "cfg/tau"),
)


def kind_of(keys: Collection[str]) -> str:
    """Which implementation a recording comes from: newt's noise has one name, the reference's several."""
    return NEWT if "in/eps" in keys and "in/eps_td" not in keys else REFERENCE


def groups_of(keys: Collection[str]) -> Iterator[Group]:
    """The groups that a recording has, or should have, in the order in which they are shown."""
    kind = kind_of(keys)
    groups = (
        *_FIXED[kind],
        *(_actor_groups(keys) if kind == REFERENCE else ()),
        *([_ORDER] if kind == REFERENCE else ()),
    )
    for group in groups:
        if group.core or any(f"out/{name}" in keys for name in group.results):
            yield group


def _actor_groups(keys: Collection[str]) -> Iterator[Group]:
    found = [ACTOR.fullmatch(key.removeprefix("out/")) for key in keys if key.startswith("out/actor/")]
    for mode, scale in dict.fromkeys((match["mode"], match["scale"]) for match in found if match):
        results = tuple(f"actor/{mode}/scale_{scale}/{part}" for part in ACTOR_PARTS)
        yield Group(f"actor: {mode}", results, (*_POLICY_UPDATE, *_BY_MODE.get(mode, ())))


def weight_shapes(cfg: dict[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The key and the shape of every weight of newt's world model."""
    latent, action, mlp, bins = cfg["latent_dim"], cfg["action_dim"], cfg["mlp_dim"], max(cfg["num_bins"], 1)
    hidden = [mlp, mlp]
    encoder = [cfg["obs_dim"], *max(cfg["num_enc_layers"] - 1, 1) * [cfg["enc_dim"]], latent]
    q_widths = [latent + action, *hidden, bins]
    yield from _layers("_encoder.state", encoder, normed=True)
    yield from _layers("_dynamics", [latent + action, *hidden, latent], normed=True)
    yield from _layers("_reward", q_widths)
    yield from _layers("_pi", [latent, *hidden, 2 * action])
    for ensemble in ("online", "target"):
        for q in range(cfg["num_q"]):
            yield from _layers(f"_Qs.{ensemble}._Qs.{q}", q_widths)


def _layers(name: str, widths: list[int], normed: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layer = f"w/{name}.{index}"
        yield f"{layer}.weight", (outputs, inputs)
        yield f"{layer}.bias", (outputs,)
        if normed or index < len(widths) - 2:
            yield f"{layer}.ln.weight", (outputs,)
            yield f"{layer}.ln.bias", (outputs,)
