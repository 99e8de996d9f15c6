"""Writes docs/discrepancies, one page per patch and the list of them, and README.md's table of patches.

Pages of patches that are gone are removed. `--check` writes nothing, and fails where something is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import dropwhile
from pathlib import Path

from newtfix import report
from newtfix.errors import NewtfixError
from newtfix.files.tree import read_tree
from newtfix.work.load import load_patches
from newtfix.work.page import all_pages, overview

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "discrepancies"
README = ROOT / "README.md"


def generate(patches: Path = ROOT / "patches", base: Path = ROOT / "newt_base") -> dict[str, str]:
    """The text of every page by its file name."""
    return all_pages(load_patches([patches]), read_tree(base).sources)


def readme(patches: Path = ROOT / "patches") -> str:
    """README.md with the table of today."""
    table = overview(load_patches([patches]))
    head = table.partition("\n")[0]
    before, found, after = README.read_text("utf-8").partition(f"{head}\n")
    if not found:
        raise NewtfixError("README.md has no table of patches", where=str(README), hint=f"Its first line is {head}")
    rest = after.splitlines(keepends=True)
    return before + table + "".join(dropwhile(lambda line: line.startswith("|"), rest))


def write(pages: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """Make `folder` hold these pages and no others. Returns what was done, a line for each file that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for path in sorted(folder.glob("*.md")):
        if path.name not in pages:
            path.unlink()
            done.append(f"{path.name}: removed")
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            path.write_bytes(text.encode())
            done.append(f"{name}: written")
    return done


def stale(pages: Mapping[str, str], table: str) -> list[str]:
    """The files that are not what they should be."""
    there = {path.name: path.read_bytes() for path in FOLDER.glob("*.md")}
    names = sorted(name for name in {*pages, *there} if there.get(name) != pages.get(name, "").encode())
    return [*names, *([README.name] if README.read_bytes() != table.encode() else [])]


def main(arguments: list[str]) -> int:
    try:
        pages, table = generate(), readme()
    except NewtfixError as problem:
        report.error(problem, as_json=False)
        return problem.exit_code
    if arguments == ["--check"]:
        for name in (found := stale(pages, table)):
            print(f"{name}: not up to date; make pages writes it again")
        return 1 if found else 0
    for line in write(pages):
        print(line)
    README.write_bytes(table.encode())
    print(f"README.md and {len(pages)} pages in {FOLDER.relative_to(ROOT)} are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
