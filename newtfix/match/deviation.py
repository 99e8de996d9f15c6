"""Where code begins as a pattern does, and goes on in another way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import libcst as cst

from newtfix.match import pattern as pat
from newtfix.match.matching import SEQUENCES, many, matched_prefix

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def deviation(pattern: pat.Pattern, root: cst.CSTNode) -> pat.Path | None:
    """The path to the first statement below `root` that is not as a run of statements has it; None: no code begins so.

    A pattern that is one function is compared with the function of its name, statement by statement.
    """
    statements: Sequence[Any] = pattern.statements
    within = root
    if len(statements) == 1 and isinstance(statements[0], cst.FunctionDef):
        name, statements = statements[0].name.value, statements[0].body.body
        function = next((one for one in _functions(root) if one.name.value == name), None)
        if function is None:
            return None
        within = function.body
    begun = ((*_begun(statements, block), block) for block in _blocks(within))
    count, index, block = max(begun, key=lambda one: one[0], default=(0, 0, within))
    path = pat.path_to(root, block) if count else None
    return None if path is None else (*path, ("body", index))


@lru_cache(maxsize=4096)
def _functions(root: cst.CSTNode) -> tuple[Any, ...]:
    return tuple(node for node in _outside_expressions(root) if type(node) is cst.FunctionDef)


@lru_cache(maxsize=4096)
def _blocks(root: cst.CSTNode) -> tuple[Any, ...]:
    return tuple(node for node in _outside_expressions(root) if type(node) in (cst.Module, cst.IndentedBlock))


def _outside_expressions(root: Any) -> Iterator[Any]:
    """Statements and blocks below `root`, itself included, in source order."""
    yield root
    for name in _BLOCKS if type(root) is not cst.SimpleStatementLine else ():
        inner: Any = getattr(root, name, None)
        for part in inner if type(inner) in SEQUENCES else (inner,):
            if part is not None:
                yield from _outside_expressions(part)


def _begun(statements: Sequence[Any], block: Any) -> tuple[int, int]:
    """How many statements of a pattern a block has, one behind the other, and the index of what comes then."""
    for count in range(len(statements) - 1, 0, -1):
        if many(statements[count - 1]) is None:
            for start in range(len(block.body)):
                found = matched_prefix(statements[:count], block.body[start:], {}, whole=False)
                if found is not None and found[1]:
                    return count, min(start + found[1], len(block.body) - 1)
    return 0, 0
