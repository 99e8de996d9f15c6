"""What a patch file says of trees: its consequence and its probes are found in it, or in the file beside it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from newtfix.errors import PatchError
from newtfix.files.ledger import fingerprint
from newtfix.model import NOT_OBSERVED, Patch, Quantity, Severity, State
from newtfix.patch.file import is_patch, probes, run
from newtfix.scan.consequences import consequence
from newtfix.verify.worker import observe
from newtfix.work.load import load_patches

HEAD = "from newtfix.model import *\nPATCH = Patch('t', Severity.MINOR, ())\n"
SAYS = "def consequence(numbers):\n    return f'tau is {numbers.setting(\"tau\")}.'\n"
PROBE = "def probe(tree):\n    return []\n\ndef helper(): ...\n\ndef probe_more(tree):\n    return []\n"


def loaded(folder: Path, **files: str) -> dict[str, Patch]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return load_patches([folder])


def functions(patch: Patch) -> list[str]:
    return [probe.__name__ for probe in probes(run(Path(patch.probes_in), patch.probes.encode("latin-1")))]


def test_probes_are_functions_of_the_file_in_their_order(tmp_path: Path) -> None:
    (patch,) = loaded(tmp_path, mine=HEAD + PROBE).values()
    assert functions(patch) == ["probe", "probe_more"] and patch.probes_in == patch.origin


def test_probes_beside_a_patch_are_no_patch_and_are_not_run(tmp_path: Path) -> None:
    found = loaded(tmp_path, mine=HEAD, mine_probe="import no_such_module\n" + PROBE, other_probe=HEAD)
    assert list(found) == ["mine", "other-probe"]
    assert found["mine"].probes.endswith(PROBE) and found["mine"].probes_in == str(tmp_path / "mine_probe.py")
    assert found["other-probe"].probes == ""
    seen, _ = observe(SimpleNamespace(), found["mine"].probes_in, found["mine"].probes, 1.0, lambda: None)  # type: ignore[arg-type]
    assert [one.verdict for one in seen] == [NOT_OBSERVED] and "ModuleNotFoundError" in seen[0].observed


def test_what_is_read_already_is_what_counts(tmp_path: Path) -> None:
    contents = {"mine.py": HEAD.encode(), "mine_probe.py": PROBE.encode(), "below/mine.py": b"("}
    (patch,) = load_patches([tmp_path], {tmp_path: contents}).values()
    assert functions(patch) == ["probe", "probe_more"]
    assert is_patch("mine.py", contents) and not is_patch("below/mine.py", contents)


def test_a_consequence_that_is_no_function_is_an_error_of_the_patch(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="consequence is 'Slow'"):
        loaded(tmp_path, mine=f"{HEAD}consequence = 'Slow'\n")


def test_a_file_without_a_name_for_a_patch_and_one_that_fails_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"My Patch\.py has no name for a patch"):
        loaded(tmp_path, **{"My Patch": HEAD})
    (tmp_path / "My Patch.py").unlink()
    with pytest.raises(PatchError, match=r"cannot be loaded: .*null bytes") as caught:
        loaded(tmp_path, mine="x = 1\0")
    assert caught.value.where == ""


class Known(dict[str, Quantity]):
    def setting(self, name: str) -> float:
        return {"tau": 0.01}[name]


@pytest.mark.parametrize(
    ("state", "measured", "said"),
    [
        (State.AVAILABLE, "", "tau is 0.01."),
        (State.PARTIAL, "", "The fix is there in part; of a tree without it: tau is 0.01."),
        (State.PARTIAL, "rate", "The fix is there in part. tau is 0.01."),
        (State.DRIFTED, "", "Neither the code to fix nor the fix was recognised; look at it by hand."),
        (State.DRIFTED, "rate", "Neither the code to fix nor the fix was recognised. tau is 0.01."),
        (State.APPLIED, "rate", "The tree does as the patch says."),
    ],
)
def test_a_consequence_is_told_where_it_is_true(state: State, measured: str, said: str, tmp_path: Path) -> None:
    text = HEAD.replace("())", f"(), measured={measured!r})") + SAYS
    (patch,) = loaded(tmp_path, mine=text).values()
    known: Any = Known(rate=Quantity("rate", "rate", 1.0, 2.0))
    assert consequence(patch, state, known) == said


def test_a_consequence_that_fails_is_named_with_its_file(tmp_path: Path) -> None:
    (patch,) = loaded(tmp_path, mine=HEAD + SAYS.replace("tau", "lambda")).values()
    with pytest.raises(PatchError, match=r"mine.py: its consequence cannot be told: KeyError: 'lambda'"):
        consequence(patch, State.AVAILABLE, Known())  # type: ignore[arg-type]


def test_a_patch_that_says_other_things_is_the_same_patch(tmp_path: Path) -> None:
    def of(text: str) -> str:
        (tmp_path / "x.py").write_text(text)
        return fingerprint(Patch("x", Severity.MINOR, (), origin=str(tmp_path / "x.py")))

    assert of(HEAD) == of(HEAD + SAYS) == of(HEAD + PROBE.replace("def helper(): ...\n\n", ""))
    assert of(HEAD) != of(f"{HEAD}x = 1\n")
