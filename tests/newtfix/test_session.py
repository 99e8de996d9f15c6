"""Sets of patches on a tree, with an engine of one line: a patch `x` turns the line `x` of its file into `X`."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from onelines import FILES, PATCHES, REST, fake_plan, make_tree, want

import newtfix.plan.engine
import newtfix.work.load
from newtfix.errors import Refused, TreeError
from newtfix.files.ledger import LEDGER
from newtfix.model import Plan, State
from newtfix.work.outcome import compute, one_by_one, save
from newtfix.work.session import (
    Target,
    open_session,
    reports,
    writing,
)

PATCHED = b"\xef\xbb\xbfA\r\nB\r\n" + REST


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_tree(tmp_path, monkeypatch)


def edit(root: Path, old: bytes, new: bytes) -> None:
    text = (root / "trainer.py").read_bytes()
    assert text.count(old) == 1
    (root / "trainer.py").write_bytes(text.replace(old, new))


def contents(root: Path) -> dict[str, bytes]:
    return {path: (root / path).read_bytes() for path in FILES}


def test_apply_writes_only_what_changes(tree: Path) -> None:
    assert want(tree, "b") == ("trainer.py",)
    assert contents(tree) == FILES | {"trainer.py": PATCHED}
    session = open_session(Target(tree, tree))
    assert session.applied == ("a", "b") and session.requested == ("b",)


@pytest.mark.parametrize("way", [("a", "b", "c"), ("c", "b", "a"), ("b", "c")])
def test_order_does_not_matter(tree: Path, way: tuple[str, ...]) -> None:
    for number in range(len(way)):
        want(tree, *way[: number + 1])
    assert contents(tree)["trainer.py"] == PATCHED
    assert contents(tree)["common/math.py"] == b"C\nno_newline"


def test_everything_out_restores_bytes_and_modes_and_leaves_no_trace(tree: Path) -> None:
    want(tree, "b", "c")
    want(tree)
    assert contents(tree) == FILES
    assert stat.S_IMODE((tree / "trainer.py").stat().st_mode) == 0o750
    assert {path.name for path in tree.iterdir()} == {"trainer.py", "common", "other.py"}


def test_what_was_pulled_in_goes_with_who_asked_for_it(tree: Path) -> None:
    want(tree, "b", "c")
    want(tree, "c")
    assert contents(tree)["trainer.py"] == FILES["trainer.py"]
    assert open_session(Target(tree, tree)).applied == ("c",)


def test_twice_writes_nothing(tree: Path) -> None:
    want(tree, "b")
    assert want(tree, "b") == ()


def test_what_the_code_has_already_leaves_no_record(tree: Path) -> None:
    (tree / "common/math.py").write_bytes(b"C\n")
    assert want(tree, "c") == ()
    assert not (tree / ".newtfix").exists()


def test_an_edit_by_hand_stays_when_patches_come_and_go(tree: Path) -> None:
    want(tree, "a")
    edit(tree, b"2\r\n", b"2\r\n# mine")
    assert want(tree, "a", "b") == ("trainer.py",)
    assert contents(tree)["trainer.py"] == PATCHED + b"# mine"
    edit(tree, b"1\r\n", b"")
    assert want(tree, "a", "b", "c") == ("common/math.py",)
    assert want(tree, "c") == ("trainer.py",)
    assert want(tree) == ("common/math.py",)
    assert contents(tree) == FILES | {"trainer.py": b"\xef\xbb\xbfa\r\nb\r\n0\r\n2\r\n# mine"}
    assert not (tree / ".newtfix").exists()


def test_an_edit_that_conflicts_is_refused_and_kept(tree: Path) -> None:
    want(tree, "b", "c")
    edit(tree, b"B\r\n", b"B2\r\n")
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(Refused, match=r"conflict with the patches in trainer\.py") as caught:
        want(tree, "c")
    assert caught.value.exit_code == 3 and ".newtfix/generated" in caught.value.hint
    assert caught.value.where.splitlines()[0] == "trainer.py:1"
    assert "  | b" in caught.value.where and "  | B2" in caught.value.where
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_who_takes_an_edit_out_again_has_the_patches_alone(tree: Path) -> None:
    want(tree, "a")
    edit(tree, b"2\r\n", b"2\r\n# mine")
    want(tree, "b")
    edit(tree, b"2\r\n# mine", b"2\r\n")
    assert open_session(Target(tree, tree)).edited == ()
    want(tree)
    assert contents(tree) == FILES


def test_an_edit_that_takes_a_patch_out_is_told(tree: Path) -> None:
    want(tree, "b")
    edit(tree, b"B", b"b")
    with writing(Target(tree, tree), ()) as session:
        outcome = compute(session, ("b",))
    assert len(outcome.notes) == 1 and outcome.notes[0].startswith("b is in the record, but its code")
    assert outcome.after == {}


def test_a_deleted_file_is_missed_only_where_it_would_change(tree: Path) -> None:
    want(tree, "b")
    (tree / "trainer.py").unlink()
    assert open_session(Target(tree, tree)).edited == ("trainer.py",)
    with pytest.raises(Refused, match=r"trainer\.py was deleted since") as caught:
        want(tree)
    assert (tree / ".newtfix/generated/trainer.py").read_bytes() == PATCHED
    assert ".newtfix/generated/trainer.py" in caught.value.hint


def test_a_tree_that_git_took_back_starts_anew(tree: Path) -> None:
    """As after `git stash`, or on another branch: the record is there, the patches are not."""
    want(tree, "b")
    (tree / "trainer.py").write_bytes(FILES["trainer.py"])
    session = open_session(Target(tree, tree))
    assert session.applied == () and session.stale == ("a", "b") and "does not fit these files" in session.notes[0]
    want(tree, "a")
    assert contents(tree)["trainer.py"] == FILES["trainer.py"].replace(b"a", b"A")
    (tree / "trainer.py").write_bytes(FILES["trainer.py"])
    assert open_session(Target(tree, tree)).stale == ("a", "b")


def test_the_record_comes_back_with_the_files(tree: Path) -> None:
    want(tree, "b", "c")
    here = contents(tree)
    for path, content in FILES.items():
        (tree / path).write_bytes(content)
    want(tree, "a")
    for path, content in here.items():
        (tree / path).write_bytes(content + b"# mine\n" * (path == "trainer.py"))
    session = open_session(Target(tree, tree))
    assert session.applied == ("a", "b", "c") and not session.stale and session.edited == ("trainer.py",)
    assert (tree / LEDGER).read_text().count('"b"') == 0, "reading changes nothing"
    want(tree, "b")
    assert contents(tree) == FILES | {"trainer.py": PATCHED + b"# mine\n"}
    want(tree)
    assert contents(tree) == FILES | {"trainer.py": FILES["trainer.py"] + b"# mine\n"}
    (tree / "trainer.py").write_bytes(FILES["trainer.py"].replace(b"a", b"A"))
    assert open_session(Target(tree, tree)).applied == ("a",)
    want(tree)
    assert not (tree / ".newtfix").exists()


def test_an_edited_record_is_not_given_up_for_a_smaller_one(tree: Path) -> None:
    want(tree, "c")
    (tree / "common/math.py").write_bytes(FILES["common/math.py"])
    want(tree, "a", "c")
    assert len(list((tree / ".newtfix/aside").iterdir())) == 1
    edit(tree, b"2\r\n", b"2\r\n# mine")
    assert open_session(Target(tree, tree)).applied == ("a", "c")
    want(tree)
    assert contents(tree) == FILES | {"trainer.py": FILES["trainer.py"] + b"# mine"}


def test_the_same_patches_again_leave_one_record(tree: Path) -> None:
    for _ in range(3):
        want(tree, "a")
        (tree / "trainer.py").write_bytes(FILES["trainer.py"])
    want(tree, "a")
    want(tree)
    assert contents(tree) == FILES and not (tree / ".newtfix").exists()


def test_a_record_aside_that_cannot_be_read_is_left_alone(tree: Path) -> None:
    want(tree, "a")
    (tree / "trainer.py").write_bytes(FILES["trainer.py"])
    want(tree, "c")
    (aside,) = (tree / ".newtfix/aside").glob("*/ledger.json")
    aside.write_text("{")
    want(tree)
    assert aside.read_text() == "{" and (tree / ".newtfix/.gitignore").is_file()


def old_record(tree: Path) -> None:
    """The record as it was before it kept what was generated."""
    shutil.rmtree(tree / ".newtfix/generated")
    ledger = json.loads((tree / LEDGER).read_text())
    for entry in ledger["files"].values():
        entry["written"] = entry.pop("generated")
    (tree / LEDGER).write_text(json.dumps({**ledger, "schema": 1}))


def test_an_older_record_is_read_and_what_it_lacks_is_made_again(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want(tree, "a")
    old_record(tree)
    edit(tree, b"2\r\n", b"2\r\n# mine")
    want(tree, "b")
    assert contents(tree)["trainer.py"] == PATCHED + b"# mine"
    old_record(tree)
    monkeypatch.setattr(
        newtfix.plan.engine, "plan", lambda *a, **k: fake_plan(*a, **k) if "b" not in a[1] else misfit()
    )
    with pytest.raises(Refused, match="does not say what it was then"):
        want(tree, "c")
    edit(tree, b"# mine", b"")
    want(tree, "c")
    assert contents(tree)["trainer.py"] == FILES["trainer.py"]


def misfit() -> Plan:
    raise Refused("this version of b does not fit")


def test_patches_one_at_a_time_end_where_all_at_once_do(tree: Path) -> None:
    want(tree, "c")
    edit(tree, b"2\r\n", b"2\r\n# mine")
    with writing(Target(tree, tree), ()) as session:
        outcome = compute(session, ("b", "c"))
        way = list(one_by_one(session, outcome))
        assert [name for name, _ in way] == ["a", "b"]
        save(session, way[0][1])
        assert contents(tree)["trainer.py"] == FILES["trainer.py"].replace(b"a", b"A") + b"# mine"
        assert open_session(Target(tree, tree), held=True).applied == ("a", "c")
        save(session, way[1][1])
    session = open_session(Target(tree, tree))
    assert contents(tree)["trainer.py"] == PATCHED + b"# mine" and session.requested == ("b", "c")


def test_an_edit_elsewhere_does_not_matter(tree: Path) -> None:
    want(tree, "b")
    (tree / "common/math.py").write_bytes(b"# mine\nc\n")
    want(tree, "b", "c")
    assert (tree / "common/math.py").read_bytes() == b"# mine\nC\n"
    want(tree)
    assert (tree / "common/math.py").read_bytes() == b"# mine\nc\n"


def test_a_file_that_is_not_utf8_is_refused_only_where_it_would_be_written(tree: Path) -> None:
    want(tree, "b")
    with pytest.raises(TreeError, match=r"not UTF-8, and to be edited: other\.py"):
        want(tree, "b", "d-e")
    assert open_session(Target(tree, tree)).applied == ("a", "b")


def test_all_comes_out_without_the_patches_that_went_in(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want(tree, "b", "c")
    monkeypatch.setattr(newtfix.work.load, "load_patches", lambda *_: {"a": PATCHES["a"]})
    with pytest.raises(Refused, match="not among the known patches: c"):
        want(tree, "c")
    want(tree)
    assert contents(tree) == FILES


def test_the_record_counts_until_somebody_edits(tree: Path) -> None:
    want(tree, "c")
    assert reports(open_session(Target(tree, tree)), ["c"])["c"].state is State.APPLIED
    (tree / "common/math.py").write_bytes(b"c\nagain\n")
    assert reports(open_session(Target(tree, tree)), ["c"])["c"].state is State.AVAILABLE


def test_a_refused_run_leaves_no_folder_behind(tree: Path) -> None:
    with pytest.raises(TreeError):
        want(tree, "d-e")
    assert not (tree / ".newtfix").exists()
