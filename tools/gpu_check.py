"""Trains newt_base and a patched copy for a moment on a CUDA device, eagerly and compiled, and says how that went."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = (
    "task=cartpole-swingup",
    "preset=cpu",
    "device=cuda",
    "episode_length=50",  # so that the base too has finished seeding, after 1,000 steps
    "steps=2000",
    "random_baseline=false",
    "plot=false",
)
LIMIT = 900  # seconds for one run; compiling takes most of them


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device: nothing checked")
        return 0
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    failures = 0
    for patched in (False, True):
        for compiled in (False, True):
            failures += not check(patched, compiled)
    print("all runs passed" if not failures else f"{failures} of 4 runs failed")
    return 1 if failures else 0


def check(patched: bool, compiled: bool) -> bool:
    """One run in a folder of its own; its last lines are shown when it fails."""
    name = f"{'patched copy' if patched else 'newt_base   '}  compile={str(compiled).lower():5}"
    with tempfile.TemporaryDirectory() as folder:
        if patched:
            newtfix(folder, "apply", "--all").check_returncode()
        start = time.perf_counter()
        done = newtfix(folder, "train", *SETTINGS, f"compile={str(compiled).lower()}")
        seconds = time.perf_counter() - start
        outcome = "passed" if done.returncode == 0 else f"failed with exit code {done.returncode}"
        print(f"{name}  {seconds:6.1f} s  {outcome}{final_return(Path(folder))}", flush=True)
        if done.returncode:
            print("\n".join(done.stdout.splitlines()[-30:]))
        return done.returncode == 0


def newtfix(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "newtfix", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )


def final_return(folder: Path) -> str:
    for path in folder.glob("logs/**/summary.json"):
        values = json.loads(path.read_text())
        return "  " + ", ".join(f"{key} {value:.4g}" for key, value in values.items() if isinstance(value, float))
    return ""


if __name__ == "__main__":
    sys.exit(main())
