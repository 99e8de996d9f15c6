"""How trees are trained: which have metrics that can be read, what their command is, and what it needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import newtfix
from newtfix.ablate import shim
from newtfix.ablate.machine import cuda_devices
from newtfix.ablate.study import write_json
from newtfix.errors import NewtfixError, Refused, TreeError
from newtfix.files.tree import read_tree
from newtfix.newt.roles import find_roles
from newtfix.running import environment, importable
from newtfix.verify.launch import Limits, job_of

OWN = "own"  # writes metrics.jsonl itself
LOGGED = "logged"  # tells a Logger, whom the shim listens to
PRACTICE = "practice"  # needs CUDA, which is not here: its classes are trained on the CPU
_LOGGER = re.compile(r"^class Logger\b.*?^\s+def log\(self, \w+, category", re.MULTILINE | re.DOTALL)
_CUDA = re.compile(r"assert torch\.cuda\.is_available\(\)")
_RESUMES = re.compile(r"^\s+resume\s*:.*auto", re.MULTILINE)
RESUMED = ("save_agent=true", "save_buffer=true", "keep=1", "resume=auto")
QUIET = {
    OWN: ("save_agent=false", "plot=false", "random_baseline=false"),
    LOGGED: ("save_agent=false", "save_video=false", "enable_wandb=false"),
    PRACTICE: (),
}


@dataclass(frozen=True)
class Command:
    """A command line, where it is run, and its environment. `module`: the one that it runs with torch, if it is one."""

    words: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]
    module: str = ""


def kind_of(sources: Mapping[str, str], root: Path) -> str:
    """How the metrics of a tree can be had. Raises Refused, with the reason, where they can't."""
    if "train.py" not in sources:
        raise TreeError(f"there is no train.py in {root}", hint="Give the folder that holds it with --tree DIR.")
    if "def load_cfg(" in sources.get("config.py", "") and any("metrics.jsonl" in text for text in sources.values()):
        return OWN
    logger = _LOGGER.search(sources.get("common/logger.py", "")) and "from common.logger import" in sources["train.py"]
    if _CUDA.search(sources["train.py"]) and not cuda_devices() and _is_newt(sources):
        return PRACTICE
    if logger:
        return LOGGED
    raise Refused(
        "cannot read the metrics of this tree: it writes no metrics.jsonl, and has no class Logger with a method "
        "log(d, category) in common/logger.py that train.py imports",
        where=str(root),
        hint="Let its trainer write metrics.jsonl (category, step, episode_reward) as newt_base does.",
    )


def _is_newt(sources: Mapping[str, str]) -> bool:
    """Whether the parts are there that are trained on a CPU."""
    try:
        return {"trainer", "agent", "buffer", "world_model", "config"} <= find_roles(sources).keys()
    except NewtfixError:
        return False


def needs_cuda(tree: Path, kind: str) -> bool:
    """Whether a tree's trainer refuses to run on a CPU."""
    return kind == LOGGED and _CUDA.search((tree / "train.py").read_text("utf-8", "replace")) is not None


def must_run_here(tree: Path, kind: str) -> None:
    """Raise Refused where this machine cannot run the tree's trainer."""
    if needs_cuda(tree, kind) and not cuda_devices():
        raise Refused(
            "this study is of a tree on CUDA, and there is no CUDA device here: "
            "its train.py asserts torch.cuda.is_available()",
            where=str(tree / "train.py"),
            hint="Run it where there are GPUs: newtfix ablate submit. Planned here, it would train on the CPU.",
        )


def command(kind: str, tree: Path, folder: Path, settings: Sequence[str]) -> Command:
    """How one run of a tree is started. Its settings are complete."""
    metrics = str(folder.resolve() / "out" / "metrics.jsonl")
    if kind == PRACTICE:
        return _practice(tree, folder, metrics, settings)
    text = (tree / "train.py").read_text("utf-8", "replace")
    with importable(tree, text) as found:
        script = [metrics, str(tree / "train.py")]
        program = ["-m", f"{found.package}.train"] if found.package else script[1:]
        words = (sys.executable, "-P", *([shim.__file__, *script] if kind == LOGGED else program), *settings)
        module = f"{found.package}.train" if kind == OWN and found.package and "import torch" in text else ""
        return Command(words, folder, environment(found.path), module)


def _practice(tree: Path, folder: Path, metrics: str, settings: Sequence[str]) -> Command:
    read = read_tree(tree)
    roles = find_roles(read.sources)
    with importable(tree, "\n".join(read.sources[one.file] for one in roles.values())) as found:
        write_json(folder / "job.json", job_of(read, roles, found, Limits()))
        words = (sys.executable, "-P", "-m", "newtfix.ablate.practice", str(folder.resolve() / "job.json"), metrics)
        ours = Path(newtfix.__file__).resolve().parents[1]
        more = {"TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "disabled"}
        working = folder if found.package else found.path
        return Command((*words, *settings), working, environment(found.path, last=ours) | more)


def own_settings(kind: str, tree: Path, seed: int, threads: int, folder: Path, given: Sequence[str]) -> list[str]:
    """The settings of one run beside those that all share."""
    config = (tree / "config.py").read_text("utf-8", "replace") if (tree / "config.py").is_file() else ""
    quiet = [one for one in QUIET[kind] if one.partition("=")[0] not in given and _has(config, one.partition("=")[0])]
    out = folder.resolve() / "out"
    if kind == PRACTICE:
        return [f"seed={seed}"]
    if kind == LOGGED:
        hydra = [f"hydra.run.dir={out}", "hydra.output_subdir=null"] if "hydra" in config else []
        return [*quiet, f"seed={seed}", "exp_name=run", *hydra]
    own = [f"seed={seed}", f"out_dir={out}", "exp_name=run"]
    return [*quiet, *own, *([] if "threads" in given else [f"threads={threads}"])]


def resumable(kind: str, tree: Path, given: Sequence[str]) -> bool:
    """Whether a run of a tree can be taken up where it was killed, as if nothing had happened."""
    if kind != OWN or {"save_buffer=false", "save_agent=false"} & set(given):
        return False
    return _RESUMES.search((tree / "config.py").read_text("utf-8", "replace")) is not None


def _has(config: str, name: str) -> bool:
    return re.search(rf"^\s+{name}\s*:", config, re.MULTILINE) is not None
