"""Run: a recording made here, by formulas of its own in double precision, against trees with and without patches."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import Run
from recordings import SCALES, padded, reference, write_tree
from trees import PATCHES

import newtfix.running

# --- trees and the command --------------------------------------------------------------------------------------------


LOSSES = {"consistency_loss", "reward_loss", "value_loss", "total_loss"}
ACTOR = {name[4:] for name in reference() if name.startswith("out/actor/")}
ACTOR_NOT_ZERO = {name for name in ACTOR if reference()[f"out/{name}"] != 0}
PRIOR = {f"actor/residual/scale_4/{part}" for part in ("pi_loss", "grad_norm")}
AFTER_UPDATE = {"scale_order/pi_loss", "scale_order/grad_norm"}
NO_MODES = {"pi_log_prob", "log_pi_action", *ACTOR, "scale_order/before", "scale_order/after", *AFTER_UPDATE}


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_tree_with_all_patches_computes_what_was_recorded(parity: Run, tmp_path: Path) -> None:
    write_tree(tmp_path / "newt_patched", PATCHES)
    files = {path for path in tmp_path.rglob("*") if path.name != "fixture.npz"}
    result = parity(reference(), "--json")
    assert not result.failed, {name: result.rows[name] for name in result.failed}
    assert result.code == 0
    assert set(result.rows) == {key[4:] for key in reference() if key.startswith("out/")}
    assert all(row["relative_error"] <= 1e-4 and row["error"] is None for row in result.rows.values())
    assert {path for path in tmp_path.rglob("*") if path.name != "fixture.npz"} == files


@pytest.mark.parametrize(
    ("ids", "waiting"),
    [
        pytest.param(
            (),
            {("rho",): LOSSES, ("actor-modes",): NO_MODES - ACTOR - AFTER_UPDATE, ("actor-modes", "rho"): ACTOR - PRIOR}
            | {("prior-norm", "actor-modes", "rho"): PRIOR}
            | {("scale-order", "prior-norm", "actor-modes", "rho"): AFTER_UPDATE},
            id="unpatched",
        ),
        pytest.param(
            ("actor-modes", "prior-norm", "scale-order"),
            {("rho",): LOSSES | ACTOR_NOT_ZERO | AFTER_UPDATE},
            id="without rho",
        ),
        pytest.param(
            ("actor-modes", "rho", "scale-order"), {("prior-norm",): PRIOR | AFTER_UPDATE}, id="without prior-norm"
        ),
        pytest.param(("actor-modes", "rho", "prior-norm"), {("scale-order",): AFTER_UPDATE}, id="without scale-order"),
    ],
)
def test_exactly_the_rows_that_a_missing_patch_is_for_fail_and_name_it(
    parity: Run, tmp_path: Path, ids: tuple[str, ...], waiting: dict[tuple[str, ...], set[str]]
) -> None:
    result = parity(reference(), "--json", "--tree", str(write_tree(tmp_path / "tree", ids)))
    found: dict[tuple[str, ...], set[str]] = {}
    for name in result.failed:
        found.setdefault(tuple(result.rows[name]["waits_for"]), set()).add(name)
    assert found == waiting
    assert result.code == 1
    assert all(row["waits_for"] == [] for row in result.rows.values() if row["ok"])


def test_a_person_is_told_what_to_apply(parity: Run) -> None:
    """Without --tree and with no newt_patched it is newt_base that is compared."""
    result = parity(reference())
    total = sum(key.startswith("out/") for key in reference())
    assert result.code == 1
    assert f"{total - len(NO_MODES) - len(LOSSES)} of {total} quantities agree to 0.0001" in result.err
    assert "Next: newtfix apply actor-modes rho prior-norm scale-order\n" in result.err
    table = {line.split()[0]: line.split() for line in result.out.splitlines() if line}
    assert table["encode"][-1] == "ok"
    assert table["value_loss"][-2:] == ["differs", "rho"]
    assert table["pi_log_prob"][-2:] == ["missing", "actor-modes"]


def test_newts_own_recording_of_a_padded_task(parity: Run) -> None:
    result = parity(padded(), "--json")
    assert (result.code, result.failed) == (0, set())
    assert set(result.rows) == {key[4:] for key in padded() if key.startswith("out/")}


def test_a_number_that_was_tampered_with_is_a_difference_of_the_trees_own(parity: Run, tmp_path: Path) -> None:
    write_tree(tmp_path / "newt_patched", PATCHES)
    off = {
        key: np.array(reference()[key]) for key in ("out/td_target", "out/q_logits", "out/actor/bc/scale_4/grad_norm")
    }
    off["out/td_target"].flat[3] += 2e-3 * np.abs(off["out/td_target"]).max()
    off["out/q_logits"].flat[0] = np.nan
    off["out/actor/bc/scale_4/grad_norm"] *= 1.002
    result = parity({**reference(), **off}, "--json")
    assert result.code == 1
    assert result.failed == {key[4:] for key in off}
    assert all(result.rows[name]["waits_for"] == [] for name in result.failed)
    assert result.rows["td_target"]["relative_error"] == pytest.approx(2e-3, rel=0.01)
    assert result.rows["q_logits"]["recorded"] is None and "not finite" in result.rows["q_logits"]["error"]
    said = parity({**reference(), **off}, "--tol", "0.01")
    assert "; 1 waits for no patch: a difference of the tree's own." in said.err and "Next:" not in said.err
    assert "q_logits: the recording holds numbers that are not finite" in said.err


def test_a_tree_that_throws_in_one_quantity_shows_the_others(parity: Run, tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree",
        PATCHES,
        tdmpc2=("        rewards = []\n", "        raise RuntimeError('no planner')\n"),
    )
    line = (root / "tdmpc2.py").read_text().splitlines().index("        raise RuntimeError('no planner')") + 1
    result = parity(reference(), "--tree", str(root))
    assert result.code == 1
    assert f"\nplan_value: RuntimeError: no planner (tdmpc2.py:{line})\n" in result.err
    assert [row.split()[0] for row in result.out.splitlines()[1:] if row and " ok" not in row] == ["plan_value"]


def test_a_clamp_that_is_missing_shows(parity: Run, tmp_path: Path) -> None:
    unclamped = (".clamp(self.cfg.exp_adv_min, self.cfg.exp_adv_max)", "")
    root = write_tree(tmp_path / "tree", PATCHES, tdmpc2=unclamped)
    failed = parity(reference(), "--json", "--tree", str(root)).failed
    assert failed == {f"actor/awac/scale_{S}/{part}" for S in SCALES for part in ("pi_loss", "grad_norm")}


# --- trees of all kinds -----------------------------------------------------------------------------------------------


RELATIVE = re.compile(r"from (\.+)(\w[\w.]*)? import ")


def absolute(package: tuple[str, ...], found: re.Match[str]) -> str:
    """The beginning of an import of a package's module, with the name that it has without a package around the tree."""
    above = package[: len(package) - len(found[1]) + 1]
    name = ".".join((*above, *([found[2]] if found[2] else [])))
    return f"from {name} import " if name else "import "


def test_a_tree_in_upstreams_shape_on_a_machine_without_its_gpu_and_libraries(parity: Run, tmp_path: Path) -> None:
    """Modules without a package, CUDA devices written into the code, fused optimisers, prints, missing libraries."""
    root = write_tree(tmp_path / "its own folder", PATCHES)
    for path in root.rglob("*.py"):
        package = path.relative_to(root).parent.parts
        path.write_text(RELATIVE.sub(partial(absolute, package), path.read_text("utf-8")), "utf-8")
    agent = (root / "tdmpc2.py").read_text("utf-8")
    for old, new in (
        ("resolve_device(cfg.device, cfg.rank)", 'torch.device(f"cuda:{cfg.rank}")'),
        ("**fast", "fused=True, capturable=True"),
    ):
        assert old in agent
        agent = agent.replace(old, new)
    (root / "tdmpc2.py").write_text(agent + '\nprint("{not json")\n', "utf-8")
    config = (root / "config.py").read_text("utf-8")
    imports = "import surely_not_installed\nfrom surely_not_installed.core import store\n"
    imports += "store(x=1)(print)\n\nclass Stored(store):\n    pass\n\n"
    (root / "config.py").write_text(imports + config, "utf-8")
    result = parity(reference(), "--json", "--tree", str(root))
    assert (result.code, result.failed) == (0, set()), result
    assert "surely_not_installed" in json.loads(result.out)["notes"][0]


def test_a_tree_whose_settings_cannot_be_had(parity: Run, tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "tree", config=("\n\n@dataclass\nclass Config:", "\n1 / 0\n\n@dataclass\nclass Config:")
    )
    result = parity(reference(), "--json", "--tree", str(root))
    assert result.failed == LOSSES | NO_MODES
    (note,) = json.loads(result.out)["notes"]
    assert "ZeroDivisionError" in note and "config.py:" in note and "newt's settings" in note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"world_model": ("hidden = 2 * [cfg.mlp_dim]", "hidden = 3 * [cfg.mlp_dim]")},
            ["_dynamics.2.weight", "in the recording: [12, 14]", "in the tree: [14, 14]"],
            id="another architecture",
        ),
        pytest.param(
            {"world_model": ("import torch.nn as nn", "import torch.nnn as nn")}, ["torch.nnn"], id="no import"
        ),
        pytest.param(
            {"tdmpc2": ("super().__init__()", "super().__init__(); 1 / 0")},
            ["ZeroDivisionError", "tdmpc2.py:"],
            id="no agent",
        ),
        pytest.param(
            {"tdmpc2": ("import torch\n", "import os; os._exit(7)\n")}, ["exit code 7"], id="ends the process"
        ),
    ],
)
def test_a_tree_that_cannot_be_probed(
    parity: Run, tmp_path: Path, change: dict[str, tuple[str, str]], words: list[str]
) -> None:
    result = parity(reference(), "--tree", str(write_tree(tmp_path / "tree", **change)))
    assert (result.code, result.out) == (4, "")
    assert all(word in result.err for word in words), result.err


def test_no_tree_and_no_libraries(parity: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parity(reference(), "--tree", "nowhere").code == 4
    (tmp_path / "empty").mkdir()
    assert "no newt-style tree" in parity(reference(), "--tree", "empty").err
    monkeypatch.setattr(newtfix.running.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    result = parity(reference())
    assert result.code == 4 and "needs torch" in result.err and "newtfix[train]" in result.err


# --- recordings -------------------------------------------------------------------------------------------------------
