"""What newtfix knows of the machine, and what it says of how runs end on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from newtfix.ablate.machine import cuda_devices
from newtfix.ablate.runs import why


@pytest.mark.parametrize(
    ("named", "devices"), [("0,1", ("0", "1")), (" 2 ,", ("2",)), ("-1", ()), ("", ()), ("GPU-a", ("GPU-a",))]
)
def test_devices_are_those_that_the_environment_names(
    named: str, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert cuda_devices() == devices


@pytest.mark.parametrize(
    ("script", "devices"),
    [
        (None, ()),
        ("#!/bin/sh\necho 'GPU 0: a (UUID: x)'\necho 'GPU 1: b (UUID: y)'\necho '  MIG 1g'\n", ("0", "1")),
        ("#!/bin/sh\necho 'No devices were found'\n", ()),
        ("#!/no/such/program\n", ()),
    ],
)
def test_or_else_those_that_the_system_lists(
    script: str | None, devices: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(script)
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert cuda_devices() == devices


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "killed by SIGKILL"),
        (-200, "killed by signal 200"),
        (130, "signal 2"),
        (137, "signal 9"),
        (143, "signal 15"),
        (1, "out of memory or disk"),
    ],
)
def test_why_the_machine_ended_a_run(code: int, said: str) -> None:
    assert why(code) == said
