"""What keeps an edit from fitting a tree: the first condition that does not hold, in words and as the patch has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from newtfix.match import pattern as pat

_HOLE = re.compile(r"\$[$*]?\w+(\.\w+)*")
_AROUND = re.compile(r"\$@\w+\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")  # what is moved or cast
_SAME = re.compile(r"…(, …)+")


@dataclass(frozen=True)
class Unmet:
    """A condition that does not hold: in words, and the code that the patch has for it.

    `path`: to the code of the tree that breaks it, in `file`. Where there is none, `code` is what is missing, and
    `nearest` is said of the line most like it.
    """

    words: str
    code: str
    file: str = ""
    path: pat.Path | None = None
    nearest: str = ""


def first(unmet: list[Unmet]) -> Unmet | None:
    """The one to speak of: of the forms of an edit, the one that code of the tree breaks tells most."""
    return next((one for one in unmet if one.path is not None), unmet[0] if unmet else None)


def place_of(match: pat.Match) -> pat.Path:
    """The path to the node, or to the first of the statements, that matched."""
    return (*match.path, ("body", match.start)) if match.is_run else match.path


def readable(pattern: str) -> str:
    """The line of a pattern that says most, with dots for its holes."""
    lines = [_SAME.sub("…", _HOLE.sub("…", _AROUND.sub(r"\1", line.strip()))) for line in pattern.strip().splitlines()]
    return max(lines, key=lambda line: (not line.endswith(":"), len(re.findall(r"\w", line))))
