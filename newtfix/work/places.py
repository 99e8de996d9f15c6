"""Where things are: the base tree and the built-in patches, which newtfix ships, and the tree where the user is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from newtfix.errors import NewtfixError
from newtfix.files import inside
from newtfix.files.tree import SOURCE_LIMIT

DEFAULT_TREE = Path("newt_patched")
AGENT = "tdmpc2.py"
_BASE = "newt_base"  # which is patched as a copy
_PACKAGE = Path(__file__).resolve().parents[1]


def base_tree() -> Path:
    """The newt-style tree that `./newt_patched` is a copy of."""
    return _shipped(_BASE)


def builtin_patches() -> Path:
    """The directory of the patches that come with newtfix."""
    return _shipped("patches")


def tree_near(here: Path) -> str | None:
    """The folder of a tree that a command has to name: this one, or one right below."""
    below = sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))
    own = (DEFAULT_TREE.name, _BASE)
    return next((folder.as_posix() for folder in (here, *below) if folder.name not in own and _trains(folder)), None)


def _trains(folder: Path) -> bool:
    """Whether a folder holds an agent, and a trainer's method that makes rows."""
    with suppress(OSError):
        return (folder / AGENT).is_file() and any(map(_stores, (*folder.glob("*.py"), *folder.glob("trainer/*.py"))))
    return False


def _stores(file: Path) -> bool:
    with suppress(OSError):
        return file.is_file() and b"def to_td(" in inside.read_named(file, SOURCE_LIMIT)
    return False


def _shipped(name: str) -> Path:
    """`_data/NAME` in an installed package, the sibling NAME of the package in a checkout."""
    installed, sibling = _PACKAGE / "_data" / name, _PACKAGE.parent / name
    if installed.is_dir():
        return installed
    if sibling.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return sibling
    raise NewtfixError(
        f"this installation of newtfix lacks its folder {name}",
        where=f"looked for {installed} and, as in a checkout, {sibling}",
        hint="Install newtfix again (pip install --force-reinstall newtfix), or run it from a whole checkout.",
    )
