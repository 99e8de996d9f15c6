"""The training loop of newt_base with the real agent: runs repeat, evaluation and checkpoints happen, NaN stops it."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trees import CountingAgent, make_trainer

from newt_base import envs
from newt_base.common import interrupt
from newt_base.common.buffer import Buffer, NothingToSample
from newt_base.train import main

ROOT = Path(__file__).parents[2]
QUICK = [
    "task=cartpole-swingup", "preset=cpu", "num_envs=2", "episode_length=10", "steps=300", "eval_freq=100",
    "batch_size=16", "num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1",
    "random_baseline=false", "plot=false", "utd=0.2",
]  # fmt: skip


def logged(folder):
    run = folder / "logs/cartpole-swingup/1/default"
    return {name: (run / name).read_bytes() for name in ("metrics.csv", "metrics.jsonl")}


def train_in(folder, tree, package):
    """Train in a process of its own, from `tree` imported as `package`."""
    folder.mkdir(exist_ok=True)
    if not (folder / package).exists():
        (folder / package).symlink_to(tree, target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-m", f"{package}.train", *QUICK], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return logged(folder)


def test_the_base_and_a_copy_made_by_newtfix_with_nothing_applied_train_bit_identically(tmp_path):
    work = tmp_path / "copy"
    work.mkdir()
    for arguments in (["apply", "burst"], ["revert", "--all"]):
        subprocess.run(
            [sys.executable, "-m", "newtfix", *arguments], cwd=work, check=True, capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    copied = train_in(tmp_path / "b", work / "newt_patched", "newt_patched")
    base = train_in(tmp_path / "a", ROOT / "newt_base", "newt_base")
    assert copied == base
    assert len(base["metrics.jsonl"].splitlines()) > 10


def test_a_seed_repeats_a_run_and_another_does_not(tmp_path, monkeypatch):
    results = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main([*QUICK, f"seed={seed}"]) == 0
        run = tmp_path / name / f"logs/cartpole-swingup/{seed}/default"
        results.append((run / "metrics.csv").read_bytes())
    assert results[0] == results[1] != results[2]


class DivergingAgent(CountingAgent):
    def update(self, buffer):
        metrics = super().update(buffer)
        bad = len(self.updated_at) >= 5
        return {**metrics, "reward_loss": torch.tensor(float("nan") if bad else 1.0)}


def test_nan_stops_with_step_and_quantity():
    trainer = make_trainer([], [10] * 4, steps=5_000, agent=lambda *_: DivergingAgent(), utd=1.0)
    with pytest.raises(RuntimeError, match=r"diverged at step 204: reward_loss is nan") as caught:
        trainer.train()
    assert (caught.value.step, caught.value.quantity) == (204, "reward_loss")


def test_nan_in_a_run_keeps_the_checkpoint_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "lr=1e30", "grad_clip_norm=1e30"]) == 1
    said = capsys.readouterr().err
    assert "diverged at step" in said
    kept = sorted(path for path in (tmp_path / "logs").rglob("*.pt") if path.stem != "best")
    assert kept
    assert kept[-1].name in said
    state = torch.load(kept[-1], weights_only=True)["model"]
    assert all(value.isfinite().all() for value in state.values())


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "save_buffer=true"]) == 0
    assert main([*QUICK, "save_buffer=true", "resume=true", "steps=500"]) == 0
    rows = [json.loads(line) for line in next(tmp_path.rglob("metrics.jsonl")).read_text().splitlines()]
    steps = [row["step"] for row in rows if row["category"] == "eval"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 500


def test_tokens_are_spent_whole_and_the_rest_is_carried_over():
    trainer = make_trainer([], [10] * 4, steps=800, utd=0.075)
    trainer.train()
    iterations = (804 - 200) // 4 + 1
    assert len(trainer.agent.updated_at) == pytest.approx(iterations * 4 * 0.075, abs=1)


def test_rows_of_an_episode_are_aligned():
    trainer = make_trainer([], [10] * 4, steps=100)
    trainer.train()
    obs, *_ = (trainer.buffer._storage[key][:11] for key in ("obs", "reward"))
    assert obs[:, 2].tolist() == list(range(11))


def test_a_checkpoint_that_is_not_there_or_does_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "checkpoint=nowhere.pt"]) == 2
    assert "checkpoint=nowhere.pt is not a file" in capsys.readouterr().err
    assert main([*QUICK, "steps=100"]) == 0
    saved = next(tmp_path.rglob("*.pt"))
    assert main([*QUICK, f"checkpoint={saved}", "exp_name=wide", "mlp_dim=32"]) == 2
    assert (
        "does not fit this agent: _dynamics.0.weight is (128, 129) there and (32, 129) here" in capsys.readouterr().err
    )


def test_an_environment_that_goes_to_another_folder_leaves_the_run_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    made = envs.make_single_env

    def go(*args, **kwargs):
        os.chdir(tmp_path / "elsewhere")
        return made(*args, **kwargs)

    monkeypatch.setattr(envs, "make_single_env", go)
    assert main([*QUICK, "steps=20", "env_mode=sync"]) == 0
    assert (tmp_path / "logs/cartpole-swingup/1/default/checkpoints/final.pt").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_signal_that_comes_twice_at_once_counts_once(monkeypatch):
    with interrupt.Requests() as requests, requests.while_training():
        for _ in range(2):  # from the wrapper, and to the whole group
            os.kill(os.getpid(), signal.SIGTERM)
        assert requests.pending == signal.SIGTERM
        monkeypatch.setattr(interrupt, "PAUSE", 0.0)
        with pytest.raises(interrupt.Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)


def test_episodes_too_short_to_learn_from_end_a_run_in_words(monkeypatch, tmp_path, capsys):
    def draw(*_, **__):
        raise NothingToSample("the replay buffer has no slice")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Buffer, "sample", draw)
    assert main([*QUICK, "seeding_coef=1", "episode_length=4", "eval_freq=8"]) == 1
    assert "the replay buffer has no slice; give seeding more steps" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["newt_base.train.held", "newt_base.train.report"])
def test_a_full_disk_at_the_start_or_the_end_is_one_sentence(where, monkeypatch, tmp_path, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "summary.json")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(where, full)
    assert main([*QUICK, "steps=8", "eval_freq=8", "episode_length=4"]) == 1
    assert "there is no room left on the disk (summary.json)" in capsys.readouterr().err
