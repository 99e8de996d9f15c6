"""What a run was measured on. No names of hosts or folders."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from .roofline import GFLOP, Gemm, threads
from .timing import Effort, alternate


def machine(effort: Effort) -> dict[str, Any]:
    """Processor, cores, threads, versions, and GFLOP/s of large float32 products with one thread and with all."""
    number = torch.get_num_threads()
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": number,
        "memory_gib": round(_total_memory() / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gemm_gflops": {str(count): _gemm(count, effort) for count in sorted({1, number})},
    }


def available_memory() -> int:
    """Bytes that a new allocation may take without swapping."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _total_memory() // 2


def _gemm(count: int, effort: Effort) -> float:
    with threads(count):
        return round(alternate({"gemm": Gemm()}, effort)["gemm"].rate(GFLOP).median, 1)


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text().splitlines() if path.exists() else []
