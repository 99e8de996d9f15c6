"""Where newtfix keeps what it ships: the base tree and the built-in patches."""

from __future__ import annotations

from pathlib import Path

from newtfix.errors import NewtfixError

_PACKAGE = Path(__file__).resolve().parents[1]


def base_tree() -> Path:
    """The newt-style tree that `./newt_patched` is a copy of."""
    return _shipped("newt_base")


def builtin_patches() -> Path:
    """The directory of the patches that come with newtfix."""
    return _shipped("patches")


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
