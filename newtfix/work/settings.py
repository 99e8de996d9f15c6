"""The `[tool.newtfix]` table of a tree's pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from newtfix.errors import UsageError
from newtfix.files import inside

_LIMIT = inside.MEBIBYTE


def configured_patches(root: Path) -> tuple[Path, ...]:
    """Directories named by `[tool.newtfix] patches` in the tree or the folder above it, relative to that file.

    They are what a tree says: whether to run them is for the user to say (`newtfix.work.allowed`).
    """
    for folder in (root, root.resolve().parent):
        file = folder / "pyproject.toml"
        table = _table(file)
        if table is not None:
            return tuple(folder / name for name in _names(table, file))
    return ()


def _table(file: Path) -> dict[str, Any] | None:
    text = ""
    try:
        text = inside.read(file.parent, file.name, _LIMIT).decode("utf-8")
        settings = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except tomllib.TOMLDecodeError as error:
        if "newtfix" not in text:  # whatever is wrong in it is no matter here
            return None
        raise UsageError(f"cannot read the settings: {error}", where=str(file), hint="Correct this file.") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read the settings: {reason}", where=str(file), hint="Correct this file.") from error
    tools = settings.get("tool", {})
    table = tools.get("newtfix") if isinstance(tools, dict) else None
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
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise UsageError(
            "[tool.newtfix] patches is not a list of folders",
            where=str(file),
            hint='Write it like this: patches = ["my_patches"]',
        )
    return names
