"""The trees in tests/specimens: composed, patched, imported, and run with fakes."""

from __future__ import annotations

import importlib
import itertools
import random
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import torch
from trees import PATCHES, FakeEnv, SilentLogger

from newtfix.model import Plan
from newtfix.plan.engine import plan

SPECIMENS = Path(__file__).parents[1] / "specimens"
NAMES = tuple(sorted(folder.name for folder in SPECIMENS.iterdir() if folder.is_dir()))
MODULES = ("trainer", "tdmpc2", "config", "common.buffer", "common.world_model", "common.math", "common.layers")
SCRIPTS = ("rollout", "record", "offline", "sac")
_WORK = tempfile.TemporaryDirectory(prefix="newtfix-specimens-")
_NUMBER = itertools.count()


@cache
def raw(name: str) -> Mapping[str, bytes]:
    """Every Python file of a specimen by its path: those of `plain`, and over them its own."""
    folders = [SPECIMENS / "plain", SPECIMENS / name]
    return {p.relative_to(f).as_posix(): p.read_bytes() for f in folders for p in sorted(f.rglob("*.py"))}


@cache
def texts(name: str) -> Mapping[str, str]:
    """The files of a specimen as the engine gets them; one that is not UTF-8 is read as Latin-1."""
    return MappingProxyType({file: _decode(content) for file, content in raw(name).items()})


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def write(name: str, folder: Path) -> Path:
    """Lay a specimen down in a folder, byte for byte. Returns the folder."""
    for file, content in raw(name).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@cache
def planned(name: str, ids: frozenset[str]) -> Plan:
    """What applying patches to a specimen comes to; what is there in part is completed."""
    return plan(texts(name), ids, PATCHES)


def patched(name: str, ids: frozenset[str]) -> Mapping[str, str]:
    """The files of a specimen with patches."""
    return {**texts(name), **planned(name, ids).after} if ids else texts(name)


@cache
def load(name: str, ids: frozenset[str] = frozenset()) -> SimpleNamespace:
    """The modules of a specimen with patches. They import each other by absolute names, so one tree at a time."""
    return import_tree(patched(name, ids))


def import_tree(tree: Mapping[str, str]) -> SimpleNamespace:
    """Import the modules of a tree that is given as texts; `path` is the folder it was written to."""
    folder = Path(_WORK.name, str(next(_NUMBER)))
    for file, text in tree.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    mine = {Path(file).parts[0].removesuffix(".py") for file in tree}
    hidden = _take_out(mine)
    sys.path.insert(0, str(folder))
    try:
        modules = {name.rpartition(".")[2]: importlib.import_module(name) for name in MODULES}
        scripts = {name: importlib.import_module(name) for name in SCRIPTS if f"{name}.py" in tree}
    finally:
        sys.path.remove(str(folder))
        _take_out(mine)
        sys.modules.update(hidden)
    return SimpleNamespace(path=folder, **{**scripts, **modules})


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Make Python forget the modules that go by these names. Returns them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}


def make_cfg(modules: SimpleNamespace, lengths: Iterable[int], **settings: Any) -> Any:
    """Settings of a specimen for environments with episodes of these lengths."""
    lengths = list(lengths)
    given = {"num_envs": len(lengths), "episode_length": max(lengths), "episode_lengths": lengths, "eval_freq": 10**9}
    return modules.config.Config(**{**given, **settings})


def known_settings(modules: SimpleNamespace, **wanted: Any) -> dict[str, Any]:
    """Those of the settings wanted that a specimen has."""
    known = {field.name for field in fields(modules.config.Config)}
    return {name: value for name, value in wanted.items() if name in known}


def make_agent(modules: SimpleNamespace, cfg: Any, agent_class: Any = None) -> Any:
    """The specimen's own agent (or another one) and world model, with the same weights every time."""
    torch.manual_seed(0)
    return (agent_class or modules.tdmpc2.TDMPC2)(modules.world_model.WorldModel(cfg), cfg)


class Run:
    """A specimen's own trainer, buffer and agent around a fake environment; notes what happens and when.

    `acted` and `updated` are the environment steps at which the agent was asked to act and to update. Updates are
    noted only, not made, unless `learn`, and then the first twenty. Evaluations are left out unless `evaluate`.
    """

    def __init__(
        self,
        modules: SimpleNamespace,
        lengths: Iterable[int],
        steps: int,
        learn: bool = False,
        evaluate: bool = False,
        start: int = 0,
        agent_class: Any = None,
        **settings: Any,
    ) -> None:
        random.seed(0)
        self.modules = modules
        off = {} if evaluate else known_settings(modules, eval_pi=False, eval_value=False)
        self.cfg = make_cfg(modules, lengths, steps=steps, **off, **settings)
        self.env = FakeEnv(list(lengths))
        self.agent = make_agent(modules, self.cfg, agent_class)
        self.buffer = modules.buffer.Buffer(batch_size=8, horizon=self.cfg.horizon)
        self.logger = SilentLogger()
        self.trainer = modules.trainer.Trainer(self.cfg, self.env, self.agent, self.buffer, self.logger)
        self.trainer._step = start
        self.acted: list[int] = []
        self.updated: list[int] = []
        self.first_batch: list[float] | None = None
        self.agent.register_forward_pre_hook(lambda *_: self.acted.append(self.trainer._step))
        self._update, self._metrics = self.agent.update, {}
        self.agent.update = self._learn if learn else self._note
        if not evaluate:
            self.trainer.eval = self.trainer.evaluate = dict

    def _note(self, buffer: Any, *_: Any) -> dict[str, torch.Tensor]:
        if self.first_batch is None and self.episodes:
            self.first_batch = self.rewards()
            buffer.sample(device=torch.device("cpu"))
        self.updated.append(self.trainer._step)
        return {"total_loss": torch.zeros(())}

    def _learn(self, buffer: Any, *rest: Any) -> Any:
        self.updated.append(self.trainer._step)
        if len(self.updated) <= 20:
            self._metrics = self._update(buffer, *rest)
        return self._metrics

    def train(self) -> Run:
        self.trainer.train()
        return self

    @property
    def episodes(self) -> list[Any]:
        """What was stored, a TensorDict of rows for every call of `add`."""
        return self.buffer._buffer.episodes

    def rewards(self) -> list[float]:
        """The rewards of all stored transitions. Every transition of the fake environment has its own."""
        return [float(r) for rows in self.episodes for r in rows["reward"] if not r.isnan()]
