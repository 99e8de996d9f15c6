"""What `status`, `verify`, `update` and `apply --commit` say of trees in all states, with an engine that is faked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Run

from newtfix.commands import apply, status, update
from newtfix.errors import Refused, TreeError
from newtfix.files.git import Repository
from newtfix.model import Observation, judged, unseen
from newtfix.verify import launch
from newtfix.verify.launch import Seen
from newtfix.work import load, session
from tests.newtfix import toy


@pytest.fixture
def tree(tmp_path: Path, newtfix: Run) -> Iterator[Path]:
    with toy.faked():
        yield toy.make(tmp_path / "tree")


def edit(tree: Path, file: str, old: str, new: str) -> None:
    text = (tree / file).read_text()
    assert text.count(old) == 1
    (tree / file).write_text(text.replace(old, new))


def test_code_that_is_gone_is_named_with_both_ways_out(tree: Path, newtfix: Run) -> None:
    toy.want(tree, "a", "b")
    edit(tree, "trainer.py", "a += 1", "a = 1")
    said = newtfix("status", "--tree", "tree").err
    assert "tree: 1 patch applied by newtfix." in said
    assert "With edits of your own: trainer.py; so the states come from the code." in said
    assert "In the record, but their code is not in the tree any more, or not whole: a." in said
    assert "newtfix apply a --tree tree" in said and "newtfix revert a --tree tree" in said


def test_a_patch_that_is_applied_and_not_known_here_is_named(tree: Path, newtfix: Run) -> None:
    toy.want(tree, "a", "c")
    with pytest.MonkeyPatch.context() as others:
        others.setattr(load, "load_patches", lambda *_: {"a": toy.PATCHES["a"]})
        said = newtfix("status", "--tree", "tree").err
    assert "Applied, but not among the known patches: c. Name them with --patches DIR." in said


def test_where_nothing_can_be_looked_at_the_record_is_told(
    tree: Path, newtfix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*_: object) -> None:
        raise TreeError("nothing here can be read", where="in trainer.py")

    monkeypatch.setattr(status, "reports", blind)
    assert newtfix("status", "--tree", "tree").err == "newtfix: nothing here can be read\n  in trainer.py\n"
    toy.want(tree, "a", "c")
    refused = newtfix("status", "--tree", "tree")
    assert refused.code == 4
    assert "in trainer.py\n  The record: newtfix applied a, c, in common/math.py, trainer.py." in refused.err


def test_what_can_be_reverted_is_to_be_seen_in_the_tree_that_was_named(tree: Path, newtfix: Run) -> None:
    named = tree.rename(tree.parent / "$x")
    assert f"`newtfix status --tree '{named}'`" in newtfix("revert", "--tree", named).err


def test_there_is_nothing_to_update_before_the_first_apply(tree: Path, newtfix: Run) -> None:
    refused = newtfix("update")
    assert refused.code == 3 and "there is no newt_patched here, so nothing to update" in refused.err


def test_an_update_may_be_over_edits_that_are_not_committed(
    tree: Path, newtfix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dirty(*_: object) -> None:
        raise Refused("uncommitted edits")

    toy.want(tree, "a")
    monkeypatch.setattr(toy.ENGINE, "mark", "-=")
    monkeypatch.setattr(update, "must_be_clean", dirty)
    assert newtfix("update", "--tree", "tree").code == 3
    assert toy.sources(tree) == toy.made_by("a")
    assert newtfix("update", "--tree", "tree", "--allow-dirty").code == 0
    assert toy.sources(tree) == toy.made_by("a", mark="-=")


def test_commits_of_patches_that_are_there_or_go_nowhere(
    tree: Path, newtfix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    repository = Repository(tree, tree, "")
    monkeypatch.setattr(apply, "must_take_commits", lambda *_: repository)
    monkeypatch.setattr(apply, "commit", lambda _, paths, words: made.append(words.splitlines()[0]) or "0123abc")
    monkeypatch.setattr(apply, "not_committed", lambda *_: "")
    base = toy.make(tree.with_name("base"))
    monkeypatch.setattr(session, "base_tree", lambda: base)
    refused = newtfix("apply", "a", "--commit")
    assert refused.code == 3 and "newt_patched would be new, so there is nothing to commit to" in refused.err
    assert newtfix("apply", "a", "--commit", "--tree", "tree").code == 0
    assert len(made) == 1
    again = newtfix("apply", "a", "--commit", "--tree", "tree")
    assert again.code == 0 and "already applied" in again.err and len(made) == 1


# --- verify -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Observation]:
    """What is observed of each patch; of the others it is as it should be."""
    found: dict[str, Observation] = {}

    def observe(_: object, patches: dict[str, object]) -> Seen:
        told = [replace(found.get(name, judged("x", "1", "1")), patch=name) for name in patches]
        return Seen(tuple(told), ("a note",), ("torchrl is not installed: pip install torchrl",))

    monkeypatch.setattr(launch, "observe", observe)
    return found


def test_what_is_verified_counts_as_far_as_it_was_asked_for_or_applied(
    tree: Path, newtfix: Run, seen: dict[str, Observation]
) -> None:
    seen["b"] = judged("x", "1", "2", "2")
    every = newtfix("verify", "--tree", "tree")
    assert every.code == 1 and "runs the code of" in every.err and "a note\n" in every.err
    assert every.err.endswith("2 of 3 patches behave as they should.\nb: the discrepancy\n")
    toy.want(tree, "a")
    own = newtfix("verify", "--tree", "tree")
    assert own.code == 0 and "runs the code of" not in own.err
    assert "1 of 1 patches behave as they should. 2 that newtfix did not apply do not count" in own.err
    told = newtfix("verify", "b", "--tree", "tree", "--json")
    assert (told.code, told.json["ok"], told.json["failing"]) == (1, False, ["b"])
    assert [one["observed"] for one in told.json["patches"][0]["observations"]] == ["2"]
    assert "a note" in told.json["notes"]


def test_what_keeps_several_patches_from_being_observed_is_said_once(
    tree: Path, newtfix: Run, seen: dict[str, Observation]
) -> None:
    seen |= {"a": unseen("no trainer"), "b": unseen("no trainer"), "c": unseen("no agent")}
    said = newtfix("verify", "--tree", "tree")
    assert "not observed of a, b: no trainer\n" in said.err and "no trainer" not in said.out
    assert "no agent" in said.out
    seen |= dict.fromkeys("abc", unseen("torchrl is not installed"))
    said = newtfix("verify", "--tree", "tree")
    assert said.out == "" and said.err.count("torchrl is not installed") == 1
