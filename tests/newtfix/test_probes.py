"""Every probe of verify in this process, on newt_base: without patches the discrepancy, with all as it should be."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from trees import PATCHES, patched

from newtfix.files.tree import read_tree
from newtfix.model import AS_PATCHED, DISCREPANCY
from newtfix.newt.roles import find_roles
from newtfix.patch.file import probes, run
from newtfix.running import importable
from newtfix.verify.launch import Limits, job_of
from newtfix.verify.observation import verdict_of
from newtfix.verify.subject import Subject, seed
from newtfix.verify.world import without_cuda

PROBES = {name: probes(run(Path(patch.probes_in), patch.probes.encode("latin-1"))) for name, patch in PATCHES.items()}
CASES = [(patch, probe.__name__) for patch, found in PROBES.items() for probe in found]
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
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, str, str], str]:
    """The verdict of each probe, unpatched and patched: the runs of one tree are shared by its probes."""
    found = {}
    for name, patches in (("probed_before", frozenset[str]()), ("probed_after", frozenset(PATCHES))):
        with imported(tmp_path_factory.mktemp("probes"), name, patches) as subject:
            for patch, functions in PROBES.items():
                for probe in functions:
                    seed(0)
                    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                        found[bool(patches), patch, probe.__name__] = verdict_of(probe(subject) or ())
    return found


def test_every_patch_has_a_probe() -> None:
    assert [name for name, found in PROBES.items() if not found] == []


@pytest.mark.parametrize(("patch", "probe"), CASES)
def test_a_probe_tells_a_patched_tree_from_one_that_is_not(
    verdicts: dict[tuple[bool, str, str], str], patch: str, probe: str
) -> None:
    assert verdicts[True, patch, probe] == AS_PATCHED
    if (patch, probe) not in ALSO_UNPATCHED:
        assert verdicts[False, patch, probe] == DISCREPANCY
