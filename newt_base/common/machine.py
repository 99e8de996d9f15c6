"""What a run asks of this machine: devices, and a compiler where it pays."""

import dataclasses
import getpass
import os
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch

from . import resolve_device
from .settings import ConfigError
from .storage import Place

LONG_RUN = 50_000  # updates; on a CPU compiling takes as long as 5,000 to 30,000 of them gain (docs/performance.md)
KNOWN_RUN = 5_000  # environment steps, where torch has kept what an earlier run compiled
# What compiled code does not depend on.
_OF_THE_RUN = frozenset(
    "compile steps seed preset env_mode env_timeout buffer_size buffer_device threads dist_timeout checkpoint finetune "
    "resume eval_freq eval_episodes random_baseline seeding_coef utd data_dir out_dir exp_name save_agent save_freq "
    "save_buffer keep plot tracker save_video work_dir bin_size explicit rank".split()
)


def compiles(cfg):
    """The setting `compile`; auto is true on CUDA, as in newt, and on a CPU in runs that make up for compiling."""
    if cfg.compile != "auto" or _on_cuda(cfg):
        return bool(cfg.compile)
    if cfg.device not in ("cpu", "auto") or _compiler(cfg) is None:
        return False
    return cfg.steps * cfg.utd >= LONG_RUN or (cfg.steps >= KNOWN_RUN and _kept(cfg).exists())


def keep_compiled(cfg):
    """Note beside what torch has kept on a CPU that it is this agent's, for `compile=auto` of later runs."""
    if cfg.compile and not _on_cuda(cfg):
        with suppress(OSError):
            _kept(cfg).touch()


def _kept(cfg):
    """The note: a file in the folder of torch's compiled code, named after versions, sources and settings."""
    settings = {name: value for name, value in vars(cfg).items() if name not in _OF_THE_RUN}
    here = Path(__file__).resolve().parents[1]
    sources = [path.read_bytes() for path in (here / "tdmpc2.py", *sorted((here / "common").glob("*.py")))]
    digest = sha256(repr((torch.__version__, sorted(settings.items()), sources)).encode()).hexdigest()
    user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or Path(tempfile.gettempdir(), f"torchinductor_{user}")
    return Path(folder, f"newt-{digest[:24]}")


def _on_cuda(cfg):
    return cfg.device.startswith("cuda") or (cfg.device == "auto" and torch.cuda.is_available())


def _compiler(cfg):
    """The path of the compiler that torch.compile calls: for C++ on a CPU, for C on CUDA; None where there is none."""
    if _on_cuda(cfg):
        names = [os.environ.get("CC"), "gcc", "clang"]
    else:
        names = [os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def check_compiler(cfg):
    """Raise ConfigError where compile=true needs a compiler that this machine does not have."""
    if cfg.compile and _compiler(cfg) is None:
        name, variable = ("gcc", "CC") if _on_cuda(cfg) else ("g++", "CXX")
        problem = f"compile=true needs a compiler, and there is no {os.environ.get(variable) or name} here"
        raise ConfigError("compile", True, problem, f"compile=false; or install {name}, or name one in {variable}")


def no_room(error, cfg):
    """The refusal of a device that is there, but full."""
    problem = f"device={cfg.device} has no room for the agent: {str(error).splitlines()[0]}"
    return ConfigError(
        "device", cfg.device, problem, "another device, cuda:N or cpu; or end what fills it (nvidia-smi)"
    )


def with_devices(cfg, local_rank):
    """The settings with the devices of this process; one of several ranks takes those of its number on this machine.

    Raises ConfigError where there is no such device.
    """
    if cfg.world_size > 1:
        cfg = dataclasses.replace(cfg, **_own_devices(cfg, local_rank))
    for key, place in (("device", resolve_device), ("buffer_device", partial(Place.of, folder=cfg.work_dir))):
        try:
            place(cfg.get(key), rank=cfg.rank)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(key, cfg.get(key), str(error)) from error
    return cfg


def _own_devices(cfg, local_rank):
    """The settings device and buffer_device of one of several ranks, where they name no device by its number."""
    if cfg.device == "mps":
        raise ConfigError("device", cfg.device, "device=mps is for one process", "cuda, or cpu")
    found = {}
    for key in ("device", "buffer_device"):
        setting = cfg.get(key)
        if setting == "cuda" or (key == "device" and setting == "auto" and torch.cuda.is_available()):
            if local_rank >= torch.cuda.device_count():
                problem = f"{key}={setting}: process {local_rank + 1} finds {torch.cuda.device_count()} CUDA device(s)"
                raise ConfigError(key, setting, problem, "at most one process per GPU, or device=cpu")
            found[key] = f"cuda:{local_rank}"
    return found
