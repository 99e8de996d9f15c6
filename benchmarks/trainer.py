"""Updates and plans a second: the patched tree and newt_base beside plain, and each patch beside newt_base."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .cases import Case, Fixed, agents, make_agent, plan_call, update_call
from .figures import Figure
from .roofline import GFLOP, Gemm, gflop_of, threads
from .timing import Call, Effort, Spread, Times, alternate
from .trees import ALL, NONE, trained

UPDATES = [Case(size, batch) for size in ("cpu", "small", "S", "B") for batch in (128, 256)]
PLANS = [
    *(Case(size, envs=envs) for size in ("cpu", "S", "B") for envs in (1, 4, 20)),
    Case("cpu", envs=4, samples=None, iterations=None),
    *(Case("small", envs=envs, samples=128, iterations=4) for envs in (1, 10)),
]
PATCHED = [Case("small", 128, 1, 128, 4), Case("B", 256)]
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


def patches(effort: Effort, quick: bool) -> Iterator[Figure]:
    """What each patch costs that changes what an update or a plan computes, alone, and all of them."""
    kinds = {name: frozenset([name]) for name in (["q-ensemble"] if quick else trained())}
    for case in [Case("cpu", 128, 4, None, None)] if quick else PATCHED:
        yield from _each_patch(case, {"newt_base": NONE, **kinds, "all": ALL}, effort)


def compiled(effort: Effort, quick: bool) -> Iterator[Figure]:
    """The patched tree compiled against itself eager; the first call, which compiles, is a figure of its own."""
    for case in COMPILED[:1] if quick else COMPILED:
        yield from _compiled(case, effort)


def update_name(case: Case) -> str:
    return f"{case.size}, batch {case.batch}"


def plan_name(case: Case) -> str:
    cfg = case.cfg()
    return f"{case.size}, {case.envs} env{'s' * (case.envs > 1)}, {cfg.num_samples} x {cfg.iterations}"


def update_figures(group: str, case: Case, effort: Effort) -> Iterator[Figure]:
    """Figures of the patched tree, newt_base and plain."""
    buffer = Fixed(case.cfg())
    calls = {name: update_call(agent, buffer) for name, agent in agents(case).items()}
    yield from _compared(group, update_name(case), "updates/s", calls, case, effort, "plain")


def plan_figures(group: str, case: Case, effort: Effort) -> Iterator[Figure]:
    """Figures of the patched tree, newt_base and plain."""
    calls = {name: plan_call(agent) for name, agent in agents(case).items()}
    yield from _compared(group, plan_name(case), "plans/s", calls, case, effort, "plain")


def _each_patch(case: Case, kinds: Mapping[str, frozenset[str]], effort: Effort) -> Iterator[Figure]:
    buffer, made = Fixed(case.cfg()), {name: make_agent(case.cfg(ids), ids) for name, ids in kinds.items()}
    updates = {name: update_call(agent, buffer) for name, agent in made.items()}
    yield from _compared("patches", f"update, {update_name(case)}", "updates/s", updates, case, effort, "newt_base")
    plans = {name: plan_call(agent) for name, agent in made.items()}
    yield from _compared("patches", f"plan, {plan_name(case)}", "plans/s", plans, case, effort, "newt_base")


def _compared(
    group: str, name: str, unit: str, calls: Mapping[str, Call], case: Case, effort: Effort, against: str
) -> Iterator[Figure]:
    """A figure of each contestant, and how many times as fast it is as the one called `against`."""
    with threads(case.threads) as number:
        gflop = {who: gflop_of(call) for who, call in calls.items()}
        times = alternate({**calls, "gemm": Gemm()}, effort)
    for who in calls:
        yield Figure(
            group,
            f"{name}: {who}",
            unit,
            times[who].rate(),
            len(times[who].seconds),
            ratio=times[who].faster_than(times[against]) if who != against else None,
            ratio_to=against if who != against else None,
            gflop=gflop[who],
            roofline=_share(gflop[who], times[who], times["gemm"]),
            facts={"threads": number, **_settings(case)},
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
            calls = {"eager": make(make_agent(case.cfg(ALL), ALL)), "compiled": make(make_agent(fast.cfg(ALL), ALL))}
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
