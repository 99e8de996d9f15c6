"""Peak memory of what a trainer does, each in a process of its own: `python -m benchmarks.memory NAME`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from .figures import Figure
from .processes import finish
from .timing import Effort, Spread

WORK = ("imports", "update B, batch 256", "plan B, 20 envs", "replay of 1,000,000", "run cartpole-swingup, preset=cpu")


def memory(effort: Effort, quick: bool) -> Iterator[Figure]:
    """MiB of resident memory at the peak."""
    for name in WORK[:1] if quick else WORK:
        peaks = [finish(["-m", "benchmarks.memory", name]).peak for _ in range(1 if quick else 3)]
        yield Figure("memory", name, "MiB", Spread.of(peaks), len(peaks))


def work(name: str) -> None:
    """Do once what is called `name`."""
    from newt_base.common.buffer import Buffer

    from . import cases, endtoend, replay
    from .trees import ALL

    if name.startswith("update"):
        cfg = cases.Case("B", 256).cfg(ALL)
        agent, buffer = cases.make_agent(cfg, ALL), cases.Fixed(cfg)
        for _ in range(3):
            agent.update(buffer)
    elif name.startswith("plan"):
        cases.plan_call(cases.make_agent(cases.Case("B", envs=20).cfg(ALL), ALL))()
    elif name.startswith("replay"):
        buffer = Buffer(capacity=1_000_000, batch_size=256, horizon=3, device="cpu")
        _, sample = replay.ours(buffer)
        sample()
    elif name.startswith("run"):
        endtoend.run("cartpole-swingup")


if __name__ == "__main__":
    work(sys.argv[1])
