"""Runs in a process of its own: builds a tree's agent from a recording, and writes what it computes.

`python -m newtfix.parity.probe FOLDER`: reads FOLDER/job.json, writes FOLDER/computed.npz and FOLDER/report.json.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from newtfix.parity.fixture import Array, Fixture, read_fixture
from newtfix.parity.measure import Missing, Subject, measure
from newtfix.parity.pinned import OnCpu
from newtfix.parity.standin import StandIns, place_in_tree

# What newt's agent and model read; for trees whose own settings cannot be had.
_NEWT = {
    "lr": 3e-4,
    "enc_lr_scale": 0.3,
    "grad_clip_norm": 20.0,
    "rho": 0.5,
    "tau": 0.01,
    "prior_coef": 10.0,
    "entropy_coef": 1e-4,
    "scale_threshold": 2.0,
    "consistency_coef": 20.0,
    "reward_coef": 0.1,
    "value_coef": 0.1,
    "log_std_min": -10.0,
    "log_std_max": 2.0,
    "min_std": 0.05,
    "max_std": 2.0,
    "temperature": 0.5,
    "iterations": 6,
    "mpc": True,
    "warmup_steps": 5000,
    "constrained_planning": 0,
    "constraint_start_step": 2_000_000,
    "constraint_final_step": 10_000_000,
    "discount_min": 0.95,
    "discount_max": 0.995,
    "discount_denom": 5,
    "awac_lambda": 0.3333,
    "exp_adv_min": 0.1,
    "exp_adv_max": 10.0,
    "num_pi_trajs": 1,
}


class Unfit(Exception):
    """The tree cannot be probed at all: what is wrong, and where."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class Namespace:
    """Settings of a tree that has no settings class."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def main(folder: Path) -> None:
    """Do the job in `folder`; what goes wrong is written down there."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    report: dict[str, Any] = {"unfit": None, "errors": {}, "notes": []}
    computed: dict[str, Any] = {}
    torch.manual_seed(0)
    try:
        with OnCpu():
            _probe(job, computed, report)
    except Unfit as problem:
        report["unfit"] = {"message": str(problem), "where": problem.where}
    np.savez(folder / "computed.npz", **computed)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")


def _probe(job: Mapping[str, Any], computed: dict[str, Any], report: dict[str, Any]) -> None:
    fixture = read_fixture(Path(job["fixture"]))
    root = Path(job["root"])
    imports = StandIns(root)
    modules = {role: _load(imports, job["modules"][role], root) for role in ("math", "world_model", "agent")}
    cfg = _settings(fixture, imports, job["modules"].get("config"), root, report["notes"])
    agent = _agent(modules, job["classes"], cfg, root)
    _load_weights(agent.model, fixture)
    if imports.places:
        names = ", ".join(sorted(imports.places))
        report["notes"].append(f"Not installed, and not needed for this: {names}.")
    arrays = {key: _tensor(value) for key, value in fixture.arrays.items() if not key.startswith("w/")}
    subject = Subject(agent, modules["math"], arrays, fixture.kind)
    for group in fixture.groups:
        try:
            values: Mapping[str, Any] = measure(subject, group)
        except Exception as error:
            values = dict.fromkeys(group.results, error)
        for name in group.results:
            _record(name, values.get(name), computed, report["errors"], root)


def _record(name: str, value: Any, computed: dict[str, Any], errors: dict[str, str], root: Path) -> None:
    if isinstance(value, Missing):
        errors[name] = f"missing: {value}"
    elif isinstance(value, BaseException):
        errors[name] = _words(value, root)
    else:
        computed[name] = torch.as_tensor(value).detach().numpy()


def _words(error: BaseException, root: Path) -> str:
    line = (str(error) or "no message").splitlines()[0]
    place = place_in_tree(error, root)
    return f"{type(error).__name__}: {line}" + (f" ({place})" if place else "")


def _load(imports: StandIns, module: str, root: Path) -> Any:
    try:
        return imports.load(module)
    except Exception as error:
        raise Unfit(f"{module} of this tree cannot be imported: {_words(error, root)}") from error


def _settings(fixture: Fixture, imports: StandIns, found: Any, root: Path, notes: list[str]) -> Any:
    """The tree's own settings with everything that the recording implies; newt's, where the tree's cannot be had."""
    values = _implied(fixture)
    if found is None:
        return Namespace(_NEWT | values)
    module, name = found
    try:
        cfg = getattr(imports.load(module), name)()
    except Exception as error:
        notes.append(f"The tree's {name} cannot be had ({_words(error, root)}); newt's settings stand in for it.")
        return Namespace(_NEWT | values)
    known = {field.name for field in dataclasses.fields(cfg)} if dataclasses.is_dataclass(cfg) else set(dir(cfg))
    for setting, value in values.items():
        if setting in known:
            object.__setattr__(cfg, setting, value)
    return cfg


def _implied(fixture: Fixture) -> dict[str, Any]:
    cfg = fixture.settings
    action_dim = int(cfg["action_dim"])
    samples = fixture.arrays["in/plan_actions"].shape[1] if "in/plan_actions" in fixture.arrays else 16
    length = int(cfg.get("episode_length", 500))
    implied = {
        "task": "parity",
        "task_title": "Parity",
        "tasks": ["parity"],
        "global_tasks": ["parity"],
        "num_tasks": 1,
        "num_global_tasks": 1,
        "task_dim": 0,
        "task_embeddings": [[0.0]],
        "num_envs": 1,
        "obs": "state",
        "obs_shape": {"state": (int(cfg["obs_dim"]),)},
        "obs_shapes": [(int(cfg["obs_dim"]),)],
        "action_dims": [int(cfg.get("true_action_dim", action_dim))],
        "batch_size": fixture.arrays["in/obs"].shape[1],
        "bin_size": (cfg["vmax"] - cfg["vmin"]) / max(int(cfg["num_bins"]) - 1, 1),
        "discounts": [cfg.get("discount", 0.99)],
        "episode_length": length,
        "episode_lengths": [length],
        "num_samples": samples,
        "num_elites": min(4, samples),
        "num_pi_trajs": min(2, samples),
        "device": "cpu",
        "buffer_device": "cpu",
        "compile": False,
        "bf16": False,
        "rank": 0,
        "world_size": 1,
        "multiproc": False,
        "checkpoint": None,
        "finetune": False,
        "use_demos": False,
        "lr_schedule": None,
        "dropout": 0.0,
        "awac_advantage": "reference",
    }
    return {**cfg, **implied}


def _agent(modules: Mapping[str, Any], classes: Mapping[str, str], cfg: Any, root: Path) -> Any:
    try:
        model = getattr(modules["world_model"], classes["world_model"])(cfg)
        agent = getattr(modules["agent"], classes["agent"])(model, cfg)
        agent.model.eval()
    except Exception as error:
        raise Unfit(f"the tree's agent cannot be built with the recorded settings: {_words(error, root)}") from error
    return agent


def _load_weights(model: Any, fixture: Fixture) -> None:
    """Fill the model; buffers that the recording does not have, as the reference has none, stay the tree's own."""
    recorded = {key[2:]: _tensor(value) for key, value in fixture.arrays.items() if key.startswith("w/")}
    parameters = {name for name, _ in model.named_parameters()}
    own = {name: value for name, value in model.state_dict().items() if name in recorded or name in parameters}
    for name in [*recorded, *own]:
        there, here = (str(list(state[name].shape)) if name in state else "missing" for state in (recorded, own))
        if there != here:
            raise Unfit(
                f"the recorded weights do not fit this tree's world model: {name}",
                f"in the recording: {there}\nin the tree: {here}",
            )
    model.load_state_dict(recorded, strict=False)


def _tensor(array: Array) -> Tensor:
    """A copy, floating-point numbers in single precision."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.float() if tensor.is_floating_point() else tensor.long()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
