"""Patches that fit in part, or not at all, beside those that do; and patches that change after they were applied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

import newtfix.work.allowed
from newtfix.cli import app
from newtfix.work.places import builtin_patches

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
    assert "--fitting takes those that fit" in refused["hint"]
    code, done, _ = newtfix_("apply", "misfit", "needy", "fine", "--fitting")
    assert code == 0 and done["applied"] == ["fine"] and [one["id"] for one in done["patches"]] == ["fine"]
    assert [(one["id"], one["error"]) for one in done["refused"]] == [
        ("misfit", "patch 'misfit' does not fit this tree"),
        ("needy", "it requires misfit, which does not fit"),
    ]
    code, _, err = newtfix_("apply", "misfit", "fine", "--fitting", quiet=False)
    assert code == 0 and "fine: already applied\nmisfit: refused: " in err and "does not know" in err
    code, none, _ = newtfix_("apply", "misfit", "needy", "--fitting")
    assert code == 3 and "none of these patches fits" in none["error"]


def test_a_refusal_names_a_line_of_the_tree_as_it_is(newtfix_: Run) -> None:
    """Not one of the text that the patches before it make."""
    before = config().splitlines()
    add = 'Add("more", "config", "Config", "one: int = 1\\ntwo: int = 2", after="task")'
    other = 'Edit("e", "config", "Config", (Shape("num_q: int = 99", "num_q: int = 1"),))'
    Path("more").mkdir()
    Path("more/a_first.py").write_text(PATCH.format(edits=add, requires=()))
    Path("more/misfit.py").write_text(PATCH.format(edits=other, requires=()))
    code, done, _ = newtfix_("apply", "a-first", "misfit", "--fitting")
    assert code == 0 and done["applied"] == ["a-first"]
    number = int(done["refused"][0]["where"].partition("config.py:")[2].partition(":")[0])
    assert before[number - 1].strip().startswith("num_q: int")


def test_what_is_there_in_part_is_completed_and_said(newtfix_: Run) -> None:
    write("half", ("horizon", "4"), ("num_envs", "7"))
    write("fine", ("num_samples", "99"))
    text = config().replace("horizon: int = 3", "horizon: int = 4")
    assert text != config()
    Path("tree/config.py").write_text(text)
    code, done, _ = newtfix_("apply", "half")
    line = 1 + text[: text.index("num_envs: int")].count("\n")
    said = f"applied; a part of it was there already; completed: e1 (config.py:{line})"
    assert code == 0 and done["patches"][0]["outcome"] == said
    assert newtfix_("apply", "half", "--complete")[0] == 0  # as older versions asked for it
    assert "num_envs: int = 7" in config()
    assert newtfix_("apply", "fine")[0] == 0 and newtfix_("revert", "fine")[0] == 0
    assert newtfix_("revert", "half")[0] == 0 and config() == text


def test_the_place_of_what_is_in_the_code_already(newtfix_: Run) -> None:
    Path("tree/config.py").write_text(config().replace("prior_coef: float = 10.0", "prior_coef: float = 1.0"))
    line = next(number for number, line in enumerate(config().splitlines(), 1) if "prior_coef: float = 1.0" in line)
    _, done, _ = newtfix_("apply", "prior-coef")
    assert done["patches"] == [{"id": "prior-coef", "outcome": f"already in the code (config.py:{line})"}]


def test_what_was_in_by_hand_and_is_written_anew_is_said(newtfix_: Run) -> None:
    shutil.copytree(SPECIMEN.with_name("byhand"), "tree", dirs_exist_ok=True)
    assert states(newtfix_)["prior-norm"] == "applied"
    told = {one["id"]: one["outcome"] for one in newtfix_("apply", "--all")[1]["patches"]}
    assert told["prior-norm"] == "applied; it was in by hand, in code that another patch rewrites"
    assert told["actor-modes"] == "applied" and told["rho"].startswith("already in the code (")
    shutil.rmtree("tree/.newtfix")
    code, _, err = newtfix_("diff", quiet=False)
    assert code == 0 and "newtfix has no record here." in err and "what fits is in the code already" in err


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
    monkeypatch.setattr(newtfix.work.allowed, "builtin_patches", lambda: tmp_path / "newer")
    assert newtfix_("update")[1]["changed"] == []
    patch = tmp_path / "newer/prior_coef.py"
    patch.write_text(patch.read_text().replace("+ prior_coef: $type = 1.0", "+ prior_coef: $type = 2.0"))
    code, _, err = newtfix_("update", quiet=False)
    assert code == 0 and "prior-coef: changed since it was applied" in err and "wrote config.py" in err
    assert "prior_coef: float = 2.0" in config()


def test_nothing_to_update(newtfix_: Run) -> None:
    code, refused, _ = newtfix_("update")
    assert code == 3 and "newtfix apply --all --tree tree" in refused["hint"]


# --- what hands did to patched files ----------------------------------------------------------------------------------


def states(run: Run) -> dict[str, str]:
    return {one["id"]: one["state"] for one in run("status")[1]["patches"]}


def test_a_patched_file_that_is_gone_blocks_only_what_would_change_it(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "target-q")
    text = config()
    Path("tree/config.py").unlink()
    _, status, _ = newtfix_("status")
    assert status["unreadable"] == {"config.py": "the file is not there any more"} and status["record"]
    code, found, _ = newtfix_("check", "prior-coef", "target-q")
    assert code == 1 and found["missing"] == ["prior-coef"]
    assert newtfix_("diff", quiet=False)[0] == 0
    for arguments in (["revert", "prior-coef"], ["revert", "--all"], ["apply", "prior-coef"]):
        code, refused, _ = newtfix_(*arguments)
        assert code == 3 and "config.py" in refused["error"] + refused["where"]
        assert ".newtfix/generated" in refused["hint"] and not Path("tree/config.py").exists()
    assert newtfix_("revert", "target-q")[0] == 0 and newtfix_("apply", "target-q")[0] == 0
    assert newtfix_("update")[1]["written"] == []
    shutil.copy("tree/.newtfix/generated/config.py", "tree/config.py")
    assert config() == text and newtfix_("revert", "--all")[0] == 0


def test_a_patched_file_that_is_a_link_now_is_called_one(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "target-q")
    Path("tree/config.py").rename("tree/elsewhere.py")
    Path("tree/config.py").symlink_to("elsewhere.py")
    assert newtfix_("status")[1]["unreadable"] == {"config.py": "the file is a link now, which is not followed"}
    assert newtfix_("check", "prior-coef")[0] == 1 and newtfix_("check", "target-q")[0] == 0


def test_a_patched_file_in_no_encoding_blocks_only_what_would_change_it(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "target-q")
    latin = Path("tree/config.py").read_bytes() + "# é\n".encode("latin-1")
    Path("tree/config.py").write_bytes(latin)
    code, found, _ = newtfix_("check", "prior-coef", "target-q")
    assert code == 1 and found["missing"] == ["prior-coef"]
    Path("tree/config.py").write_bytes(b"# coding: latin-1\n" + latin)
    assert newtfix_("status")[1]["unreadable"] == {}


@pytest.mark.parametrize("name", ["trainer.py", "tdmpc2.py"])
def test_a_main_file_that_is_gone_is_still_in_the_record(newtfix_: Run, name: str) -> None:
    newtfix_("apply", "seeding", "target-q", "prior-coef", "rho")
    Path("tree", name).unlink()
    assert {"seeding", "rho", "prior-coef"} <= {one for one, state in states(newtfix_).items() if state == "applied"}
    assert newtfix_("revert", "prior-coef")[0] == 0 and newtfix_("apply", "prior-coef")[0] == 0


def test_a_file_that_does_not_parse_blocks_only_what_would_change_it(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "target-q", "rho")
    broken = config() + "def (\n"
    Path("tree/config.py").write_text(broken)
    code, _, err = newtfix_("status", quiet=False)
    assert code == 0 and "config.py: the file is no Python (line " in err
    assert newtfix_("check", "prior-coef")[0] == 1 and newtfix_("check", "target-q")[0] == 0
    assert newtfix_("revert", "target-q")[0] == 0 and newtfix_("apply", "target-q")[0] == 0
    code, _, err = newtfix_("update", quiet=False)
    assert code == 0 and "nothing was written" in err and "it has what" not in err
    code, refused, _ = newtfix_("apply", "prior-coef", "rho")
    assert code == 3 and "prior-coef" in refused["error"] and "config.py" in refused["where"]
    assert newtfix_("revert", "prior-coef")[0] == 3 and config() == broken


def test_a_file_that_no_patch_changed_and_that_does_not_parse(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "rho")
    layers = Path("tree/common/layers.py")
    layers.write_text(layers.read_text() + "def (\n")
    assert newtfix_("revert", "rho")[0] == 0 and newtfix_("apply", "rho")[0] == 0
    assert states(newtfix_)["q-dropout"] == "drifted"
    code, refused, _ = newtfix_("apply", "q-dropout")
    assert code == 3 and "common/layers.py is no Python" in refused["where"]


def test_a_patch_whose_code_was_taken_out_goes_in_again(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef")
    coef = config()
    newtfix_("apply", "target-q", "rho")
    Path("tree/config.py").write_text((SPECIMEN / "config.py").read_text() + "# mine\n")
    assert states(newtfix_)["prior-coef"] == "available" and newtfix_("status")[1]["lost"] == ["prior-coef"]
    code, done, _ = newtfix_("update")
    assert code == 0 and done["written"] == [] and "prior-coef is in the record, but its code" in done["notes"][0]
    code, done, _ = newtfix_("apply", "rho")
    assert code == 0 and "newtfix apply prior-coef --tree tree" in done["notes"][0]
    code, done, _ = newtfix_("diff", "prior-coef")
    assert code == 0 and [one["path"] for one in done["files"]] == ["config.py"]
    code, done, _ = newtfix_("apply", "--all", "--fitting")
    assert code == 0 and not any("prior-coef" in note for note in done["notes"])
    assert config().endswith("# mine\n") and "prior_coef: float = 1.0" in config()
    told = {one["id"]: one["outcome"] for one in done["patches"]}
    assert told["prior-coef"].startswith("applied again") and states(newtfix_)["prior-coef"] == "applied"
    newtfix_("revert", "--all")
    assert config() == (SPECIMEN / "config.py").read_text() + "# mine\n" != coef


def test_half_of_a_patch_taken_out_goes_in_again(newtfix_: Run) -> None:
    newtfix_("apply", "rho", "prior-coef")
    agent = Path("tree/tdmpc2.py")
    patched, pristine = agent.read_text().splitlines(True), (SPECIMEN / "tdmpc2.py").read_text().splitlines(True)
    blocks = SequenceMatcher(None, pristine, patched, autojunk=False).get_opcodes()
    _, first, last, start, stop = next(one for one in blocks if one[0] != "equal")
    agent.write_text("".join([*patched[:start], *pristine[first:last], *patched[stop:]]))
    assert newtfix_("status")[1]["lost"] == ["rho"] and states(newtfix_)["rho"] == "partial"
    assert newtfix_("apply", "rho")[0] == 0 and agent.read_text() == "".join(patched)


def test_a_setting_that_was_tuned_after_its_patch(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "rho")
    tuned = config().replace("prior_coef: float = 1.0", "prior_coef: float = 3.0")
    Path("tree/config.py").write_text(tuned)
    assert newtfix_("check", "prior-coef")[0] == 1
    code, refused, _ = newtfix_("apply", "prior-coef", "target-q")
    assert code == 3 and "prior-coef is in the record, but its code is not in the tree" in refused["where"]
    assert "prior_coef: float = 3.0" in refused["where"] and "newtfix revert prior-coef --tree tree" in refused["hint"]
    code, done, _ = newtfix_("apply", "prior-coef", "target-q", "--fitting")
    assert code == 0 and [one["id"] for one in done["refused"]] == ["prior-coef"] and "target-q" in done["applied"]
    code, _, err = newtfix_("revert", "prior-coef", quiet=False)
    assert code == 0 and "prior-coef: taken out of the record" in err and config() == tuned
    assert newtfix_("apply", "prior-coef")[0] == 0 and config() == tuned  # somebody chose it
    assert newtfix_("revert", "--all")[0] == 0 and config() == tuned


def test_a_tuned_setting_does_not_block_the_way_out(newtfix_: Run) -> None:
    newtfix_("apply", "prior-coef", "rho")
    tuned = config().replace("prior_coef: float = 1.0", "prior_coef: float = 3.0")
    Path("tree/config.py").write_text(tuned)
    assert newtfix_("revert", "--all")[0] == 0
    assert config() == tuned and Path("tree/tdmpc2.py").read_text() == (SPECIMEN / "tdmpc2.py").read_text()


def test_an_edited_patch_that_is_another_now(newtfix_: Run) -> None:
    """Its code is not missing: it is that of the version that was applied."""
    write("mine", ("horizon", "4"))
    newtfix_("apply", "mine", "prior-coef")
    Path("tree/config.py").write_text(config() + "# mine\n")
    write("mine", ("horizon", "5"))
    assert newtfix_("status")[1]["lost"] == []
    assert newtfix_("apply", "mine")[0] == 0 and "horizon: int = 5" in config()


# --- diff and export of what fits -------------------------------------------------------------------------------------


def test_diff_and_export_of_what_fits_and_of_what_is_there_in_part(newtfix_: Run) -> None:
    write("misfit", ("no_such_setting", "1"))
    write("half", ("horizon", "4"), ("num_envs", "7"))
    Path("tree/config.py").write_text(config().replace("horizon: int = 3", "horizon: int = 4"))
    assert newtfix_("diff", "misfit", "half")[0] == newtfix_("export", "out", "misfit", "half")[0] == 3
    code, _, err = newtfix_("diff", "misfit", "half", "--fitting", quiet=False)
    assert code == 0 and "misfit: refused:" in err and "What applying half would change" in err
    code, done, _ = newtfix_("export", "out", "misfit", "half", "--fitting")
    assert code == 0 and done["patches"] == ["half"] and [one["id"] for one in done["refused"]] == ["misfit"]
    assert "num_envs: int = 7" in Path("out/0001-half.patch").read_text()


def test_a_number_of_the_tree_s_own_is_not_what_was_asked_for(newtfix_: Run) -> None:
    """`apply` leaves somebody's choice alone, `scan` and `check` tell it."""
    text = config()
    Path("tree/config.py").write_text(text.replace("prior_coef: float = 10.0", "prior_coef: float = 3.0"))
    assert newtfix_("apply", "prior-coef")[1]["written"] == []
    code, found, _ = newtfix_("check", "prior-coef", "prior-norm")
    assert code == 1 and found["missing"] == ["prior-coef"]
    said = newtfix_("check", "prior-coef", quiet=False)[2]
    assert "prior-coef: the tree's own number, 3; in the reference 1" in said
    Path("tree/config.py").write_text(text.replace("prior_coef: float = 10.0", "prior_coef: float = 1.0"))
    assert newtfix_("check", "prior-coef")[0] == 0


def test_nothing_of_the_kind_is_not_called_done(newtfix_: Run) -> None:
    said = newtfix_("apply", "prior-norm", quiet=False)[2]
    assert "has no code that this is about; nothing was written" in said
