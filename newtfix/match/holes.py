"""The text of patterns: Python in which `$name`, `$$name`, `$*name` and `$@name[...]` are holes."""

from __future__ import annotations

import ast
import re
import textwrap
from functools import cache

HOLE = re.compile(r"\$(\$|\*|@|)([A-Za-z_]\w*)")
KINDS = {"": "_hole_one_", "$": "_hole_many_", "*": "_hole_args_", "@": "_hole_around_"}


def dedented(source: str) -> str:
    return textwrap.dedent(source).strip("\n").rstrip()


def encoded(source: str) -> str:
    """The text with a name of its own in the place of every hole."""
    return HOLE.sub(lambda hole: f"{'*' if hole[1] == '*' else ''}{KINDS[hole[1]]}{hole[2]}", source)


@cache
def tree_of(source: str) -> ast.Module | None:
    """The syntax tree of the text of a pattern; None: no Python with holes.

    LibCST matches trees, but Python's own parser is ten times as quick.
    """
    try:
        return ast.parse(encoded(dedented(source)))
    except (SyntaxError, ValueError):
        return None


def kind_of(source: str) -> type[ast.AST] | None:
    """What the text of a pattern is: the kind of its one statement, or that of a module; None: no Python with holes."""
    module = tree_of(source)
    if module is None:
        return None
    return type(module.body[0] if len(module.body) == 1 else module)
