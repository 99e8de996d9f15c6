"""Checks newt_base and a patched copy on a CUDA device: losses beside the CPU's, short runs, and how fast they are."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

RUN = (
    "task=cartpole-swingup",
    "preset=cpu",
    "device=cuda",
    "episode_length=50",  # so that the base too has finished seeding, after 1,000 steps
    "steps=2000",
    "random_baseline=false",
    "plot=false",
)
LIMIT = 900  # seconds for one run; compiling takes most of them
BASE, PATCHED = "newt_base", "newt_patched"
MODES = {
    BASE: [f"constrained_planning={mode}" for mode in (0, 1, 2)],
    PATCHED: [f"actor_mode={mode}" for mode in ("sac", "awac", "residual", "bc_sac", "bc")],
}
SMALL = ("task=cartpole-swingup", "preset=cpu", "batch_size=32", "tf32=false")
TOLERANCE = 1e-3  # of a loss, relative, and absolute below 1; float32 sums differ by 1e-5 with the order of their terms
LARGE = ("task=cartpole-swingup", "model_size=B", "batch_size=256", "num_envs=1")
SECONDS = 3.0  # of a measurement of speed
Step = Callable[[], object]


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: nothing checked")
        return 0
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        newtfix(folder, "apply", "--all").check_returncode()
        sys.path.insert(0, folder)
        failed = [what for package, modes in MODES.items() for what in compare(package, modes, "cuda", "cpu")]
        failed += [what for package in MODES for compiled in (False, True) for what in run(folder, package, compiled)]
        for package in MODES:
            for compiled in (False, True):
                show_speed(package, "cuda", compiled)
    print(f"failed: {', '.join(failed)}" if failed else "everything passed")
    return 1 if failed else 0


# --- losses -----------------------------------------------------------------------------------------------------------


class Pinned(TorchFunctionMode):
    """The same noise on every device, drawn on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(0)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if func in (torch.randn, torch.randn_like):
            return torch.randn(drawn.shape, generator=self._generator).to(drawn)
        if func is torch.randperm:
            return torch.randperm(len(drawn), generator=self._generator).to(drawn)
        return drawn


def compare(package: str, modes: list[str], device: str, other: str) -> Iterator[str]:
    """Print how the losses of one step differ between two devices in each mode; the names of those that fail."""
    for mode in modes:
        here, there = (losses(make_agent(package, (*SMALL, mode), where)) for where in (device, other))
        errors = differences(here, there)
        largest = max(errors.values())
        print(f"{package:12}  {mode:23}  losses on {device} and {other}: largest difference {largest:.1e}", flush=True)
        wrong = [name for name, error in errors.items() if error > TOLERANCE]
        for name in wrong:
            print(f"    {name}: {here.get(name)} on {device}, {there.get(name)} on {other}")
        if wrong:
            yield f"losses of {package} with {mode}"


def make_agent(package: str, settings: tuple[str, ...], device: str) -> Any:
    """An agent with weights, drawn on the CPU, that leave no loss at 0, and without dropout."""
    config, common = import_module(f"{package}.config"), import_module(f"{package}.common")
    cfg = config.parse_cfg(config.load_cfg([*settings, f"device={device}"]))
    if hasattr(cfg, "dropout"):
        cfg.dropout = 0.0  # each device draws its own
    common.set_matmul_precision(cfg.tf32)
    model = import_module(f"{package}.common.world_model").WorldModel(cfg)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        state = model.state_dict()  # by newt's names, whatever holds them
        for name, value in state.items():
            if value.ndim > 1 and value.is_floating_point():
                state[name] = 0.1 * torch.randn(value.shape, generator=generator)
        model.load_state_dict(state)
    agent = import_module(f"{package}.tdmpc2").TDMPC2(model, cfg)
    agent.scale.value.fill_(3.0)  # from 2 on, the planner's prior counts
    return agent


def losses(agent: Any) -> dict[str, float]:
    """The metrics of one update: both losses, their parts and gradient norms; batch and noise are always the same."""
    with Pinned():
        return {name: value.item() for name, value in agent.update(fixed_buffer(agent)).items()}


def fixed_buffer(agent: Any) -> Any:
    """A buffer that gives the same batch each time, on the agent's device."""
    cfg, generator = agent.cfg, torch.Generator().manual_seed(1)
    steps = (cfg.horizon, cfg.batch_size)
    obs = torch.randn(cfg.horizon + 1, cfg.batch_size, *cfg.obs_shape[cfg.obs], generator=generator)
    action, mu, std = (torch.rand(*steps, cfg.action_dim, generator=generator) for _ in range(3))
    reward, task = torch.rand(*steps, 1, generator=generator), torch.zeros(steps, dtype=torch.int32)
    batch = [part.to(agent.device) for part in (obs, 2 * action - 1, 2 * mu - 1, std + 0.1, reward, task)]
    return SimpleNamespace(sample=lambda device: batch)


def differences(here: Mapping[str, float], there: Mapping[str, float]) -> dict[str, float]:
    """How far values are apart, relative to `there`, or to 1 where that is smaller; infinite where one is missing."""
    found = {name: (here.get(name, math.nan), there.get(name, math.nan)) for name in {**here, **there}}
    errors = {name: abs(one - other) / max(1.0, abs(other)) for name, (one, other) in found.items()}
    return {name: error if math.isfinite(error) else math.inf for name, error in errors.items()}


# --- speed ------------------------------------------------------------------------------------------------------------


def show_speed(package: str, device: str, compiled: bool) -> None:
    """Print updates and plans a second at size B: batch 256; one environment, 512 samples, 6 iterations."""
    torch._dynamo.reset()
    agent = make_agent(package, (*LARGE, f"compile={str(compiled).lower()}"), device)
    rates = [f"{rate(step, device):8.1f} {unit}/s" for unit, step in steps(agent).items()]
    print(f"{package:12}  compile={str(compiled).lower():5}  {'  '.join(rates)}", flush=True)


def steps(agent: Any) -> dict[str, Step]:
    """One update, and one plan in the middle of an episode whose action has come back to the CPU."""
    buffer = fixed_buffer(agent)
    obs = torch.randn(1, *agent.cfg.obs_shape[agent.cfg.obs])
    t0, task = torch.zeros(1, dtype=torch.bool), torch.zeros(1, dtype=torch.int32)

    def plan() -> object:
        torch.compiler.cudagraph_mark_step_begin()
        return agent(obs, t0=t0, step=0, task=task)

    return {"updates": lambda: agent.update(buffer), "plans": plan}


def rate(step: Step, device: str, seconds: float = SECONDS) -> float:
    """Calls per second, after three calls that compile and warm up."""
    for _ in range(3):
        step()
    _wait(device)
    calls, start = 0, time.perf_counter()
    while not calls or time.perf_counter() - start < seconds:
        for _ in range(10):
            step()
        _wait(device)
        calls += 10
    return calls / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


# --- runs -------------------------------------------------------------------------------------------------------------


def run(folder: str, package: str, compiled: bool) -> Iterator[str]:
    """Train for a moment; a run that fails shows its last lines, and gives its name."""
    name = f"{package:12}  compile={str(compiled).lower():5}"
    out = Path(folder, f"{package}-{compiled}")
    with tempfile.TemporaryDirectory() as empty:
        start = time.perf_counter()
        settings = (*RUN, f"out_dir={out}", f"compile={str(compiled).lower()}")
        done = newtfix(folder if package == PATCHED else empty, "train", *settings)
        seconds = time.perf_counter() - start
    outcome = "passed" if done.returncode == 0 else f"failed with exit code {done.returncode}"
    print(f"{name}  run of {seconds:6.1f} s  {outcome}{final_return(out)}", flush=True)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-30:]))
        yield f"run of {package} with compile={str(compiled).lower()}"


def newtfix(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "newtfix", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )


def final_return(folder: Path) -> str:
    for path in folder.glob("**/summary.json"):
        values = json.loads(path.read_text())
        return "  " + ", ".join(f"{key} {value:.4g}" for key, value in values.items() if isinstance(value, float))
    return ""


if __name__ == "__main__":
    sys.exit(main())
