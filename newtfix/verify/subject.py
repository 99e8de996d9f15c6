"""The classes of a tree, made small: settings, world model, agent, buffer and trainer by the tree's own signatures."""

from __future__ import annotations

import inspect
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from newtfix.model import Unobservable
from newtfix.parity.standin import StandIns, place_in_tree
from newtfix.verify.derived import assigned, unset
from newtfix.verify.fakes import OBS_DIM
from newtfix.verify.standins import install

HORIZON = 3
ACTION_DIM = 4
TRUE_ACTION_DIM = 3
LATENT_DIM = 16
BATCH = 12
DISCOUNT = 0.9
TASK = "verified-task"
# Sizes that every tree of this style reads, under newt's names.
_SIZES: Mapping[str, Any] = {
    "task": TASK,
    "task_title": TASK,
    "num_tasks": 1,
    "num_global_tasks": 1,
    "obs": "state",
    "obs_shape": {"state": (OBS_DIM,)},
    "obs_dim": OBS_DIM,
    "action_dim": ACTION_DIM,
    "batch_size": BATCH,
    "horizon": HORIZON,
    "iterations": 1,
    "num_samples": 6,
    "num_elites": 3,
    "num_pi_trajs": 2,
    "num_enc_layers": 2,
    "enc_dim": 16,
    "mlp_dim": 16,
    "latent_dim": LATENT_DIM,
    "simnorm_dim": 4,
    "num_q": 2,
    "num_bins": 11,
    "vmin": -10.0,
    "vmax": 10.0,
    "bin_size": 2.0,
    "eval_freq": 10**9,
    "save_freq": 10**9,
    "eval_episodes": 1,
    "buffer_size": 20_000,
    "device": "cpu",
    "buffer_device": "cpu",
    "compile": False,
    "bf16": False,
    "multiproc": False,
    "rank": 0,
    "world_size": 1,
    "seed": 1,
    "checkpoint": None,
    "finetune": False,
    "resume": False,
    "use_demos": False,
    "demo_steps": 0,
    "lr_schedule": None,
    "save_video": False,
    "save_agent": False,
    "enable_wandb": False,
    "child_env": False,
}
# Set only where a tree has them: what patches bring, switched off where another patch is looked at.
_IF_THERE: Mapping[str, Any] = {"dropout": 0.0, "eval_pi": False, "eval_value": False}


class Subject:
    """A tree whose modules can be imported; `libraries` has stand-ins for those that it lacks.

    Raises Unobservable where a part is missing or cannot be made.
    """

    def __init__(
        self,
        root: Path,
        modules: Mapping[str, str],
        classes: Mapping[str, str],
        files: Mapping[str, str],
        sources: Sequence[str] = (),
    ) -> None:
        self.root, self.files, self.sources = root, files, sources
        self._names, self._classes = modules, classes
        self._loaded: dict[str, Any] = {}
        self._replaced = install()
        self.libraries = StandIns(root)
        self.runs: dict[Any, Any] = {}
        self._task_dim: int | None = None
        self._assigned: dict[str, Any] | None = None

    def module(self, role: str) -> Any:
        if role not in self._names:
            raise Unobservable(f"no file of this tree plays the role of {role}")
        if role not in self._loaded:
            try:
                self._loaded[role] = self.libraries.load(self._names[role])
            except (Exception, SystemExit) as error:
                self._loaded[role] = Unobservable(f"{self.files[role]} cannot be imported: {words(error, self.root)}")
        if isinstance(self._loaded[role], Unobservable):
            raise Unobservable(str(self._loaded[role]))
        return self._loaded[role]

    def cls(self, role: str) -> Any:
        return getattr(self.module(role), self._classes[role])

    def text(self, role: str) -> str:
        return (self.root / self.files[role]).read_text("utf-8", "replace")

    def default_config(self) -> Any:
        """The tree's settings as they are by default."""
        try:
            return self.cls("config")()
        except (TypeError, ValueError, KeyError) as error:
            raise Unobservable(f"the tree's settings cannot be had: {words(error, self.root)}") from error

    def config(self, lengths: Sequence[int] = (8, 8, 8, 8), **settings: Any) -> Any:
        """Settings of a small agent for environments whose episodes have these lengths, all of one task."""
        cfg = self.default_config()
        count = len(lengths)
        task_dim = settings["task_dim"] if "task_dim" in settings else self._fitting_task_dim()
        per_env = {
            "task_dim": task_dim,
            "num_envs": count,
            "tasks": [TASK] * count,
            "global_tasks": [TASK] * count,
            "task_embeddings": [[0.0] * max(task_dim, 1)] * count,
            "obs_shapes": [(OBS_DIM,)] * count,
            "action_dims": [TRUE_ACTION_DIM] * count,
            "discounts": [DISCOUNT] * count,
            "episode_length": max(lengths),
            "episode_lengths": list(lengths),
            "work_dir": Path(tempfile.mkdtemp(prefix="work-")),
        }
        there = {name: value for name, value in _IF_THERE.items() if hasattr(cfg, name)}
        for name, value in {**_SIZES, **per_env, **there, **settings}.items():
            object.__setattr__(cfg, name, value)
        for name, value in self._set_at_run_time(cfg).items():
            object.__setattr__(cfg, name, value)
        return cfg

    def _fitting_task_dim(self) -> int:
        """0, where the world model can do without tasks, else what the tree's own code sets, or its default."""
        if self._task_dim is None:
            default = self.default_config()
            own = assigned([self.text("config")], vars(default)).get("task_dim", [])
            widths = [width for width in (*own, getattr(default, "task_dim", 0)) if isinstance(width, int)]
            self._task_dim = next((width for width in (0, *widths) if self._encodes_at(width)), None)
        return self._task_dim or 0

    def _encodes_at(self, task_dim: int) -> bool:
        """Whether a world model can be made, and encodes, with tasks that are this wide."""
        obs, task = torch.zeros(2, OBS_DIM), torch.zeros(2, dtype=torch.int64)
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                self.model(self.config(task_dim=task_dim)).encode(obs, task)
        except Exception:
            return False
        return True

    def _set_at_run_time(self, cfg: Any) -> dict[str, Any]:
        """Settings that the classes read, and that the tree's scripts set before they make them."""
        if self._assigned is None:
            names = unset(map(self.text, self.files), cfg)
            texts = [(self.root / file).read_text("utf-8", "replace") for file in self.sources if file.endswith(".py")]
            values = assigned(texts, vars(cfg)) if names else {}
            self._assigned = {name: found[0] for name, found in values.items() if name in names}
        return self._assigned

    def model(self, cfg: Any) -> Any:
        return make(self.cls("world_model"), {"cfg": cfg, "config": cfg})

    def agent(self, cfg: Any, overrides: Mapping[str, Any] | None = None) -> Any:
        """The tree's agent around its own world model; `overrides` are methods of a subclass made for the occasion."""
        cls = derived(self.cls("agent"), overrides or {})
        model = self.model(cfg)
        agent = make(cls, {"model": model, "cfg": cfg, "config": cfg, "world_model": model})
        return agent

    def run(self, lengths: Sequence[int], *, steps: int, settings: Mapping[str, Any] | None = None) -> Any:
        """What happened in a run of the trainer to step `steps`, around an agent that never learns."""
        from newtfix.verify.runs import run

        return run(self, lengths, steps, settings=settings)

    def plan(self, agent: Any, **others: Any) -> Any:
        """What an agent answers to the trainer's own call, while it explores, but for `others`."""
        from newtfix.verify.asking import ask, own_call

        return ask(agent, own_call(self), **others)

    def buffer(self, cfg: Any, overrides: Mapping[str, Any] | None = None) -> Any:
        return make(derived(self.cls("buffer"), overrides or {}), buffer_arguments(cfg))

    def trainer(self, overrides: Mapping[str, Any], asserts: bool = True, **parts: Any) -> Any:
        """The tree's trainer; without `asserts` it checks nothing, and does what it would do."""
        cls = self.cls("trainer") if asserts else getattr(self._unchecked("trainer"), self._classes["trainer"])
        return make(derived(cls, overrides), parts)

    def _unchecked(self, role: str) -> Any:
        """A second copy of a module, in which no assertion is checked."""
        module = self.module(role)
        key = f"{role}, unchecked"
        if key not in self._loaded:
            code = compile(self.text(role), str(self.root / self.files[role]), "exec", dont_inherit=True, optimize=1)
            copy = ModuleType(module.__name__)
            copy.__package__, copy.__file__ = module.__package__, module.__file__
            exec(code, vars(copy))
            self._loaded[key] = copy
        return self._loaded[key]


def buffer_arguments(cfg: Any) -> dict[str, Any]:
    """What a replay buffer is made with, under the names that trees give it."""
    return {
        "cfg": cfg,
        "config": cfg,
        "capacity": cfg.buffer_size,
        "buffer_size": cfg.buffer_size,
        "batch_size": cfg.batch_size,
        "horizon": cfg.horizon,
        "device": torch.device("cpu"),
        "multiproc": False,
        "compile": False,
        "cache_values": False,
    }


def derived(cls: type, overrides: Mapping[str, Any]) -> type:
    """A subclass of the same name with some methods of its own."""
    return type(cls.__name__, (cls,), {"__module__": cls.__module__, **overrides}) if overrides else cls


def seed(number: int) -> None:
    """Seed everything that a tree may draw from."""
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def randomise(model: Any) -> None:
    """Give a world model weights that leave nothing at 0, online and target networks different ones."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def make(cls: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Call a class with those of the known arguments that it takes. Raises Unobservable where that isn't enough."""
    parameters = inspect.signature(cls).parameters.values()
    needed = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [p.name for p in needed if p.default is p.empty and p.name not in known]
    if missing:
        raise Unobservable(f"{getattr(cls, '__name__', cls)} asks for {', '.join(missing)}, which is not known here")
    return cls(**{p.name: known[p.name] for p in needed if p.name in known and p.kind is not p.POSITIONAL_ONLY})


def words(error: BaseException, root: Path) -> str:
    """An exception on one line, with the last place in the tree that it came through."""
    line = (str(error) or "no message").strip().splitlines()[0][:300]
    place = place_in_tree(error, root)
    return f"{type(error).__name__}: {line}" + (f" ({place})" if place else "")
