"""What each process of test_distributed.py does, as torchrun starts it; each writes what came of it into FOLDER.

`rank.py FOLDER PORT PACKAGE SETTING ... [-- PORT PACKAGE SETTING ...]`: first what the ranks share, then a run for each
part, all at addresses of their own: torchrun gives the first one, PORT is that of another.
`rank.py --fail HOW SETTING ...`: the trainer as a program, in which rank 1 fails.
"""

import hashlib
import importlib
import json
import math
import os
import runpy
import signal
import sys
from itertools import groupby
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "patches"))

RANK = int(os.environ.get("RANK", 0))
FAILING_UPDATE = 5


# ------------------------------------------------------- what the ranks share


def batch(rows):
    """Of a batch [H+1 or H, 8] that is the same for everyone who asks, the slices `rows`."""
    draw = torch.Generator().manual_seed(3)
    obs, action, mu, reward = (
        torch.rand(size, generator=draw) for size in ((4, 8, 3), (3, 8, 2), (3, 8, 2), (3, 8, 1))
    )
    parts = (obs, action * 2 - 1, mu, torch.full_like(mu, 0.5), reward, torch.zeros(3, 8, dtype=torch.int32))
    return tuple(part[:, rows] for part in parts)


def gradients(rows, seed=0):
    """Gradients of both optimisers in one update without noise on the slices `rows`, and the norms before clipping."""
    from trees import make_cfg

    from newt_base import config, tdmpc2
    from newt_base.common import distributed, world_model

    torch.manual_seed(seed)
    cfg = make_cfg(type("Tree", (), {"config": config}), 1, [50])
    agent = tdmpc2.TDMPC2(world_model.WorldModel(cfg), cfg)
    distributed.share(agent.model, agent.scale)
    found = []
    for optim in (agent.optim, agent.pi_optim):
        parameters = [parameter for group in optim.param_groups for parameter in group["params"]]
        optim.step = lambda own=parameters: found.append([None if p.grad is None else p.grad.clone() for p in own])
    drawn, torch.randn_like = torch.randn_like, torch.zeros_like
    try:
        metrics = agent.update(type("Pinned", (), {"sample": lambda *_, **__: batch(rows)})())
    finally:
        torch.randn_like = drawn
    return found, {name: value.item() for name, value in metrics.items() if name.endswith("grad_norm")}


def share(folder):
    """Everything that the ranks do together, one thing after the other."""
    from newt_base.common import distributed
    from newt_base.common.scale import RunningScale
    from newt_base.config import Config

    distributed.join(torch.device("cpu"), timeout=300)
    found, norms = gradients(slice(4 * RANK, 4 * RANK + 4), seed=RANK)
    scale = RunningScale(Config(tau=0.5))
    scale.update(torch.linspace(0, 10 * (1 + 2 * RANK), 101).unsqueeze(-1))
    metrics = distributed.over_ranks(
        {"loss": torch.tensor(1.0 + RANK), "success": math.nan if RANK else 3.0, "return": [RANK]}
    )
    outcome = {
        "gradients": found,
        "norms": norms,
        "scale": scale.value,
        "metrics": dict(metrics),
        "missing": metrics["?"],
        "gathered": distributed.gather(f"rank {RANK}"),
        "first": distributed.from_first(RANK),
        "places": distributed.places(),
    }
    distributed.leave()
    torch.save(outcome, Path(folder, f"{RANK}.pt"))


# ------------------------------------------------------------------- runs


def digest(module):
    """A hash of all parameters and buffers."""
    parts = [f"{name} {value.numpy().tobytes().hex()}" for name, value in module.state_dict().items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def train(package, settings):
    """A run of a tree; what this rank has at its end."""
    train, agents = (importlib.import_module(f"{package}.{name}") for name in ("train", "tdmpc2"))
    begun, stored, made = [], [], []

    class Agent(agents.TDMPC2):
        def update(self, buffer):
            if not begun:
                begun.append(digest(self.model))
            stored.append(len(buffer))
            return super().update(buffer)

    build, train.TDMPC2 = train.build, Agent
    train.build = lambda cfg: made.append(build(cfg)) or made[0]
    status = train.main(settings)
    train.build, train.TDMPC2 = build, agents.TDMPC2
    if status:
        train.distributed.end(status)
    (trainer,) = made
    return {
        "at_first_update": begun[0],
        "at_end": digest(trainer.agent.model),
        "optimisers": [str(optim.state_dict()) for optim in (trainer.agent.optim, trainer.agent.pi_optim)],
        "scale": trainer.agent.scale.value.item(),
        "updates": len(stored),
        "stored": stored[-1],
        "step": trainer._step,
        "first_obs": trainer.buffer._storage["obs"][0].tolist(),
        "left": not torch.distributed.is_initialized(),
    }


def several(folder, *arguments):
    """All runs, and first what the ranks share."""
    share(folder)
    os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)
    for between, run in groupby(arguments, lambda argument: argument == "--"):
        if not between:
            os.environ["MASTER_PORT"], package, *settings = run
            outcome = train(package, settings)
            with Path(folder, f"{RANK}.jsonl").open("a") as file:
                file.write(json.dumps(outcome) + "\n")


# --------------------------------------------------------------- a failure


def fail(how, *settings):
    """The trainer as a program; in rank 1 an update goes wrong, and rank 0 waits for it."""
    from newt_base.tdmpc2 import TDMPC2

    right, made = TDMPC2.update, []

    def wrong(agent, buffer):
        made.append(len(buffer))
        if RANK == 1 and len(made) == FAILING_UPDATE:
            if how == "nan":
                return right(agent, buffer) | {"reward_loss": torch.tensor(math.nan)}
            if how == "error":
                raise ZeroDivisionError("this rank cannot go on")
            os.kill(os.getpid(), signal.Signals[how])
        return right(agent, buffer)

    TDMPC2.update = wrong
    sys.argv[1:] = settings
    runpy.run_module("newt_base.train", run_name="__main__")


if __name__ == "__main__":
    fail(*sys.argv[2:]) if sys.argv[1] == "--fail" else several(*sys.argv[1:])
