"""apply --verify, and what a refused apply says first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trees import patched
from typer.testing import CliRunner

from newtfix.cli import app
from newtfix.model import judged, unseen
from newtfix.verify import launch
from newtfix.verify.launch import Seen
from newtfix.verify.observation import NO_PROBE

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def make(**edits: tuple[str, str]) -> Path:
        """newt_base; an edit of `common__math` is a piece of common/math.py, and what to put there."""
        for file, text in patched(frozenset()).items():
            old, new = edits.get(file.removesuffix(".py").replace("/", "__"), ("", ""))
            assert old in text
            path = tmp_path / "tree" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(old, new) if old else text)
        return tmp_path / "tree"

    return make


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The patches that verify is asked about; it finds fault with rho."""
    asked: list[str] = []

    def observe(tree: Any, patches: Sequence[str]) -> Seen:
        asked.extend(patches)
        return Seen(
            tuple(
                replace(
                    judged("weights", "1", "2" if name == "rho" else "1", "2")
                    if name != "my-own"
                    else unseen(NO_PROBE),
                    patch=name,
                )
                for name in patches
            ),
            (),
        )

    monkeypatch.setattr(launch, "observe", observe)
    return asked


def apply(tree: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["apply", *arguments, "--tree", str(tree)])


def test_patches_that_do_as_they_promise(tree: Tree, looked_at: list[str]) -> None:
    done = apply(tree(), "prior-coef", "plan-anneal", "--verify")
    assert (done.exit_code, sorted(looked_at)) == (0, ["plan-anneal", "prior-coef"])
    assert "2 of 2 patches behave as they should." in done.stderr


def test_one_that_does_not_is_named_and_can_be_taken_out(tree: Tree, looked_at: list[str]) -> None:
    root = tree()
    done = apply(root, "prior-coef", "rho", "--verify")
    assert done.exit_code == 1
    assert "rho: the discrepancy: weights: 2\n1 of 2 patches behave" in done.stderr
    assert f"newtfix revert rho --tree {root}" in done.stderr
    said = json.loads(apply(root, "rho", "--verify", "--json").stdout)
    assert said["verify"] == {"ok": False, "patches": ["rho"], "wrong": {"rho": ["the discrepancy: weights: 2"]}}


def test_what_was_not_observed_is_not_to_be_taken_out(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen((replace(unseen("no such library"), patch="rho"),), ())
    monkeypatch.setattr(launch, "observe", lambda tree, patches: seen)
    done = apply(tree(), "rho", "--verify")
    assert done.exit_code == 1 and "no such library" in done.stderr
    assert "0 of 1 patches behave as they should. Of 1 not all was observed." in done.stderr
    assert "newtfix revert" not in done.stderr


def test_without_verify_nothing_is_run(tree: Tree, looked_at: list[str]) -> None:
    assert apply(tree(), "rho").exit_code == 0
    assert looked_at == []


def test_a_refusal_says_first_what_fits_and_the_command_that_takes_it(tree: Tree) -> None:
    root = tree(common__math=("den = max(1, end)", "den = schedule(end)"))
    done = apply(root, "prior-coef", "plan-anneal")
    assert done.exit_code == 3
    first = done.stderr.splitlines()[0]
    command = f"newtfix apply prior-coef plan-anneal --fitting --tree {root}"
    assert first == f"newtfix: 1 of 2 patches fit this tree: {command}"
    assert "patch 'plan-anneal' does not fit this tree" in done.stderr
    assert apply(root, *command.split()[2:5]).exit_code == 0


def test_a_refusal_has_a_line_for_each_further_patch(tree: Tree) -> None:
    root = tree(common__math=("den = max(1, end)", "den = schedule(end)"), tdmpc2=("self.rho / self.rho.sum()", "f()"))
    done = apply(root, "prior-coef", "plan-anneal", "rho", "prior-norm")
    lines = done.stderr.splitlines()
    assert done.exit_code == 3 and lines[0].startswith("newtfix: 2 of 4 patches fit this tree: newtfix apply ")
    assert [line.split(":")[0].strip() for line in lines if "either" in line] == ["plan-anneal does not fit either"]


def test_what_does_harm_without_a_patch_that_does_not_fit_is_left_out(tree: Tree) -> None:
    root = tree(trainer=("self._step >= self.cfg.seeding_coef * self._update_freq", "self.seeded()"))
    done = apply(root, "seeding", "burst", "prior-coef", "--fitting")
    assert done.exit_code == 0 and "it does harm without seeding, which does not fit" in done.stderr
    assert "burst_updates" not in (root / "config.py").read_text()
    assert apply(root, "burst").exit_code == 3


def test_a_refusal_of_one_patch_is_as_it_was(tree: Tree) -> None:
    root = tree(common__math=("den = max(1, end)", "den = schedule(end)"))
    assert apply(root, "plan-anneal").stderr.startswith("newtfix: patch 'plan-anneal' does not fit this tree")
