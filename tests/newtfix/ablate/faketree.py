"""A copy of newt_base whose trainer takes a moment: it reads which patches are in, and makes returns up from them."""

from __future__ import annotations

import shutil
from pathlib import Path

from newtfix.files.tree import copy_names
from newtfix.work.places import base_tree

TRAIN = """
import json, os, random, sys, time
from pathlib import Path

from . import __name__ as package  # relative, as in newt_base

given = dict(one.split("=", 1) for one in sys.argv[1:])
ledger = Path(__file__).parent / ".newtfix" / "ledger.json"
on = set(json.loads(ledger.read_text())["applied"]) if ledger.exists() else set()
seed, steps = int(given["seed"]), int(given.get("steps", 6000))
folder = Path(given["out_dir"], given["task"], given["seed"], given["exp_name"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "environment.json").write_text(json.dumps({n: os.environ.get(n) for n in (
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TORCHINDUCTOR_CACHE_DIR")}))
draw = random.Random(f"{seed}{sorted(on)}")
pause = float(os.environ.get("FAKE_PAUSE", 0))
fails = os.environ.get("FAKE_FAILS", "never")
(folder / "checkpoints").mkdir(exist_ok=True)
saved = [int(one.stem) for one in folder.glob("checkpoints/*.pt")] if "resume" in given else []
with (folder / "metrics.jsonl").open("a" if saved else "w") as file:
    for step in range(1000, steps + 1, 1000):
        if step in saved:
            draw.gauss(0, 4)
            continue
        time.sleep(pause)
        value = 60 + 40 * ("prior-coef" in on) + 25 * ("rho" in on) + draw.gauss(0, 4)
        row = {"category": "train", "step": step, "episode_reward": value, "pi_loss": value}
        file.write(json.dumps(row) + "\\n")
        file.flush()
        if "save_buffer" in given:
            (folder / "checkpoints" / f"{step}.pt").touch()
        if fails in on and step >= 3000:
            if os.environ["FAKE_HOW"] == "memory":
                sys.exit("MemoryError")
            sys.exit("Training diverged at step 3,000: pi_loss is no longer finite.")
"""


def fake_tree(folder: Path) -> Path:
    """The tree, as a package `fake` in a folder."""
    tree = folder / "fake"
    shutil.copytree(base_tree(), tree, ignore=copy_names)
    (tree / "train.py").write_text(TRAIN)
    return tree
