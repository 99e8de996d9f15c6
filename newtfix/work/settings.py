"""The `[tool.newtfix]` table of a tree's pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from newtfix.errors import UsageError


def configured_patches(root: Path) -> tuple[Path, ...]:
    """Directories named by `[tool.newtfix] patches` in the tree or the folder above it, relative to that file."""
    for folder in (root, root.resolve().parent):
        file = folder / "pyproject.toml"
        table = _table(file)
        if table is not None:
            return tuple(folder / name for name in _names(table, file))
    return ()


def _table(file: Path) -> dict[str, Any] | None:
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the settings: {error}", where=str(file), hint="Correct this file.") from error
    table = settings.get("tool", {}).get("newtfix")
    if table is not None and not isinstance(table, dict):
        raise UsageError("[tool.newtfix] is not a table", where=str(file), hint="Correct this file.")
    return table


def _names(table: dict[str, Any], file: Path) -> list[str]:
    if unknown := sorted(table.keys() - {"patches"}):
        raise UsageError(
            f"unknown setting in [tool.newtfix]: {', '.join(unknown)}", where=str(file), hint="The only one is: patches"
        )
    names = table.get("patches", [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            "[tool.newtfix] patches is not a list of folders",
            where=str(file),
            hint='Write it like this: patches = ["my_patches"]',
        )
    return names
