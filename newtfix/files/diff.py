"""Unified diffs that `git apply` and `patch -p1` take, and their statistics."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FileDiff:
    """The difference of one file; `text` keeps bytes that are not UTF-8 as surrogate escapes."""

    path: str
    text: str
    added: int
    removed: int


def diff_files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[FileDiff]:
    """One entry for every file that differs. A file that is only in one of the two was added, or removed."""
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [_diff(path, before.get(path), after.get(path)) for path in paths]


def _diff(path: str, before: bytes | None, after: bytes | None) -> FileDiff:
    old, new = _lines(before), _lines(after)
    body = list(difflib.unified_diff(old, new, n=3))[2:]
    header = [f"--- {_name('a', path, before)}\n", f"+++ {_name('b', path, after)}\n"]
    return FileDiff(
        path=path,
        text="".join(_closed(line) for line in header + body),
        added=sum(line.startswith("+") for line in body),
        removed=sum(line.startswith("-") for line in body),
    )


def _lines(content: bytes | None) -> list[str]:
    """Lines as diff and patch know them: only a line feed ends one."""
    text = (content or b"").decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _name(side: str, path: str, content: bytes | None) -> str:
    """A tab ends a name with blanks in it."""
    if content is None:
        return "/dev/null"
    return f"{side}/{path}\t" if " " in path else f"{side}/{path}"


def _closed(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def stat(files: list[FileDiff], width: int = 40) -> Iterator[str]:
    """Lines like those of `git diff --stat`."""
    longest = max((len(file.path) for file in files), default=0)
    most = max((file.added + file.removed for file in files), default=1)
    digits = len(str(most))
    for file in files:
        count = file.added + file.removed
        plus, minus = (_bar(part, most, width) for part in (file.added, file.removed))
        yield f" {file.path:<{longest}} | {count:>{digits}} {'+' * plus}{'-' * minus}"
    yield (
        f" {_count(len(files), 'file')} changed, {_count(sum(file.added for file in files), 'insertion')}(+), "
        f"{_count(sum(file.removed for file in files), 'deletion')}(-)"
    )


def _bar(part: int, most: int, width: int) -> int:
    return part if most <= width else (part * width + most - 1) // most


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
