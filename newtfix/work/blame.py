"""Why files of a tree cannot be read as Python, in words that help: said where a command fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from tokenize import detect_encoding

from newtfix.files.tree import Tree

NEWEST = "3.14"  # of the versions of Python that newtfix supports, so it reads what any of them does
_SHOWN = 5
_MARKER = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")


def explanations(tree: Tree) -> list[str]:
    """A line for each of the first files that are not read as what they are."""
    found = list(_found(tree))
    more = [f"... and {len(found) - _SHOWN} more files that are no Python."] if len(found) > _SHOWN else []
    return [*found[:_SHOWN], *more]


def unread(tree: Tree) -> dict[str, str]:
    """The files of a tree that Python cannot read, each with a line that says why."""
    broken = [path for path, text in sorted(tree.sources.items()) if path.endswith(".py") and _error(text)]
    return {path: f"{path} {_foreign(path, tree) or _problem(tree.sources[path])}" for path in broken}


def _found(tree: Tree) -> Iterator[str]:
    for path in sorted(tree.foreign):
        yield f"{path} {_foreign(path, tree)}"
    yield from (line for path, line in unread(tree).items() if path not in tree.foreign)


def _foreign(path: str, tree: Tree) -> str:
    """What is wrong with bytes that are no text in UTF-8; nothing is with others."""
    wide = _wide(tree.raw[path])
    if not wide and path not in tree.foreign:
        return ""
    return f"is not UTF-8: {f'it looks like {wide}' if wide else 'it has bytes that are none'}. Save it as UTF-8."


def _wide(raw: bytes) -> str:
    """The code of wide characters that bytes look like: of plain letters, half or three quarters are null bytes."""
    nulls = raw.count(0) / (len(raw) or 1)
    if raw.startswith(_UTF_32) or nulls > 0.6:
        return "UTF-32"
    return "UTF-16" if raw.startswith(_UTF_16) or nulls > 0.25 else ""


def not_its_text(path: str, tree: Tree) -> str:
    """Why what stands there is no text of the tree: a link, or not UTF-8 without a word on what else it is."""
    if path not in tree.raw and (tree.root / path).is_symlink():
        return "the file is a link now, which is not followed"
    if path not in tree.foreign or not path.endswith(".py"):
        return ""
    try:
        encoding, _ = detect_encoding(BytesIO(tree.raw[path]).readline)
        tree.raw[path].decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return "the file is no Python (it is not UTF-8, and does not say what else)"
    return ""


def fault_of(path: str, text: str | None) -> str:
    """Why a file cannot be read as what it was."""
    if text is None:
        return "the file is not there any more"
    error = _error(text) if path.endswith(".py") else ""
    return f"the file is no Python ({error})" if error else ""


def _error(text: str) -> str:
    from newtfix.newt.roles import outline

    return outline(text).error


def _problem(text: str) -> str:
    """What is wrong with a text that should be Python."""
    error = _error(text)
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
