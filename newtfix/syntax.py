"""The syntax trees of a tree's files, each parsed once."""

from __future__ import annotations

import ast
from functools import lru_cache


@lru_cache(maxsize=512)
def parse(text: str) -> ast.Module:
    """The syntax tree of a module, which may begin with a byte order mark. Raises SyntaxError or ValueError."""
    return ast.parse(text.lstrip("\ufeff"))


def parsed(text: str) -> ast.Module:
    """The same; an empty module for a file that doesn't parse and so plays no role."""
    try:
        return parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
