"""What this machine has for runs: processors and CUDA devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from newtfix.errors import UsageError


@dataclass(frozen=True)
class Place:
    """Where a run is computed: the CUDA device ("": none is assigned) and the number of threads."""

    device: str
    threads: int


@dataclass(frozen=True)
class Machine:
    """How many runs go at once, and on which devices they take turns."""

    jobs: int
    threads: int
    devices: tuple[str, ...] = ()

    def place(self, slot: int) -> Place:
        """Where the run in a slot is computed: round robin over the devices."""
        device = self.devices[slot % len(self.devices)] if self.devices else ""
        return Place(device, self.threads)


def this_machine(jobs: int | None, threads: int, runs_per_gpu: int, on_cpu: bool = False) -> Machine:
    """As many runs as asked for, else as devices or processors allow.

    Args:
        threads: of a run. runs_per_gpu: runs that share a device. on_cpu: leave the devices alone.
    """
    if runs_per_gpu < 1 or (jobs is not None and jobs < 1):
        raise UsageError("--jobs and --runs-per-gpu are at least 1")
    devices = () if on_cpu else cuda_devices()
    usual = len(devices) * runs_per_gpu if devices else max(1, processors() // max(1, threads))
    return Machine(jobs or usual, threads, devices)


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> tuple[str, ...]:
    """The CUDA devices, as CUDA_VISIBLE_DEVICES names them, or all that nvidia-smi lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(one.strip() for one in named.split(",") if one.strip() and one.strip() != "-1")
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU "))
