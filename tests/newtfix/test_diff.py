"""Diffs that git and patch take, whatever the bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newtfix.files.diff import diff_files, stat

PAIRS = [
    pytest.param(b"a\nb\nc\n", b"a\nB\nc\n", id="a line"),
    pytest.param(b"a\nb", b"a\nb\nc", id="no newline at the end, before and after"),
    pytest.param(b"a\nb", b"a\nb\n", id="only the last newline"),
    pytest.param(b"a\r\nb\r\n", b"a\r\nB\r\n", id="CRLF"),
    pytest.param(b"a\nb\r\n\r", b"a\nB\r\n\r", id="mixed line endings"),
    pytest.param(b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfb\n", id="byte order mark"),
    pytest.param("é\x0c\u2028x\n".encode(), "é\x0c\u2028y\n".encode(), id="separators that are no line ends"),
    pytest.param(b"caf\xe9\n", b"caf\xe9!\n", id="not UTF-8"),
    pytest.param(b"-- a\n++ b\n", b"-- b\n++ b\n", id="lines like headers"),
    pytest.param(b"x\n" * 40, b"y\n" + b"x\n" * 38 + b"y\n", id="two hunks"),
]


def patched(folder: Path, name: str, before: bytes, after: bytes, *command: str) -> bytes:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(before)
    text = "".join(file.text for file in diff_files({name: before}, {name: after}))
    subprocess.run(command, cwd=folder, input=text.encode("utf-8", "surrogateescape"), check=True, capture_output=True)
    return (folder / name).read_bytes()


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_git_apply_takes_it(tmp_path: Path, before: bytes, after: bytes) -> None:
    assert patched(tmp_path, "common/a.py", before, after, "git", "apply", "--whitespace=nowarn") == after


@pytest.mark.skipif(shutil.which("patch") is None, reason="no patch on this machine")
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_patch_takes_it(tmp_path: Path, before: bytes, after: bytes) -> None:
    assert patched(tmp_path, "common/a.py", before, after, "patch", "-p1", "--binary") == after


def test_a_name_with_a_blank(tmp_path: Path) -> None:
    assert patched(tmp_path, "my tree.py", b"a\n", b"b\n", "git", "apply") == b"b\n"


@settings(max_examples=40, deadline=None)
@given(before=st.text("ab\r\n\x0c", max_size=20), after=st.text("ab\r\n\x0c", max_size=20))
def test_the_hunks_hold_both_texts(before: str, after: str) -> None:
    files = diff_files({"a.py": before.encode()}, {"a.py": after.encode()})
    assert bool(files) == (before != after)
    if files and before and after:
        body = files[0].text.replace("\n\\ No newline at end of file\n", "").split("\n")
        assert body[0] == "--- a/a.py" and body[1] == "+++ b/a.py"


def test_equal_files_are_left_out() -> None:
    assert diff_files({"a.py": b"x"}, {"a.py": b"x"}) == []


def test_stat_counts() -> None:
    files = diff_files({"a.py": b"1\n2\n", "bb.py": b"1\n"}, {"a.py": b"1\n3\n4\n", "bb.py": b"1\n2\n"})
    assert list(stat(files)) == [
        " a.py  | 3 ++-",
        " bb.py | 1 +",
        " 2 files changed, 3 insertions(+), 1 deletion(-)",
    ]
