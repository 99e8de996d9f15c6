"""The folder of a run: one run at a time, errors in one sentence, files that are whole or not there."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from newt_base import train
from newt_base.common import files
from newt_base.common.folder import LOCK, held
from newt_base.config import ConfigError

ROOT = Path(__file__).parents[2]
QUICK = [
    "task=cartpole-swingup", "preset=cpu", "num_envs=1", "episode_length=4", "eval_freq=4", "batch_size=8",
    "num_samples=8", "num_elites=4", "num_pi_trajs=2", "iterations=1", "enc_dim=16", "mlp_dim=16", "latent_dim=16",
    "plot=false", "random_baseline=false", "num_q=2", "seeding_coef=1000", "steps=12",
]  # fmt: skip
HOLD = (
    "import sys; from newt_base.common.folder import held\nwith held(sys.argv[1]): print('held', flush=True); input()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_and_told_whose_the_folder_is(holder, tmp_path):
    owner = rf"another run is in .*/run: process {holder.pid} on \S+, since 2"
    with pytest.raises(ConfigError, match=owner) as caught, held(tmp_path / "run"):
        pass
    assert "exp_name" in str(caught.value)
    assert (tmp_path / "run" / LOCK).exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with held(tmp_path / "run"):
        assert f"process {os.getpid()} " in (tmp_path / "run" / LOCK).read_text()


def test_a_folder_in_which_nothing_was_written_is_not_left(tmp_path):
    with held(tmp_path / "a/b/c"):
        assert (tmp_path / "a/b/c").is_dir()
    assert not (tmp_path / "a").exists()
    with held(tmp_path / "a/b"):
        (tmp_path / "a/b/metrics").touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["metrics"]


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    assert train.main([*QUICK, f"out_dir={tmp_path / 'file'}"]) == 2
    said = capsys.readouterr().err
    assert "cannot be written (Not a directory)" in said and "valid: out_dir=FOLDER" in said


# --------------------------------------------------------------------------- files


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.pt"
    return path, files.write_whole(path, lambda file: torch.save({"x": torch.arange(1000)}, file))


def test_a_sealed_file_is_an_archive_like_any_other(archive):
    path, digest = archive
    assert files.digest_of(path) == digest
    for mmap in (False, True):
        assert torch.load(path, weights_only=True, mmap=mmap)["x"].tolist() == list(range(1000))


def test_every_changed_byte_is_noticed(archive):
    path, _ = archive
    data = path.read_bytes()
    for place in (0, 30, 500, len(data) // 2, *range(len(data) - files.SEAL - 24, len(data), 5)):
        changed = bytearray(data)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"is damaged|cannot be read"):
            if files.digest_of(path) is None:
                raise ValueError("it cannot be read as a sealed file")


def test_an_archive_without_a_seal_has_checksums(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"x": torch.arange(1000)}, path)
    files.check(path)
    data = path.read_bytes()
    place = data.index(torch.arange(1000).numpy().tobytes()[800:900])
    path.write_bytes(data[:place] + b"!" + data[place + 1 :])
    with pytest.raises(ValueError, match=r"a\.pt is damaged: the checksum of .*data/0"):
        files.check(path)


@pytest.fixture
def small_disk():
    """Files of at most so many bytes, as on a disk that is full then."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_what_does_not_fit_is_an_error_with_the_path_and_leaves_nothing(tmp_path, small_disk):
    small_disk(5_000)
    with pytest.raises(OSError, match=r"a\.pt") as caught:
        files.write_whole(tmp_path / "a.pt", lambda file: torch.save({"x": torch.zeros(10_000)}, file))
    assert "there is no room left on the disk" in files.words(caught.value)
    (tmp_path / "rows").write_text("x" * 4_990 + "\n")
    with pytest.raises(OSError, match="rows"):
        files.append(tmp_path / "rows", "y" * 20 + "\n")
    assert (tmp_path / "rows").read_text() == "x" * 4_990 + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_a_full_disk_ends_a_run_in_one_sentence_and_resume_goes_on(tmp_path, monkeypatch, capsys, small_disk):
    monkeypatch.chdir(tmp_path)
    settings = [*QUICK, "save_buffer=true"]
    assert train.main([*settings, "steps=3"]) == 0
    folder = tmp_path / "logs/cartpole-swingup/1/default/checkpoints"
    shutil.copy(folder / "4.replay", folder / "3.replay")  # an earlier version left it
    small_disk((folder / "4.pt").stat().st_size - 100)
    assert train.main([*settings, "resume=true"]) == 1
    assert {path.name for path in folder.glob("*.replay")} == {"0.replay", "4.replay"}, "those that have a checkpoint"
    said = capsys.readouterr().err
    assert "Training ended at step 8: there is no room left on the disk (" in said and "Traceback" not in said
    assert f"Last checkpoint: {folder}/4.pt (go on from it with resume=true)" in said
    small_disk(resource.RLIM_INFINITY)
    assert train.main([*settings, "resume=true"]) == 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_nothing_is_written_through_a_link(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).symlink_to(outside)
    with pytest.raises(ConfigError, match="cannot be written"), held(run):
        pass
    for name in ("summary.json.tmp", ".10.pt.tmp", "metrics.csv"):
        (run / name).symlink_to(outside)
    files.replace_text(run / "summary.json", "{}")
    files.write_whole(run / "10.pt", lambda file: torch.save({"a": 1}, file))
    with pytest.raises(OSError, match="symbolic links"):
        files.append(run / "metrics.csv", "1,2\n")
    assert (outside.read_text(), (run / "summary.json").read_text()) == ("mine", "{}")
    assert torch.load(run / "10.pt") == {"a": 1} and not (run / "10.pt").is_symlink()
