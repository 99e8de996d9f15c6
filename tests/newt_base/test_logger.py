"""The run's folder: rows, bytes, backups, resuming, checkpoints, the learning curve."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
import yaml
from tensordict import TensorDict

from newt_base.common import logger as logger_module
from newt_base.common.logger import Logger
from newt_base.config import Config


class Agent:
    def __init__(self, fails=False):
        self.fails = fails

    def save(self, file, **extra):
        torch.save(extra, file)
        if self.fails:
            raise OSError("disk full")


@pytest.fixture
def make(tmp_path):
    def make(earlier=None, **changes):
        cfg = Config(work_dir=tmp_path / "run", task_title="Walker Walk", tensorboard=False)
        return Logger(dataclasses.replace(cfg, **changes), earlier)

    return make


def table(logger):
    with (logger.work_dir / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_rows_of_every_kind_stay_rectangular(make):
    logger = make()
    logger.log({"step": 0, "episode_reward": 1.5, "elapsed_time": 3.0, "steps_per_second": 9.0}, "eval")
    logger.log({"step": 10, "episode_reward": torch.tensor(2.0), "loss": np.float32(0.5)}, "train")
    logger.log(TensorDict({"step": torch.tensor(20), "loss": torch.tensor(0.25)}), "train")
    header, *rows = table(logger)
    assert header == ["category", "step", "episode_reward", "loss"]
    assert rows == [["eval", "0", "1.5", ""], ["train", "10", "2.0", "0.5"], ["train", "20", "", "0.25"]]
    lines = [json.loads(line) for line in (logger.work_dir / "metrics.jsonl").read_text().splitlines()]
    assert lines[0] == {"category": "eval", "step": 0, "episode_reward": 1.5}
    timing = json.loads((logger.work_dir / "timing.jsonl").read_text())
    assert timing == {"category": "eval", "step": 0, "elapsed_time": 3.0, "steps_per_second": 9.0}


def test_nan_is_null_in_json_and_nested_values_get_paths(make):
    logger = make()
    logger.log({"step": 1, "episode_success": float("nan"), "loss": {"pi": torch.tensor([1.0])}})
    line = json.loads((logger.work_dir / "metrics.jsonl").read_text())
    assert line["episode_success"] is None and line["loss/pi"] == 1.0
    assert table(logger)[1] == ["train", "1", "nan", "1.0"]


@pytest.mark.parametrize("value", [torch.zeros(2), [1.0], object()], ids=["vector", "list", "object"])
def test_what_is_no_number_is_refused_by_name(make, value):
    with pytest.raises(ValueError, match="'loss'"):
        make().log({"step": 1, "loss": value})


def test_unknown_category(make):
    with pytest.raises(ValueError, match="'test'"):
        make().log({"step": 1}, "test")


def test_one_console_line_for_train_and_eval(make, capsys):
    logger = make()
    for category in ("train", "eval", "burst", "pretrain"):
        logger.log({"step": 1000, "episode_reward": 12.34}, category)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["train", "eval"]
    assert "1,000" in lines[0] and "12.3" in lines[0]


def test_random_return_goes_with_evaluations(make):
    logger = make()
    logger.random_reward = 7.0
    logger.log({"step": 0, "episode_reward": 1.0}, "eval")
    logger.log({"step": 5, "episode_reward": 1.0}, "train")
    assert [row.get("random_reward") for row in logger.rows] == [7.0, None]
    assert logger.evaluations() == [(0, 1.0)]


def test_settings_are_written(make):
    logger = make(obs_shape={"state": (24,)}, discounts=[0.99])
    saved = yaml.safe_load((logger.work_dir / "config.yaml").read_text())
    assert saved["batch_size"] == 1024 and saved["obs_shape"] == {"state": [24]} and saved["discounts"] == [0.99]


def test_an_earlier_run_is_moved_never_mixed(make):
    for step in range(3):
        logger = make()
        logger.log({"step": step}, "eval")
        logger.save_agent(Agent(), "0")
    assert [row[1] for row in table(logger)] == ["step", "2"]
    for number, step in ((1, 0), (2, 1)):
        backup = logger.work_dir / f"backup-{number:03d}"
        assert json.loads((backup / "metrics.jsonl").read_text())["step"] == step
        assert (backup / "checkpoints/0.pt").exists() and (backup / "config.yaml").exists()
        assert not list(backup.glob("backup-*"))


def test_resuming_goes_on_from_what_the_checkpoint_knows(make):
    logger = make()
    logger.random_reward = 3.0
    for step in (0, 10, 20):
        if step == 10:
            saved, known = logger.save_agent(Agent(), "10"), logger.progress()["log"]
        logger.log({"step": step, "episode_reward": float(step), "elapsed_time": 1.0}, "eval")
        logger.log({"step": step, "loss": 1.0 if step else float("nan")}, "train")
    with (logger.work_dir / "metrics.jsonl").open("a") as file:
        file.write('{"category": "eval", "st')  # a crash within a line
    again = make(known, resume=True, checkpoint=str(saved))
    assert again.random_reward == 3.0 and again.last_checkpoint == saved
    assert [row[:2] for row in table(again)[1:]] == [["eval", "0"], ["train", "0"]] and table(again)[2][-1] == "nan"
    again.log({"step": 10, "episode_reward": 11.0}, "eval")
    assert [row[:2] for row in table(again)[1:]] == [["eval", "0"], ["train", "0"], ["eval", "10"]]
    assert len((again.work_dir / "metrics.jsonl").read_text().splitlines()) == 3
    assert len((again.work_dir / "timing.jsonl").read_text().splitlines()) == 1


def test_checkpoints_appear_whole_or_not_at_all(make):
    logger = make()
    path = logger.save_agent(Agent(), "10_000", step=3)
    assert path == logger.last_checkpoint == logger.model_dir / "10_000.pt"
    assert torch.load(path, weights_only=True) == {"step": 3}
    with pytest.raises(OSError, match=r"disk full.*20_000"):
        logger.save_agent(Agent(fails=True), "20_000")
    assert [entry.name for entry in logger.model_dir.iterdir()] == ["10_000.pt"]
    assert logger.last_checkpoint == path


def test_no_checkpoints_when_not_wanted(make):
    logger = make(save_agent=False)
    assert logger.save_agent(Agent(), "1") is None and not list(logger.model_dir.iterdir())


def test_other_ranks_write_nothing(make, capsys):
    logger = make(rank=1)
    logger.log({"step": 1}, "eval")
    assert logger.save_agent(Agent()) is None
    logger.finish(Agent())
    assert not logger.work_dir.exists() and not capsys.readouterr().out


def test_finish_draws_once_and_saves(make, monkeypatch):
    logger = make()
    logger.random_reward = 1.0
    for step in range(3):
        logger.log({"step": step, "episode_reward": float(step)}, "eval")
        logger.log({"step": step, "episode_reward": float(step) / 2}, "train")
    logger.finish(Agent())
    assert logger.curve.read_bytes().startswith(b"\x89PNG")
    assert logger.last_checkpoint.name == "final.pt"
    logger.curve.unlink()
    logger.finish()
    assert not logger.curve.exists()


def test_finish_without_rows_draws_nothing(make):
    logger = make()
    logger.finish()
    assert not logger.curve.exists()


def test_timing_names():
    assert logger_module.is_timing("elapsed_time") and logger_module.is_timing("updates_per_second")
    assert not logger_module.is_timing("episode_length")
