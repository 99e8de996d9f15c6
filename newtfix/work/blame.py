"""Why files of a tree cannot be read as Python, in words that help: said where a command fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from newtfix.files.tree import Tree

NEWEST = "3.14"  # of the versions of Python that newtfix supports, so it reads what any of them does
_SHOWN = 5
_MARKER = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
_WIDE = (b"\xff\xfe", b"\xfe\xff")


def explanations(tree: Tree) -> list[str]:
    """A line for each of the first files that are not read as what they are."""
    found = list(_found(tree))
    more = [f"... and {len(found) - _SHOWN} more files that are no Python."] if len(found) > _SHOWN else []
    return [*found[:_SHOWN], *more]


def _found(tree: Tree) -> Iterator[str]:
    for path in sorted(tree.foreign):
        wide = tree.raw[path].startswith(_WIDE) or b"\x00" in tree.raw[path]
        what = "it looks like UTF-16" if wide else "it has bytes that are none"
        yield f"{path} is not UTF-8: {what}. Save it as UTF-8."
    for path, text in sorted(tree.sources.items()):
        if path.endswith(".py") and path not in tree.foreign and (problem := _problem(text)):
            yield f"{path} {problem}"


def _problem(text: str) -> str:
    """What is wrong with a text that should be Python."""
    from newtfix.newt.roles import outline

    error = outline(text).error
    if not error:
        return ""
    if marker := _MARKER.search(text):
        line = text.count("\n", 0, marker.start()) + 1
        return f"has marks of an unfinished merge, the first in line {line}. Finish the merge."
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if _is_newer(text):
        return (
            f"has syntax of a newer Python than {here}, which newtfix runs on here ({error}). Run newtfix on that, "
            f"in its checkout: uvx --python {NEWEST} --from . newtfix, or pipx run --python {NEWEST} --spec . newtfix"
        )
    return f"is no Python {here}, which newtfix runs on here: {error}. If a newer Python takes it, run newtfix on that."


def _is_newer(text: str) -> bool:
    """Whether LibCST, whose grammar is its own, takes what this Python does not."""
    import libcst

    try:
        libcst.parse_module(text)
    except Exception:
        return False
    return True
