"""The commands as a person types them, on a copy of newt_base with the built-in patches."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import Run, files, process

from newtfix.work.places import base_tree, builtin_patches


def builtin_names() -> list[str]:
    """The files that are patches, those with probes left out."""
    stems = {path.stem for path in builtin_patches().glob("[!_]*.py")}
    beside = {f"{stem}_probe" for stem in stems}
    return sorted(stem.replace("_", "-") for stem in stems - beside)


def test_version_and_help(newtfix: Run) -> None:
    assert newtfix("--version").out.startswith("newtfix 0.")
    assert "revert" in newtfix("--help").out
    assert newtfix("frobnicate").code == 2


def test_list(newtfix: Run) -> None:
    names = set(builtin_names())
    listed = newtfix("list", "--json").json
    assert listed["schema"] == 1
    assert {one["id"] for one in listed["patches"]} == names
    assert names <= set(newtfix("list").out.split())


def test_show(newtfix: Run) -> None:
    shown = newtfix("show", "mu_std").out
    assert shown.startswith("# mu-std: ") and "## Claim" in shown and "```diff" in shown
    assert "requires [planner-stats](planner-stats.md)" in shown
    assert newtfix("show", "mu-std", "--json").json["edits"][0]["role"] == "trainer"


def test_a_patch_that_does_not_exist(newtfix: Run) -> None:
    wrong = newtfix("apply", "mu-stdd")
    assert wrong.code == 2 and "Did you mean mu-std?" in wrong.err and "seeding" in wrong.err
    as_json = newtfix("apply", "mu-stdd", "--json")
    assert as_json.code == 2 and as_json.json["exit_code"] == 2 and as_json.json["schema"] == 1 and as_json.err == ""


def test_nothing_named(newtfix: Run) -> None:
    assert newtfix("apply").code == 2
    assert newtfix("revert").code == 2


def test_the_first_apply_copies_the_base(newtfix: Run, tmp_path: Path) -> None:
    base = files(base_tree())
    done = newtfix("apply", "mu-std")
    assert done.code == 0 and done.out == "" and "mu-std: applied" in done.err and "newt_patched is new" in done.err
    patched = files(tmp_path / "newt_patched")
    assert {path for path in base if patched[path] != base[path]} >= {"trainer.py"}
    assert base == files(base_tree())
    assert [path.name for path in tmp_path.iterdir()] == ["newt_patched"]
    again = newtfix("apply", "mu-std")
    assert again.code == 0 and "mu-std: already applied" in again.err
    assert files(tmp_path / "newt_patched") == patched


def test_apply_all_check_and_revert_all(newtfix: Run, tmp_path: Path) -> None:
    tree = tmp_path / "mine"
    shutil.copytree(base_tree(), tree)
    before = files(tree)
    assert newtfix("check", "--all", "--tree", "mine").code == 1
    assert newtfix("apply", "--all", "--tree", "mine").code == 0
    assert newtfix("check", "--tree", "mine", "--json").json["ok"]
    state = {one["id"]: one for one in newtfix("status", "--tree", "mine", "--json").json["patches"]}
    assert state["seeding"]["state"] == "applied" and state["seeding"]["places"][0]["file"] == "trainer.py"
    assert newtfix("revert", "--all", "--tree", "mine").code == 0
    assert files(tree) == before


def test_a_patched_tree_without_its_record(newtfix: Run) -> None:
    newtfix("apply", "--all")
    shutil.rmtree("newt_patched/.newtfix")
    assert newtfix("check", "--all").code == 0
    again = newtfix("apply", "--all", "--json").json
    assert again["written"] == []
    refused = newtfix("revert", "--all")
    assert refused.code == 3 and "git revert" in refused.err


DRAW = random.Random(3)
NAMES = [name for name in builtin_names() if name != "planner-stats"]  # which newt_base has already
SUBSETS = [
    [name for name in NAMES if DRAW.random() < 0.5]
    for _ in range(6 if os.environ.get("NEWTFIX_THOROUGH") == "1" else 3)
]


@pytest.mark.parametrize("ids", SUBSETS, ids=lambda ids: f"{len(ids)} patches")
def test_on_then_off_restores_every_byte(newtfix: Run, tmp_path: Path, ids: list[str]) -> None:
    """In and out, all at once and one by one, in another order than that of the list."""
    shutil.copytree(base_tree(), tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    before = files(tmp_path / "own")
    DRAW.shuffle(ids)
    assert newtfix("apply", *ids, "--tree", "own").code == 0
    changed = {name: text for name, text in files(tmp_path / "own").items() if not name.startswith(".newtfix")}
    assert changed.keys() == before.keys() and changed != before
    for name in ids[:3]:
        assert newtfix("revert", name, "--tree", "own").code == 0
        assert newtfix("apply", *ids, "--tree", "own").code == 0
        assert {n: t for n, t in files(tmp_path / "own").items() if not n.startswith(".newtfix")} == changed
    assert newtfix("revert", "--all", "--tree", "own").code == 0
    assert files(tmp_path / "own") == before


def test_revert_one(newtfix: Run) -> None:
    newtfix("apply", "seeding", "prior-norm")
    done = newtfix("revert", "prior_norm", "--json").json
    assert done["reverted"] == ["prior-norm"] and done["applied"] == ["seeding"]
    assert newtfix("check", "prior-norm").code == 1
    refused = newtfix("revert", "prior-norm")
    assert refused.code == 3 and "was not applied" in refused.err


def test_revert_of_what_another_patch_requires(newtfix: Run, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/needy.py").write_text(
        '"""A patch that requires another."""\n'
        "from newtfix.model import Add, Patch, Severity\n"
        'ADD = Add(id="mark", role="trainer", scope="", code="NEEDY = True")\n'
        'PATCH = Patch(title="[needs] seeding", severity=Severity.MINOR, edits=(ADD,), requires=("seeding",))\n'
    )
    assert "needy: applied" in newtfix("apply", "needy", "--patches", "more").err
    assert newtfix("trust", "more").code == 0
    refused = newtfix("revert", "seeding")
    assert refused.code == 3 and "required by needy" in refused.err
    assert newtfix("revert", "needy").code == 0
    assert not Path("newt_patched/.newtfix").exists()


def test_nothing_to_revert(newtfix: Run) -> None:
    refused = newtfix("revert", "--all")
    assert refused.code == 3 and "no newt_patched" in refused.err


def test_diff_before_and_after(newtfix: Run, tmp_path: Path) -> None:
    would = newtfix("diff")
    assert "Nothing is applied" in would.err and would.out.startswith("--- a/")
    newtfix("apply", "--all")
    now = newtfix("diff")
    assert now.out == would.out and "carries now" in now.err
    shutil.copytree(base_tree(), tmp_path / "copy")
    subprocess.run(["git", "apply"], input=now.out, text=True, cwd=tmp_path / "copy", check=True)
    assert files(tmp_path / "copy") == {
        path: content for path, content in files(Path("newt_patched")).items() if not path.startswith(".newtfix")
    }
    assert newtfix("diff", "--all").out == ""
    assert newtfix("diff", "--stat").out.splitlines()[-1].endswith("deletions(-)")
    assert {one["path"] for one in newtfix("diff", "--json").json["files"]} >= {"trainer.py"}


def test_diff_writes_nothing(newtfix: Run, tmp_path: Path) -> None:
    newtfix("diff", "seeding")
    newtfix("status")
    assert list(tmp_path.iterdir()) == []


def test_an_edit_by_hand(newtfix: Run) -> None:
    newtfix("apply", "seeding")
    trainer = Path("newt_patched/trainer.py")
    with trainer.open("a") as file:
        file.write("# mine\n")
    assert "+# mine" in newtfix("diff").out
    assert "edits of your own: trainer.py" in newtfix("status").err
    more = newtfix("apply", "burst")
    assert more.code == 0 and "Your edits in trainer.py are kept" in more.err
    trainer.write_text(trainer.read_text().replace("self._seed_steps", "self._my_steps"))
    before = trainer.read_bytes()
    refused = newtfix("revert", "seeding")
    assert refused.code == 3 and "your edit has:" in refused.err and "_my_steps" in refused.err
    assert trainer.read_bytes() == before
    trainer.write_text(trainer.read_text().replace("self._my_steps", "self._seed_steps"))
    out = newtfix("revert", "--all")
    assert out.code == 0 and "but for your edits in trainer.py" in out.err
    assert trainer.read_bytes() == (base_tree() / "trainer.py").read_bytes() + b"# mine\n"


def test_a_patch_that_does_not_fit_leaves_nothing(newtfix: Run, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/misfit.py").write_text(
        "from newtfix.model import Edit, Patch, Severity, Shape\n"
        'EDIT = Edit(id="x", role="trainer", scope="Trainer", shapes=(Shape("nowhere(1)", "nowhere(2)", count=3),))\n'
        'SEE = Edit(id="y", role="trainer", scope="Trainer", shapes=(Shape("self._tds", "self._tds + 0"),))\n'
        'PATCH = Patch(title="does not fit", severity=Severity.MINOR, edits=(EDIT, SEE))\n'
    )
    refused = newtfix("apply", "seeding", "misfit", "--patches", "more")
    assert refused.code == 3 and "misfit" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["more"]


@pytest.mark.parametrize("command", ["diff", "status", "check", "apply", "revert"])
def test_a_tree_that_is_not_there(newtfix: Run, command: str) -> None:
    everything = ["--all"] if command != "status" else []
    missing = newtfix(command, *everything, "--tree", "nope")
    assert missing.code == 4 and "no folder nope" in missing.err
    assert not Path("nope").exists()


def test_a_folder_without_a_tree(newtfix: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert newtfix("status", "--tree", "empty").code == 4
    assert newtfix("apply", "--all", "--tree", "empty").code == 4
    assert list((tmp_path / "empty").iterdir()) == []


def test_diff_as_a_picture(newtfix: Run, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(base_tree(), tree)
    process("apply", "seeding", "--tree", "tree", cwd=tmp_path)
    with (tree / "trainer.py").open("a") as file:
        file.write("x = [task][/x] < 1 & 2  # [bold] \x0c\x01\t.\n")
    plain = newtfix("diff", "--tree", "tree")
    drawn = newtfix("diff", "--tree", "tree", "--svg", "diff.svg")
    assert drawn == plain
    picture = (tmp_path / "diff.svg").read_text("utf-8")
    shown = [unescape(text).replace("\xa0", " ") for text in re.findall(r"<text[^>]*>(.*?)</text>", picture)]
    assert any("x = [task][/x] < 1 & 2  # [bold]" in line for line in shown)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "font-face" not in picture and "cdn" not in picture
    assert newtfix("diff", "--tree", "tree", "--svg", "diff.svg").code == 0
    assert (tmp_path / "diff.svg").read_text("utf-8") == picture


def test_a_picture_of_no_difference_and_one_that_cannot_be_written(newtfix: Run, tmp_path: Path) -> None:
    newtfix("apply", "--all")
    assert newtfix("diff", "--all", "--svg", "diff.svg").out == ""
    assert "no&#160;difference" in (tmp_path / "diff.svg").read_text("utf-8")
    refused = newtfix("diff", "--svg", "nowhere/diff.svg")
    assert refused.code == 2 and "nowhere/diff.svg" in refused.err and refused.out == ""


def test_suggested_commands_name_the_tree(newtfix: Run, tmp_path: Path) -> None:
    shutil.copytree(base_tree(), tmp_path / "my tree", ignore=shutil.ignore_patterns("__pycache__"))
    assert "`newtfix diff --tree 'my tree'`" in newtfix("apply", "burst", "--tree", "my tree").err
    assert "`newtfix diff`" in newtfix("apply", "burst").err


def test_a_folder_that_is_a_tree_itself_is_pointed_out(
    newtfix: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base_tree(), tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "own")
    assert "say --tree ." in newtfix("diff", "--all").err
    assert "say --tree ." not in newtfix("diff", "--all", "--tree", ".").err


# --- ends and errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["apply", "rho", "--bogus", "--json"], "--bogus"),
        (["--json", "frobnicate"], "--json"),
        (["export", "--json"], "DIR"),
        (["parity", "x.npz", "--tol", "much", "--json"], "--tol"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_as_json_where_that_is_asked_for(
    newtfix: Run, arguments: list[str], said: str
) -> None:
    wrong = newtfix(*arguments)
    assert wrong.code == wrong.json["exit_code"] == 2 and wrong.err == ""
    assert said in wrong.json["error"] and "--help" in wrong.json["hint"]


def test_without_json_a_wrong_command_line_is_told_in_words(newtfix: Run) -> None:
    wrong = newtfix("apply", "rho", "--bogus")
    assert wrong.code == 2 and wrong.out == "" and "Usage:" in wrong.err
    assert newtfix("--help").code == newtfix("list", "--json").code == newtfix("status", "--json", "--help").code == 0
