"""How trees are trained: which have metrics that can be read, what their command is, and what it needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from newtfix.ablate import shim
from newtfix.ablate.machine import cuda_devices
from newtfix.errors import Refused, TreeError

OWN, LOGGED = "own", "logged"  # writes metrics.jsonl itself; tells a Logger, whom the shim listens to
_LOGGER = re.compile(r"^class Logger\b.*?^\s+def log\(self, \w+, category", re.MULTILINE | re.DOTALL)
_CUDA = re.compile(r"assert torch\.cuda\.is_available\(\)")
QUIET = {
    OWN: ("save_agent=false", "plot=false", "tensorboard=false", "random_baseline=false"),
    LOGGED: ("save_agent=false", "save_video=false", "enable_wandb=false"),
}


def kind_of(sources: Mapping[str, str], root: Path) -> str:
    """How the metrics of a tree can be had. Raises Refused, with the reason, where they can't."""
    if "train.py" not in sources:
        raise TreeError(f"there is no train.py in {root}", hint="Give the folder that holds it with --tree DIR.")
    if "def load_cfg(" in sources.get("config.py", "") and any("metrics.jsonl" in text for text in sources.values()):
        return OWN
    if _LOGGER.search(sources.get("common/logger.py", "")) and "from common.logger import" in sources["train.py"]:
        return LOGGED
    raise Refused(
        "the metrics of this tree cannot be had: it writes no metrics.jsonl, and has no class Logger with a method "
        "log(d, category) in common/logger.py that train.py imports",
        where=str(root),
        hint="Let its trainer write metrics.jsonl (category, step, episode_reward) as newt_base does.",
    )


def needs_cuda(tree: Path, kind: str) -> bool:
    """Whether a tree's trainer refuses to run on a CPU."""
    return kind == LOGGED and _CUDA.search((tree / "train.py").read_text("utf-8", "replace")) is not None


def must_run_here(tree: Path, kind: str) -> None:
    """Raise Refused where this machine cannot run the tree's trainer."""
    if needs_cuda(tree, kind) and not cuda_devices():
        raise Refused(
            "this tree trains on CUDA alone, and there is no CUDA device here: "
            "its train.py asserts torch.cuda.is_available()",
            where=str(tree / "train.py"),
            hint="Plan with --plan-only, and run it where there are GPUs: newtfix ablate submit.",
        )


def program(kind: str, tree: Path, package: str, folder: Path) -> list[str]:
    """The trainer's command without its settings."""
    if kind == LOGGED:
        metrics = folder.resolve() / "out" / "metrics.jsonl"
        return [sys.executable, "-P", str(Path(shim.__file__).resolve()), str(metrics), str(tree / "train.py")]
    return [sys.executable, "-P", *(["-m", f"{package}.train"] if package else [str(tree / "train.py")])]


def own_settings(kind: str, tree: Path, seed: int, threads: int, folder: Path, given: Sequence[str]) -> list[str]:
    """The settings of one run beside those that all share."""
    config = (tree / "config.py").read_text("utf-8", "replace") if (tree / "config.py").is_file() else ""
    quiet = [one for one in QUIET[kind] if one.partition("=")[0] not in given and _has(config, one.partition("=")[0])]
    out = folder.resolve() / "out"
    if kind == LOGGED:
        hydra = [f"hydra.run.dir={out}", "hydra.output_subdir=null"] if "hydra" in config else []
        return [*quiet, f"seed={seed}", "exp_name=run", *hydra]
    own = [f"seed={seed}", f"out_dir={out}", "exp_name=run"]
    return [*quiet, *own, *([] if "threads" in given else [f"threads={threads}"])]


def _has(config: str, name: str) -> bool:
    return re.search(rf"^\s+{name}\s*:", config, re.MULTILINE) is not None
