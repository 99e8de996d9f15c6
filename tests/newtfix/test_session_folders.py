"""What a session works on: the tree, the patches that are at hand, and those that are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from onelines import PATCHES, make_tree, patch, want

import newtfix.work.load
from newtfix.errors import NewtfixError, Refused, TreeError, UsageError
from newtfix.files import state
from newtfix.work import places
from newtfix.work.allowed import folders
from newtfix.work.outcome import compute, fitting, plan_for, save
from newtfix.work.places import DEFAULT_TREE, base_tree
from newtfix.work.session import Target, choose, find_target, open_session, required_by, writing
from newtfix.work.settings import configured_patches


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_tree(tmp_path, monkeypatch)


def allow(folder: Path) -> None:
    with state.changing() as known:
        known.trusted[str(folder.resolve())] = state.digest_of(state.contents(folder))


def test_patch_directories_of_the_tree_are_remembered_by_their_path_in_it(tree: Path) -> None:
    (tree / "mine").mkdir()
    target = Target(tree, tree)
    with writing(target, (tree / "mine",)) as session:
        save(session, compute(session, ("c",)))
    tree.rename(tree.with_name("moved"))
    moved = tree.with_name("moved")
    assert open_session(Target(moved, moved)).directories == ()
    allow(moved / "mine")
    session = open_session(Target(moved, moved))
    assert session.directories == ((moved / "mine").resolve(),)
    assert "mine" in session.notes[0]


def test_patch_directories_from_the_settings(tree: Path) -> None:
    (tree.parent / "my_patches").mkdir()
    (tree.parent / "pyproject.toml").write_text('[tool.newtfix]\npatches = ["my_patches"]\n')
    session = open_session(Target(tree, tree))
    assert session.directories == () and "newtfix trust" in session.notes[0]
    allow(tree.parent / "my_patches")
    assert open_session(Target(tree, tree)).directories == (tree.parent / "my_patches",)


@pytest.mark.parametrize("text", ["[tool.newtfix]\npatches = 3\n", "[tool.newtfix]\npatch = []\n", "[tool.newtfix"])
def test_wrong_settings_are_said(tree: Path, text: str) -> None:
    (tree / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError):
        open_session(Target(tree, tree))


def test_a_broken_file_that_says_nothing_of_newtfix_is_no_matter(tree: Path) -> None:
    (tree.parent / "pyproject.toml").write_text("[tool.mine")
    assert open_session(Target(tree, tree)).directories == ()


def test_the_base_tree_is_not_changed_in_place() -> None:
    with pytest.raises(UsageError, match="not changed in place"), writing(Target(base_tree(), base_tree()), ()):
        pass


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TreeError, match="there is no folder x"):
        find_target(Path("x"))
    Path("x").mkdir()
    assert find_target(Path("x")) == Target(Path("x"), Path("x"))
    Path("file.py").touch()
    with pytest.raises(TreeError, match=r"file\.py is a file, not a folder"):
        find_target(Path("file.py"))
    assert find_target(None) == Target(base_tree(), DEFAULT_TREE, new=True)
    DEFAULT_TREE.mkdir()
    assert find_target(None) == Target(DEFAULT_TREE, DEFAULT_TREE)


def test_what_newtfix_ships_is_in_the_package_or_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "newtfix"
    monkeypatch.setattr(places, "_PACKAGE", package)
    (tmp_path / "patches").mkdir()
    with pytest.raises(NewtfixError, match="this installation of newtfix lacks its folder patches"):
        places.builtin_patches()  # of somebody else, for there is no checkout here
    (tmp_path / "pyproject.toml").touch()
    assert places.builtin_patches() == tmp_path / "patches"
    (package / "_data/patches").mkdir(parents=True)
    assert places.builtin_patches() == package / "_data/patches"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tool = 3", None),
        ("[tool]\nnewtfix = 3", "[tool.newtfix] is not a table"),
        ("[tool.newtfix]\npatches = [3]", "patches is not a list of folders"),
    ],
)
def test_settings_of_a_tree_that_are_none(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    if said is None:
        assert configured_patches(tmp_path) == ()
    else:
        with pytest.raises(UsageError) as caught:
            configured_patches(tmp_path)
        assert said in caught.value.message


def test_a_folder_of_patches_that_is_gone_is_said(tmp_path: Path) -> None:
    found = folders((), {"the record": [tmp_path / "gone"]})
    assert found.used == ()
    assert found.notes[0].endswith("gone are not used: the record names this folder, and there is no such folder.")


def test_choosing() -> None:
    assert choose(["d_e", "a"], False, PATCHES) == ("a", "d-e")
    assert choose([], True, PATCHES) == tuple(PATCHES)
    with pytest.raises(UsageError, match="'d-f'") as caught:
        choose(["d-f"], False, PATCHES)
    assert caught.value.hint == "Did you mean d-e? The patches: a, b, c, d-e"


def test_requirements_reach_through_others() -> None:
    patches = {"a": patch("a"), "b": patch("b", "a"), "c": patch("c", "b")}
    assert required_by("a", ["a", "b", "c"], patches) == ("b", "c")


def test_a_patch_of_the_record_that_is_not_at_hand_is_named_by_whatever_needs_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(tree, "a")
    monkeypatch.setattr(newtfix.work.load, "load_patches", lambda *_: {"c": PATCHES["c"]})
    session = open_session(Target(tree, tree))
    for ask in (
        lambda: fitting(session, ("c",)),
        lambda: compute(session, ("a", "c")),
        lambda: plan_for(session, ("a",)),
    ):
        with pytest.raises(Refused, match="not among the known patches: a"):
            ask()
