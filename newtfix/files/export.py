"""A series of patch files, one per patch, for `git am`, quilt and `patch -p1`; the same patches give the same bytes."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from email.header import Header
from pathlib import Path

from newtfix import __version__
from newtfix.errors import Refused, TreeError
from newtfix.files import inside
from newtfix.files.diff import diff_files, stat
from newtfix.files.stage import appear, fill, staging
from newtfix.files.tree import encode
from newtfix.model import Patch
from newtfix.patch.message import body, subject

SERIES = "series"
_STAGE = ".newtfix-"
_LEFT = re.compile(re.escape(_STAGE) + r"\d+")  # of an export that was killed
_ORIGIN = f"From {'0' * 40} Mon Sep 17 00:00:00 2001"  # how git begins a patch in a mail
_AUTHOR = "newtfix <newtfix@localhost>"
_DATE = "Sat, 1 Jan 2000 00:00:00 +0000"
_BEGINS_DIFF = ("diff -", "Index: ", "---", "+++ ", "@@ ", "From ")


def series(
    pristine: Mapping[str, bytes],
    way: Sequence[tuple[str, Mapping[str, str]]],
    patches: Mapping[str, Patch],
    prefix: str,
) -> dict[str, bytes]:
    """The files of a series by name.

    Args:
        pristine: the files before the first patch. way: the text of all files that differ from these after each patch.
        prefix: the path of the tree as the patches are to name it, "" or "folder/".
    """
    files: dict[str, bytes] = {}
    before = dict(pristine)
    told = []
    for name, texts in way:
        after = {**pristine, **{path: encode(text, like=pristine[path]) for path, text in texts.items()}}
        if after != before:
            told.append((name, before, after))
        before = after
    for number, (name, old, new) in enumerate(told, 1):
        lines = _mail(patches[name], f"{number}/{len(told)}", _under(prefix, old), _under(prefix, new))
        files[f"{number:04d}-{name}.patch"] = "".join(lines).encode("utf-8", "surrogateescape")
    return {**files, SERIES: "".join(f"{name}\n" for name in files).encode()} if files else {}


def write_series(folder: Path, files: Mapping[str, bytes], force: bool) -> None:
    """All of the files in a new folder, or none. An empty folder is used; `force` replaces a series that is there."""
    folder = folder.absolute()
    new = not os.path.lexists(folder)
    if not new:
        _must_be_replaceable(folder, force)
    try:
        with staging(folder.parent if new else folder, _STAGE) as stage:
            fill(stage, files)
            if new:
                appear(stage, folder)
            else:
                _replace(folder, stage, files)
    except OSError as error:
        raise TreeError(
            f"cannot write {folder}: {error.strerror or error}",
            where=str(error.filename or ""),
            hint="Check the space on the disk and the permissions, or name another folder.",
        ) from error


def _replace(folder: Path, stage: Path, files: Mapping[str, bytes]) -> None:
    """Put the files of a new series in the place of another; the list of them goes first and comes last."""
    for old in sorted(set(inside.names(folder, "")) - {stage.name}, key=lambda name: name != SERIES):
        inside.remove(folder, old)
    for name in sorted(files, key=lambda name: name == SERIES):
        inside.move(folder, f"{stage.name}/{name}", name)


def _must_be_replaceable(folder: Path, force: bool) -> None:
    if folder.is_symlink() or not folder.is_dir():
        raise Refused(f"{folder} is no folder", hint="Name a folder that is not there yet, or an empty one.")
    there = [name for name in inside.names(folder, "") if not _LEFT.fullmatch(name)]
    foreign = [name for name in there if name != SERIES and not name.endswith(".patch")]
    if foreign or (there and not force):
        what = f"holds {', '.join(foreign[:3])}" if foreign else "holds a series already"
        hint = "Name a folder that is not there yet" + (", or an empty one." if foreign else ", or replace it: --force")
        raise Refused(f"{folder} {what}", hint=hint)


def _under(prefix: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{prefix}{path}": content for path, content in files.items()}


def _mail(patch: Patch, number: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[str]:
    files = diff_files(before, after)
    yield f"{_ORIGIN}\nFrom: {_AUTHOR}\nDate: {_DATE}\n"
    yield f"Subject: {_encoded(f'[PATCH {number}] {subject(patch)}')}\n"
    yield "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n"
    yield textwrap.indent(body(patch), " ", lambda line: line.startswith(_BEGINS_DIFF))
    yield "---\n"
    yield from (f"{line}\n" for line in stat(files))
    yield "\n"
    for file in files:
        yield f"diff --git a/{file.path} b/{file.path}\n{file.text}"
    yield f"-- \nnewtfix {__version__}\n\n"


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8").encode()
