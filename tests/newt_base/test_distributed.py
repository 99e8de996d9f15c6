"""Two ranks train one agent: what they share, what each has for itself, and how a run ends when one of them fails."""

import fcntl
import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rank import gradients

from newt_base.common.distributed import average_gradients, gather, over_ranks, places, share
from newt_base.common.resume import replay_file
from newt_base.config import Config, ConfigError, parse_cfg
from newt_base.train import main

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("rank.py")
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
LIMIT = 300  # seconds: what takes longer hangs
QUICK = [
    "task=cartpole-swingup", "preset=cpu", "device=cpu", "num_envs=2", "episode_length=10", "eval_freq=40",
    "batch_size=16", "num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1", "enc_dim=16", "mlp_dim=16",
    "latent_dim=16", "random_baseline=false", "plot=false", "utd=0.2",
]  # fmt: skip
RUN = "logs/cartpole-swingup/1"


def torchrun(folder, *arguments):
    """Start two processes as a user does, in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return str(server.getsockname()[1])


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The folder of a start of torchrun, one for all workers of pytest that have a part of this file."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "launched"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "stderr").exists():
            launch(folder)
    return folder


def launch(folder):
    """What the ranks share; a run of the base, the same resumed, and one with all patches."""
    subprocess.run(
        [sys.executable, "-m", "newtfix", "apply", "--all"], cwd=folder, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    base = [free_port(), "newt_base", *QUICK, "exp_name=base", "save_buffer=true"]
    resumed = [free_port(), *base[1:], "resume=true"]
    patched = [free_port(), "newt_patched", *QUICK, "num_envs=20", "exp_name=patched", "eval_freq=1200"]
    runs = [*base, "steps=240", "--", *resumed, "steps=320", "--", *patched, "steps=1040", "burst_updates=7"]
    done = torchrun(folder, DRIVER, folder, *runs)
    assert done.returncode == 0, done.stderr
    (folder / "stderr").write_text(done.stderr)


@pytest.fixture(scope="module")
def shared(launched):
    """What each rank has after what they do together."""
    return [torch.load(launched / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def runs(launched):
    """What each rank has after each run."""
    outcomes = [
        [json.loads(line) for line in (launched / f"{rank}.jsonl").read_text().splitlines()] for rank in range(2)
    ]
    return dict(zip(("base", "resumed", "patched"), zip(*outcomes, strict=True), strict=True))


# ------------------------------------------------------- what the ranks share


def test_the_mean_gradient_is_that_of_the_joint_batch(shared):
    joint, norms = gradients(slice(0, 8))
    for rank in shared:
        assert rank["norms"] == pytest.approx(norms, rel=1e-4)
        for found, wanted in zip(rank["gradients"], joint, strict=True):
            assert [g is None for g in found] == [g is None for g in wanted]
            pairs = [pair for pair in zip(found, wanted, strict=True) if pair[1] is not None]
            assert pairs
            for pair in pairs:
                torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-6)
    first, second = (torch.cat([g.flatten() for part in r["gradients"] for g in part if g is not None]) for r in shared)
    assert torch.equal(first, second)


def test_the_scale_moves_towards_the_mean_of_the_ranges(shared):
    for rank in shared:
        assert rank["scale"].item() == pytest.approx(1 + 0.5 * ((9 + 27) / 2 - 1))


def test_metrics_are_means_without_nan_and_lists_of_all(shared):
    for rank in shared:
        assert rank["metrics"] == {"loss": 1.5, "success": 3.0, "return": [0, 1]}
        assert rank["missing"] == []
        assert rank["gathered"] == ["rank 0", "rank 1"] and rank["first"] == 0
    assert [rank["places"] for rank in shared] == [(0, 2, 0), (1, 2, 1)]


def test_alone_nothing_is_shared_and_nothing_changes(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    average_gradients(layer.parameters())
    share(layer)
    metrics = {"return": [1.0]}
    assert torch.equal(layer.weight.grad, before)
    assert over_ranks(metrics) is metrics and gather(3) == [3] and places() == (0, 1, 0)


# --------------------------------------------------------------- whole runs


@pytest.mark.parametrize("run", ["base", "resumed", "patched"])
def test_both_ranks_have_the_same_agent_from_the_first_update_to_the_end(runs, run):
    first, second = runs[run]
    same = ("at_first_update", "at_end", "optimisers", "scale", "updates", "step")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert first["at_first_update"] != first["at_end"]
    assert first["left"] and second["left"]


def test_steps_and_tokens_count_all_environments(runs):
    base, resumed, patched = (ranks[0] for ranks in runs.values())
    assert base["step"] == 244
    assert base["updates"] == pytest.approx((244 - 200) / 4 * 0.8, abs=1)
    assert resumed["step"] == 324
    assert resumed["updates"] == pytest.approx(0.8 * (324 - 244) / 4, abs=1)
    assert patched["step"] == 1080
    assert patched["updates"] == 7 + 2 * int(40 * 0.2)


def test_each_rank_has_environments_and_replay_of_its_own(runs):
    for first, second in runs.values():
        assert first["stored"] == second["stored"]
        assert first["first_obs"] != second["first_obs"]


def test_one_rank_writes(launched):
    run = launched / RUN / "base"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [(row["category"], row["step"]) for row in rows]
    steps = range(40, 321, 40)
    assert sorted(found) == sorted([("eval", 0), *(("eval", s) for s in steps), *(("train", s) for s in steps)])
    assert all(row["episode"] == 2 * 2 * row["step"] // 40 for row in rows)
    assert json.loads((run / "summary.json").read_text())["steps"] == 320
    assert not list((launched / RUN).glob("*/backup-*"))
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert {"324.pt", "324.replay", "324.rank1.replay", "best.pt", "final.pt"} <= names


def test_an_evaluation_is_the_mean_over_all_ranks_policy_episodes_included(launched):
    rows = [json.loads(line) for line in (launched / RUN / "patched" / "metrics.jsonl").read_text().splitlines()]
    evaluation = next(row for row in rows if row["category"] == "eval")
    assert all(math.isfinite(evaluation[name]) for name in ("episode_reward", "episode_reward_pi", "mc_value"))


@pytest.mark.parametrize("how", ["error", *(["nan", "SIGKILL", "SIGINT"] if THOROUGH else [])])
def test_what_goes_wrong_on_one_rank_ends_the_run_with_its_words(tmp_path, how):
    done = torchrun(tmp_path, DRIVER, "--fail", how, *QUICK, "steps=400")
    assert done.returncode != 0
    words = {
        "error": r"^\[rank 1\] Traceback[\s\S]*^ZeroDivisionError: this rank cannot go on",
        "nan": r"^\[rank 1\] Training diverged at step \d+: reward_loss is no longer finite\.$",
        "SIGKILL": r"rank +: 1 \(local_rank: 1\)\s+exitcode +: -9",
        "SIGINT": r"^\[rank 1\] Interrupted\.$",
    }
    assert re.search(words[how], done.stderr, re.MULTILINE), done.stderr
    assert "[rank 0]" not in done.stderr, "only the rank that failed says so"
    assert list(tmp_path.rglob("*0.pt")) and not list(tmp_path.rglob("summary.json"))


# ------------------------------------------------------------------ settings


def settings(rank=0, world_size=2, **given):
    return parse_cfg(Config(rank=rank, world_size=world_size, env_mode="sync", **given))


def test_several_tasks_are_split_over_the_ranks():
    for rank, task in enumerate(("walker-walk", "cheetah-run")):
        cfg = settings(rank, task="walker-walk,cheetah-run")
        assert (cfg.tasks, cfg.num_tasks, cfg.num_envs) == ([task], 1, 1)
        assert cfg.global_tasks == ["walker-walk", "cheetah-run"]
    with pytest.raises(ConfigError, match="2 tasks cannot be shared evenly by 3 processes"):
        settings(world_size=3, task="walker-walk,cheetah-run")


def test_evaluations_fall_on_ends_of_episodes_of_all_ranks():
    assert settings(task="cup-catch", num_envs=3, eval_freq=100, episode_length=10).eval_freq == 120


def as_one_of_two(monkeypatch, *arguments):
    for name, value in (("RANK", 0), ("WORLD_SIZE", 2), ("LOCAL_RANK", 0)):
        monkeypatch.setenv(name, str(value))
    return main([*QUICK, *arguments])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("batch_size=15", "batch_size=15 cannot be shared evenly by 2 processes"),
        ("device=mps", "device=mps is for one process"),
        ("resume=true", "finds no checkpoint with its replay buffers of 2 processes"),
        ("dist_timeout=0", "dist_timeout=0 is too small"),
    ],
)
def test_what_several_processes_cannot_do_is_refused_before_they_meet(tmp_path, monkeypatch, capsys, setting, problem):
    monkeypatch.chdir(tmp_path)
    assert as_one_of_two(monkeypatch, setting) == 2
    assert problem in capsys.readouterr().err


def test_a_checkpoint_of_two_processes_is_not_resumed_by_one(launched, monkeypatch, capsys):
    monkeypatch.chdir(launched)
    checkpoint = Path(RUN, "base/checkpoints/324.pt")
    assert replay_file(checkpoint, 1).is_file()
    assert main([*QUICK, "exp_name=alone", "resume=true", f"checkpoint={checkpoint}"]) == 2
    assert "was made by 2 process(es), these are 1" in capsys.readouterr().err
