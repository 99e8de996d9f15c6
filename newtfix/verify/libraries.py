"""What is said of libraries that a tree imports and this Python lacks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping


def lacking(library: str) -> str:
    """Why something was not observed."""
    return f"{library} is not installed"


def replaced(libraries: Collection[str]) -> list[str]:
    """A line on those whose stand-ins did no harm, if there are any."""
    return [f"Not installed, and replaced by what does nothing: {', '.join(sorted(libraries))}."] if libraries else []


def wanted(places: Mapping[str, str], stopped: Mapping[str, Collection[str]]) -> list[str]:
    """A line on each of the others, with the way out.

    Args:
        places: where the tree imports each library, `file:line`.
        stopped: the patches that were not observed, or not wholly, for want of one.
    """
    return [
        f"{lacking(library)}, and {places[library]} imports it. What calls it was not observed ({', '.join(patches)}). "
        f"To see it, install it beside newtfix: {shlex.quote(sys.executable)} -m pip install {shlex.quote(library)}"
        for library, patches in sorted(stopped.items())
    ]
