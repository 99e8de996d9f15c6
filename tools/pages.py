"""Writes docs/discrepancies: one page per patch, and the list of them; pages of patches that are gone are removed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from newtfix import report
from newtfix.errors import NewtfixError
from newtfix.files.tree import read_tree
from newtfix.work.load import load_patches
from newtfix.work.page import all_pages

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "discrepancies"


def generate(patches: Path = ROOT / "patches", base: Path = ROOT / "newt_base") -> dict[str, str]:
    """The text of every page by its file name."""
    return all_pages(load_patches([patches]), read_tree(base).sources)


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


def main() -> int:
    try:
        pages = generate()
    except NewtfixError as problem:
        report.error(problem, as_json=False)
        return problem.exit_code
    for line in write(pages):
        print(line)
    print(f"{len(pages)} pages in {FOLDER.relative_to(ROOT)} are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
