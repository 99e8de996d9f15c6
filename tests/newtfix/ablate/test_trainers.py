"""Trees of others: what is trained how, what is refused and why, and the shim that listens to a Logger."""

import errno
import json
import subprocess
import sys

import pytest

from newt_base.common.files import words
from newtfix.ablate import shim
from newtfix.ablate.machine import cuda_devices, this_machine
from newtfix.ablate.runs import classify, settings_of, variables
from newtfix.ablate.scores import curve, read_metrics
from newtfix.ablate.settings import resolve
from newtfix.ablate.study import Run
from newtfix.ablate.trainers import LOGGED, OWN, PRACTICE, command, kind_of, must_run_here, needs_cuda, resumable
from newtfix.errors import Refused, TreeError, UsageError
from newtfix.work.places import base_tree

from .studies import plan

LOGGER = """
class Logger:
    def __init__(self, cfg):
        self.rank = 0

    def log(self, d, category="train"):
        print(category, d["step"])
"""
TRAIN = """
import sys
from common.logger import Logger

class Tensor:  # one element
    def __float__(self):
        return 2.5

logger = Logger(None)
logger.log({"step": 1000, "episode_reward": Tensor(), "episode_success": float("nan"), "note": "x"}, "train")
logger.log({"step": 2000, "episode_reward": 4}, category="eval")
print(__name__, sys.argv[1:])
"""


@pytest.fixture
def upstream(tmp_path):
    """A tree that tells a Logger, as upstream does."""
    (tmp_path / "common").mkdir()
    for name, text in (("common/__init__.py", ""), ("common/logger.py", LOGGER), ("train.py", TRAIN)):
        (tmp_path / name).write_text(text)
    return tmp_path


def sources(tree):
    return {path.relative_to(tree).as_posix(): path.read_text() for path in tree.rglob("*.py")}


def test_trees_are_told_apart_by_how_their_metrics_can_be_had(upstream):
    assert kind_of(sources(base_tree()), base_tree()) == OWN
    assert kind_of(sources(upstream), upstream) == LOGGED
    (upstream / "common/logger.py").write_text("def log(metrics): print(metrics)\n")
    with pytest.raises(Refused, match=r"cannot read the metrics of this tree: .* no class Logger"):
        kind_of(sources(upstream), upstream)
    (upstream / "train.py").unlink()
    with pytest.raises(TreeError, match=r"no train\.py"):
        kind_of(sources(upstream), upstream)


def test_the_shim_writes_what_the_logger_is_told_and_changes_nothing(upstream, tmp_path):
    before, metrics = sources(upstream), tmp_path / "metrics.jsonl"
    command = [sys.executable, "-B", "-P", shim.__file__, str(metrics), str(upstream / "train.py"), "seed=3"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["train 1000", "eval 2000", "__main__ ['seed=3']"]
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == [
        {"category": "train", "step": 1000.0, "episode_reward": 2.5, "episode_success": None},
        {"category": "eval", "step": 2000.0, "episode_reward": 4.0},
    ]
    assert sources(upstream) == before


def test_a_tree_for_cuda_alone_is_refused_without_one(upstream, monkeypatch):
    (upstream / "train.py").write_text("import torch\nassert torch.cuda.is_available()\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(Refused, match=r"no CUDA device here: .* asserts"):
        must_run_here(upstream, LOGGED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    must_run_here(upstream, LOGGED)
    assert needs_cuda(upstream, LOGGED) and not needs_cuda(base_tree(), OWN)


def test_a_newt_for_cuda_alone_is_trained_on_the_cpu_by_its_own_classes(tmp_path, monkeypatch):
    tree = sources(base_tree())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    tree["train.py"] += "\nassert torch.cuda.is_available()\n"
    tree["config.py"] = tree["config.py"].replace("load_cfg", "load_settings")
    assert kind_of(tree, base_tree()) == PRACTICE
    small = "num_envs=2 episode_length=10 steps=60 eval_freq=40 seeding_coef=1 batch_size=4 num_samples=8 iterations=1"
    settings = ["task=cartpole-swingup", *small.split(), "seed=1"]
    started = command(PRACTICE, base_tree(), tmp_path, settings)
    (tmp_path / "out").mkdir()
    subprocess.run(started.words, cwd=started.folder, env={**started.variables}, check=True, capture_output=True)
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows if row["category"] == "train"] == [20, 40, 60]
    assert any("loss" in name for name in rows[-1]) and len(curve(rows, "eval")) == 2


def test_settings_of_a_tree_that_is_not_asked_must_be_said(upstream):
    for missing in (("task=walker-walk",), ("steps=1000",), ("task=walker-walk", "steps=many")):
        with pytest.raises(UsageError, match=r"task=NAME|steps=N"):
            resolve(upstream, LOGGED, missing)
    assert resolve(upstream, LOGGED, ("task=walker-walk", "steps=1e5")).steps == 100_000


def test_an_unknown_task_is_refused_in_the_words_of_the_tree():
    with pytest.raises(UsageError, match="unknown task 'cartpole-swingub'") as refused:
        resolve(base_tree(), OWN, ("task=cartpole-swingub", "preset=cpu"))
    assert "task=cartpole-swingup" in refused.value.hint


def test_what_is_given_wins_over_what_ablations_set(tmp_path):
    made = plan(24, settings=("task=cartpole-swingup", "steps=6000", "plot=true", "threads=2"))
    found = settings_of(made, Run(4, ()), tmp_path, base_tree())
    assert {"seed=4", "plot=true", "threads=2", "save_agent=false", f"out_dir={tmp_path / 'out'}"} <= set(found)
    assert not {"plot=false", "threads=1"} & set(found)
    assert resumable(OWN, base_tree(), made.settings) and not resumable(OWN, base_tree(), ("save_buffer=false",))
    assert {"resume=auto", "save_buffer=true"} <= set(settings_of(made, Run(4, ()), tmp_path, base_tree(), True))
    short = settings_of(made, Run(4, (), steps=3_000), tmp_path, base_tree())
    assert "steps=3000" in short and "steps=6000" not in short
    assert command(OWN, base_tree(), tmp_path, found).words[1:4] == ("-P", "-m", "newt_base.train")


@pytest.mark.parametrize(
    "code, log, state",
    (
        (0, "", "finished"),
        (1, "Training diverged at step 4,000: pi_loss is no longer finite.", "failed"),
        (1, "RuntimeError: shapes", "failed"),
        (-9, "", "machine"),
        (137, "", "machine"),
        (1, "torch.OutOfMemoryError: CUDA out of memory.", "machine"),
        (1, "OSError: [Errno 28] No space left on device", "machine"),
        (1, f"Training ended at step 12: {words(OSError(errno.EDQUOT, '', 'logs/12.pt'))}.", "machine"),
    ),
)
def test_ends_of_runs_are_told_apart(code, log, state):
    assert classify(code, log) == state


def test_devices_are_those_that_cuda_may_see(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    machine = this_machine(None, 2, runs_per_gpu=2)
    assert cuda_devices() == ("0", "3") and machine.jobs == 4
    assert [machine.place(slot).device for slot in range(4)] == ["0", "3", "0", "3"]
    found = variables(tmp_path, machine.place(1), {})
    assert (found["CUDA_VISIBLE_DEVICES"], found["OMP_NUM_THREADS"]) == ("3", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_devices() == ()
    monkeypatch.setattr("newtfix.ablate.machine.processors", lambda: 8)
    assert this_machine(None, 2, 1).jobs == 4 and this_machine(3, 2, 1).jobs == 3
    with pytest.raises(UsageError, match="at least 1"):
        this_machine(0, 1, 1)
