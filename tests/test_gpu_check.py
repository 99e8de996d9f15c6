"""tools/gpu_check.py with the CPU in the place of both devices: what it compares, prints and finds."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from trees import PATCHES, tree

TOOL: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "tools/gpu_check.py"))
PACKAGES = {TOOL["BASE"]: (), TOOL["PATCHED"]: tuple(PATCHES)}
MODES = [(name, mode) for name, modes in TOOL["MODES"].items() for mode in modes]


@pytest.fixture(autouse=True)
def precision():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def agent(name: str, *settings: str) -> Any:
    return TOOL["make_agent"](tree(PACKAGES[name]).name, (*TOOL["SMALL"], *settings), "cpu")


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_the_same_device_gives_the_same_losses_in_every_mode(name, mode, capsys):
    torch.manual_seed(len(mode))  # what else is drawn counts for nothing
    assert not list(TOOL["compare"](tree(PACKAGES[name]).name, [mode], "cpu", "cpu"))
    assert torch.get_float32_matmul_precision() == "highest"
    assert mode in capsys.readouterr().out


@pytest.mark.parametrize("part", ["_encoder", "_dynamics", "_reward", "_pi", "_Qs.online", "_Qs.target"])
@pytest.mark.parametrize("name", PACKAGES)
def test_weights_that_differ_are_found(name, part):
    one, other = agent(name), agent(name)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in other.model.get_submodule(part).parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    errors = TOOL["differences"](TOOL["losses"](one), TOOL["losses"](other))
    assert max(errors.values()) > TOOL["TOLERANCE"]


def test_losses_that_are_missing_or_not_finite_differ():
    errors = TOOL["differences"]({"a": math.nan, "b": 1.0, "c": 2000.0}, {"a": math.nan, "c": 2001.0, "d": 1.0})
    assert errors == {"a": math.inf, "b": math.inf, "c": pytest.approx(1 / 2001), "d": math.inf}


def test_a_mode_that_fails_is_named(capsys, monkeypatch):
    monkeypatch.setitem(TOOL["compare"].__globals__, "TOLERANCE", -1.0)
    package = tree().name
    assert list(TOOL["compare"](package, ["rho=0.4"], "cpu", "cpu")) == [f"losses of {package} with rho=0.4"]
    assert "total_loss: " in capsys.readouterr().out


def test_steps_are_counted():
    steps = TOOL["steps"](agent(TOOL["BASE"], "num_envs=1"))
    assert set(steps) == {"updates", "plans"}
    assert all(TOOL["rate"](step, "cpu", seconds=0.0) > 0 for step in steps.values())


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert TOOL["main"]() == 0
    assert capsys.readouterr().out == "no CUDA device: nothing checked\n"
