"""Progress: a bar on a terminal, few lines elsewhere, silence on other ranks."""

import io

import pytest

from newt_base.common import progress as progress_module
from newt_base.common.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_lines_at_phase_changes_and_every_ten_seconds(clock):
    stream = io.StringIO()
    with Progress(1000, stream=stream) as progress:
        for step in range(0, 300, 10):
            clock[0] += 1
            progress.update(step, "seeding" if step < 100 else "training")
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["seeding", "training", "training", "training"][: len(lines)]
    assert "step       100 of 1,000 (10%)" in lines[1]
    assert "10 steps/s, 01:30 left" in lines[1]


def test_the_return_is_shown_once_known(clock):
    stream = io.StringIO()
    progress = Progress(10, stream=stream)
    progress.update(1, "seeding")
    progress.episode_return = 3.0
    progress.update(2, "training")
    progress.update(3, "evaluation", episode_return=4.26)
    first, second, third = stream.getvalue().splitlines()
    assert "return" not in first and "return 3.0" in second and "return 4.3" in third


def test_a_resumed_run_counts_from_where_it_began(clock):
    stream = io.StringIO()
    progress = Progress(1000, stream=stream)
    progress.update(500, "training")
    clock[0] = 10.0
    progress.update(600, "training")
    assert "10 steps/s, 00:40 left" in stream.getvalue()


def test_a_bar_on_a_terminal():
    stream = Terminal()
    with Progress(100, stream=stream) as progress:
        for step in range(0, 110, 10):
            progress.update(step, "training", episode_return=5.0)
    text = stream.getvalue()
    assert "\r" in text and "training" in text and "/100" in text and "return 5.0" in text


def test_other_ranks_are_silent():
    stream = Terminal()
    with Progress(100, rank=1, stream=stream) as progress:
        progress.update(10, "training")
    assert stream.getvalue() == ""
    progress.close()
