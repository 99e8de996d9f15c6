"""Verify: newt_base with and without patches, broken patches, and trees that hang, end, or cannot be imported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from trees import PATCHES, patched
from typer.testing import CliRunner

from newtfix.cli import app
from newtfix.errors import TreeError
from newtfix.files.tree import read_tree
from newtfix.model import AS_PATCHED, DISCREPANCY, NOT_OBSERVED, OTHER, Patch, Severity
from newtfix.verify.launch import Limits, observe
from newtfix.verify.observation import verdicts

ROOT = Path(__file__).parents[2]
ALL = tuple(PATCHES)


def written(folder: Path, ids: Iterable[str], **edits: tuple[str, str, str]) -> Path:
    """newt_base with some patches as files; each edit is a file, a piece of its text, and what to put there."""
    texts = dict(patched(frozenset(ids)))
    for file, old, new in edits.values():
        assert old in texts[file]
        texts[file] = texts[file].replace(old, new)
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def seen(tree: Path, ids: Iterable[str], limits: Limits | None = None) -> Any:
    known = {name: PATCHES.get(name) or Patch("without a probe", Severity.MINOR, ()) for name in ids}
    return observe(read_tree(tree), known, limits).observations


def verify(tree: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["verify", *arguments, "--tree", str(tree), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_newt_base_shows_every_discrepancy_but_the_one_it_does_not_have(tmp_path):
    code, found = verify(written(tmp_path / "tree", ()))
    assert (code, found["schema"]) == (1, 1)
    shown = {one["id"]: one["verdict"] for one in found["patches"]}
    assert shown == dict.fromkeys(ALL, DISCREPANCY) | {"planner-stats": AS_PATCHED}
    assert set(found["failing"]) == set(ALL) - {"planner-stats"}


def test_with_all_patches_everything_is_as_it_should_be_and_nothing_is_written(tmp_path):
    tree = written(tmp_path / "tree", ALL)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    code, found = verify(tree, "--all")
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    assert [one for patch in found["patches"] for one in patch["observations"] if one["verdict"] != AS_PATCHED] == []
    assert (code, found["failing"], {one["id"] for one in found["patches"]}) == (0, [], set(ALL))


@pytest.mark.parametrize("name", ["burst", "actor-modes", "prior-norm"])
def test_a_patch_by_itself_is_recognised(tmp_path, name):
    code, found = verify(written(tmp_path / "tree", [name]), name)
    assert (code, found["patches"][0]["verdict"]) == (0, AS_PATCHED), found["patches"][0]["observations"]


WRONG = {
    "a burst after every resume": (
        "burst",
        ("trainer.py", "self.cfg.burst_updates != 0 and self._step < self._seed_steps", "True"),
        "resumed past",
    ),
    "no segments handed over": (
        "seeding",
        ("trainer.py", "and self._hand_over_segments(ep_len)", ""),
        "stored at the first update",
    ),
    "mu with exploration noise": (
        "planner-stats",
        ("tdmpc2.py", "return action.clamp(-1, 1), mu, std", "return action.clamp(-1, 1), action, std"),
        "mu of a plan",
    ),
    "a prior that always counts": (
        "actor-modes",
        ("tdmpc2.py", "self.scale.value > self.cfg.scale_threshold", "self.scale.value > 0"),
        "residual, scale 1.5",
    ),
    "weights with a gradient": (
        "actor-modes",
        ("tdmpc2.py", "with torch.no_grad():\n            data_qs", "if True:\n            data_qs"),
        "awac",
    ),
    "the padded width": (
        "prior-norm",
        ("tdmpc2.py", "self.model._action_masks[task.long()].sum(-1, keepdim=True) / 61", "mu.shape[-1] / 61"),
        "weight of the planner's prior",
    ),
    "two updates of the scale": (
        "scale-order",
        ("tdmpc2.py", "self.scale.update(qs[0])", "self.scale.update(qs[0]); self.scale.update(qs[0])"),
        "the scale after one update",
    ),
}


def test_what_is_wrong_with_a_patch_is_seen(tmp_path):
    """All faults in one tree, so that one run shows them."""
    edits = {f"edit{number}": fault for number, (_, fault, _) in enumerate(WRONG.values())}
    tree = written(tmp_path / "tree", ALL, **edits)
    found = seen(tree, dict.fromkeys(name for name, *_ in WRONG.values()))
    for fault, (name, _, what) in WRONG.items():
        verdict = {one.verdict for one in found if one.patch == name and what in one.what}
        assert verdict & {OTHER, DISCREPANCY}, (fault, found)


def test_a_tree_that_cannot_be_imported_is_not_observed(tmp_path):
    tree = written(
        tmp_path / "tree", (), edit=("trainer.py", "import torch\n", "import torch\n\nraise OSError('gone')\n")
    )
    found = {one.patch: one for one in seen(tree, ["burst", "my-own", "prior-coef"])}
    assert found["burst"].verdict == NOT_OBSERVED
    assert "trainer.py cannot be imported: OSError: gone (trainer.py:" in found["burst"].observed
    assert found["prior-coef"].verdict == DISCREPANCY
    assert (found["my-own"].verdict, found["my-own"].observed) == (NOT_OBSERVED, "there is no probe for this patch")


def test_a_library_that_is_not_installed_is_said_once_with_the_way_out(tmp_path, newtfix):
    """It is imported where it is used: what does not call it is observed, also where it is imported."""
    encoder = "self._encoder[self.cfg.obs]"
    tree = written(
        tmp_path / "tree",
        (),
        imported=(
            "common/layers.py",
            "in_dim = cfg.latent_dim",
            "import no_such_library\n        in_dim = cfg.latent_dim",
        ),
        called=(
            "common/world_model.py",
            f"return {encoder}",
            f"import no_such_library as no\n        return no.f(1) @ {encoder}",
        ),
    )
    said = newtfix("verify", "scale-order", "planner-stats", "q-ensemble", "prior-coef", "--tree", str(tree))
    assert said.code == 1
    lines = said.err.splitlines()
    (told,) = [line for line in lines if "no_such_library is not installed, and common/layers.py:7" in line]
    assert "(planner-stats, scale-order)" in told
    assert told.endswith(f"{sys.executable} -m pip install no_such_library")
    assert sum("no_such_library" in line for line in lines) == 1 and "no_such_library" not in said.out
    ends = {"planner-stats: not observed", "scale-order: not observed"}
    assert ends <= set(lines) and {"q-ensemble: the discrepancy", "prior-coef: the discrepancy"} <= set(lines)


def test_settings_fit_a_tree_whose_model_needs_a_task_and_whose_script_sets_what_its_agent_reads(tmp_path):
    """Its model computes in single precision, whatever it is given."""
    needs = "if cfg.task_dim != 8:\n            raise ValueError('8 wide')\n        masks = torch.zeros(len"
    tree = written(
        tmp_path / "tree",
        ("rho",),
        needs=("common/world_model.py", "masks = torch.zeros(len", needs),
        width=(
            "config.py",
            "    task_dim: Optional[Natural]",
            "    own_width: int = 8\n    task_dim: Optional[Natural]",
        ),
        derived=("config.py", "    cfg.task = spelled(cfg.task)\n", "    cfg.task_dim = int(cfg.own_width)\n"),
        single=(
            "common/world_model.py",
            "emb.expand(*x.shape[:-1], -1)], dim=-1)",
            "emb.expand(*x.shape[:-1], -1)], dim=-1).float()",
        ),
        reads=("tdmpc2.py", "self.maxq_pi = True", "self.maxq_pi = bool(cfg.device_number + 1)"),
        sets=("train.py", "def main(", "def numbered(cfg):\n    cfg.device_number = cfg.rank\n\n\ndef main("),
    )
    names = ("rho", "q-dropout", "q-ensemble")
    assert verdicts(seen(tree, names), names) == dict.fromkeys(names, DISCREPANCY) | {"rho": AS_PATCHED}


def test_an_agent_may_act_by_a_method(tmp_path):
    """As the agents of TD-MPC2 and of the reference do, in a tree that is newt's in all else."""
    tree = written(tmp_path / "tree", (), named=("tdmpc2.py", "def forward(self, obs, t0", "def act(self, obs, t0"))
    for file in tree.rglob("*.py"):
        file.write_text(re.sub(r"(?<![\w.])((?:self\.)?agent)\(", r"\1.act(", file.read_text()))
    names = ("planner-stats", "scale-order")
    found = seen(tree, names)
    assert verdicts(found, names) == {"planner-stats": AS_PATCHED, "scale-order": DISCREPANCY}
    assert {"3 values"} == {one.observed for one in found if "from the agent" in one.what}


def test_probes_that_hang_or_end_the_process_leave_the_others(tmp_path):
    """One can be interrupted, one has to be killed, and one takes its process with it."""
    stubborn = "import time\n        while True:\n            try:\n                time.sleep(9)\n"
    stubborn += "            except BaseException:\n                pass\n"
    tree = written(
        tmp_path / "tree",
        (),
        endless=("common/layers.py", "return self._forward(x, drawn)", "\n        while True:\n            pass"),
        stubborn=("trainer.py", "use_demos = self.cfg.get", f"{stubborn}        use_demos = self.cfg.get"),
        ending=("common/math.py", "num = max(0, step - start)", "__import__('os')._exit(7)"),
    )
    found = seen(tree, ["q-ensemble", "first-obs", "plan-anneal", "prior-coef"], Limits(probe=2.5))
    assert [one.verdict for one in found] == [NOT_OBSERVED] * 3 + [DISCREPANCY]
    endless, stuck, ended, _ = (one.observed for one in found)
    assert "it took more than 2.5 s (common/layers.py:" in endless
    assert stuck == "it took more than 2.5 s"
    assert "exit code 7" in ended


def test_a_folder_without_a_tree_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(TreeError, match="no newt-style tree"):
        observe(read_tree(tmp_path), {"burst": PATCHES["burst"]})
    assert verify(tmp_path)[0] == 4


def test_a_tree_in_upstreams_shape_with_everything_for_cuda(tmp_path):
    """Device literals, optimisers for CUDA and torchrl's replay, none of which is needed to observe it."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "tests/specimens/plain", tree)
    agent = (tree / "tdmpc2.py").read_text()
    agent = agent.replace("torch.device('cpu')", "torch.device('cuda:0')")
    agent = agent.replace("lr=cfg.lr)", "lr=cfg.lr, fused=True, capturable=True)")
    (tree / "tdmpc2.py").write_text("import no_such_library\nfrom termcolor import colored\n" + agent)
    found = verdicts(seen(tree, ["planner-stats", "rho", "target-q"]), ["rho", "target-q"])
    assert found == {"rho": DISCREPANCY, "target-q": DISCREPANCY}


def test_start_up_does_not_import_torch(tmp_path):
    code = "import sys, newtfix.commands.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
