"""Every probe of verify in this process, on newt_base: without patches the discrepancy, with all as it should be."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from trees import PATCHES, patched

from newtfix.files.tree import read_tree
from newtfix.model import AS_PATCHED, DISCREPANCY, Observation
from newtfix.newt.roles import find_roles
from newtfix.patch.file import probes, run
from newtfix.running import importable
from newtfix.verify.launch import Limits, job_of
from newtfix.verify.observation import verdict_of
from newtfix.verify.subject import Subject, seed
from newtfix.verify.world import without_cuda

PROBES = {name: probes(run(Path(patch.probes_in), patch.probes.encode("latin-1"))) for name, patch in PATCHES.items()}
CASES = [(patch, probe) for patch, found in PROBES.items() for probe in found]
TREES = {"before": frozenset[str](), "after": frozenset(PATCHES)}
# What an unpatched tree does rightly, or cannot do without a patch's settings.
ALSO_UNPATCHED = {
    *(("planner-stats", f"probe_{what}") for what in ("answers", "callers", "stored", "handed_on", "demos")),
    ("seeding", "probe_rows"),
    ("mu-std", "probe_experienced"),
    ("burst", "probe_setting"),
    ("q-dropout", "probe_while_training"),
}


@contextlib.contextmanager
def imported(folder: Path, name: str, patches: frozenset[str]) -> Iterator[Subject]:
    """newt_base with some patches, as the worker sees it; what it puts into this process is taken out again."""
    root = folder / name
    for file, text in patched(patches).items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tree = read_tree(root)
    roles = find_roles(tree.sources)
    text = "\n".join(tree.sources[found.file] for found in roles.values())
    modules, finders, threads = dict(sys.modules), list(sys.meta_path), torch.get_num_threads()
    with importable(root, text) as found, without_cuda():
        sys.path.insert(0, str(found.path))
        torch.set_num_threads(1)
        job = job_of(tree, roles, found, Limits())
        try:
            yield Subject(root, job["modules"], job["classes"], job["files"], job["sources"])
        finally:
            torch.set_num_threads(threads)
            sys.path.remove(str(found.path))
            sys.meta_path[:] = finders
            for new in set(sys.modules) - set(modules):
                if new.partition(".")[0] in (name, "torchrl"):
                    del sys.modules[new]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Subject, Subject]]:
    """newt_base without patches and with all of them: the runs of one tree are shared by its probes."""
    folder = tmp_path_factory.mktemp("probes")
    before, after = (imported(folder, f"probed_{when}", ids) for when, ids in TREES.items())
    with before as unpatched, after as patched_tree:
        yield unpatched, patched_tree


def verdict(probe: Callable[[Subject], list[Observation]], tree: Subject) -> str:
    seed(0)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return verdict_of(probe(tree) or ())


def test_every_patch_has_a_probe() -> None:
    assert [name for name, found in PROBES.items() if not found] == []


@pytest.mark.parametrize(("patch", "probe"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_probe_tells_a_patched_tree_from_one_that_is_not(
    trees: tuple[Subject, Subject], patch: str, probe: Callable[[Subject], list[Observation]]
) -> None:
    before, after = trees
    assert verdict(probe, after) == AS_PATCHED
    if (patch, probe.__name__) not in ALSO_UNPATCHED:
        assert verdict(probe, before) == DISCREPANCY


def test_the_annealing_is_seen_in_the_planner_as_in_the_function(trees: tuple[Subject, Subject]) -> None:
    path = Path(PATCHES["plan-anneal"].probes_in)
    own = run(path, path.read_bytes())
    for tree, weights in zip(trees, ({0.6}, {0.5}), strict=True):
        assert own["_planned"](tree, 600, 200, 1_000) == own["_mixed"](tree.module("math").interp_dist, 600, 200, 1_000)
        assert own["_planned"](tree, 600, 200, 1_000) == weights
