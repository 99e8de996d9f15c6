"""Commands of newtfix, run in an empty folder, and a tree to run them on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Result, Run

from newtfix.cli import app
from newtfix.files.tree import read_tree
from newtfix.plan.engine import plan
from newtfix.work.load import load_patches
from newtfix.work.places import base_tree, builtin_patches


@pytest.fixture
def newtfix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as end:
            app(list(arguments), prog_name="newtfix")
        captured = capfd.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def scan(newtfix: Run) -> Run:
    def run(*arguments: str, command: str = "scan") -> Result:
        return newtfix(command, *arguments)

    return run


@pytest.fixture
def parity(newtfix: Run) -> Run:
    def run(arrays: Mapping[str, Any], *arguments: str) -> Result:
        np.savez("fixture.npz", **arrays)
        return newtfix("parity", "fixture.npz", *arguments)

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    def make(source: Path, **texts: str) -> Path:
        """A copy of a tree, with some files replaced (`common__math` is common/math.py)."""
        tree = tmp_path / "tree"
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in texts.items():
            (tree / f"{name.replace('__', '/')}.py").write_text(text)
        return tree

    return make


@pytest.fixture(scope="session")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """newt_base with all patches, without newtfix's record."""
    tree = tmp_path_factory.mktemp("patched") / "tree"
    shutil.copytree(base_tree(), tree, ignore=shutil.ignore_patterns("__pycache__"))
    patches = load_patches([builtin_patches()])
    for file, text in plan(read_tree(tree).sources, patches, patches).after.items():
        (tree / file).write_bytes(text.encode())
    return tree
