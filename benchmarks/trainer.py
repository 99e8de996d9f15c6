"""Updates and plans a second, newt_base beside plain, with the share of the roofline that each reaches."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .cases import Case, Fixed, base_agent, both, plan_call, update_call
from .figures import Figure
from .roofline import GFLOP, Gemm, gflop_of, threads
from .timing import Effort, Spread, Times, alternate

UPDATES = [Case(size, batch) for size in ("cpu", "small", "S", "B") for batch in (128, 256)]
PLANS = [
    *(Case(size, envs=envs) for size in ("cpu", "S", "B") for envs in (1, 4, 20)),
    Case("cpu", envs=4, samples=None, iterations=None),
    *(Case("small", envs=envs, samples=128, iterations=4) for envs in (1, 10)),
]
COMPILED = [Case("cpu", 128), Case("small", 128), Case("S", 256), Case("B", 256)]


def updates(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Updates/s."""
    for case in [Case("cpu", 128)] if quick else UPDATES:
        yield from update_figures("update", case, effort)


def plans(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Plans/s; one plan chooses an action for each environment."""
    for case in [Case("cpu", envs=4, samples=None, iterations=None)] if quick else PLANS:
        yield from plan_figures("plan", case, effort)


def scaling(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Cost against environments, samples, batch and model size."""
    if quick:
        return
    for envs in (1, 2, 4, 8, 16, 32):
        yield from plan_figures("scaling: envs", Case("small", envs=envs), effort)
    for samples in (64, 128, 256, 512, 1024):
        yield from plan_figures("scaling: samples", Case("S", samples=samples), effort)
    for batch in (32, 64, 128, 256, 512, 1024):
        yield from update_figures("scaling: batch", Case("S", batch), effort)
    for size in ("small", "S", "B", "L"):
        yield from update_figures("scaling: size", Case(size), effort)
        yield from plan_figures("scaling: size", Case(size), effort)


def compiled(effort: Effort, quick: bool) -> Iterator[Figure]:
    """newt_base compiled against itself eager; the first call, which compiles, is a figure of its own."""
    for case in COMPILED[:1] if quick else COMPILED:
        yield from _compiled(case, effort)


def update_name(case: Case) -> str:
    return f"{case.size}, batch {case.batch}"


def plan_name(case: Case) -> str:
    cfg = case.cfg()
    return f"{case.size}, {case.envs} env{'s' * (case.envs > 1)}, {cfg.num_samples} x {cfg.iterations}"


def update_figures(group: str, case: Case, effort: Effort) -> Iterator[Figure]:
    """newt_base's figure, then plain's."""
    buffer = Fixed(case.cfg())
    calls = {name: update_call(agent, buffer) for name, agent in both(case.cfg()).items()}
    yield from _against_plain(group, update_name(case), "updates/s", calls, case, effort)


def plan_figures(group: str, case: Case, effort: Effort) -> Iterator[Figure]:
    """newt_base's figure, then plain's."""
    calls = {name: plan_call(agent) for name, agent in both(case.cfg()).items()}
    yield from _against_plain(group, plan_name(case), "plans/s", calls, case, effort)


def _against_plain(
    group: str, name: str, unit: str, calls: dict[str, Callable[[], object]], case: Case, effort: Effort
) -> Iterator[Figure]:
    with threads(case.threads) as number:
        gflop = {who: gflop_of(call) for who, call in calls.items()}
        times = alternate({**calls, "gemm": Gemm()}, effort)
    facts = {"threads": number, **_settings(case)}
    for who, other in (("newt_base", "plain"), ("plain", None)):
        yield Figure(
            group,
            name if other else f"{name}: plain",
            unit,
            times[who].rate(),
            len(times[who].seconds),
            ratio=times[who].faster_than(times[other]) if other else None,
            ratio_to=other,
            gflop=gflop[who],
            roofline=_share(gflop[who], times[who], times["gemm"]),
            facts=facts,
        )


def _share(gflop: float, times: Times, gemm: Times) -> float:
    """The rate of matrix products as a fraction of the rate of the large one, compared round by round."""
    return gflop / GFLOP * times.faster_than(gemm).median


def _settings(case: Case) -> dict[str, Any]:
    cfg = case.cfg()
    names: Iterable[str] = ("batch_size", "num_envs", "num_samples", "iterations", "horizon")
    widths = ("enc_dim", "mlp_dim", "latent_dim", "num_q", "action_dim", "constrained_planning")
    sizes = {name: getattr(cfg, name) for name in (*names, *widths)}
    return {"size": case.size, "obs_dim": cfg.obs_shape["state"][0], **sizes}


def _compiled(case: Case, effort: Effort) -> Iterator[Figure]:
    fast = dataclasses.replace(case, compiled=True)
    buffer = Fixed(case.cfg())
    kinds = {
        f"update {update_name(case)}": lambda agent: update_call(agent, buffer),
        f"plan {plan_name(case)}": plan_call,
    }
    for name, make in kinds.items():
        with threads(case.threads) as number:
            calls = {"eager": make(base_agent(case.cfg())), "compiled": make(base_agent(fast.cfg()))}
            started = time.perf_counter()
            calls["compiled"]()
            first = Spread.of([time.perf_counter() - started])
            times = alternate(calls, effort)
        facts = {"threads": number, **_settings(case)}
        unit = "updates/s" if name.startswith("update") else "plans/s"
        yield Figure(
            "compile",
            name,
            unit,
            times["compiled"].rate(),
            len(times["compiled"].seconds),
            ratio=times["compiled"].faster_than(times["eager"]),
            ratio_to="eager",
            facts=facts,
        )
        yield Figure("compile", f"{name}: first call", "s", first, 1, facts=facts)
