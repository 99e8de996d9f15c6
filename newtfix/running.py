"""What the commands that run a tree share: how its modules are imported, and which libraries that takes."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from newtfix.errors import NewtfixError

_RELATIVE_IMPORT = re.compile(r"^\s*from\s+\.", re.MULTILINE)


@dataclass(frozen=True)
class Importable:
    """What goes first on the module path, and the package that the tree's modules are in ("": in none)."""

    path: Path
    package: str


@contextmanager
def importable(root: Path, text: str) -> Iterator[Importable]:
    """Where to find the modules of a tree: it is a package if `text`, one of its modules, has relative imports.

    A package needs a name: a folder whose own name cannot be imported gets one through a link.
    """
    root = root.resolve()
    if not _RELATIVE_IMPORT.search(text):
        yield Importable(root, "")
    elif root.name.isidentifier() and not keyword.iskeyword(root.name):
        yield Importable(root.parent, root.name)
    else:
        with tempfile.TemporaryDirectory(prefix="newtfix-") as folder:
            name = "tree_" + re.sub(r"\W", "_", root.name)
            Path(folder, name).symlink_to(root, target_is_directory=True)
            yield Importable(Path(folder), name)


def environment(first: Path | None, last: Path | None = None) -> dict[str, str]:
    """This process's environment, with folders added in front of its module path and behind it."""
    found = dict(os.environ)
    before = found.get("PYTHONPATH")
    folders = [str(first) if first else None, before or None, str(last) if last else None]
    if any(folders):
        found["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    return found


def require_libraries(purpose: str, names: Sequence[str]) -> None:
    """Raise NewtfixError with the names of the libraries that this Python lacks."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise NewtfixError(
            f"{purpose} needs {', '.join(missing)}, which this Python does not have",
            where=sys.executable,
            hint="Install the trainer's libraries: pip install 'newtfix[train]'",
        )
