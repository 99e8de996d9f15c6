"""Three-way merges keep both sides' changes, as git merges them, or say what conflicts."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newtfix.errors import Refused
from newtfix.files.merge import Conflict, merge, merge_files
from newtfix.files.tree import read_tree
from newtfix.plan.engine import plan
from newtfix.work.load import load_patches
from newtfix.work.places import base_tree, builtin_patches

BASE = b"import os\n\n\ndef run():\n    x = 1\n    y = 2\n    z = 3\n    return x\n"


def changed(old: bytes, new: bytes) -> bytes:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        pytest.param(BASE, changed(b"z = 3", b"z = 4"), changed(b"z = 3", b"z = 4"), id="we changed nothing"),
        pytest.param(changed(b"z = 3", b"z = 4"), BASE, changed(b"z = 3", b"z = 4"), id="they changed nothing"),
        pytest.param(
            changed(b"x = 1", b"x = 5"),
            changed(b"z = 3\n", b"z = 3\n    w = 4\n"),
            b"import os\n\n\ndef run():\n    x = 5\n    y = 2\n    z = 3\n    w = 4\n    return x\n",
            id="lines apart",
        ),
        pytest.param(changed(b"x = 1", b"x = 5"), changed(b"x = 1", b"x = 5"), changed(b"x = 1", b"x = 5"), id="same"),
        pytest.param(
            changed(b"x = 1", b"x = 5"),
            changed(b"x = 1", b"x = 5").replace(b"return x", b"return y"),
            changed(b"x = 1", b"x = 5").replace(b"return x", b"return y"),
            id="same here, different elsewhere",
        ),
        pytest.param(
            changed(b"    z = 3\n", b""),
            BASE.removeprefix(b"import os\n"),
            BASE.removeprefix(b"import os\n").replace(b"    z = 3\n", b""),
            id="lines gone on both sides",
        ),
        pytest.param(
            changed(b"x = 1", b"x = 5"), BASE[:-1], changed(b"x = 1", b"x = 5")[:-1], id="no newline at the end"
        ),
        pytest.param(
            changed(b"x = 1", b"x = 5"),
            changed(b"return x", b"return y").replace(b"\n", b"\r\n"),
            changed(b"x = 1", b"x = 5").replace(b"return x", b"return y").replace(b"\n", b"\r\n"),
            id="an editor changed all line ends",
        ),
        pytest.param(
            b"\xef\xbb\xbf" + changed(b"x = 1", b"x = 5"),
            changed(b"return x", b"return y"),
            b"\xef\xbb\xbf" + changed(b"x = 1", b"x = 5").replace(b"return x", b"return y"),
            id="a byte order mark is part of the first line",
        ),
    ],
)
def test_both_sides_are_kept(ours: bytes, theirs: bytes, both: bytes) -> None:
    assert merge(BASE, ours, theirs) == both


@pytest.mark.parametrize(
    ("ours", "theirs", "conflict"),
    [
        pytest.param(
            changed(b"x = 1", b"x = 5"),
            b"# mine\n" + changed(b"x = 1", b"x = 6"),
            Conflict(6, b"    x = 5\n", b"    x = 6\n"),
            id="the same line",
        ),
        pytest.param(
            changed(b"x = 1", b"x = 5"),
            changed(b"y = 2", b"y = 6"),
            Conflict(5, b"    x = 5\n    y = 2\n", b"    x = 1\n    y = 6\n"),
            id="lines that touch",
        ),
        pytest.param(
            changed(b"    z = 3\n", b""),
            changed(b"z = 3", b"z = 4"),
            Conflict(7, b"", b"    z = 4\n"),
            id="a line that is to go",
        ),
        pytest.param(
            changed(b"    z = 3\n", b""),
            changed(b"z = 3\n", b"z = 3\n    w = z\n"),
            Conflict(7, b"", b"    z = 3\n    w = z\n"),
            id="a line behind one that is to go",
        ),
        pytest.param(
            changed(b"z = 3\n", b"z = 3\n    a = 1\n"),
            changed(b"z = 3\n", b"z = 3\n    b = 1\n"),
            Conflict(8, b"    a = 1\n", b"    b = 1\n"),
            id="two insertions in one place",
        ),
    ],
)
def test_what_conflicts(ours: bytes, theirs: bytes, conflict: Conflict) -> None:
    assert merge(BASE, ours, theirs) == (conflict,)


LINES = st.lists(st.sampled_from("abcd"), max_size=8).map(lambda lines: "".join(f"{x}\n" for x in lines).encode())


@settings(max_examples=200, deadline=None)
@given(LINES, LINES, LINES)
def test_sides_can_be_swapped_and_one_side_alone_wins(base: bytes, ours: bytes, theirs: bytes) -> None:
    there, back = merge(base, ours, theirs), merge(base, theirs, ours)
    assert isinstance(there, bytes) == isinstance(back, bytes)
    assert not isinstance(there, bytes) or there == back
    assert merge(base, ours, base) == ours and merge(base, base, theirs) == theirs and merge(base, ours, ours) == ours


def test_edits_in_distinct_lines_merge_as_git_merges_them(tmp_path: Path) -> None:
    draw = random.Random(5)
    for _ in range(15):
        base = [f"line {number}\n" for number in range(40)]
        sides = [base.copy(), base.copy()]
        for number in draw.sample(range(0, 40, 3), 8):
            side = draw.choice(sides)
            side[number] = draw.choice(["", "new\n", f"{side[number]}more\n", f"before\n{side[number]}"])
        texts = ["".join(lines).encode() for lines in (sides[0], base, sides[1])]
        for name, text in zip(("ours", "base", "theirs"), texts, strict=True):
            (tmp_path / name).write_bytes(text)
        merged = subprocess.run(
            ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=tmp_path, capture_output=True
        )
        assert merged.returncode == 0
        assert merge(texts[1], texts[0], texts[2]) == merged.stdout


def test_files_are_refused_together_and_both_sides_are_shown() -> None:
    base = {"a.py": BASE, "b.py": BASE}
    ours = dict.fromkeys(base, changed(b"x = 1", b"x = [5]"))
    theirs = {"a.py": changed(b"x = 1", b"x = 6"), "b.py": changed(b"return x", b"return y")}
    with pytest.raises(Refused) as caught:
        merge_files(base, ours, theirs)
    assert caught.value.message == "your edits conflict with the patches in a.py"
    assert caught.value.where.splitlines() == [
        "a.py:5",
        "the patches would make of it:",
        "  |     x = [5]",
        "your edit has:",
        "  |     x = 6",
    ]


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        pytest.param(BASE + b"def broken(:\n", "somebody edited a.py into something that is not Python", id="broken"),
        pytest.param(
            changed(b"    return x\n", b"    return y\n"),
            "a merge with your edit would make a.py into something that is not Python",
            id="apart, but not together",
        ),
        pytest.param(None, "a.py was deleted", id="deleted"),
    ],
)
def test_files_that_cannot_be_merged(theirs: bytes | None, message: str) -> None:
    ours = changed(b"def run():\n", b"") if theirs and b"return y" in theirs else changed(b"x = 1", b"x = 5")
    with pytest.raises(Refused, match=message):
        merge_files({"a.py": BASE}, {"a.py": ours}, {"a.py": theirs} if theirs else {})


def test_a_deleted_file_that_keeps_its_text_stays_deleted() -> None:
    assert merge_files({"a.py": BASE}, {"a.py": BASE}, {}) == {"a.py": None}


def test_long_conflicts_are_cut_short() -> None:
    edit = b"".join(b"    q%d = 0\n" % number for number in range(50))
    with pytest.raises(Refused) as caught:
        merge_files({"a.py": BASE}, {"a.py": changed(b"x = 1", b"x = 5")}, {"a.py": changed(b"    x = 1\n", edit)})
    assert "... 20 more lines" in caught.value.where and len(caught.value.where.splitlines()) < 40


def test_new_ends_of_lines_alone_are_no_conflict() -> None:
    assert merge(b"a\r\nb\r\n", b"a\nb\r\n", b"a\nb\n") == b"a\nb\n"


def test_only_python_has_to_be_python() -> None:
    base, ours, theirs = b"x: 1\n\n\ny: 2\n", b"x: 3\n\n\ny: 2\n", b"x: 1\n\n\ny: (\n"
    assert merge_files({"a.yaml": base}, {"a.yaml": ours}, {"a.yaml": theirs}) == {"a.yaml": b"x: 3\n\n\ny: (\n"}
    with pytest.raises(Refused, match=r"somebody edited a\.py into something that is not Python"):
        merge_files({"a.py": base}, {"a.py": ours}, {"a.py": theirs})


def test_an_edit_stays_as_if_it_had_been_made_before_the_patch() -> None:
    """Edits in lines that a real patch leaves alone: what a revert gives is the edited file from before, or nothing."""
    sources = dict(read_tree(base_tree()).sources)
    done = plan(sources, ["seeding"], load_patches([builtin_patches()]))
    pristine, patched = (texts["trainer.py"].encode().splitlines(True) for texts in (done.before, done.after))
    common = [line for line in pristine if line.strip() and pristine.count(line) == patched.count(line) == 1]
    draw = random.Random(1)
    merged = 0
    for _ in range(60):
        edits = dict.fromkeys(draw.sample(common, 3), b"")
        for line in edits:
            edits[line] = draw.choice([b"", line.replace(b"\n", b"  # mine\n"), line + b"# mine\n", b"# mine\n" + line])
        before, after = (b"".join(edits.get(line, line) for line in lines) for lines in (pristine, patched))
        found = merge(b"".join(patched), b"".join(pristine), after)
        assert isinstance(found, tuple) or found == before
        merged += isinstance(found, bytes)
    assert merged > 40
