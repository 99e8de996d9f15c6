"""From metrics to scores."""

import json

import pytest

from newtfix.ablate.scores import curve, read_metrics, scores


def test_the_area_weighs_each_point_by_the_steps_that_it_stands_for():
    line = [(1_000, 10.0), (2_000, 20.0), (4_000, 40.0)]
    assert scores(line, [], 4_000, True)["training"] == pytest.approx((10 + 20 + 2 * 40) / 4)
    assert scores(line, [], 3_000, True)["training"] == pytest.approx((10 + 20 + 40) / 3)  # no longer than the run


def test_a_run_that_ended_early_keeps_what_it_had_and_learns_no_more():
    line = [(1_000, -50.0), (2_000, -10.0)]
    assert scores(line, [], 4_000, False)["training"] == pytest.approx((-50 - 10 - 50 - 50) / 4)
    assert scores([], [], 4_000, False) == {"training": None, "evaluation": None, "final": None}


def test_evaluations_before_training_do_not_count():
    found = scores([], [(0, 5.0), (2_000, 30.0), (4_000, 50.0)], 4_000, True)
    assert (found["evaluation"], found["final"]) == (40.0, 50.0)


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path):
    file = tmp_path / "out" / "task" / "metrics.jsonl"
    file.parent.mkdir(parents=True)
    row = {"category": "train", "step": 1_000, "episode_reward": 3.5}
    file.write_text(json.dumps(row) + "\n" + json.dumps(row)[:20])
    assert read_metrics(tmp_path) == [row]
    (file.parent / "backup-001").mkdir()
    (file.parent / "backup-001" / "metrics.jsonl").write_text("")  # of an earlier try
    assert curve(read_metrics(tmp_path), "train") == [(1_000, 3.5)]
    assert curve([{"category": "train", "step": 5, "episode_reward": float("nan")}], "train") == []
