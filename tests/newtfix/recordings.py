"""Recordings for `newtfix parity`: small networks, and what the reference makes of them, written down anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trees import patched

Arrays = dict[str, Any]

# --- a recorder -------------------------------------------------------------------------------------------------------

REFERENCE: Arrays = dict(  # noqa: C408
    obs_dim=6, action_dim=3, latent_dim=12, enc_dim=10, mlp_dim=14, num_enc_layers=3, simnorm_dim=4, num_q=4,
    num_bins=21, vmin=-5.0, vmax=7.0, horizon=4, batch_size=5, rho=0.7, entropy_coef=0.02, prior_coef=2.5,
    scale_threshold=2.2, min_std=0.1, log_std_min=-4.0, log_std_max=-0.5, awac_lambda=0.8, exp_adv_min=0.3,
    exp_adv_max=2.0, tau=0.2, consistency_coef=15.0, reward_coef=0.3, value_coef=0.2, episode_length=120, discount=0.93,
)  # fmt: skip
PADDED: Arrays = {
    name: value
    for name, value in REFERENCE.items()
    if name
    in "latent_dim enc_dim mlp_dim num_enc_layers simnorm_dim num_q num_bins vmin vmax horizon batch_size".split()
} | {"obs_dim": 16, "action_dim": 8, "true_action_dim": 5, "log_std_min": -4.0, "log_std_max": -0.5}
SCALES = ("1.5", "4")


class Draws:
    """Numbers from one seed, kept under their keys in single precision and handed back in double."""

    def __init__(self) -> None:
        self.arrays: Arrays = {}
        self._generator = torch.Generator().manual_seed(7)

    def normal(self, key: str, *shape: int, spread: float = 1.0, mean: float = 0.0) -> Tensor:
        return self.keep(key, torch.randn(*shape, generator=self._generator) * spread + mean)

    def keep(self, key: str, value: Tensor) -> Tensor:
        self.arrays[key] = value.numpy()
        return value.double() if value.is_floating_point() else value


class Nets:
    """newt's networks as functions of their weights."""

    def __init__(self, draws: Draws, cfg: Mapping[str, Any]) -> None:
        self.cfg, self.weights = cfg, {}
        latent, action, mlp, bins = (cfg[name] for name in ("latent_dim", "action_dim", "mlp_dim", "num_bins"))
        head = [latent + action, mlp, mlp, bins]
        widths = {
            "_encoder.state": [cfg["obs_dim"], *(cfg["num_enc_layers"] - 1) * [cfg["enc_dim"]], latent],
            "_dynamics": [latent + action, mlp, mlp, latent],
            "_reward": head,
            "_pi": [latent, mlp, mlp, 2 * action],
        }
        q_names = [f"_Qs.{network}._Qs.{q}" for network in ("online", "target") for q in range(cfg["num_q"])]
        for name, sizes in (widths | dict.fromkeys(q_names, head)).items():
            for i, (inputs, outputs) in enumerate(pairwise(sizes)):
                normed = i < len(sizes) - 2 or name in ("_encoder.state", "_dynamics")
                for part in ("weight", "bias", *(("ln.weight", "ln.bias") if normed else ())):
                    shape = (outputs, inputs) if part == "weight" else (outputs,)
                    key = f"{name}.{i}.{part}"
                    self.weights[key] = draws.normal(f"w/{key}", *shape, spread=0.4, mean=float(part == "ln.weight"))

    def net(self, name: str, x: Tensor, simplex: bool = False) -> Tensor:
        depth = sum(key.startswith(f"{name}.") and key.count(".") == name.count(".") + 2 for key in self.weights) // 2
        for i in range(depth):
            x = x @ self.weights[f"{name}.{i}.weight"].T + self.weights[f"{name}.{i}.bias"]
            if f"{name}.{i}.ln.weight" not in self.weights:
                continue
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            x = x * self.weights[f"{name}.{i}.ln.weight"] + self.weights[f"{name}.{i}.ln.bias"]
            x = self.simplex(x) if simplex and i == depth - 1 else x * torch.tanh(torch.log1p(x.exp()))
        return x

    def simplex(self, x: Tensor) -> Tensor:
        groups = x.reshape(*x.shape[:-1], -1, self.cfg["simnorm_dim"]).exp()
        return (groups / groups.sum(-1, keepdim=True)).reshape(x.shape)

    def encode(self, obs: Tensor) -> Tensor:
        return self.net("_encoder.state", obs, simplex=True)

    def next(self, z: Tensor, a: Tensor) -> Tensor:
        return self.net("_dynamics", torch.cat([z, a], -1), simplex=True)

    def reward(self, z: Tensor, a: Tensor) -> Tensor:
        return self.net("_reward", torch.cat([z, a], -1))

    def q_logits(self, z: Tensor, a: Tensor, network: str = "online") -> Tensor:
        x = torch.cat([z, a], -1)
        return torch.stack([self.net(f"_Qs.{network}._Qs.{q}", x) for q in range(self.cfg["num_q"])])

    def q(self, z: Tensor, a: Tensor, two: Tensor, network: str = "online") -> Tensor:
        return self.value(self.q_logits(z, a, network)[two])

    def value(self, logits: Tensor) -> Tensor:
        bins = torch.linspace(self.cfg["vmin"], self.cfg["vmax"], self.cfg["num_bins"], dtype=logits.dtype)
        x = (logits.softmax(-1) * bins).sum(-1, keepdim=True)
        return x.sign() * (x.abs().exp() - 1)

    def two_hot(self, x: Tensor) -> Tensor:
        """Piecewise linear weights of the two bins around symlog(x)."""
        cfg = self.cfg
        position = (x.sign() * x.abs().log1p()).clamp(cfg["vmin"], cfg["vmax"]) - cfg["vmin"]
        position = position / ((cfg["vmax"] - cfg["vmin"]) / (cfg["num_bins"] - 1))
        return (1 - (position - torch.arange(cfg["num_bins"])).abs()).clamp(min=0)

    def cross_entropy(self, logits: Tensor, x: Tensor) -> Tensor:
        return -(self.two_hot(x) * logits.log_softmax(-1)).sum(-1, keepdim=True)

    def policy(self, z: Tensor, eps: Tensor, mask: Tensor | float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Action, tanh of the mean, and bounded log standard deviation."""
        mean, log_std = self.net("_pi", z).chunk(2, -1)
        low, high = self.cfg["log_std_min"], self.cfg["log_std_max"]
        log_std = (low + (high - low) * (log_std.tanh() + 1) / 2) * mask
        return (mean * mask + eps * log_std.exp() * mask).tanh(), (mean * mask).tanh(), log_std

    def rollout(self, obs: Tensor, action: Tensor) -> Tensor:
        zs = [self.encode(obs[0])]
        for a in action:
            zs.append(self.next(zs[-1], a))
        return torch.stack(zs)


def G(eps: Tensor, log_std: Tensor) -> Tensor:
    """The reference's log-probability, as docs/errata.md has it."""
    dims = eps.shape[-1]
    return dims * ((-0.5 * eps**2 - log_std).sum(-1, keepdim=True) - 0.5 * math.log(2 * math.pi))


def squashing(action: Tensor) -> Tensor:
    return (torch.relu(1 - action**2) + 1e-6).log().sum(-1, keepdim=True)


def over_time(x: Tensor, rho: float) -> Tensor:
    return torch.stack([rho**t * step.mean() for t, step in enumerate(x)]).mean()


def actor(nets: Nets, i: Mapping[str, Tensor], mode: str, S: float) -> tuple[Tensor, Tensor | float, Tensor | float]:
    """Policy loss, Q part and prior part."""
    cfg, T = nets.cfg, partial(over_time, rho=nets.cfg["rho"])
    z = nets.rollout(i["obs"], i["action"])[:-1].detach()
    action, _, log_std = nets.policy(z, i["eps_pi"])
    log_pi = G(i["eps_pi"], log_std) - squashing(action)
    q = nets.q(z, action, i["q_pi"]).mean(0) / S
    std = i["std"].clamp(min=cfg["min_std"])
    likelihood = G((action - i["mu"]) / std, std.log())
    q_loss = T(cfg["entropy_coef"] * log_pi - q)
    if mode == "residual":
        counts = cfg["scale_threshold"] < S
        prior = T(-likelihood / S) if counts else torch.zeros((), dtype=torch.float64)
        return q_loss + cfg["prior_coef"] * cfg["action_dim"] / 61 * prior, q_loss, prior
    if mode == "bc_sac":
        prior = T(((action - i["action"]) ** 2).sum(-1, keepdim=True))
        return q_loss + cfg["prior_coef"] * prior, q_loss, prior
    if mode == "bc":
        loss = T(-likelihood.clamp(-50000, 0) / S)
        return loss, 0.0, loss
    if mode == "awac":
        advantage = (q - nets.q(z, i["action"], i["q_data"]).mean(0) / S) / cfg["awac_lambda"]
        weight = advantage.exp().clamp(cfg["exp_adv_min"], cfg["exp_adv_max"]).detach()
        return T(-weight * log_of_data(nets, z, i["action"])), 0.0, 0.0
    return q_loss, q_loss, 0.0


def log_of_data(nets: Nets, z: Tensor, action: Tensor) -> Tensor:
    mean, log_std = nets.net("_pi", z).chunk(2, -1)
    return G((action - mean) / (log_std.exp() + 1e-8), log_std)


def gradient_norm(nets: Nets, mode: str, i: Mapping[str, Tensor], S: float) -> Tensor:
    weights = [value.requires_grad_() for key, value in nets.weights.items() if key.startswith("_pi.")]
    gradients = torch.autograd.grad(actor(nets, i, mode, S)[0], weights)
    for value in weights:
        value.requires_grad_(False)
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def batch(draws: Draws, cfg: Mapping[str, Any]) -> dict[str, Tensor]:
    H, B = cfg["horizon"], cfg["batch_size"]
    obs = draws.normal("in/obs", H + 1, B, cfg["obs_dim"])
    action = draws.normal("in/action", H, B, cfg["action_dim"]).tanh()
    return {"obs": obs, "action": draws.keep("in/action", action.float())}


@cache
def reference() -> Arrays:
    """A recording in the layout of the reference's, of sizes and coefficients unlike any default."""
    draws, cfg = Draws(), REFERENCE
    H, B, A, Q, N = cfg["horizon"], cfg["batch_size"], cfg["action_dim"], cfg["num_q"], 9
    nets, i = Nets(draws, cfg), batch(draws, cfg)
    i |= {name: draws.normal(f"in/{name}", H, B, A) for name in ("eps_td", "eps_pi")}
    i["mu"] = draws.normal("in/mu", H, B, A, spread=0.4)
    i["std"] = draws.keep("in/std", draws.normal("", H, B, A, spread=0.5).abs().float())
    i["reward"] = draws.normal("in/reward", H, B, 1, spread=3.0)
    for name, two in (("q_td", (3, 1)), ("q_pi", (0, 2)), ("q_data", (2, 3)), ("q_plan", (1, 0))):
        i[name] = draws.keep(f"in/{name}", torch.tensor(two))
    plan = draws.normal("in/plan_actions", H, N, A)
    eps_plan = draws.normal("in/eps_plan", N, A)
    examples = draws.keep("in/two_hot_x", torch.tensor([[-1e6], [-3.0], [0.0], [0.4], [17.0], [1e9]]))
    logits = draws.normal("in/two_hot_logits", 7, cfg["num_bins"])
    out: Arrays = {"two_hot": nets.two_hot(examples), "two_hot_inv": nets.value(logits)}

    latents = nets.encode(i["obs"])
    zs = nets.rollout(i["obs"], i["action"])
    z = zs[:-1]
    out |= {"encode": latents, "rollout": zs, "reward_logits": nets.reward(z, i["action"])}
    out |= {"q_logits": nets.q_logits(z, i["action"]), "q_avg_data": nets.q(z, i["action"], i["q_data"]).mean(0)}
    action, mean, log_std = nets.policy(z, i["eps_pi"])
    out |= {"pi_mean": mean, "pi_action": action, "pi_log_std": log_std}
    out |= {
        "pi_log_prob": G(i["eps_pi"], log_std) - squashing(action),
        "log_pi_action": log_of_data(nets, z, i["action"]),
    }

    following, _, _ = nets.policy(latents[1:], i["eps_td"])
    target = i["reward"] + cfg["discount"] * nets.q(latents[1:], following, i["q_td"], "target").amin(0)
    consistency = over_time((zs[1:] - latents[1:]) ** 2, cfg["rho"])
    reward = over_time(nets.cross_entropy(out["reward_logits"], i["reward"]), cfg["rho"])
    value = sum(over_time(nets.cross_entropy(q, target), cfg["rho"]) for q in out["q_logits"]) / Q
    total = cfg["consistency_coef"] * consistency + cfg["reward_coef"] * reward + cfg["value_coef"] * value
    out |= {"td_target": target, "consistency_loss": consistency, "reward_loss": reward, "value_loss": value}
    out["total_loss"] = total

    latent = nets.encode(i["obs"][0, 0]).expand(N, -1)
    returns = torch.zeros(N, 1, dtype=torch.float64)
    for t, a in enumerate(plan):
        returns += cfg["discount"] ** t * nets.value(nets.reward(latent, a))
        latent = nets.next(latent, a)
    last, _, _ = nets.policy(latent, eps_plan)
    out["plan_value"] = returns + cfg["discount"] ** H * nets.q(latent, last, i["q_plan"]).mean(0)

    for mode in ("sac", "awac", "residual", "bc_sac", "bc"):
        for scale in SCALES:
            parts = dict(zip(("pi_loss", "q_loss", "prior_loss"), actor(nets, i, mode, float(scale)), strict=True))
            parts["grad_norm"] = gradient_norm(nets, mode, i, float(scale))
            out |= {f"actor/{mode}/scale_{scale}/{part}": x for part, x in parts.items()}
    low, high = np.percentile(nets.q(z[:1], action[:1], i["q_pi"]).mean(0).numpy(), [5, 95])
    before = 3.0
    after = before + cfg["tau"] * (max(float(high - low), 1.0) - before)
    out |= {"scale_order/before": before, "scale_order/after": after}
    out["scale_order/pi_loss"] = actor(nets, i, "residual", after)[0]
    out["scale_order/grad_norm"] = gradient_norm(nets, "residual", i, after)
    return recording(draws, cfg, out)


@cache
def padded() -> Arrays:
    """A recording in the layout of newt's own, of a task that has fewer actions than its agent."""
    draws, cfg = Draws(), PADDED
    H, B, A, true = cfg["horizon"], cfg["batch_size"], cfg["action_dim"], cfg["true_action_dim"]
    nets, i = Nets(draws, cfg), batch(draws, cfg)
    eps = draws.normal("in/eps", H, B, A)
    mask = (torch.arange(A) < true).double()
    draws.keep("w/_action_masks", mask.float().unsqueeze(0))
    draws.keep("w/log_std_min", torch.tensor(cfg["log_std_min"]))
    draws.keep("w/log_std_dif", torch.tensor(cfg["log_std_max"] - cfg["log_std_min"]))
    latents = nets.encode(i["obs"])
    z = latents[:-1]
    action, mean, log_std = nets.policy(z, eps, mask)
    density = -((eps * mask) ** 2 / 2 + log_std + 0.5 * math.log(2 * math.pi)).sum(-1, keepdim=True)
    squashed = density - squashing(action)
    out = {"encode": latents, "next": nets.next(z, i["action"]), "reward_logits": nets.reward(z, i["action"])}
    out |= {"q_logits": nets.q_logits(z, i["action"]), "q_logits_target": nets.q_logits(z, i["action"], "target")}
    out |= {"pi_action": action, "pi_mean": mean, "pi_log_std": log_std, "pi_entropy": -squashed}
    out["pi_scaled_entropy"] = -squashed * (density * true / (squashed + 1e-8))
    return recording(draws, cfg, out)


def recording(draws: Draws, cfg: Mapping[str, Any], out: Mapping[str, Any]) -> Arrays:
    draws.arrays.pop("in/", None)
    draws.arrays.pop("", None)
    return {
        **{f"cfg/{name}": np.array(value) for name, value in cfg.items()},
        **draws.arrays,
        **{f"out/{name}": np.asarray(value) for name, value in out.items()},
    }


def write_tree(root: Path, ids: Iterable[str] = (), **changes: tuple[str, str]) -> Path:
    """newt_base with these patches at `root`; `changes`: in the file of this name, one text for another."""
    texts = dict(patched(frozenset(ids)))
    for name, (old, new) in changes.items():
        file = next(file for file in texts if Path(file).stem == name)
        assert old in texts[file]
        texts[file] = texts[file].replace(old, new)
    for file, text in texts.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, "utf-8")
    return root
