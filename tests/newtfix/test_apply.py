"""Patches that fit in part, or not at all, beside those that do; and patches that change after they were applied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import newtfix.session
from newtfix.cli import app
from newtfix.places import builtin_patches

SPECIMEN = Path(__file__).parents[1] / "specimens/plain"
Run = Callable[..., tuple[int, Any, str]]

PATCH = '''"""A patch of one's own."""
from newtfix.model import Add, Edit, Patch, Severity, Shape
PATCH = Patch(title="t", severity=Severity.MINOR, edits=({edits},), requires={requires})
'''
CONFIG = 'Edit(id="{id}", role="config", scope="Config", shapes=(Shape("{name}: $t = $x", "{name}: $t = {value}"),))'


def write(name: str, *edits: tuple[str, str], requires: tuple[str, ...] = ()) -> None:
    """A patch that gives settings other defaults, in the folder `more`."""
    listed = ", ".join(
        CONFIG.format(id=f"e{number}", name=setting, value=value) for number, (setting, value) in enumerate(edits)
    )
    Path("more").mkdir(exist_ok=True)
    Path(f"more/{name}.py").write_text(PATCH.format(edits=listed, requires=requires))


@pytest.fixture
def newtfix_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command on a copy of the plain specimen, with JSON, and the patches in `more` where there are some."""
    shutil.copytree(SPECIMEN, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, quiet: bool = True) -> tuple[int, Any, str]:
        more = ["--patches", "more"] if Path("more").is_dir() else []
        with pytest.raises(SystemExit) as end:
            app([*arguments, "--tree", "tree", *more, *(["--json"] if quiet else [])], prog_name="newtfix")
        said = capfd.readouterr()
        return int(end.value.code or 0), json.loads(said.out) if quiet else {}, said.err

    return run


def config() -> str:
    return Path("tree/config.py").read_text()


# --- what fits --------------------------------------------------------------------------------------------------------


def test_only_what_fits(newtfix_: Run) -> None:
    write("misfit", ("no_such_setting", "1"))
    write("needy", ("horizon", "5"), requires=("misfit",))
    write("fine", ("horizon", "4"))
    code, refused, _ = newtfix_("apply", "misfit", "needy", "fine")
    assert code == 3 and "misfit" in refused["error"] and not Path("tree/.newtfix").exists()
    code, done, _ = newtfix_("apply", "misfit", "needy", "fine", "--fitting")
    assert code == 0 and done["applied"] == ["fine"] and [one["id"] for one in done["patches"]] == ["fine"]
    assert [(one["id"], one["error"]) for one in done["refused"]] == [
        ("misfit", "patch 'misfit' does not fit this tree"),
        ("needy", "it requires misfit, which does not fit"),
    ]
    code, _, err = newtfix_("apply", "misfit", "fine", "--fitting", quiet=False)
    assert code == 0 and "fine: already applied\nmisfit: refused: " in err and "no_such_setting" in err
    code, none, _ = newtfix_("apply", "misfit", "needy", "--fitting")
    assert code == 3 and "none of these patches fits" in none["error"]


def test_what_is_there_in_part_is_completed_on_demand_and_stays_so(newtfix_: Run) -> None:
    write("half", ("horizon", "4"), ("num_envs", "7"))
    write("fine", ("num_samples", "99"))
    text = config().replace("horizon: int = 3", "horizon: int = 4")
    assert text != config()
    Path("tree/config.py").write_text(text)
    code, refused, _ = newtfix_("apply", "half")
    assert code == 3 and "in part" in refused["error"] and "--complete" in refused["hint"]
    code, done, _ = newtfix_("apply", "half", "--complete")
    assert code == 0 and done["patches"][0]["outcome"] == "applied; a part of it was there already"
    assert "num_envs: int = 7" in config()
    assert newtfix_("apply", "fine")[0] == 0 and newtfix_("revert", "fine")[0] == 0
    assert newtfix_("revert", "half")[0] == 0 and config() == text


def test_the_place_of_what_is_in_the_code_already(newtfix_: Run) -> None:
    Path("tree/config.py").write_text(config().replace("prior_coef: float = 10.0", "prior_coef: float = 1.0"))
    line = next(number for number, line in enumerate(config().splitlines(), 1) if "prior_coef: float = 1.0" in line)
    _, done, _ = newtfix_("apply", "prior-coef")
    assert done["patches"] == [{"id": "prior-coef", "outcome": f"already in the code (config.py:{line})"}]


# --- what changed since -----------------------------------------------------------------------------------------------


def test_an_update_of_a_patch_keeps_edits(newtfix_: Run) -> None:
    write("mine", ("horizon", "4"))
    newtfix_("apply", "mine", "prior-coef")
    code, done, _ = newtfix_("update")
    assert code == 0 and done["changed"] == [] and done["written"] == []
    Path("tree/config.py").write_text(config() + "# mine\n")
    write("mine", ("horizon", "5"), ("num_envs", "7"))
    code, done, _ = newtfix_("update")
    assert code == 0 and done["changed"] == ["mine"] and done["written"] == ["config.py"]
    assert "horizon: int = 5" in config() and "num_envs: int = 7" in config() and config().endswith("# mine\n")
    assert newtfix_("update")[1]["written"] == []
    newtfix_("revert", "--all")
    assert config() == (SPECIMEN / "config.py").read_text() + "# mine\n"


def test_an_update_that_conflicts_with_an_edit(newtfix_: Run) -> None:
    write("mine", ("horizon", "4"))
    newtfix_("apply", "mine")
    Path("tree/config.py").write_text(config().replace("horizon: int = 4", "horizon: int = 6"))
    before = config()
    write("mine", ("horizon", "5"))
    code, refused, _ = newtfix_("update")
    assert code == 3 and "horizon: int = 5" in refused["where"] and "horizon: int = 6" in refused["where"]
    assert config() == before


def test_a_patch_that_is_gone_or_requires_another_now(newtfix_: Run) -> None:
    write("mine", ("horizon", "4"))
    write("other", ("num_envs", "7"))
    newtfix_("apply", "mine")
    write("mine", ("horizon", "4"), requires=("other",))
    code, done, _ = newtfix_("update")
    assert code == 0 and done["added"] == ["other"] and done["applied"] == ["other", "mine"]
    Path("more/mine.py").unlink()
    code, refused, _ = newtfix_("update")
    assert code == 3 and "mine" in refused["error"] and "newtfix revert mine --tree tree" in refused["hint"]
    assert newtfix_("revert", "mine")[0] == 0
    assert config() == (SPECIMEN / "config.py").read_text()


def test_a_newtfix_with_another_patch(newtfix_: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newtfix_("apply", "prior-coef")
    shutil.copytree(builtin_patches(), tmp_path / "newer", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(newtfix.session, "builtin_patches", lambda: tmp_path / "newer")
    assert newtfix_("update")[1]["changed"] == []
    patch = tmp_path / "newer/prior_coef.py"
    patch.write_text(patch.read_text().replace('"prior_coef: $type = 1.0"', '"prior_coef: $type = 2.0"'))
    code, _, err = newtfix_("update", quiet=False)
    assert code == 0 and "prior-coef: changed since it was applied" in err and "wrote config.py" in err
    assert "prior_coef: float = 2.0" in config()


def test_nothing_to_update(newtfix_: Run) -> None:
    code, refused, _ = newtfix_("update")
    assert code == 3 and "newtfix apply --all --tree tree" in refused["hint"]
