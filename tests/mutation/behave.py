"""What a tree does: trained with fakes, everything that it computes. For the trees that this project ships."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import specimens
import torch
import trees

Texts = Mapping[str, str]
CLOCKS = ("elapsed_time", "steps_per_second", "total_time")
_WORK = tempfile.TemporaryDirectory(prefix="newtfix-mutants-")
MODES = ("sac", "awac", "residual", "bc_sac", "bc")


def same_numbers(observe: Callable[[Texts], Any]) -> Callable[[Texts, Texts], bool | None]:
    """Compares two trees by what is observed of them; None where the first cannot be run."""
    cached = lru_cache(maxsize=40)(lambda items: _outcome(observe, dict(items)))

    def alike(reference: Texts, texts: Texts) -> bool | None:
        expected = cached(tuple(sorted(reference.items())))
        if isinstance(expected, Exception):
            return None
        return bool(_outcome(observe, texts) == expected)

    return alike


def _outcome(observe: Callable[[Texts], Any], texts: Texts) -> Any:
    try:
        with silence():
            return observe(texts)
    except Exception as problem:
        return problem


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What a tree prints is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _digest(values: Any) -> str:
    """A digest of tensors and numbers, bit for bit."""
    digest = hashlib.sha256()
    for value in values:
        tensor = torch.as_tensor(value).detach().cpu().contiguous()
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _logged(lines: Any) -> list[Any]:
    return [
        (
            category,
            {k: float(torch.as_tensor(v).detach().float().mean()) for k, v in sorted(m.items()) if k not in CLOCKS},
        )
        for category, m in lines
    ]


def _weights(agent: Any) -> str:
    state = {**agent.model.state_dict(), **{f"scale.{k}": v for k, v in agent.scale.state_dict().items()}}
    return _digest(state[name] for name in sorted(state))


# --- newt_base --------------------------------------------------------------------------------------------------------


def observe_newt(texts: Texts) -> Any:
    """Two short runs: episodes of one length with every part of the loop, and of mixed lengths."""
    modules = package(texts)
    modes = MODES if "actor_mode" in texts["config.py"] else ("",)
    runs = [newt_run(modules, [8] * 12, 1_250, actor_mode=mode) for mode in modes[:1]]
    runs += [newt_run(modules, [6, 3] * 4, 1_060, actor_mode=mode) for mode in modes[1:] or modes]
    return [*runs, newt_run(modules, [6, 4] * 4, 1_040, constrained_planning=1)]


def package(texts: Texts) -> SimpleNamespace:
    """The modules of a tree with relative imports, imported under a name of its own."""
    name = "mutant_" + hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:16]
    for file, text in texts.items():
        path = Path(_WORK.name, name, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    if _WORK.name not in sys.path:
        sys.path.insert(0, _WORK.name)
    parts = ("trainer", "tdmpc2", "config", "common.buffer", "common.world_model")
    found = {part.rpartition(".")[2]: importlib.import_module(f"{name}.{part}") for part in parts}
    return SimpleNamespace(**found)


def newt_run(modules: Any, lengths: list[int], steps: int, actor_mode: str = "", **settings: Any) -> Any:
    """What a run logs, stores, learns and draws: the same for trees that behave alike."""
    chosen = {"actor_mode": actor_mode} if actor_mode else {}
    off = {"utd": 0.03, "seeding_coef": 11 if max(lengths) == 8 else 20, "eval_freq": 480, "burst_updates": 3}
    cfg = trees.make_cfg(modules, len(lengths), lengths, steps=steps, **{**off, **chosen, **settings})
    torch.manual_seed(0)
    agent = modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)
    buffer = modules.buffer.Buffer(capacity=50_000, batch_size=8, horizon=cfg.horizon)
    trainer = modules.trainer.Trainer(cfg, trees.FakeEnv(lengths), agent, buffer, trees.SilentLogger())
    torch.manual_seed(5)
    trainer.train()
    stored = {name: values[: len(buffer)] for name, values in buffer._storage.items()}
    kept = _digest(stored[name] for name in sorted(stored))
    return _logged(trainer.logger.lines), kept, _weights(agent), _digest([torch.get_rng_state()])


# --- specimens --------------------------------------------------------------------------------------------------------


def observe_specimen(texts: Texts) -> Any:
    modules = specimens.import_tree(texts)
    modes = MODES if "actor_mode" in texts["config.py"] else ("",)
    runs = [_specimen_run(modules, [6] * 8, actor_mode=mode) for mode in modes]
    return [*runs, _specimen_run(modules, [6, 3] * 4, evaluate=True)]


def _specimen_run(modules: Any, lengths: list[int], actor_mode: str = "", evaluate: bool = False) -> Any:
    wanted = {"burst_updates": 3, "utd": 0.02, **({"actor_mode": actor_mode} if actor_mode else {})}
    settings = specimens.known_settings(modules, **wanted)
    torch.manual_seed(5)
    run = specimens.Run(modules, lengths, 1_080, learn=True, evaluate=evaluate, **settings)
    torch.manual_seed(5)
    run.train()
    rows = [rows[name] for rows in run.episodes for name in sorted(rows.keys())]
    return _logged(run.logger.lines), run.acted, run.updated, _digest(rows), _weights(run.agent)
