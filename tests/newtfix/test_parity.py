"""Parity: a recording made here, by formulas of its own in double precision, against trees with and without patches."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from trees import PATCHES, patched

import newtfix.running
from newtfix.cli import app
from newtfix.parity.compare import relative_error
from newtfix.parity.fixture import read_fixture

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("NEWTFIX_GOLDEN", ROOT.parent / "shared/golden"))

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


# --- trees and the command --------------------------------------------------------------------------------------------


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self) -> dict[str, Any]:
        return {row["name"]: row for row in json.loads(self.out)["rows"]}

    @property
    def failed(self) -> set[str]:
        return {name for name, row in self.rows.items() if not row["ok"]}


Parity = Callable[..., Result]


@pytest.fixture
def parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Parity:
    monkeypatch.chdir(tmp_path)

    def run(arrays: Mapping[str, Any], *arguments: str) -> Result:
        np.savez("fixture.npz", **arrays)
        with pytest.raises(SystemExit) as end:
            app(["parity", "fixture.npz", *arguments], prog_name="newtfix")
        captured = capfd.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    return run


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


LOSSES = {"consistency_loss", "reward_loss", "value_loss", "total_loss"}
ACTOR = {name[4:] for name in reference() if name.startswith("out/actor/")}
ACTOR_NOT_ZERO = {name for name in ACTOR if reference()[f"out/{name}"] != 0}
PRIOR = {f"actor/residual/scale_4/{part}" for part in ("pi_loss", "grad_norm")}
AFTER_UPDATE = {"scale_order/pi_loss", "scale_order/grad_norm"}
NO_MODES = {"pi_log_prob", "log_pi_action", *ACTOR, "scale_order/before", "scale_order/after", *AFTER_UPDATE}


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_tree_with_all_patches_computes_what_was_recorded(parity: Parity, tmp_path: Path) -> None:
    write_tree(tmp_path / "newt_patched", PATCHES)
    files = {path for path in tmp_path.rglob("*") if path.name != "fixture.npz"}
    result = parity(reference(), "--json")
    assert not result.failed, {name: result.rows[name] for name in result.failed}
    assert result.code == 0
    assert set(result.rows) == {key[4:] for key in reference() if key.startswith("out/")}
    assert all(row["relative_error"] <= 1e-4 and row["error"] is None for row in result.rows.values())
    assert {path for path in tmp_path.rglob("*") if path.name != "fixture.npz"} == files


@pytest.mark.parametrize(
    ("ids", "waiting"),
    [
        pytest.param(
            (),
            {("rho",): LOSSES, ("actor-modes",): NO_MODES - ACTOR - AFTER_UPDATE, ("actor-modes", "rho"): ACTOR - PRIOR}
            | {("prior-norm", "actor-modes", "rho"): PRIOR}
            | {("scale-order", "prior-norm", "actor-modes", "rho"): AFTER_UPDATE},
            id="unpatched",
        ),
        pytest.param(
            ("actor-modes", "prior-norm", "scale-order"),
            {("rho",): LOSSES | ACTOR_NOT_ZERO | AFTER_UPDATE},
            id="without rho",
        ),
        pytest.param(
            ("actor-modes", "rho", "scale-order"), {("prior-norm",): PRIOR | AFTER_UPDATE}, id="without prior-norm"
        ),
        pytest.param(("actor-modes", "rho", "prior-norm"), {("scale-order",): AFTER_UPDATE}, id="without scale-order"),
    ],
)
def test_exactly_the_rows_that_a_missing_patch_is_for_fail_and_name_it(
    parity: Parity, tmp_path: Path, ids: tuple[str, ...], waiting: dict[tuple[str, ...], set[str]]
) -> None:
    result = parity(reference(), "--json", "--tree", str(write_tree(tmp_path / "tree", ids)))
    found: dict[tuple[str, ...], set[str]] = {}
    for name in result.failed:
        found.setdefault(tuple(result.rows[name]["waits_for"]), set()).add(name)
    assert found == waiting
    assert result.code == 1
    assert all(row["waits_for"] == [] for row in result.rows.values() if row["ok"])


def test_a_person_is_told_what_to_apply(parity: Parity) -> None:
    """Without --tree and with no newt_patched it is newt_base that is compared."""
    result = parity(reference())
    total = sum(key.startswith("out/") for key in reference())
    assert result.code == 1
    assert f"{total - len(NO_MODES) - len(LOSSES)} of {total} quantities agree to 0.0001" in result.err
    assert "Next: newtfix apply actor-modes rho prior-norm scale-order\n" in result.err
    table = {line.split()[0]: line.split() for line in result.out.splitlines() if line}
    assert table["encode"][-1] == "ok"
    assert table["value_loss"][-2:] == ["differs", "rho"]
    assert table["pi_log_prob"][-2:] == ["missing", "actor-modes"]


def test_newts_own_recording_of_a_padded_task(parity: Parity) -> None:
    result = parity(padded(), "--json")
    assert (result.code, result.failed) == (0, set())
    assert set(result.rows) == {key[4:] for key in padded() if key.startswith("out/")}


def test_a_number_that_was_tampered_with_is_a_difference_of_the_trees_own(parity: Parity, tmp_path: Path) -> None:
    write_tree(tmp_path / "newt_patched", PATCHES)
    off = {
        key: np.array(reference()[key]) for key in ("out/td_target", "out/q_logits", "out/actor/bc/scale_4/grad_norm")
    }
    off["out/td_target"].flat[3] += 2e-3 * np.abs(off["out/td_target"]).max()
    off["out/q_logits"].flat[0] = np.nan
    off["out/actor/bc/scale_4/grad_norm"] *= 1.002
    result = parity({**reference(), **off}, "--json")
    assert result.code == 1
    assert result.failed == {key[4:] for key in off}
    assert all(result.rows[name]["waits_for"] == [] for name in result.failed)
    assert result.rows["td_target"]["relative_error"] == pytest.approx(2e-3, rel=0.01)
    assert result.rows["q_logits"]["recorded"] is None and "not finite" in result.rows["q_logits"]["error"]
    said = parity({**reference(), **off}, "--tol", "0.01")
    assert "; 1 waits for no patch: a difference of the tree's own." in said.err and "Next:" not in said.err
    assert "q_logits: the recording holds numbers that are not finite" in said.err


def test_a_tree_that_throws_in_one_quantity_shows_the_others(parity: Parity, tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree",
        PATCHES,
        tdmpc2=("        rewards = []\n", "        raise RuntimeError('no planner')\n"),
    )
    line = (root / "tdmpc2.py").read_text().splitlines().index("        raise RuntimeError('no planner')") + 1
    result = parity(reference(), "--tree", str(root))
    assert result.code == 1
    assert f"\nplan_value: RuntimeError: no planner (tdmpc2.py:{line})\n" in result.err
    assert [row.split()[0] for row in result.out.splitlines()[1:] if row and " ok" not in row] == ["plan_value"]


def test_a_clamp_that_is_missing_shows(parity: Parity, tmp_path: Path) -> None:
    unclamped = (".clamp(self.cfg.exp_adv_min, self.cfg.exp_adv_max)", "")
    root = write_tree(tmp_path / "tree", PATCHES, tdmpc2=unclamped)
    failed = parity(reference(), "--json", "--tree", str(root)).failed
    assert failed == {f"actor/awac/scale_{S}/{part}" for S in SCALES for part in ("pi_loss", "grad_norm")}


# --- trees of all kinds -----------------------------------------------------------------------------------------------


RELATIVE = re.compile(r"from (\.+)(\w[\w.]*)? import ")


def absolute(package: tuple[str, ...], found: re.Match[str]) -> str:
    """The beginning of an import of a package's module, with the name that it has without a package around the tree."""
    above = package[: len(package) - len(found[1]) + 1]
    name = ".".join((*above, *([found[2]] if found[2] else [])))
    return f"from {name} import " if name else "import "


def test_a_tree_in_upstreams_shape_on_a_machine_without_its_gpu_and_libraries(parity: Parity, tmp_path: Path) -> None:
    """Modules without a package, CUDA devices written into the code, fused optimisers, prints, missing libraries."""
    root = write_tree(tmp_path / "its own folder", PATCHES)
    for path in root.rglob("*.py"):
        package = path.relative_to(root).parent.parts
        path.write_text(RELATIVE.sub(partial(absolute, package), path.read_text("utf-8")), "utf-8")
    agent = (root / "tdmpc2.py").read_text("utf-8")
    for old, new in (
        ("resolve_device(cfg.device, cfg.rank)", 'torch.device(f"cuda:{cfg.rank}")'),
        ("**fast", "fused=True, capturable=True"),
    ):
        assert old in agent
        agent = agent.replace(old, new)
    (root / "tdmpc2.py").write_text(agent + '\nprint("{not json")\n', "utf-8")
    config = (root / "config.py").read_text("utf-8")
    imports = "import surely_not_installed\nfrom surely_not_installed.core import store\n"
    imports += "store(x=1)(print)\n\nclass Stored(store):\n    pass\n\n"
    (root / "config.py").write_text(imports + config, "utf-8")
    result = parity(reference(), "--json", "--tree", str(root))
    assert (result.code, result.failed) == (0, set()), result
    assert "surely_not_installed" in json.loads(result.out)["notes"][0]


def test_a_tree_whose_settings_cannot_be_had(parity: Parity, tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree", config=("\n\n@dataclass\nclass Config:", "\n1 / 0\n\n@dataclass\nclass Config:")
    )
    result = parity(reference(), "--json", "--tree", str(root))
    assert result.failed == LOSSES | NO_MODES
    (note,) = json.loads(result.out)["notes"]
    assert "ZeroDivisionError" in note and "config.py:" in note and "newt's settings" in note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"world_model": ("hidden = 2 * [cfg.mlp_dim]", "hidden = 3 * [cfg.mlp_dim]")},
            ["_dynamics.2.weight", "in the recording: [12, 14]", "in the tree: [14, 14]"],
            id="another architecture",
        ),
        pytest.param(
            {"world_model": ("import torch.nn as nn", "import torch.nnn as nn")}, ["torch.nnn"], id="no import"
        ),
        pytest.param(
            {"tdmpc2": ("super().__init__()", "super().__init__(); 1 / 0")},
            ["ZeroDivisionError", "tdmpc2.py:"],
            id="no agent",
        ),
        pytest.param(
            {"tdmpc2": ("import torch\n", "import os; os._exit(7)\n")}, ["exit code 7"], id="ends the process"
        ),
    ],
)
def test_a_tree_that_cannot_be_probed(
    parity: Parity, tmp_path: Path, change: dict[str, tuple[str, str]], words: list[str]
) -> None:
    result = parity(reference(), "--tree", str(write_tree(tmp_path / "tree", **change)))
    assert (result.code, result.out) == (4, "")
    assert all(word in result.err for word in words), result.err


def test_no_tree_and_no_libraries(parity: Parity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parity(reference(), "--tree", "nowhere").code == 4
    (tmp_path / "empty").mkdir()
    assert "no newt-style tree" in parity(reference(), "--tree", "empty").err
    monkeypatch.setattr(newtfix.running.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    result = parity(reference())
    assert result.code == 4 and "needs torch" in result.err and "newtfix[train]" in result.err


# --- recordings -------------------------------------------------------------------------------------------------------


def without(*keys: str) -> Arrays:
    return {key: value for key, value in reference().items() if key not in keys}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        pytest.param(without("cfg/num_q"), ["cfg/num_q is missing"], id="no setting"),
        pytest.param(without("cfg/rho"), ["cfg/rho is missing"], id="no coefficient"),
        pytest.param(without("w/_pi.1.ln.bias"), ["w/_pi.1.ln.bias is missing"], id="no weight"),
        pytest.param(without("in/eps_td"), ["in/eps_td is missing", "td_target"], id="no noise"),
        pytest.param(
            without("in/q_plan"), ["in/q_plan is missing", "plan_value"], id="an optional result without its input"
        ),
        pytest.param(without("out/td_target"), ["out/td_target is missing"], id="no result"),
        pytest.param(
            without("out/actor/bc/scale_4/q_loss"), ["out/actor/bc/scale_4/q_loss is missing"], id="half a mode"
        ),
        pytest.param(
            {**reference(), "in/action": reference()["in/action"][:-1]},
            ["in/action has the shape [3, 5, 3]", "[4, 5, 3]"],
            id="short actions",
        ),
        pytest.param(
            {**reference(), "cfg/horizon": np.array(3)}, ["in/obs has the shape [5, 5, 6]"], id="other horizon"
        ),
        pytest.param({**reference(), "cfg/horizon": np.array(2.5)}, ["cfg/horizon is 2.5"], id="half a step"),
        pytest.param({**reference(), "cfg/rho": np.array([0.5, 0.5])}, ["cfg/rho has the shape [2]"], id="two values"),
        pytest.param({**reference(), "cfg/simnorm_dim": np.array(5)}, ["cfg/simnorm_dim=5"], id="uneven simplices"),
        pytest.param(
            {**reference(), "w/_pi.0.bias": np.zeros(3)}, ["w/_pi.0.bias has the shape [3]"], id="other width"
        ),
        pytest.param({**reference(), "in/q_pi": np.array([0, 4])}, ["in/q_pi is [0, 4]"], id="a network too many"),
        pytest.param({**reference(), "in/q_pi": np.array([0.0, 1.0])}, ["in/q_pi is [0.0, 1.0]"], id="fractions"),
        pytest.param({**reference(), "in/mu": np.array("x")}, ["in/mu is not an array of numbers"], id="text"),
        pytest.param({**reference(), "in/mu": np.array([{}])}, ["in/mu is pickled"], id="pickled"),
        pytest.param(
            {
                **reference(),
                **{f"out/actor/bc/scale_x/{p}": np.array(1.0) for p in ("pi_loss", "q_loss", "prior_loss")},
            },
            ["out/actor/bc/scale_x/grad_norm is missing"],
            id="a scale by another name",
        ),
        pytest.param(
            {key.replace("/bc/", "/foo/"): value for key, value in reference().items()},
            ["the mode 'foo' is none of sac, awac, residual, bc_sac, bc"],
            id="a mode that does not exist",
        ),
        pytest.param(
            {**reference(), "in/std": reference()["in/std"] * np.nan}, ["in/std holds numbers that"], id="not finite"
        ),
        pytest.param({}, ["cfg/horizon is missing"], id="empty"),
    ],
)
def test_a_recording_that_is_wrong_is_refused_with_the_key(parity: Parity, arrays: Arrays, words: list[str]) -> None:
    result = parity(arrays)
    assert (result.code, result.out) == (2, "")
    assert all(word in result.err for word in words), result.err
    assert "fixture.npz" in result.err


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(None, "there is no file", id="nothing"),
        pytest.param(b"", "is not an npz file", id="empty"),
        pytest.param(b"just text", "is not an npz file", id="text"),
        pytest.param(b"PK\x03\x04 not a zip", "is not an npz file", id="no zip"),
        pytest.param("array", "a single array", id="npy"),
        pytest.param("damaged", "cannot be read", id="damaged"),
    ],
)
def test_a_file_that_is_no_recording(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | str | None, word: str
) -> None:
    path = tmp_path / "given.npz"
    if content == "array":
        np.save(path.open("wb"), np.zeros(3))
    elif content == "damaged":
        np.savez(path, **reference())
        raw = path.read_bytes()
        where = raw.index(reference()["in/obs"].tobytes())
        path.write_bytes(raw[:where] + b"\xff\x00" + raw[where + 2 :])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        app(["parity", str(path)], prog_name="newtfix")
    assert end.value.code == 2
    assert word in capfd.readouterr().err


def test_groups_that_were_not_recorded_have_no_rows(tmp_path: Path) -> None:
    kept = {key: value for key, value in reference().items() if "awac" not in key and "plan" not in key}
    np.savez(tmp_path / "some.npz", **kept, **{"out/novel": np.zeros(2)})
    fixture = read_fixture(tmp_path / "some.npz")
    assert set(fixture.results) == {key[4:] for key in kept if key.startswith("out/")}
    assert fixture.ignored == ("out/novel",)


def test_other_spellings_of_the_same_numbers_are_read(tmp_path: Path) -> None:
    """Counts as floats, single numbers as arrays of one, and bytes in the other order."""
    usual = reference()
    other = {key: value.astype(value.dtype.newbyteorder(">")) for key, value in usual.items()}
    other |= {"cfg/num_q": np.array(float(usual["cfg/num_q"])), "out/total_loss": usual["out/total_loss"].reshape(1)}
    np.savez(tmp_path / "other.npz", **other)
    fixture = read_fixture(tmp_path / "other.npz")
    assert isinstance(fixture.settings["num_q"], int)
    assert all(
        array.dtype.isnative and np.array_equal(array.squeeze(), usual[key].squeeze())
        for key, array in fixture.arrays.items()
    )


@pytest.mark.parametrize("tol", ["-1", "nan", "inf"])
def test_a_tolerance_that_is_none(parity: Parity, tol: str) -> None:
    assert parity(reference(), "--tol", tol).code == 2


def test_relative_errors() -> None:
    recorded = np.array([0.0, -4.0])
    assert relative_error(recorded, np.array([0.002, -4.0])) == pytest.approx(5e-4)
    assert relative_error(np.array(0.0), np.array(-0.0)) == 0
    assert relative_error(np.array(0.0), np.array(1e-3)) > 1


@pytest.mark.parametrize(
    "name", ["golden_tdmpc_square", "golden_tdmpc_square_stress", "golden_newt", "golden_newt_padded"]
)
def test_the_recordings_of_the_reference_and_of_newt(parity: Parity, tmp_path: Path, name: str) -> None:
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip(f"NEWTFIX_GOLDEN={GOLDEN} has no {name}.npz")
    write_tree(tmp_path / "newt_patched", PATCHES)
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        result = parity(dict(arrays), "--json")
    assert (result.code, result.failed) == (0, set())
