"""A wheel built from the repository does its job outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import os, sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "newtfix", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def files(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def test_it_brings_one_package_with_the_tree_and_the_patches_in_it(installed: Path) -> None:
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"newtfix"}
    base = files(ROOT / "newt_base")
    assert files(installed / "newtfix/_data/newt_base") == base
    with zipfile.ZipFile(next(installed.parent.glob("*.whl"))) as wheel:  # what ran from it may have left some
        assert not [name for name in wheel.namelist() if name.endswith(".pyc")]


def test_apply_diff_and_revert_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "apply", "seeding", "burst")
    assert "_hand_over_segments" in run(installed, tmp_path, "diff")
    run(installed, tmp_path, "revert", "--all")
    assert files(tmp_path / "newt_patched") == files(ROOT / "newt_base")


def test_git_apply_of_the_diff_gives_what_apply_gives(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "apply", "burst")
    run(installed, tmp_path, "revert", "--all")
    other = tmp_path / "other"
    (tmp_path / "newt_patched").rename(other)
    diff = run(installed, tmp_path, "diff", "--all", "--tree", "other")
    subprocess.run(["git", "apply", "-"], cwd=other, input=diff, check=True, text=True)
    run(installed, tmp_path, "apply", "--all")
    patched = {name: content for name, content in files(tmp_path / "newt_patched").items() if ".newtfix" not in name}
    assert files(other) == patched
