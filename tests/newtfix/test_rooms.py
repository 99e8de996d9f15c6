"""The rooms of newtfix/ are those of docs/architecture.md, and imports go one way."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/architecture.md").read_text("utf-8")
TABLE = DOCS.partition("## Rooms")[2].partition("```")[0]
ROOMS = re.findall(r"`(\w+)(?:/|\.py)`", "\n".join(re.findall(r"^\| (`.*?) \|", TABLE, re.MULTILINE)))
AT_THE_ROOT = 10  # modules, of which __init__ and __main__ are two


def _room(path: Path) -> str:
    return path.relative_to(ROOT / "newtfix").parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "newtfix":
            parts = (node.module or "").split(".")
            yield from parts[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("newtfix."))


def test_the_table_names_every_room_and_no_other() -> None:
    there = {_room(path) for path in (ROOT / "newtfix").rglob("*.py")} - {"__init__", "__main__"}
    assert there == set(ROOMS) and len(ROOMS) == len(set(ROOMS))
    assert len(list((ROOT / "newtfix").glob("*.py"))) <= AT_THE_ROOT


def test_imports_go_from_lower_rows_to_higher_ones() -> None:
    rank = {room: number for number, room in enumerate(ROOMS)}
    backwards = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in (ROOT / "newtfix").rglob("*.py")
        if _room(path) in rank
        for room in _imports(path)
        if room in rank and rank[room] > rank[_room(path)]
    ]
    assert backwards == []


def test_the_pages_name_modules_that_are_there() -> None:
    for name in re.findall(r"`(\w+/\w+\.py)`", DOCS):
        assert any((ROOT / folder / name).is_file() for folder in ("newtfix", "newt_base", "tests", ".")), name
